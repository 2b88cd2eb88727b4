// Single operations, ours and Node's own, with Benchmark.js: what one of each costs, everything
// included that it takes to get done. Usage: node bench/operations.js [PATTERN]
'use strict';
const Benchmark = require('benchmark');
const {
  createTask,
  Event,
  getEventLoop,
  Lock,
  Queue,
  run,
  Semaphore,
  sleep,
  taskGroup,
} = require('..');

const loop = getEventLoop();
const noop = () => {};

// A cycle is over when the last of BATCH operations has been carried out; figures are per operation.
const BATCH = 1000;

function inBatches(name, operation) {
  return { name, defer: true, fn: (deferred) => operation(() => deferred.resolve()) };
}

// A generator function made anew costs V8 a hidden class, so this one stands alone.
function* waitThen(future, then) {
  yield* future;
  then();
}

const SUITES = {
  'queue a callback and have it run': [
    inBatches('loop.callSoon', (done) => {
      for (let i = 1; i < BATCH; i++) loop.callSoon(noop);
      loop.callSoon(done);
    }),
    inBatches('process.nextTick', (done) => {
      for (let i = 1; i < BATCH; i++) process.nextTick(noop);
      process.nextTick(done);
    }),
    inBatches('queueMicrotask', (done) => {
      for (let i = 1; i < BATCH; i++) queueMicrotask(noop);
      queueMicrotask(done);
    }),
    inBatches('setImmediate', (done) => {
      for (let i = 1; i < BATCH; i++) setImmediate(noop);
      setImmediate(done);
    }),
  ],
  'arm a timer and cancel it': [
    inBatches('loop.callLater, cancel', (done) => {
      for (let i = 0; i < BATCH; i++) loop.callLater(30_000 + i, noop).cancel();
      loop.callSoon(done);
    }),
    inBatches('setTimeout, clearTimeout', (done) => {
      for (let i = 0; i < BATCH; i++) clearTimeout(setTimeout(noop, 30_000 + i));
      setImmediate(done);
    }),
  ],
  'settle what somebody waits for': [
    inBatches('future.setResult, task', (done) => {
      let left = BATCH;
      const futures = Array.from({ length: BATCH }, () => loop.createFuture());
      for (const future of futures) createTask(waitThen(future, () => --left === 0 && done()));
      loop.callSoon(() => {
        for (const future of futures) future.setResult(1);
      });
    }),
    inBatches('resolve, async function', (done) => {
      let left = BATCH;
      const resolvers = [];
      const wait = async (promise) => {
        await promise;
        if (--left === 0) done();
      };
      for (let i = 0; i < BATCH; i++) wait(new Promise((resolve) => resolvers.push(resolve)));
      setImmediate(() => {
        for (const resolve of resolvers) resolve(1);
      });
    }),
  ],
  'one step of a task': [
    inBatches('generator: yield* sleep(0)', (done) => {
      run(function* () {
        for (let i = 0; i < BATCH; i++) yield* sleep(0);
      }).then(done);
    }),
    inBatches('async function, task: await sleep(0)', (done) => {
      run(async () => {
        for (let i = 0; i < BATCH; i++) await sleep(0);
      }).then(done);
    }),
    inBatches('async function: await a setImmediate', (done) => {
      (async () => {
        for (let i = 0; i < BATCH; i++) await new Promise((resolve) => setImmediate(resolve));
      })().then(done);
    }),
    inBatches('async function: await null', (done) => {
      (async () => {
        for (let i = 0; i < BATCH; i++) await null;
      })().then(done);
    }),
  ],
  'coordinate, nobody else wants it': [
    inBatches('lock: acquire, release', (done) => {
      run(function* () {
        const lock = new Lock();
        for (let i = 0; i < BATCH; i++) {
          yield* lock.acquire();
          lock.release();
        }
      }).then(done);
    }),
    inBatches('semaphore: acquire, release', (done) => {
      run(function* () {
        const semaphore = new Semaphore(2);
        for (let i = 0; i < BATCH; i++) {
          yield* semaphore.acquire();
          semaphore.release();
        }
      }).then(done);
    }),
    inBatches('event that is set: wait', (done) => {
      run(function* () {
        const event = new Event();
        event.set();
        for (let i = 0; i < BATCH; i++) yield* event.wait();
      }).then(done);
    }),
    inBatches('queue: put, get', (done) => {
      run(function* () {
        const queue = new Queue();
        for (let i = 0; i < BATCH; i++) {
          yield* queue.put(i);
          yield* queue.get();
        }
      }).then(done);
    }),
    inBatches('an async function: await null', (done) => {
      (async () => {
        for (let i = 0; i < BATCH; i++) await null;
      })().then(done);
    }),
  ],
  'coordinate, and wait for each other': [
    inBatches('event: wait, set', (done) => {
      run(function* () {
        const event = new Event();
        const waiter = createTask(waitForEvent(event));
        for (let i = 0; i < BATCH; i++) {
          event.set();
          yield* sleep(0);
        }
        yield* waiter;
      }).then(done);
    }),
    inBatches('lock: handed from task to task', (done) => {
      run(function* () {
        const lock = new Lock();
        yield* taskGroup(function* (group) {
          for (let i = 0; i < 2; i++) group.createTask(takeTurns(lock));
        });
      }).then(done);
    }),
    inBatches('task group, each of 100 children', (done) => {
      run(function* () {
        for (let left = BATCH; left > 0; left -= 100) yield* taskGroup(hundred);
      }).then(done);
    }),
    inBatches('Promise.all, each of 100 async functions', (done) => {
      (async () => {
        for (let left = BATCH; left > 0; left -= 100) {
          await Promise.all(Array.from({ length: 100 }, awaitNull));
        }
      })().then(done);
    }),
  ],
};

function* waitForEvent(event) {
  for (let i = 0; i < BATCH; i++) {
    yield* event.wait();
    event.clear();
  }
}

function* takeTurns(lock) {
  for (let i = 0; i < BATCH / 2; i++) {
    yield* lock.acquire();
    yield* sleep(0);
    lock.release();
  }
}

function* stepOnce() {
  yield* sleep(0);
}

function* hundred(group) {
  for (let i = 0; i < 100; i++) group.createTask(stepOnce());
}

async function awaitNull() {
  await null;
}

function runSuite(title, operations) {
  return new Promise((resolve) => {
    console.log(`\n${title}`);
    const suite = new Benchmark.Suite(title);
    for (const operation of operations) suite.add({ maxTime: 1, ...operation });
    suite.on('cycle', ({ target }) => {
      const ns = (target.stats.mean * 1e9) / BATCH;
      const spread = `±${target.stats.rme.toFixed(1)} %`;
      console.log(`  ${target.name.padEnd(38)} ${ns.toFixed(0).padStart(6)} ns  ${spread}`);
    });
    suite.on('error', ({ target }) => console.error(target.error));
    suite.on('complete', resolve);
    suite.run({ async: true });
  });
}

async function main(pattern = '') {
  for (const [title, operations] of Object.entries(SUITES)) {
    if (title.includes(pattern)) await runSuite(title, operations);
  }
}

main(process.argv[2]);
