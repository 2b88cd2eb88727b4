import assert from 'node:assert/strict';
import {
  type CancelledError,
  createTask,
  currentTask,
  Future,
  gather,
  getRunningLoop,
  isCancelledError,
  RuntimeError,
  run,
  sleep,
  Task,
  TimeoutError,
  until,
} from 'ringloop';
import { collectGarbage, turnOfNode, withUnhandledRejections } from '../support/capture.js';
import { withVirtualTime } from '../support/virtual-time.js';

/** Waits for ever, and tells what it was cancelled with. */
function* forever(seen: unknown[] = []): Generator<unknown, void, any> {
  try {
    yield* new Future();
  } catch (error) {
    seen.push((error as CancelledError).reason);
    throw error;
  }
}

function* outcomeOf(task: Task<unknown>): Generator<unknown, string, any> {
  try {
    return `returned ${yield* task}`;
  } catch (error) {
    return isCancelledError(error) ? `cancelled: ${error.reason}` : `threw ${error}`;
  }
}

describe('Task', () => {
  it('returns what its coroutine returns, and throws what that throws', () =>
    withVirtualTime(function* () {
      const fine = createTask(function* () {
        yield* sleep(1);
        return 5;
      });
      const broken = createTask(function* () {
        yield* sleep(1);
        throw new RangeError('no');
      });
      assert.equal(yield* outcomeOf(fine), 'returned 5');
      assert.equal(yield* outcomeOf(broken), 'threw RangeError: no');
      assert.deepEqual([fine.result(), (broken.exception() as Error).message], [5, 'no']);
    }));

  it('accepts any thrown value', () =>
    withVirtualTime(function* () {
      for (const value of ['text', undefined, null, 5]) {
        const task = createTask(function* () {
          throw value;
        });
        try {
          yield* task;
          assert.fail('it should have thrown');
        } catch (error) {
          assert.equal(error, value);
        }
        assert.equal(task.done() && !task.cancelled(), true);
      }
    }));

  it('has a name, made up where none is given, and can be renamed', () =>
    withVirtualTime(function* () {
      const named = createTask(forever(), { name: 'waiter' });
      const first = createTask(forever());
      const second = createTask(forever());
      assert.equal(named.name, 'waiter');
      assert.match(first.name, /^Task-\d+$/);
      const number = Number(first.name.slice('Task-'.length));
      assert.equal(second.name, `Task-${number + 1}`);
      first.name = 'renamed';
      assert.equal(first.name, 'renamed');
      for (const task of [named, first, second]) task.cancel();
      yield* gather([named, first, second], { returnExceptions: true });
    }));

  it('shows its name and state as a string', () =>
    withVirtualTime(function* () {
      const fine = createTask(() => sleep(1), { name: 'a' });
      const broken = createTask(
        function* () {
          throw new Error('x');
        },
        { name: 'b' },
      );
      const stopped = createTask(forever(), { name: 'c' });
      assert.equal(String(fine), '<Task "a" pending>');
      stopped.cancel();
      yield* gather([fine, broken, stopped], { returnExceptions: true });
      const shown = [fine, broken, stopped].map(String);
      assert.deepEqual(shown, ['<Task "a" finished>', '<Task "b" failed>', '<Task "c" cancelled>']);
    }));

  it('cannot be settled by others', () =>
    withVirtualTime(function* () {
      const task = createTask(() => sleep(1));
      assert.throws(() => task.setResult(undefined as never), RuntimeError);
      assert.throws(() => task.setException(new Error('x')), RuntimeError);
      yield* task;
    }));

  it('has its generator until it is done', () =>
    withVirtualTime(function* () {
      const generator = forever();
      const task = createTask(generator);
      assert.equal(task.getCoro(), generator);
      const asyncTask = createTask(async () => {});
      assert.equal(asyncTask.getCoro(), null);
      yield* asyncTask;
      task.cancel();
      yield* outcomeOf(task);
      assert.equal(task.getCoro(), null);
    }));

  it('lives on when nobody references it', async () => {
    const seen: string[] = [];
    await withVirtualTime(function* () {
      let wake: Future<void> | undefined = new Future<void>();
      const waker = new WeakRef(wake);
      (() => {
        const own = wake;
        createTask(function* () {
          yield* own!;
          seen.push('finished');
        });
      })();
      wake = undefined;
      yield* sleep(0);
      yield* until(collectGarbage());
      assert.deepEqual(seen, []);
      waker.deref()!.setResult();
      yield* sleep(0);
      yield* sleep(0);
    });
    assert.deepEqual(seen, ['finished']);
  });

  it('frees its coroutine and its result when it is done and dropped', async () => {
    const references = await run(function* () {
      const result = { large: true };
      const task = createTask(function* () {
        yield* sleep(0);
        return result;
      });
      yield* task;
      return [new WeakRef(result), new WeakRef(task)];
    });
    await collectGarbage(() => references.every((reference) => reference.deref() === undefined));
    assert.deepEqual(
      references.map((reference) => reference.deref()),
      [undefined, undefined],
    );
  });
});

describe('Task.cancel', () => {
  it('throws a CancelledError with the reason at the await', () =>
    withVirtualTime(function* () {
      const seen: unknown[] = [];
      const task = createTask(forever(seen));
      yield* sleep(0);
      assert.equal(task.cancel('stop it'), true);
      assert.equal(task.cancelled(), false);
      assert.equal(yield* outcomeOf(task), 'cancelled: stop it');
      assert.equal(task.cancelled(), true);
      assert.deepEqual(seen, ['stop it']);
    }));

  it('keeps an Error that is the reason as the cause', () =>
    withVirtualTime(function* () {
      const reason = new RangeError('shutting down');
      const task = createTask(forever());
      yield* sleep(0);
      task.cancel(reason);
      try {
        yield* task;
        assert.fail('it should have thrown');
      } catch (error) {
        const cancelled = error as CancelledError;
        assert.deepEqual(
          [cancelled.reason, cancelled.cause, cancelled.message, cancelled.code],
          [reason, reason, 'shutting down', 'ABORT_ERR'],
        );
      }
    }));

  it('keeps a task that has not started from ever starting', () =>
    withVirtualTime(function* () {
      let started = 0;
      const tasks = [
        createTask(function* () {
          started++;
        }),
        createTask(async () => {
          started++;
        }),
      ];
      for (const task of tasks) task.cancel('too early');
      for (const task of tasks) assert.equal(yield* outcomeOf(task), 'cancelled: too early');
      assert.equal(started, 0);
    }));

  it('does nothing to a task that is done', () =>
    withVirtualTime(function* () {
      const task = createTask(function* () {
        return 1;
      });
      yield* task;
      assert.equal(task.cancel(), false);
      assert.equal(task.result(), 1);
      assert.equal(task.cancelling(), 0);
    }));

  it('goes through the tasks that the task waits for', () =>
    withVirtualTime(function* () {
      const seen: unknown[] = [];
      const inner = createTask(forever(seen));
      const middle = createTask(function* () {
        yield* inner;
      });
      const outer = createTask(function* () {
        yield* middle;
      });
      yield* sleep(0);
      outer.cancel('all of you');
      assert.match(yield* outcomeOf(outer), /^cancelled/);
      assert.deepEqual(seen, ['all of you']);
      assert.deepEqual([inner.cancelled(), middle.cancelled()], [true, true]);
    }));

  it('lets the task clean up, with awaits of its own', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const task = createTask(function* () {
        try {
          yield* sleep(1000);
        } finally {
          yield* sleep(5);
          seen.push(`cleaned up at ${getRunningLoop().time()}`);
        }
      });
      yield* sleep(1);
      task.cancel();
      yield* outcomeOf(task);
      assert.deepEqual(seen, ['cleaned up at 6']);
      assert.equal(task.cancelled(), true);
    }));

  it('can be refused: the task goes on and returns a value', () =>
    withVirtualTime(function* () {
      const task = createTask(function* () {
        try {
          yield* sleep(1000);
        } catch {
          yield* sleep(1);
        }
        return 'went on';
      });
      yield* sleep(0);
      task.cancel();
      assert.equal(yield* outcomeOf(task), 'returned went on');
      assert.equal(task.cancelled(), false);
      assert.equal(task.cancelling(), 1);
    }));

  it('cancels a task at its next await when it cancels itself', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const task = createTask(function* () {
        currentTask()!.cancel('by myself');
        seen.push('goes on');
        yield* sleep(0);
        seen.push('never');
      });
      assert.equal(yield* outcomeOf(task), 'cancelled: by myself');
      assert.deepEqual(seen, ['goes on']);
    }));

  it('disarms the timer of a sleep', () =>
    withVirtualTime(function* () {
      const task = createTask(() => sleep(60_000));
      yield* sleep(0);
      yield* sleep(0);
      assert.equal(getRunningLoop().statistics().timers, 1);
      task.cancel();
      assert.equal(getRunningLoop().statistics().timers, 0);
      yield* outcomeOf(task);
    }));
});

describe('Task.uncancel', () => {
  it('counts requests down, never below zero', () =>
    withVirtualTime(function* () {
      const task = createTask(forever());
      yield* sleep(0);
      assert.equal(task.uncancel(), 0);
      task.cancel();
      task.cancel();
      assert.equal(task.cancelling(), 2);
      assert.deepEqual([task.uncancel(), task.uncancel(), task.uncancel()], [1, 0, 0]);
      yield* outcomeOf(task);
    }));

  it('takes back a cancellation that has not been delivered', () =>
    withVirtualTime(function* () {
      const task = createTask(function* () {
        return 'ran';
      });
      task.cancel();
      task.uncancel();
      assert.equal(yield* outcomeOf(task), 'returned ran');
    }));
});

describe('Task.signal', () => {
  it('fires when the task is cancelled, with a CancelledError that has the reason', () =>
    withVirtualTime(function* () {
      const task = createTask(forever());
      const { signal } = task;
      assert.equal(signal, task.signal);
      assert.equal(signal.aborted, false);
      yield* sleep(0);
      task.cancel('why');
      assert.equal(signal.aborted, true);
      assert.ok(isCancelledError(signal.reason));
      assert.equal(signal.reason.reason, 'why');
      yield* outcomeOf(task);
    }));

  it('has fired already when it is asked for after the cancellation', () =>
    withVirtualTime(function* () {
      const task = createTask(forever());
      yield* sleep(0);
      task.cancel();
      assert.equal(task.signal.aborted, true);
      yield* outcomeOf(task);
      assert.equal(task.signal.aborted, true);
    }));

  it('does not fire when the task ends by itself', () =>
    withVirtualTime(function* () {
      const task = createTask(() => sleep(1));
      const { signal } = task;
      yield* task;
      assert.equal(signal.aborted, false);
    }));

  it('is a new one after the last request was taken back', () =>
    withVirtualTime(function* () {
      const seen: boolean[] = [];
      const task = createTask(function* () {
        const me = currentTask()!;
        const first = me.signal;
        try {
          yield* sleep(1000);
        } catch {
          me.uncancel();
        }
        seen.push(first.aborted, me.signal.aborted);
        return 'went on';
      });
      yield* sleep(0);
      task.cancel();
      assert.equal(yield* outcomeOf(task), 'returned went on');
      assert.deepEqual(seen, [true, false]);
    }));

  it('aborts what an async function handed it to', () =>
    withVirtualTime(async () => {
      const aborted: unknown[] = [];
      const request = (signal: AbortSignal): Promise<never> =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            aborted.push(signal.reason.reason);
            reject(signal.reason);
          });
        });
      const task = createTask(() => request(currentTask()!.signal));
      await sleep(1);
      task.cancel('client is gone');
      await assert.rejects(async () => await task, { name: 'CancelledError' });
      assert.deepEqual(aborted, ['client is gone']);
      assert.equal(task.cancelled(), true);
    }));
});

describe('Task of an async function', () => {
  it('runs it and returns its result', () =>
    withVirtualTime(async () => {
      const task = createTask(async () => {
        await sleep(1);
        return 'done';
      });
      assert.equal(await task, 'done');
    }));

  it('fails with what the function throws, before or after an await', () =>
    withVirtualTime(async () => {
      const early = createTask(async () => {
        throw new RangeError('early');
      });
      const late = createTask(async () => {
        await sleep(1);
        throw new RangeError('late');
      });
      await assert.rejects(async () => await early, { message: 'early' });
      await assert.rejects(async () => await late, { message: 'late' });
    }));

  it('is cancelled at an await of ringloop, as a generator is at a yield*', () =>
    withVirtualTime(async () => {
      const seen: unknown[] = [];
      const task = createTask(async () => {
        try {
          await sleep(1000);
        } catch (error) {
          seen.push((error as CancelledError).reason);
          await sleep(5);
          seen.push('cleaned up');
          throw error;
        }
      });
      await sleep(1);
      task.cancel('stop');
      await assert.rejects(async () => await task, { name: 'CancelledError' });
      assert.deepEqual(seen, ['stop', 'cleaned up']);
      assert.equal(task.cancelled(), true);
      assert.equal(getRunningLoop().time(), 6);
    }));

  it('is cancelled inside the async functions that it calls', () =>
    withVirtualTime(async () => {
      const seen: string[] = [];
      const helper = async (): Promise<void> => {
        try {
          await sleep(1000);
        } finally {
          seen.push('helper');
        }
      };
      const task = createTask(async () => {
        try {
          await helper();
        } finally {
          seen.push('task');
        }
      });
      await sleep(1);
      task.cancel();
      await assert.rejects(async () => await task);
      assert.deepEqual(seen, ['helper', 'task']);
    }));

  it('is cancelled at the next await when it waits for a foreign promise', () =>
    withVirtualTime(async () => {
      const seen: string[] = [];
      let finish = (): void => {};
      const task = createTask(async () => {
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
        seen.push('the promise is not cancelled');
        await sleep(0);
        seen.push('never');
      });
      await sleep(1);
      task.cancel();
      await sleep(1);
      assert.deepEqual([task.done(), seen], [false, []]);
      finish();
      await assert.rejects(async () => await task, { name: 'CancelledError' });
      assert.deepEqual(seen, ['the promise is not cancelled']);
    }));

  it('is cancelled at once when it waits for a foreign promise through until()', () =>
    withVirtualTime(async () => {
      const task = createTask(async () => {
        await until(new Promise(() => {}));
      });
      await sleep(1);
      task.cancel('now');
      await assert.rejects(async () => await task, { reason: 'now' });
    }));

  it('has all awaits of a Promise.all cancelled together', () =>
    withVirtualTime(async () => {
      const seen: string[] = [];
      const part = async (name: string, ms: number): Promise<void> => {
        try {
          await sleep(ms);
        } catch (error) {
          seen.push(`${name} ${(error as CancelledError).reason}`);
          throw error;
        }
      };
      const task = createTask(async () => {
        await Promise.all([part('a', 100), part('b', 200), sleep(300), new Future()]);
      });
      await sleep(1);
      assert.equal(getRunningLoop().statistics().timers, 3);
      task.cancel('all');
      await assert.rejects(async () => await task, { name: 'CancelledError' });
      assert.deepEqual(seen, ['a all', 'b all']);
      assert.equal(getRunningLoop().statistics().timers, 0);
    }));

  it('goes on after a Promise.race of which one side lost, and is cancelled as a whole', () =>
    withVirtualTime(async () => {
      const seen: string[] = [];
      const task = createTask(async () => {
        seen.push(await Promise.race([sleep(1, 'fast'), sleep(100, 'slow')]));
        seen.push(await sleep(5, 'next'));
        await sleep(1000);
      });
      await sleep(10);
      assert.deepEqual(seen, ['fast', 'next']);
      await withUnhandledRejections(async (errors) => {
        task.cancel();
        await assert.rejects(async () => await task, { name: 'CancelledError' });
        await turnOfNode();
        assert.deepEqual(errors, []);
      });
      assert.equal(getRunningLoop().statistics().timers, 0);
    }));

  it('may wait for itself to be cancelled twice', () =>
    withVirtualTime(async () => {
      const seen: string[] = [];
      const task = createTask(async () => {
        for (const name of ['first', 'second']) {
          try {
            await sleep(1000);
          } catch {
            seen.push(name);
          }
        }
        return 'refused';
      });
      await sleep(1);
      task.cancel();
      await sleep(1);
      task.cancel();
      assert.equal(await task, 'refused');
      assert.deepEqual(seen, ['first', 'second']);
      assert.equal(task.cancelling(), 2);
    }));

  it('keeps the order of events of asyncio among other tasks', () =>
    withVirtualTime(async () => {
      const seen: string[] = [];
      const steps = (name: string) => async () => {
        for (let i = 0; i < 3; i++) {
          seen.push(`${name}${i}`);
          await sleep(0);
        }
      };
      await gather(['a', 'b', 'c'].map((name) => createTask(steps(name))));
      assert.deepEqual(seen, ['a0', 'b0', 'c0', 'a1', 'b1', 'c1', 'a2', 'b2', 'c2']);
    }));

  it('finishes everything a handle set off before the next handle runs', () =>
    withVirtualTime(async () => {
      const seen: string[] = [];
      const deep = async (levels: number): Promise<void> => {
        if (levels > 0) await deep(levels - 1);
        else await sleep(1);
      };
      const task = (name: string) => async () => {
        await deep(10);
        seen.push(`${name} back at the top`);
      };
      const a = createTask(task('a'));
      const b = createTask(task('b'));
      getRunningLoop().callLater(1, () => seen.push('timer'));
      await gather(a, b);
      assert.deepEqual(seen, ['timer', 'a back at the top', 'b back at the top']);
    }));
});

describe('Task as a resource', () => {
  it('is cancelled and awaited at the end of an await using block', () =>
    withVirtualTime(async () => {
      const seen: string[] = [];
      {
        await using task = createTask(async () => {
          try {
            await sleep(1000);
          } finally {
            await sleep(1);
            seen.push('cleaned up');
          }
        });
        assert.equal(task.done(), false);
        await sleep(1);
        seen.push('block ends');
      }
      seen.push('after the block');
      assert.deepEqual(seen, ['block ends', 'cleaned up', 'after the block']);
    }));

  it('does not throw from the block when it has failed', () =>
    withVirtualTime(async () => {
      {
        await using task = createTask(async () => {
          throw new TimeoutError('inside');
        });
        await sleep(1);
        assert.equal(task.done(), true);
      }
    }));

  it('is an instance of Task and of Future', () =>
    withVirtualTime(function* () {
      const task = createTask(() => sleep(0));
      assert.ok(task instanceof Task && task instanceof Future);
      yield* task;
    }));
});
