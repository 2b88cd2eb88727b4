import assert from 'node:assert/strict';
import {
  type CancelledError,
  createTask,
  currentTask,
  ExceptionGroup,
  getRunningLoop,
  isCancelledError,
  RuntimeError,
  sleep,
  TaskGroup,
  taskGroup,
  timeout,
} from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';

function* errorOf(coroutine: Iterable<unknown>): Generator<unknown, any, any> {
  try {
    yield* coroutine as Generator<unknown, unknown, any>;
  } catch (error) {
    return error;
  }
}

function* failAfter(ms: number, message: string): Generator<unknown, never, any> {
  yield* sleep(ms);
  throw new RangeError(message);
}

/** Sleeps for long, and notes when it is cancelled. */
function* noteCancel(seen: string[], name: string): Generator<unknown, void, any> {
  try {
    yield* sleep(1000);
  } catch (error) {
    seen.push(`${name} at ${getRunningLoop().time()}`);
    throw error;
  }
}

const messages = (group: ExceptionGroup): string[] =>
  group.errors.map((error: Error) => error.message);

describe('taskGroup', () => {
  it('returns what its block returns, when all its tasks are done', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const result = yield* taskGroup(function* (group) {
        group.createTask(function* () {
          yield* sleep(20);
          seen.push('slow');
        });
        const fast = group.createTask(async () => await sleep(10, 'fast'));
        seen.push(yield* fast);
        return 'block';
      });
      assert.equal(result, 'block');
      assert.deepEqual(seen, ['fast', 'slow']);
    }));

  it('works with async functions, inside and outside', () =>
    withVirtualTime(async () => {
      const seen: string[] = [];
      const result = await taskGroup(async (group) => {
        group.createTask(async () => {
          await sleep(20);
          seen.push('task');
        });
        await sleep(10);
        seen.push('block');
        return 'result';
      });
      assert.equal(result, 'result');
      assert.deepEqual(seen, ['block', 'task']);
    }));

  it('cancels the other tasks and the block when a task fails', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const error = yield* errorOf(
        taskGroup(function* (group) {
          group.createTask(noteCancel(seen, 'task'));
          group.createTask(failAfter(5, 'broken'));
          yield* noteCancel(seen, 'block');
        }),
      );
      assert.ok(error instanceof ExceptionGroup && error instanceof AggregateError);
      assert.equal(error.message, 'unhandled errors in a TaskGroup');
      assert.deepEqual(messages(error), ['broken']);
      assert.deepEqual(seen, ['task at 5', 'block at 5']);
      assert.equal(currentTask()!.cancelling(), 0);
      yield* sleep(1);
    }));

  it('cancels an async block, too', () =>
    withVirtualTime(async () => {
      const seen: string[] = [];
      const group = taskGroup(async (group) => {
        group.createTask(failAfter(5, 'broken'));
        try {
          await Promise.all([sleep(100), sleep(200)]);
        } finally {
          seen.push(`block at ${getRunningLoop().time()}`);
        }
      });
      await assert.rejects(async () => await group, { name: 'ExceptionGroup' });
      assert.deepEqual(seen, ['block at 5']);
      await sleep(1);
    }));

  it('cancels the tasks when the block fails, and reports the error of the block last', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const error = yield* errorOf(
        taskGroup(function* (group) {
          group.createTask(function* () {
            try {
              yield* sleep(1000);
            } catch {
              throw new RangeError('task');
            }
          });
          group.createTask(noteCancel(seen, 'other'));
          yield* sleep(1);
          throw new RangeError('block');
        }),
      );
      assert.deepEqual(messages(error), ['task', 'block']);
      assert.deepEqual(seen, ['other at 1']);
    }));

  it('collects all errors, in the order in which they came', () =>
    withVirtualTime(function* () {
      const error = yield* errorOf(
        taskGroup(function* (group) {
          for (const name of ['b', 'a', 'c']) group.createTask(failAfter(5, name));
        }),
      );
      assert.deepEqual(messages(error), ['b', 'a', 'c']);
    }));

  it('is not disturbed by a task that is cancelled', () =>
    withVirtualTime(function* () {
      const result = yield* taskGroup(function* (group) {
        const stopped = group.createTask(() => sleep(1000));
        const other = group.createTask(() => sleep(10, 'other'));
        yield* sleep(1);
        stopped.cancel();
        return yield* other;
      });
      assert.equal(result, 'other');
    }));

  it('passes a cancellation from outside on to its tasks, waits for them, and throws it', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const task = createTask(() =>
        taskGroup(function* (group) {
          group.createTask(function* () {
            try {
              yield* sleep(1000);
            } finally {
              yield* sleep(50);
              seen.push(`cleaned up at ${getRunningLoop().time()}`);
            }
          });
          yield* noteCancel(seen, 'block');
        }),
      );
      yield* sleep(1);
      task.cancel('outside');
      const error = yield* errorOf(task);
      assert.equal((error as CancelledError).reason, 'outside');
      assert.deepEqual(seen, ['block at 1', 'cleaned up at 51']);
    }));

  it('is cancelled by a timeout around it, which becomes a TimeoutError', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const error = yield* errorOf(
        timeout(10, () =>
          taskGroup(function* (group) {
            group.createTask(noteCancel(seen, 'task'));
          }),
        ),
      );
      assert.equal(error.name, 'TimeoutError');
      assert.deepEqual(seen, ['task at 10']);
    }));

  it('can be nested; inner groups are cancelled by outer ones', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const error = yield* errorOf(
        taskGroup(function* (outer) {
          outer.createTask(() =>
            taskGroup(function* (inner) {
              inner.createTask(noteCancel(seen, 'inner'));
            }),
          );
          outer.createTask(failAfter(5, 'broken'));
        }),
      );
      assert.deepEqual(messages(error), ['broken']);
      assert.deepEqual(seen, ['inner at 5']);
    }));

  it('lets its tasks make more tasks while it waits for them', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      yield* taskGroup(function* (group) {
        group.createTask(function* () {
          yield* sleep(5);
          group.createTask(function* () {
            yield* sleep(5);
            seen.push('grandchild');
          });
        });
      });
      assert.deepEqual(seen, ['grandchild']);
    }));

  it('needs no iteration when it has no tasks', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      getRunningLoop().callSoon(() => seen.push('next iteration'));
      const result = yield* taskGroup(function* () {
        return 'at once';
      });
      assert.equal(result, 'at once');
      assert.deepEqual(seen, []);
    }));

  it('refuses tasks before the block, behind it, and while it shuts down', () =>
    withVirtualTime(function* () {
      const make = (group: TaskGroup): unknown => group.createTask(() => sleep(0));
      const group = new TaskGroup();
      assert.throws(() => make(group), { name: 'RuntimeError', message: /has not been entered/ });
      group.enter();
      yield* group.exit();
      assert.throws(() => make(group), { name: 'RuntimeError', message: /is finished/ });
      const seen: unknown[] = [];
      yield* errorOf(
        taskGroup(function* (failing) {
          failing.createTask(failAfter(1, 'broken'));
          try {
            yield* sleep(1000);
          } finally {
            try {
              make(failing);
            } catch (error) {
              seen.push(error);
            }
          }
        }),
      );
      assert.ok(seen[0] instanceof RuntimeError);
      assert.match(seen[0].message, /is shutting down/);
    }));

  it('can be entered once, inside a task only', () =>
    withVirtualTime(function* () {
      const group = new TaskGroup().enter();
      assert.throws(() => group.enter(), { name: 'RuntimeError', message: /already been entered/ });
      yield* group.exit();
    }).then(() => {
      assert.throws(() => new TaskGroup().enter(), RuntimeError);
    }));

  it('refuses a block that is no function', () => {
    for (const wrong of [undefined, null, 5, {}, sleep(1)]) {
      assert.throws(() => taskGroup(wrong as never), { name: 'TypeError', message: /^taskGroup/ });
    }
  });
});

describe('TaskGroup as an object', () => {
  it('throws at exit() what a block would', () =>
    withVirtualTime(function* () {
      const group = new TaskGroup().enter();
      group.createTask(failAfter(1, 'broken'));
      const error = yield* errorOf(group.exit());
      assert.deepEqual(messages(error), ['broken']);
    }));

  it('cancels its tasks when exit() is told of an error', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const group = new TaskGroup().enter();
      group.createTask(noteCancel(seen, 'task'));
      yield* sleep(1);
      const error = yield* errorOf(group.exit({ value: new RangeError('block') }));
      assert.deepEqual(messages(error), ['block']);
      assert.deepEqual(seen, ['task at 1']);
      assert.equal(isCancelledError(error), false);
    }));
});
