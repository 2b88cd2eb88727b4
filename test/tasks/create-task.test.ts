import assert from 'node:assert/strict';

import { allTasks, createTask, getEventLoop, getRunningLoop, run, sleep, Task } from 'ringloop';
import { turnOfNode } from '../support/capture.js';
import { withVirtualTime } from '../support/virtual-time.js';

describe('createTask', () => {
  it('runs a generator object, a generator function and an async function', () =>
    withVirtualTime(function* () {
      function* coroutine(value: string): Generator<unknown, string, any> {
        yield* sleep(1);
        return value;
      }
      const tasks = [
        createTask(coroutine('object')),
        createTask(function* () {
          return yield* coroutine('generator function');
        }),
        createTask(async () => {
          await sleep(1);
          return 'async function';
        }),
      ];
      const results: string[] = [];
      for (const task of tasks) results.push(yield* task);
      assert.deepEqual(results, ['object', 'generator function', 'async function']);
    }));

  it('runs what a plain function returns: a generator, a coroutine, a future, a promise', () =>
    withVirtualTime(function* () {
      function* coroutine(): Generator<unknown, string, any> {
        return 'generator';
      }
      const results = [
        yield* createTask(() => coroutine()),
        yield* createTask(() => sleep(1, 'coroutine')),
        yield* createTask(() => createTask(coroutine)),
        yield* createTask(() => Promise.resolve('promise')),
      ];
      assert.deepEqual(results, ['generator', 'coroutine', 'generator', 'promise']);
    }));

  it("runs one of ringloop's own coroutines", () =>
    withVirtualTime(function* () {
      assert.equal(yield* createTask(sleep(5, 'slept')), 'slept');
      assert.equal(getRunningLoop().time(), 5);
    }));

  it('does not start the task before the caller waits', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const task = createTask(function* () {
        seen.push('task');
      });
      seen.push('caller');
      yield* task;
      assert.deepEqual(seen, ['caller', 'task']);
    }));

  it('calls a function in the first step of its task', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const task = createTask(() => {
        seen.push('called');
        return sleep(0);
      });
      seen.push('made');
      yield* task;
      assert.deepEqual(seen, ['made', 'called']);
    }));

  it('starts tasks in the order in which they were made', () =>
    withVirtualTime(function* () {
      const seen: number[] = [];
      const tasks = Array.from({ length: 10 }, (_, i) =>
        createTask(function* () {
          seen.push(i);
        }),
      );
      for (const task of tasks) yield* task;
      assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }));

  it('takes the first step at once with eagerStart', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const task = createTask(
        function* () {
          seen.push('first step');
          yield* sleep(0);
          seen.push('second step');
          return 'done';
        },
        { eagerStart: true },
      );
      seen.push('caller');
      assert.equal(yield* task, 'done');
      assert.deepEqual(seen, ['first step', 'caller', 'second step']);
    }));

  it("works outside any task, on the thread's loop", async () => {
    const task = createTask(function* () {
      yield* sleep(0);
      return 'ambient';
    });
    assert.ok(task instanceof Task);
    assert.equal(task.loop, getEventLoop());
    assert.deepEqual([...allTasks()], [task]);
    assert.equal(await task, 'ambient');
  });

  it('works in a callback of the loop', async () => {
    const result = await new Promise((resolve) => {
      getEventLoop().callSoon(() => {
        createTask(function* () {
          yield* sleep(0);
          resolve('from a callback');
        });
      });
    });
    assert.equal(result, 'from a callback');
    await turnOfNode();
  });

  it('joins the run() of the task that makes it, in async functions too', async () => {
    const seen: string[] = [];
    await run(async () => {
      await turnOfNode();
      createTask(async () => {
        try {
          await sleep(60_000);
        } finally {
          seen.push('cancelled with the run');
        }
      });
      await sleep(0);
    });
    assert.deepEqual(seen, ['cancelled with the run']);
  });

  it('makes ten thousand tasks that all finish', () =>
    withVirtualTime(function* () {
      let finished = 0;
      const tasks = Array.from({ length: 10_000 }, (_, i) =>
        createTask(function* () {
          yield* sleep(i % 10);
          finished++;
        }),
      );
      for (const task of tasks) yield* task;
      assert.equal(finished, 10_000);
    }));
});
