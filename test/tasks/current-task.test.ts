import assert from 'node:assert/strict';
import {
  allTasks,
  createTask,
  currentTask,
  EventLoop,
  Future,
  gather,
  getEventLoop,
  getRunningLoop,
  run,
  sleep,
  taskGroup,
  timeout,
  until,
  waitFor,
} from 'ringloop';
import { turnOfNode } from '../support/capture.js';
import { withVirtualTime } from '../support/virtual-time.js';

const name = (): string | undefined => currentTask()?.name;

describe('currentTask', () => {
  it('is null outside any task', () => {
    assert.equal(currentTask(), null);
  });

  it('is null in callbacks, also in those that a task has queued', () =>
    withVirtualTime(function* () {
      const seen: unknown[] = [];
      const loop = getRunningLoop();
      const future = new Future<void>();
      loop.callSoon(() => seen.push(currentTask()));
      loop.callLater(1, () => seen.push(currentTask()));
      future.addDoneCallback(() => seen.push(currentTask()));
      future.setResult();
      yield* sleep(2);
      assert.deepEqual(seen, [null, null, null]);
    }));

  it('is the task that drives a generator coroutine, whoever it delegates to', () =>
    withVirtualTime(function* () {
      const seen: unknown[] = [];
      function* helper(): Generator<unknown, void, any> {
        seen.push(name());
        yield* sleep(1);
        seen.push(name());
      }
      const task = createTask(
        function* () {
          yield* helper();
          seen.push(name());
        },
        { name: 'driver' },
      );
      yield* task;
      assert.deepEqual(seen, ['driver', 'driver', 'driver']);
    }));

  it('is the task of an async function after every kind of await', () =>
    withVirtualTime(async () => {
      const task = createTask(
        async () => {
          const seen: unknown[] = [name()];
          await null;
          seen.push(name());
          await sleep(1);
          seen.push(name());
          await turnOfNode();
          seen.push(name());
          await new Promise((resolve) => setTimeout(resolve, 1));
          seen.push(name());
          await until(turnOfNode());
          seen.push(name());
          await gather(sleep(1), sleep(2));
          seen.push(name());
          return seen;
        },
        { name: 'async' },
      );
      assert.deepEqual(await task, Array(7).fill('async'));
    }));

  it('is the caller of an async function that it awaits', () =>
    withVirtualTime(async () => {
      const helper = async (): Promise<unknown> => {
        await turnOfNode();
        return name();
      };
      assert.equal(await createTask(async () => await helper(), { name: 'caller' }), 'caller');
    }));

  it('tells async tasks apart that are woken by the same foreign promise', () =>
    withVirtualTime(async () => {
      const foreign = turnOfNode();
      const ask = async (): Promise<unknown> => {
        await foreign;
        return name();
      };
      const tasks = ['a', 'b', 'c'].map((each) => createTask(ask, { name: each }));
      assert.deepEqual(await gather(tasks), ['a', 'b', 'c']);
    }));

  it('is the same task inside the blocks of timeout, taskGroup and waitFor', () =>
    withVirtualTime(function* () {
      const task = createTask(
        function* () {
          const ask = async (): Promise<unknown> => {
            await sleep(1);
            return name();
          };
          return [
            yield* timeout(50, ask),
            yield* taskGroup(ask),
            yield* waitFor(ask, 50),
            yield* timeout(50, function* () {
              yield* sleep(1);
              return name();
            }),
          ];
        },
        { name: 'block' },
      );
      assert.deepEqual(yield* task, ['block', 'block', 'block', 'block']);
    }));

  it('is null again in plain promise code after a run()', async () => {
    await run(async () => {
      await turnOfNode();
    });
    assert.equal(currentTask(), null);
    await turnOfNode();
    assert.equal(currentTask(), null);
  });
});

describe('allTasks', () => {
  it('has the tasks that are not done, in the order of creation', () =>
    withVirtualTime(function* () {
      const main = currentTask()!;
      const a = createTask(() => sleep(2));
      const b = createTask(() => sleep(1));
      assert.deepEqual([...allTasks()], [main, a, b]);
      yield* b;
      assert.deepEqual([...allTasks()], [main, a]);
      yield* a;
      assert.deepEqual([...allTasks()], [main]);
    }));

  it('is a snapshot', () =>
    withVirtualTime(function* () {
      const before = allTasks();
      const task = createTask(() => sleep(1));
      assert.equal(before.has(task), false);
      yield* task;
    }));

  it('has the tasks of the loop that is named, and of no other', async () => {
    const other = new EventLoop();
    const task = other.createTask(function* () {});
    assert.deepEqual([...allTasks(other)], [task]);
    assert.deepEqual([...allTasks()], []);
    await other.runUntilComplete(task);
    assert.deepEqual([...allTasks(other)], []);
    other.close();
  });

  it('has the tasks of every run() that is in flight', async () => {
    const seen = await Promise.all(
      ['first', 'second'].map((each) =>
        run(
          function* () {
            yield* sleep(0);
            return [...allTasks(getEventLoop())].map((task) => task.name);
          },
          { name: each },
        ),
      ),
    );
    assert.deepEqual(seen, [['first', 'second'], ['second']]);
  });
});
