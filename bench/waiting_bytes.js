// What a waiting task weighs: bytes of the heap for each of N tasks, and after they have ended.
// Usage: node bench/waiting_bytes.js [N]
'use strict';
const { execFileSync } = require('node:child_process');
const {
  createTask,
  Event,
  gather,
  Lock,
  memoryChannel,
  Queue,
  run,
  Semaphore,
  sleep,
} = require('..');

const N = Number(process.argv[2] ?? 100_000);

function heapUsed() {
  for (let i = 0; i < 4; i++) globalThis.gc();
  return process.memoryUsage().heapUsed;
}

/** Each one: what a task does, and how all of them are let go. */
const WAITS = {
  'sleep()': () => [() => sleep(3000), () => {}],
  'event.wait()': () => {
    const event = new Event();
    return [() => event.wait(), () => event.set()];
  },
  'lock.acquire()': () => {
    const lock = new Lock();
    return [() => lock.acquire(), () => lock.release(), () => lock.release()];
  },
  'semaphore.acquire()': () => {
    const semaphore = new Semaphore(0);
    return [() => semaphore.acquire(), () => semaphore.release(), () => semaphore.release()];
  },
  'queue.get()': () => {
    const queue = new Queue();
    return [
      () => queue.get(),
      () => {
        for (let i = 0; i < N; i++) queue.putNowait(i);
      },
    ];
  },
  'receiver.receive()': () => {
    const [sender, receiver] = memoryChannel(0);
    return [
      () => receiver.receive(),
      () => {
        for (let i = 0; i < N; i++) sender.sendNowait(i);
      },
    ];
  },
};

function* waiter(wait, after) {
  yield* wait();
  after();
}

function* measure(name) {
  const [wait, letGo, after = () => {}] = WAITS[name]();
  if (name === 'lock.acquire()') yield* wait();
  const before = heapUsed();
  const tasks = new Array(N);
  for (let i = 0; i < N; i++) tasks[i] = createTask(waiter(wait, after));
  yield* sleep(1);
  const bytes = (heapUsed() - before) / N;
  letGo();
  yield* gather(tasks);
  console.log(`${name.padEnd(22)} ${bytes.toFixed(0).padStart(5)} bytes`);
}

// Each in a process of its own: what one leaves behind would count for the next.
if (process.argv[3] !== undefined) run(() => measure(process.argv[3]));
else {
  for (const name of Object.keys(WAITS)) {
    execFileSync(process.execPath, ['--expose-gc', __filename, N, name], { stdio: 'inherit' });
  }
}
