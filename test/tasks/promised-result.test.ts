import assert from 'node:assert/strict';

import {
  createTask,
  currentTask,
  EventLoop,
  Future,
  Runner,
  RuntimeError,
  run,
  sleep,
} from 'ringloop';

/** Mains that return what can itself be awaited. */
const MAINS: Record<string, () => any> = {
  'a generator coroutine returns a task': function* () {
    return createTask(() => sleep(1, 'result'));
  },
  'an async function returns a task': async () => createTask(() => sleep(1, 'result')),
  'a generator coroutine returns a future': function* () {
    const future = new Future<string>();
    createTask(function* () {
      yield* sleep(1);
      future.setResult('result');
    });
    return future;
  },
  'a generator coroutine returns a promise': function* () {
    return new Promise((resolve) => setImmediate(resolve, 'result'));
  },
  'a task has a task as its result': function* () {
    return createTask(function* () {
      return createTask(async () => 'result');
    });
  },
};

// asyncio gives the task itself. A promise cannot: it was cancelled with the end of the run() in a
// generator, and awaited in an async function.
describe('a result that can itself be awaited', () => {
  for (const [how, main] of Object.entries(MAINS)) {
    it(`is awaited as part of a run(): ${how}`, async () => {
      assert.equal(await run(main), 'result');
    });

    it(`is awaited as part of a run() of a Runner: ${how}`, async () => {
      const runner = new Runner();
      assert.equal(await runner.run(main), 'result');
      await runner.close();
    });
  }

  it('rejects a run() with its error', () =>
    assert.rejects(
      run(function* () {
        return createTask(function* () {
          throw new RangeError('of the task');
        });
      }),
      { message: 'of the task' },
    ));

  it('is cancelled by the signal of the run()', async () => {
    const controller = new AbortController();
    const running = run(
      function* () {
        setImmediate(() => controller.abort());
        return createTask(() => sleep(60_000));
      },
      { signal: controller.signal },
    );
    await assert.rejects(running, { name: 'CancelledError' });
  });

  // The promise of the run() took itself for its own end, for ever: the process ran out of memory.
  for (const [kind, main] of [
    [
      'a generator coroutine',
      function* () {
        return currentTask();
      },
    ],
    ['an async function', async () => currentTask()],
  ] as [string, () => any][]) {
    it(`is refused where it is the task itself, of ${kind}`, () =>
      assert.rejects(run(main), RuntimeError));
  }

  it('is refused where two tasks are the result of each other', async () => {
    await assert.rejects(
      run(function* () {
        const first: any = createTask(function* (): Generator<unknown, any, any> {
          yield* sleep(0);
          return second;
        });
        const second: any = createTask(function* (): Generator<unknown, any, any> {
          yield* sleep(0);
          return first;
        });
        return first;
      }),
      RuntimeError,
    );
  });

  it('does not go round for ever where plain code awaits it', async () => {
    let task!: PromiseLike<unknown>;
    await run(function* () {
      task = createTask(function* () {
        return currentTask();
      });
      yield* task as any;
    });
    await assert.rejects(async () => await task, RuntimeError);
  });

  it('is handed over as it is between generator coroutines', () =>
    run(function* () {
      const inner = createTask(() => sleep(0, 'result'));
      const outer = createTask(function* () {
        return inner;
      });
      assert.equal(yield* outer, inner);
    }));

  it('is awaited by runUntilComplete', async () => {
    using loop = new EventLoop();
    const future = loop.createFuture<any>();
    const inner = loop.createFuture<string>();
    loop.callSoon(() => future.setResult(inner));
    loop.callLater(1, () => inner.setResult('result'));
    assert.equal(await loop.runUntilComplete(future), 'result');
  });
});
