import assert from 'node:assert/strict';

import { createTask, currentTask, Future, getRunningLoop, RuntimeError, sleep } from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';

/** What a task gets thrown that yields what `make` makes. */
function yielding(make: () => unknown): Promise<Error> {
  return withVirtualTime(function* () {
    const task = createTask(
      function* () {
        try {
          yield make();
        } catch (error) {
          return error;
        }
        return null;
      },
      { name: 'mistaken' },
    );
    const error = yield* task;
    assert.ok(error instanceof RuntimeError, `${error}`);
    return error;
  });
}

describe('a coroutine that yields what it must not', () => {
  it('is told to use yield* when it yields a future', async () => {
    const { message } = await yielding(() => new Future());
    assert.match(message, /yield was used instead of yield\* in task .*mistaken/);
  });

  it('is told so for a task, too, and the task runs on', () =>
    withVirtualTime(function* () {
      const inner = createTask(() => sleep(1, 'inner'));
      const task = createTask(function* () {
        yield inner;
      });
      try {
        yield* task;
        assert.fail('it should have thrown');
      } catch (error) {
        assert.match((error as Error).message, /yield was used instead of yield\*/);
      }
      assert.equal(yield* inner, 'inner');
    }));

  it('is told to use yield* when it yields a generator', async () => {
    const { message } = await yielding(() => (function* () {})());
    assert.match(message, /yield was used instead of yield\* for generator in task .*mistaken/);
  });

  it('is told to use until() when it yields a promise', async () => {
    const { message } = await yielding(() => Promise.resolve());
    assert.match(message, /^Task got bad yield: .*Promise.*yield\* until\(promise\)/);
  });

  it('is told what it yielded otherwise', async () => {
    assert.equal((await yielding(() => 5)).message, 'Task got bad yield: 5');
    assert.equal((await yielding(() => 'text')).message, 'Task got bad yield: "text"');
    assert.equal((await yielding(() => true)).message, 'Task got bad yield: true');
    assert.equal((await yielding(() => 5n)).message, 'Task got bad yield: 5');
    assert.match((await yielding(() => Symbol('s'))).message, /^Task got bad yield: Symbol\(s\)/);
    assert.match(
      (await yielding(() => ({}))).message,
      /^Task got bad yield: an instance of Object/,
    );
    assert.match(
      (await yielding(() => Object.create(null))).message,
      /^Task got bad yield: an object/,
    );
    assert.match((await yielding(() => () => {})).message, /^Task got bad yield: function/);
    assert.match((await yielding(() => [])).message, /^Task got bad yield: an instance of Array/);
  });

  it('is told in its next step, and can go on', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      getRunningLoop().callSoon(() => seen.push('next iteration'));
      try {
        yield 5;
      } catch (error) {
        seen.push((error as Error).name);
      }
      yield* sleep(1);
      assert.deepEqual(seen, ['next iteration', 'RuntimeError']);
    }));

  it('is cancelled instead if that was asked for meanwhile', () =>
    withVirtualTime(function* () {
      const task = createTask(function* () {
        currentTask()!.cancel('first');
        yield 5;
      });
      try {
        yield* task;
        assert.fail('it should have thrown');
      } catch (error) {
        assert.equal((error as Error).name, 'CancelledError');
      }
    }));

  it('gives one iteration away with a bare yield, of undefined or null', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      getRunningLoop().callSoon(() => seen.push('next iteration'));
      yield;
      assert.deepEqual(seen, ['next iteration']);
      yield null;
    }));
});
