import assert from 'node:assert/strict';

import { allTasks, createTask, gather, run, sleep, type Task, wait } from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';

type Next = () => Task<any>;

/** Tasks that wait for another one, in every way. */
const WAITS: Record<string, (next: Next) => () => any> = {
  'generator coroutines': (next) =>
    function* () {
      yield* sleep(0);
      yield* next();
    },
  'async functions': (next) => async () => {
    await sleep(0);
    await next();
  },
  'gathers in generator coroutines': (next) =>
    function* () {
      yield* sleep(0);
      yield* gather(next());
    },
  'gathers in async functions': (next) => async () => {
    await sleep(0);
    await gather(next(), sleep(1000));
  },
};

/** `count` tasks, each of which waits for the next one, and the last for the first. */
function circle(count: number, waiting: (next: Next) => () => any): Task<any>[] {
  const tasks: Task<any>[] = [];
  for (let i = 0; i < count; i++) {
    tasks.push(createTask(waiting(() => tasks[(i + 1) % count]!)));
  }
  return tasks;
}

/** `count` tasks, each of which waits for the one before. */
function chain(count: number, waiting: (next: Next) => () => any): Task<any>[] {
  const tasks: Task<any>[] = [createTask(() => sleep(60_000))];
  for (let i = 1; i < count; i++) tasks.push(createTask(waiting(() => tasks[i - 1]!)));
  return tasks;
}

// cancel() called the task that is waited for, and so on: in a circle, or far enough down a chain,
// it was a RangeError, and others of the same run() were never cancelled.
describe('cancelling tasks that wait for each other', () => {
  for (const [kind, waiting] of Object.entries(WAITS)) {
    for (const count of [2, 3, 7]) {
      it(`ends a circle of ${count}, of ${kind}`, () =>
        withVirtualTime(function* () {
          const tasks = circle(count, waiting);
          yield* sleep(1);
          assert.equal(tasks[0]!.cancel('enough'), true);
          const [done] = yield* wait(tasks, { timeout: 100 });
          assert.equal(done.size, count);
          assert.ok(tasks.every((task) => task.cancelled()));
        }));
    }

    it(`ends a circle with its run(), and what has nothing to do with it, of ${kind}`, async () => {
      let ended = 0;
      const result = await run(function* () {
        circle(2, waiting);
        for (const _ of [1, 2]) {
          createTask(function* () {
            try {
              yield* sleep(60_000);
            } finally {
              ended++;
            }
          });
        }
        yield* sleep(1);
        return 'over';
      });
      assert.deepEqual([result, ended, allTasks().size], ['over', 2, 0]);
    });

    it(`ends a chain of 10,000, of ${kind}`, async () => {
      await run(function* () {
        const tasks = chain(10_000, waiting);
        yield* sleep(1);
        tasks.at(-1)!.cancel();
        yield* wait(tasks);
        assert.ok(tasks.every((task) => task.cancelled()));
      });
    });
  }

  it('cancels those that are waited for in the order in which they are', () =>
    withVirtualTime(function* () {
      const ended: string[] = [];
      const leaf = (name: string) =>
        createTask(function* () {
          try {
            yield* sleep(1000);
          } finally {
            ended.push(name);
          }
        });
      const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(leaf);
      const task = createTask(function* () {
        const left = createTask(function* () {
          yield* gather(a!, b!);
        });
        const right = createTask(function* () {
          yield* gather(c!, d!);
        });
        yield* gather(left, right);
      });
      yield* sleep(1);
      task.cancel();
      yield* wait([task]);
      assert.deepEqual(ended, ['a', 'b', 'c', 'd']);
    }));

  // The listener's request was taken for a circle: the parent ended before its child had cleaned up.
  it('waits for a child whose signal has a listener that cancels the parent, too', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const child = createTask(function* () {
        child.signal.addEventListener('abort', () => parent.cancel('from below'));
        try {
          yield* sleep(1000);
        } finally {
          yield* sleep(10);
          seen.push('child');
        }
      });
      const parent: Task<any> = createTask(function* () {
        try {
          yield* child;
        } finally {
          seen.push('parent');
        }
      });
      yield* sleep(1);
      parent.cancel('from above');
      yield* wait([parent]);
      assert.deepEqual(seen, ['child', 'parent']);
    }));

  it('goes on with the others when one cannot be cancelled', async () => {
    let cancelled = false;
    const running = run(function* () {
      const stubborn = createTask(() => sleep(1));
      stubborn.cancel = () => {
        throw new Error('never');
      };
      createTask(function* () {
        try {
          yield* sleep(60_000);
        } finally {
          cancelled = true;
        }
      });
      yield* sleep(0);
    });
    await running;
    assert.equal(cancelled, true);
  });
});
