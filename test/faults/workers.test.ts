import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

const COUNT = process.env['RINGLOOP_HEAVY'] === '1' ? 1000 : 40;
const AT_ONCE = 4;

/** A loop that is busy in every way: tasks that step, timers, a reader, an async function. */
const BUSY = `
  const { createTask, EventLoop, getEventLoop, run, sleep } = require('ringloop');
  const { parentPort } = require('node:worker_threads');
  const loop = getEventLoop();
  run(function* () {
    for (let i = 0; i < 50; i++) {
      createTask(function* () { for (;;) yield* sleep(Math.random()); });
      createTask(function* () { for (;;) yield* sleep(0); });
      createTask(async () => { for (;;) await sleep(Math.random()); });
      loop.callLater(60_000, () => {});
    }
    const isolated = new EventLoop();
    isolated.runForever();
    isolated.callLater(1, () => {});
    parentPort.postMessage('running');
    for (;;) yield* sleep(0);
  });
`;

async function createAndTerminate(): Promise<void> {
  const worker = new Worker(BUSY, { eval: true });
  const [message] = await once(worker, 'message');
  assert.equal(message, 'running');
  await worker.terminate();
}

/** Both are waited for from the start: a quick worker's last message and its end come in one turn. */
async function lastWords(worker: Worker): Promise<unknown> {
  const [[message]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')]);
  return message;
}

describe('worker threads', function () {
  this.timeout(600_000);

  it(`${COUNT} of them can be terminated in the middle of a turn`, async () => {
    for (let done = 0; done < COUNT; done += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, createAndTerminate));
    }
  });

  it('give their memory and their file descriptors back', async () => {
    const { readdirSync } = await import('node:fs');
    const fds = () => readdirSync('/proc/self/fd').length;
    await Promise.all(Array.from({ length: AT_ONCE }, createAndTerminate));
    const before = fds();
    for (let i = 0; i < 5; i++)
      await Promise.all(Array.from({ length: AT_ONCE }, createAndTerminate));
    assert.ok(fds() <= before + 2, `${before} fds before, ${fds()} after`);
  });

  it('have a loop of their own each', async () => {
    const worker = new Worker(
      `const { run, sleep, currentTask } = require('ringloop');
       run(function* () { yield* sleep(1); return currentTask().name; }, { name: 'in the worker' })
         .then((name) => require('node:worker_threads').parentPort.postMessage(name));`,
      { eval: true },
    );
    const name = await lastWords(worker);
    assert.equal(name, 'in the worker');
  });

  it('end by themselves when nothing is left, and say so to a run() that waits', async () => {
    const worker = new Worker(
      `const { Future, run } = require('ringloop');
       run(function* () { yield* new Future(); })
         .catch((error) => require('node:worker_threads').parentPort.postMessage(error.name));`,
      { eval: true },
    );
    const name = await lastWords(worker);
    assert.equal(name, 'DeadlockError');
  });
});
