import assert from 'node:assert/strict';
import {
  type CancelScope,
  cancelScope,
  createTask,
  currentTask,
  failAfter,
  getRunningLoop,
  isCancelledError,
  sleep,
  TimeoutError,
  taskGroup,
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

const now = (): number => getRunningLoop().time();
const timers = (): number => getRunningLoop().statistics().timers;

describe('failAfter', () => {
  it('returns what its block returns, and disarms the limit', () =>
    withVirtualTime(function* () {
      assert.equal(yield* failAfter(10, () => sleep(5, 'in time')), 'in time');
      assert.equal(timers(), 0);
    }));

  it('throws a TimeoutError when time is up, with the reason as its cause', () =>
    withVirtualTime(function* () {
      const error = yield* errorOf(failAfter(10, () => sleep(100)));
      assert.ok(error instanceof TimeoutError);
      assert.equal(error.cause, 'deadline passed');
      const reason = new RangeError('too slow');
      assert.equal((yield* errorOf(failAfter(10, () => sleep(100), { reason }))).cause, reason);
      assert.equal(now(), 20);
      assert.equal(timers(), 0);
      assert.equal(currentTask()!.cancelling(), 0);
      yield* sleep(1);
    }));

  it('works with async functions, inside and outside, however often they swallow', () =>
    withVirtualTime(async () => {
      let swallowed = 0;
      const block = failAfter(10, async () => {
        while (swallowed < 5) {
          try {
            await sleep(100);
          } catch {
            swallowed++;
          }
        }
        await sleep(100);
      });
      await assert.rejects(async () => await block, TimeoutError);
      assert.equal(swallowed, 5);
      assert.equal(now(), 10);
      assert.equal(await failAfter(10, async () => await sleep(5, 'in time')), 'in time');
    }));

  it('throws a TimeoutError, too, when somebody else cancels its scope', () =>
    withVirtualTime(function* () {
      const error = yield* errorOf(
        failAfter(10, function* (scope) {
          scope.cancel('by hand');
          yield* sleep(1);
        }),
      );
      assert.ok(error instanceof TimeoutError);
      assert.equal(error.cause, 'by hand');
    }));

  it('returns the value of a block that is late and returns all the same', () =>
    withVirtualTime(function* () {
      const result = yield* failAfter(10, function* () {
        yield* errorOf(sleep(100));
        return 'late';
      });
      assert.equal(result, 'late');
    }));

  it('is no TimeoutError when a scope around it is cancelled, also at the same time', () =>
    withVirtualTime(function* () {
      for (const deadline of [5, 10]) {
        const began = now();
        let error: unknown;
        let outer: CancelScope | undefined;
        yield* cancelScope(
          function* (mine) {
            outer = mine;
            error = yield* errorOf(failAfter(10, () => sleep(100)));
            yield* sleep(1);
          },
          { deadline: began + deadline },
        );
        assert.ok(isCancelledError(error));
        assert.equal(error.origin, outer);
        assert.equal(now(), began + deadline);
      }
    }));

  it('can be nested: the limit that is reached decides', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const error = yield* errorOf(
        failAfter(20, function* () {
          seen.push((yield* errorOf(failAfter(10, () => sleep(100)))).name);
          yield* failAfter(1000, () => sleep(500));
        }),
      );
      assert.deepEqual(seen, ['TimeoutError']);
      assert.ok(error instanceof TimeoutError);
      assert.equal(now(), 20);
    }));

  it('reaches the tasks of a group inside it', () =>
    withVirtualTime(function* () {
      const seen: number[] = [];
      const error = yield* errorOf(
        failAfter(10, () =>
          taskGroup(function* (group) {
            for (let i = 0; i < 3; i++) {
              group.createTask(function* () {
                yield* errorOf(sleep(100));
                yield* errorOf(sleep(100));
                seen.push(now());
              });
            }
          }),
        ),
      );
      assert.ok(error instanceof TimeoutError);
      assert.deepEqual(seen, [10, 10, 10]);
    }));

  it('lets task.cancel() and other errors through', () =>
    withVirtualTime(function* () {
      const task = createTask(() => failAfter(50, () => sleep(100)));
      yield* sleep(1);
      task.cancel('edge');
      const error = yield* errorOf(task);
      assert.ok(isCancelledError(error));
      assert.equal(error.reason, 'edge');
      const failing = failAfter(50, function* () {
        throw new RangeError('mine');
      });
      assert.equal((yield* errorOf(failing)).message, 'mine');
      assert.equal(timers(), 0);
    }));

  it('fails at the first wait for zero and less, and never for Infinity', () =>
    withVirtualTime(function* () {
      for (const limit of [0, -1, -Infinity]) {
        const error = yield* errorOf(failAfter(limit, () => sleep(0)));
        assert.ok(error instanceof TimeoutError);
      }
      assert.equal(
        yield* failAfter(0, function* () {
          return 'no wait';
        }),
        'no wait',
      );
      assert.equal(yield* failAfter(Infinity, () => sleep(1e9, 'patience')), 'patience');
    }));

  it('refuses what has the wrong type, and says what was passed', () => {
    const block = function* (): Generator<unknown, void, any> {};
    const wrong: [() => unknown, RegExp][] = [
      [() => failAfter('5' as never, block), /failAfter: time must be a number .*, got "5"/],
      [() => failAfter(NaN, block), /got NaN/],
      [() => failAfter(5, {} as never), /failAfter: body must .*, got an instance of Object/],
      [() => failAfter(5, block, 'x' as never), /failAfter: options must .*, got "x"/],
      [() => failAfter(5, block, { shield: 0 as never }), /shield must .*, got 0/],
    ];
    for (const [call, message] of wrong) assert.throws(call, { name: 'TypeError', message });
  });
});
