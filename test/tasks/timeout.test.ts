import assert from 'node:assert/strict';
import {
  type CancelledError,
  createTask,
  currentTask,
  getRunningLoop,
  isCancelledError,
  RuntimeError,
  sleep,
  Timeout,
  TimeoutError,
  timeout,
  timeoutAt,
} from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';

/** What a coroutine throws; undefined if it throws nothing. */
function* errorOf(coroutine: Iterable<unknown>): Generator<unknown, any, any> {
  try {
    yield* coroutine as Generator<unknown, unknown, any>;
  } catch (error) {
    return error;
  }
}

describe('timeout', () => {
  it('returns what its block returns, and disarms the limit', () =>
    withVirtualTime(function* () {
      const result = yield* timeout(10, function* () {
        yield* sleep(5);
        return 'in time';
      });
      assert.equal(result, 'in time');
      assert.equal(getRunningLoop().statistics().timers, 0);
    }));

  it('cancels its block at the deadline and throws a TimeoutError', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const error = yield* errorOf(
        timeout(10, function* () {
          try {
            yield* sleep(100);
          } catch (cancelled) {
            seen.push((cancelled as Error).name);
            throw cancelled;
          }
        }),
      );
      assert.ok(error instanceof TimeoutError);
      assert.ok(isCancelledError(error.cause));
      assert.deepEqual(seen, ['CancelledError']);
      assert.equal(getRunningLoop().time(), 10);
      assert.equal(currentTask()!.cancelling(), 0);
      yield* sleep(1);
    }));

  it('works with async functions, inside and outside', () =>
    withVirtualTime(async () => {
      const seen: string[] = [];
      assert.equal(await timeout(10, async () => await sleep(5, 'in time')), 'in time');
      const late = timeout(10, async () => {
        try {
          await Promise.all([sleep(100), sleep(200)]);
        } finally {
          seen.push('cleaned up');
        }
      });
      await assert.rejects(async () => await late, TimeoutError);
      assert.deepEqual(seen, ['cleaned up']);
      assert.equal(getRunningLoop().time(), 15);
      assert.equal(getRunningLoop().statistics().timers, 0);
      await sleep(1);
    }));

  it('has no limit for null', () =>
    withVirtualTime(function* () {
      assert.equal(yield* timeout(null, () => sleep(1e9, 'patience')), 'patience');
    }));

  it('interrupts at the first await for zero and less', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const error = yield* errorOf(
        timeout(-5, function* () {
          seen.push('begun');
          yield* sleep(0);
          yield* sleep(0);
          seen.push('never');
        }),
      );
      assert.ok(error instanceof TimeoutError);
      assert.deepEqual(seen, ['begun']);
    }));

  it('never interrupts a block that does not wait', () =>
    withVirtualTime(function* () {
      const result = yield* timeout(0, function* () {
        return 'no await, no interruption';
      });
      assert.equal(result, 'no await, no interruption');
      yield* sleep(1);
    }));

  it('lets the error of the block through', () =>
    withVirtualTime(function* () {
      const error = yield* errorOf(
        timeout(10, function* () {
          throw new RangeError('inside');
        }),
      );
      assert.equal(error.message, 'inside');
    }));

  it('lets an error through that the block throws instead of being cancelled', () =>
    withVirtualTime(function* () {
      const error = yield* errorOf(
        timeout(10, function* () {
          try {
            yield* sleep(100);
          } catch {
            throw new RangeError('instead');
          }
        }),
      );
      assert.equal(error.message, 'instead');
      assert.equal(currentTask()!.cancelling(), 0);
    }));

  it('lets a cancellation from outside through', () =>
    withVirtualTime(function* () {
      const task = createTask(() => timeout(50, () => sleep(100)));
      yield* sleep(1);
      task.cancel('from outside');
      const error = yield* errorOf(task);
      assert.equal((error as CancelledError).reason, 'from outside');
      assert.equal(task.cancelled(), true);
    }));

  it('can be nested: the limit that is reached decides', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const error = yield* errorOf(
        timeout(20, function* () {
          const inner = yield* errorOf(timeout(10, () => sleep(100)));
          seen.push(`${inner.name} at ${getRunningLoop().time()}`);
          yield* timeout(1000, () => sleep(500));
        }),
      );
      assert.deepEqual(seen, ['TimeoutError at 10']);
      assert.ok(error instanceof TimeoutError);
      assert.equal(getRunningLoop().time(), 20);
    }));

  it('hands its scope to the block, where the deadline can be moved', () =>
    withVirtualTime(function* () {
      const result = yield* timeout(10, function* (scope) {
        assert.equal(scope.when(), 10);
        yield* sleep(5);
        scope.reschedule(getRunningLoop().time() + 100);
        assert.equal(scope.when(), 105);
        yield* sleep(50);
        scope.reschedule(null);
        yield* sleep(1000);
        assert.equal(scope.expired(), false);
        return 'moved';
      });
      assert.equal(result, 'moved');
    }));

  it('interrupts in the next iteration when the deadline is moved into the past', () =>
    withVirtualTime(function* () {
      const error = yield* errorOf(
        timeout(null, function* (scope) {
          scope.reschedule(-1);
          yield* sleep(100);
        }),
      );
      assert.ok(error instanceof TimeoutError);
      assert.equal(getRunningLoop().time(), 0);
    }));

  it('refuses limits that are no number, and blocks that are no function', () => {
    for (const limit of [NaN, '5', undefined, {}]) {
      assert.throws(() => timeout(limit as never, function* () {}), TypeError);
      assert.throws(() => timeoutAt(limit as never), TypeError);
      assert.throws(() => new Timeout(limit as never), TypeError);
    }
    assert.throws(() => timeout(5, 5 as never), { name: 'TypeError', message: /body/ });
    assert.throws(() => timeout(5, sleep(1) as never), TypeError);
  });

  it('throws a TypeError when the block returns nothing to wait for', () =>
    withVirtualTime(function* () {
      const error = yield* errorOf(timeout(5, (() => 5) as never));
      assert.ok(error instanceof TypeError);
      assert.equal(getRunningLoop().statistics().timers, 0);
    }));
});

describe('timeoutAt', () => {
  it('takes a time of the loop', () =>
    withVirtualTime(function* () {
      yield* sleep(100);
      const error = yield* errorOf(timeoutAt(110, () => sleep(50)));
      assert.ok(error instanceof TimeoutError);
      assert.equal(getRunningLoop().time(), 110);
    }));
});

describe('Timeout as an object', () => {
  it('turns the CancelledError it caused into a TimeoutError at exit()', () =>
    withVirtualTime(function* () {
      const scope = timeout(10).enter();
      try {
        yield* sleep(100);
        assert.fail('it should have thrown');
      } catch (error) {
        assert.equal(scope.expired(), true);
        assert.ok(scope.exit(error) instanceof TimeoutError);
      }
      assert.equal(scope.expired(), true);
    }));

  it('returns other errors from exit() as they are', () =>
    withVirtualTime(function* () {
      const error = new RangeError('mine');
      assert.equal(timeout(10).enter().exit(error), error);
      assert.equal(timeout(10).enter().exit(), undefined);
      assert.equal(getRunningLoop().statistics().timers, 0);
    }));

  it('can be entered once, inside a task only', () =>
    withVirtualTime(function* () {
      const scope = timeout(10).enter();
      assert.throws(() => scope.enter(), { message: 'Timeout has already been entered' });
      scope.exit();
      const outside = yield* errorOf(
        (function* () {
          const future = getRunningLoop().createFuture<unknown>();
          getRunningLoop().callSoon(() => {
            try {
              timeout(10).enter();
              future.setResult(undefined);
            } catch (error) {
              future.setException(error as Error);
            }
          });
          yield* future;
        })(),
      );
      assert.ok(outside instanceof RuntimeError);
    }));

  it('cannot be moved before it is entered or after it is over', () =>
    withVirtualTime(function* () {
      const scope = timeout(10);
      assert.throws(() => scope.reschedule(5), { message: 'Timeout has not been entered' });
      scope.enter();
      scope.exit();
      assert.throws(() => scope.reschedule(5), {
        message: 'Cannot change state of finished Timeout',
      });
    }));
});
