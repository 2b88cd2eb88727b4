import assert from 'node:assert/strict';
import {
  type CancelScope,
  cancelScope,
  createTask,
  currentTask,
  getRunningLoop,
  isCancelledError,
  moveOnAfter,
  sleep,
  taskGroup,
} from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';

const now = (): number => getRunningLoop().time();
const timers = (): number => getRunningLoop().statistics().timers;

describe('moveOnAfter', () => {
  it('returns what its block returns, and disarms the limit', () =>
    withVirtualTime(function* () {
      const result = yield* moveOnAfter(10, function* (scope) {
        assert.equal(scope.deadline, 10);
        yield* sleep(5);
        return 'in time';
      });
      assert.equal(result, 'in time');
      assert.equal(timers(), 0);
    }));

  it('leaves its block when time is up, and goes on', () =>
    withVirtualTime(function* () {
      let scope: CancelScope | undefined;
      const result = yield* moveOnAfter(10, function* (mine) {
        scope = mine;
        yield* sleep(100);
        return 'never';
      });
      assert.equal(result, undefined);
      assert.equal(scope!.cancelledCaught, true);
      assert.equal(now(), 10);
      assert.equal(currentTask()!.cancelling(), 0);
      yield* sleep(1);
    }));

  it('works with async functions, inside and outside', () =>
    withVirtualTime(async () => {
      const seen: string[] = [];
      const result = await moveOnAfter(10, async () => {
        for (let i = 0; i < 3; i++) {
          try {
            await sleep(100);
          } catch (error) {
            assert.ok(isCancelledError(error));
            seen.push(`swallowed at ${now()}`);
          }
        }
        await sleep(100);
        return 'never';
      });
      assert.equal(result, undefined);
      assert.deepEqual(seen, ['swallowed at 10', 'swallowed at 10', 'swallowed at 10']);
      assert.equal(await moveOnAfter(10, async () => await sleep(5, 'in time')), 'in time');
      assert.equal(timers(), 0);
    }));

  it('leaves nothing running of what was inside', () =>
    withVirtualTime(function* () {
      const ticks: number[] = [];
      yield* moveOnAfter(35, () =>
        taskGroup(function* (group) {
          for (let i = 0; i < 3; i++) {
            group.createTask(function* () {
              for (;;) {
                yield* sleep(10);
                ticks.push(now());
              }
            });
          }
        }),
      );
      assert.deepEqual(ticks, [10, 10, 10, 20, 20, 20, 30, 30, 30]);
      yield* sleep(100);
      assert.equal(ticks.length, 9);
    }));

  it('cancels the first wait for zero and less', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      for (const limit of [0, -5, -Infinity]) {
        yield* moveOnAfter(limit, function* () {
          seen.push('begun');
          yield* sleep(0);
          seen.push('never');
        });
      }
      assert.deepEqual(seen, ['begun', 'begun', 'begun']);
    }));

  it('has no limit for Infinity, until its block sets one', () =>
    withVirtualTime(function* () {
      yield* moveOnAfter(Infinity, function* (scope) {
        yield* sleep(1e6);
        assert.equal(timers(), 0);
        scope.deadline = now() + 10;
        yield* sleep(1e6);
      });
      assert.equal(now(), 1e6 + 10);
    }));

  it('can be nested: the limit that is reached decides', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      yield* moveOnAfter(20, function* () {
        yield* moveOnAfter(10, () => sleep(100));
        seen.push(`inner at ${now()}`);
        yield* moveOnAfter(100, () => sleep(1000));
        seen.push('never');
      });
      assert.deepEqual(seen, ['inner at 10']);
      assert.equal(now(), 20);
    }));

  it('limits a clean-up in a shield', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      yield* cancelScope(function* (scope) {
        getRunningLoop().callLater(5, () => scope.cancel());
        try {
          yield* sleep(1000);
        } finally {
          yield* moveOnAfter(50, () => sleep(1000), { shield: true });
          seen.push(`gave up at ${now()}`);
        }
      });
      assert.deepEqual(seen, ['gave up at 55']);
    }));

  it('says in the error why, and who', () =>
    withVirtualTime(function* () {
      for (const [options, reason] of [
        [undefined, 'deadline passed'],
        [{ reason: 'too slow' }, 'too slow'],
        [{ signal: AbortSignal.abort('aborted') }, 'aborted'],
      ] as const) {
        let caught: unknown;
        let scope: CancelScope | undefined;
        const block = function* (mine: CancelScope): Generator<unknown, void, any> {
          scope = mine;
          try {
            yield* sleep(100);
          } catch (error) {
            caught = error;
            throw error;
          }
        };
        yield* moveOnAfter(10, block, options);
        assert.ok(isCancelledError(caught));
        assert.equal(caught.reason, reason);
        assert.equal(caught.origin, scope);
      }
    }));

  it('lets task.cancel() and other errors through', () =>
    withVirtualTime(async () => {
      const task = createTask(() => moveOnAfter(50, () => sleep(100)));
      await sleep(1);
      task.cancel('edge');
      await assert.rejects(async () => await task, { name: 'CancelledError', reason: 'edge' });
      const failing = moveOnAfter(50, async () => {
        throw new RangeError('mine');
      });
      await assert.rejects(async () => await failing, { name: 'RangeError', message: 'mine' });
      assert.equal(timers(), 0);
    }));

  it('refuses what has the wrong type, and says what was passed', () => {
    const block = function* (): Generator<unknown, void, any> {};
    const wrong: [() => unknown, RegExp][] = [
      [() => moveOnAfter('5' as never, block), /moveOnAfter: time must be a number .*, got "5"/],
      [() => moveOnAfter(NaN, block), /got NaN/],
      [() => moveOnAfter(null as never, block), /got null/],
      [() => moveOnAfter(5, undefined as never), /moveOnAfter: body must .*, got undefined/],
      [() => moveOnAfter(5, sleep(1) as never), /body must be a function/],
      [() => moveOnAfter(5, block, 5 as never), /moveOnAfter: options must .*, got 5/],
      [() => moveOnAfter(5, block, { shield: 'yes' as never }), /shield must .*, got "yes"/],
      [() => moveOnAfter(5, block, { signal: 5 as never }), /signal must .*, got 5/],
    ];
    for (const [call, message] of wrong) assert.throws(call, { name: 'TypeError', message });
  });
});
