import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import {
  type CancelledError,
  createTask,
  currentTask,
  Future,
  getRunningLoop,
  isCancelledError,
  sleep,
  TimeoutError,
  waitFor,
} from 'ringloop';
import { BOTH_KINDS, errorOf } from '../support/both-kinds.js';
import { turnOfNode } from '../support/capture.js';
import { withVirtualTime } from '../support/virtual-time.js';

function* after<T>(ms: number, value: T): Generator<unknown, T, any> {
  yield* sleep(ms);
  return value;
}

describe('waitFor', () => {
  it('returns the result if it comes in time, and disarms the limit', () =>
    withVirtualTime(function* () {
      assert.equal(yield* waitFor(after(5, 'in time'), 10), 'in time');
      assert.equal(yield* waitFor(createTask(after(5, 'task')), 10), 'task');
      assert.equal(yield* waitFor(async () => await sleep(5, 'async'), 10), 'async');
      assert.equal(yield* waitFor(Promise.resolve('promise'), 10), 'promise');
      assert.equal(getRunningLoop().time(), 15);
      assert.equal(getRunningLoop().statistics().timers, 0);
    }));

  it('throws a TimeoutError when the time is up, and cancels what it waited for', () =>
    withVirtualTime(function* () {
      const slow = createTask(after(100, 'slow'));
      try {
        yield* waitFor(slow, 10);
        assert.fail('it should have thrown');
      } catch (error) {
        assert.ok(error instanceof TimeoutError);
        assert.equal(error.code, 'ETIMEDOUT');
        assert.ok(isCancelledError(error.cause));
      }
      assert.equal(getRunningLoop().time(), 10);
      assert.equal(slow.cancelled(), true);
      assert.equal(currentTask()!.cancelling(), 0);
    }));

  it('cancels a coroutine, a future and an async function at their awaits', () =>
    withVirtualTime(async () => {
      const seen: string[] = [];
      const future = new Future();
      await assert.rejects(async () => await waitFor(future, 1), TimeoutError);
      assert.equal(future.cancelled(), true);
      const coroutine = function* (): Generator<unknown, void, any> {
        try {
          yield* sleep(100);
        } finally {
          seen.push('coroutine');
        }
      };
      await assert.rejects(async () => await waitFor(coroutine(), 1), TimeoutError);
      const asyncFunction = async (): Promise<void> => {
        try {
          await sleep(100);
        } finally {
          seen.push('async function');
        }
      };
      await assert.rejects(async () => await waitFor(asyncFunction, 1), TimeoutError);
      assert.deepEqual(seen, ['coroutine', 'async function']);
      assert.equal(getRunningLoop().time(), 3);
    }));

  it('gives a promise up that does not come', () =>
    withVirtualTime(async () => {
      await assert.rejects(async () => await waitFor(new Promise(() => {}), 5), TimeoutError);
      assert.equal(getRunningLoop().time(), 5);
    }));

  it('waits without a limit for null', () =>
    withVirtualTime(function* () {
      assert.equal(yield* waitFor(after(1e9, 'patience'), null), 'patience');
    }));

  it('accepts for zero and less only a result that is there already', () =>
    withVirtualTime(function* () {
      const done = new Future<string>();
      done.setResult('there');
      assert.equal(yield* waitFor(done, 0), 'there');
      let started = false;
      const never = function* (): Generator<unknown, void, any> {
        started = true;
      };
      for (const limit of [0, -1]) {
        try {
          yield* waitFor(never(), limit);
          assert.fail('it should have thrown');
        } catch (error) {
          assert.ok(error instanceof TimeoutError);
        }
      }
      assert.equal(started, false);
    }));

  it('waits beyond the limit for what takes its time to clean up', () =>
    withVirtualTime(function* () {
      const slow = function* (): Generator<unknown, void, any> {
        try {
          yield* sleep(100);
        } finally {
          yield* sleep(50);
        }
      };
      try {
        yield* waitFor(slow(), 10);
        assert.fail('it should have thrown');
      } catch (error) {
        assert.ok(error instanceof TimeoutError);
      }
      assert.equal(getRunningLoop().time(), 60);
    }));

  it('returns the value of what refuses to be cancelled', () =>
    withVirtualTime(function* () {
      const stubborn = createTask(function* () {
        try {
          yield* sleep(100);
        } catch {
          return 'refused';
        }
        return 'finished';
      });
      assert.equal(yield* waitFor(stubborn, 10), 'refused');
    }));

  it('throws what the awaitable throws', () =>
    withVirtualTime(function* () {
      const broken = function* (): Generator<unknown, never, any> {
        yield* sleep(1);
        throw new RangeError('inside');
      };
      try {
        yield* waitFor(broken(), 10);
        assert.fail('it should have thrown');
      } catch (error) {
        assert.equal((error as Error).message, 'inside');
      }
    }));

  it('throws a CancelledError, not a TimeoutError, when its task is cancelled', () =>
    withVirtualTime(function* () {
      const inner = createTask(after(100, 'inner'));
      const waiting = createTask(() => waitFor(inner, 50));
      yield* sleep(1);
      waiting.cancel('from outside');
      try {
        yield* waiting;
        assert.fail('it should have thrown');
      } catch (error) {
        assert.ok(isCancelledError(error));
        assert.equal((error as CancelledError).reason, 'from outside');
      }
      assert.equal(inner.cancelled(), true);
      assert.equal(getRunningLoop().statistics().timers, 0);
    }));

  it('runs a coroutine in the task of the caller', () =>
    withVirtualTime(function* () {
      const task = currentTask();
      const ask = function* (): Generator<unknown, boolean, any> {
        yield* sleep(1);
        return currentTask() === task;
      };
      const askLater = async (): Promise<boolean> => {
        await turnOfNode();
        return currentTask() === task;
      };
      assert.equal(yield* waitFor(ask(), 10), true);
      assert.equal(yield* waitFor(ask, 10), true);
      assert.equal(yield* waitFor(askLater, null), true);
    }));

  it('works outside any task', async () => {
    assert.equal(await waitFor(after(1, 'in time'), 1000), 'in time');
    await assert.rejects(async () => await waitFor(after(1000, 'late'), 1), TimeoutError);
  });

  it('refuses what cannot be awaited, and limits that are no number', () => {
    for (const wrong of [5, null, undefined, 'text', {}]) {
      assert.throws(() => waitFor(wrong as never, 5), { name: 'TypeError', message: /^waitFor: / });
    }
    for (const limit of [NaN, '5', undefined, {}]) {
      assert.throws(() => waitFor(sleep(1), limit as never), TypeError);
    }
  });

  for (const [kind, start] of BOTH_KINDS) {
    it(`cancels what it waits for when its signal is aborted, and throws the reason, in ${kind}`, () =>
      withVirtualTime(function* () {
        for (const limitMs of [null, 1000]) {
          const controller = new AbortController();
          const { signal } = controller;
          const seen: unknown[] = [];
          const slow = function* (): Generator<unknown, void, any> {
            try {
              yield* sleep(100);
            } catch (error) {
              seen.push((error as CancelledError).reason);
              throw error;
            }
          };
          const waiting = start(() => waitFor(slow(), limitMs, { signal }));
          const task = createTask(after(100, 'task'));
          const other = start(() => waitFor(task, limitMs, { signal }));
          yield* sleep(1);
          controller.abort('enough');
          assert.equal(yield* errorOf(waiting), 'enough');
          assert.equal(yield* errorOf(other), 'enough');
          assert.deepEqual(seen, ['enough']);
          assert.equal(task.cancelled(), true);
          assert.equal(getEventListeners(signal, 'abort').length, 0);
          assert.equal(getRunningLoop().statistics().timers, 0);
        }
      }));

    it(`lets a cancellation, and a limit that was reached, come before its signal in ${kind}`, () =>
      withVirtualTime(function* () {
        const controller = new AbortController();
        const { signal } = controller;
        const waiting = start(() => waitFor(after(100, 'slow'), 1000, { signal }));
        yield* sleep(1);
        controller.abort('aborted');
        waiting.cancel('cancelled');
        assert.equal((yield* errorOf(waiting)).reason, 'cancelled');
        const late = new AbortController();
        const slow = function* (): Generator<unknown, void, any> {
          try {
            yield* sleep(100);
          } finally {
            late.abort('too late');
          }
        };
        const limited = start(() => waitFor(slow(), 5, { signal: late.signal }));
        assert.ok((yield* errorOf(limited)) instanceof TimeoutError);
      }));
  }

  it('starts nothing if its signal was aborted before', () =>
    withVirtualTime(function* () {
      const never = (): never => assert.fail('it should not start');
      const signal = AbortSignal.abort('before');
      for (const limitMs of [null, 0, 5]) {
        assert.equal(yield* errorOf(waitFor(never, limitMs, { signal })), 'before');
      }
    }));

  it('keeps its result when the signal is aborted afterwards', () =>
    withVirtualTime(function* () {
      const controller = new AbortController();
      const { signal } = controller;
      assert.equal(yield* waitFor(after(1, 'in time'), 10, { signal }), 'in time');
      controller.abort();
      yield* sleep(1);
    }));

  it('refuses a signal that is none', () => {
    assert.throws(() => waitFor(sleep(1), 5, { signal: 5 as never }), {
      name: 'TypeError',
      message: 'waitFor: signal must be an AbortSignal, got 5',
    });
  });
});
