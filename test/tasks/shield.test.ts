import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import {
  createTask,
  type ExceptionContext,
  Future,
  getRunningLoop,
  isCancelledError,
  shield,
  sleep,
  waitFor,
} from 'ringloop';
import { BOTH_KINDS, errorOf } from '../support/both-kinds.js';
import { withVirtualTime } from '../support/virtual-time.js';

function* after<T>(ms: number, value: T): Generator<unknown, T, any> {
  yield* sleep(ms);
  return value;
}

describe('shield', () => {
  it('returns what is inside returns', () =>
    withVirtualTime(function* () {
      assert.equal(yield* shield(after(5, 'inside')), 'inside');
      assert.equal(yield* shield(async () => 'async'), 'async');
      assert.equal(yield* shield(Promise.resolve('promise')), 'promise');
    }));

  it('throws what is inside throws', () =>
    withVirtualTime(function* () {
      const broken = shield(function* () {
        yield* sleep(1);
        throw new RangeError('inside');
      });
      try {
        yield* broken;
        assert.fail('it should have thrown');
      } catch (error) {
        assert.equal((error as Error).message, 'inside');
      }
    }));

  it('lets what is inside run on when the waiting task is cancelled', () =>
    withVirtualTime(function* () {
      const inner = createTask(after(10, 'saved'));
      const outer = createTask(function* () {
        return yield* shield(inner);
      });
      yield* sleep(1);
      outer.cancel();
      try {
        yield* outer;
        assert.fail('it should have thrown');
      } catch (error) {
        assert.ok(isCancelledError(error));
      }
      assert.equal(inner.done(), false);
      assert.equal(yield* inner, 'saved');
    }));

  it('lets it run on in an async function, too', () =>
    withVirtualTime(async () => {
      const inner = createTask(after(10, 'saved'));
      const outer = createTask(async () => await shield(inner));
      await sleep(1);
      outer.cancel();
      await assert.rejects(async () => await outer, { name: 'CancelledError' });
      assert.equal(await inner, 'saved');
    }));

  it('is cancelled when what is inside is cancelled by somebody else', () =>
    withVirtualTime(function* () {
      const inner = createTask(after(10, 'never'));
      const outer = shield(inner);
      getRunningLoop().callLater(1, () => inner.cancel());
      try {
        yield* outer;
        assert.fail('it should have thrown');
      } catch (error) {
        assert.ok(isCancelledError(error));
      }
      assert.equal(outer.cancelled(), true);
    }));

  it('returns a future that is done as it is', () => {
    const done = new Future<number>();
    done.setResult(1);
    assert.equal(shield(done), done);
  });

  it('reports an error from inside that comes when nobody waits any more', () =>
    withVirtualTime(function* () {
      const reports: ExceptionContext[] = [];
      getRunningLoop().setExceptionHandler((report) => void reports.push(report));
      const outer = shield(function* () {
        yield* sleep(5);
        throw new RangeError('too late');
      });
      yield* sleep(1);
      outer.cancel();
      yield* sleep(10);
      assert.equal(reports.length, 1);
      assert.equal(reports[0]!.message, 'RangeError exception in shielded future');
      assert.equal((reports[0]!.exception as Error).message, 'too late');
    }));

  it('keeps the result of something slow beyond the time limit on waiting for it', () =>
    withVirtualTime(function* () {
      const slow = createTask(after(100, 'slow'));
      try {
        yield* waitFor(shield(slow), 10);
        assert.fail('it should have thrown');
      } catch (error) {
        assert.equal((error as Error).name, 'TimeoutError');
      }
      assert.equal(getRunningLoop().time(), 10);
      assert.equal(yield* slow, 'slow');
    }));

  // A random program set the outer future a step before the inner one: the result was overwritten.
  it('keeps the result that somebody else has set, and reports the one from inside', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      const before = loop.getExceptionHandler();
      const reports: ExceptionContext[] = [];
      loop.setExceptionHandler((report) => void reports.push(report));
      const inner = new Future<number>();
      const outer = shield(inner) as Future<number>;
      inner.setResult(1);
      outer.setResult(2);
      yield* sleep(1);
      loop.setExceptionHandler(before);
      assert.equal(yield* outer, 2);
      assert.deepEqual(
        reports.map(({ exception }) => (exception as Error).name),
        ['InvalidStateError'],
      );
    }));

  it('refuses what cannot be awaited', () => {
    for (const wrong of [5, null, undefined, 'text', {}]) {
      assert.throws(() => shield(wrong as never), TypeError);
    }
  });

  for (const [kind, start] of BOTH_KINDS) {
    it(`throws the reason of its signal in ${kind}, and what is inside runs on`, () =>
      withVirtualTime(function* () {
        const controller = new AbortController();
        const { signal } = controller;
        const inner = createTask(after(10, 'saved'));
        const waiting = start(() => shield(inner, { signal }));
        yield* sleep(1);
        controller.abort('enough');
        assert.equal(yield* errorOf(waiting), 'enough');
        assert.equal(inner.done(), false);
        assert.equal(yield* inner, 'saved');
        assert.equal(getEventListeners(signal, 'abort').length, 0);
      }));

    it(`reports nothing if it is aborted when what is inside has just ended, in ${kind}`, () =>
      withVirtualTime(function* () {
        for (const fails of [false, true]) {
          const controller = new AbortController();
          const { signal } = controller;
          const inner = new Future<string>();
          const waiting = start(() => shield(inner, { signal }));
          yield* sleep(1);
          if (fails) inner.setException(new RangeError('inside'));
          else inner.setResult('saved');
          controller.abort('enough');
          assert.equal(yield* errorOf(waiting), 'enough');
          assert.equal((yield* errorOf(inner))?.message, fails ? 'inside' : undefined);
        }
      }));
  }

  it('reports an error from inside that comes after its signal', () =>
    withVirtualTime(function* () {
      const reports: ExceptionContext[] = [];
      const loop = getRunningLoop();
      const before = loop.getExceptionHandler();
      loop.setExceptionHandler((report) => void reports.push(report));
      const controller = new AbortController();
      const broken = function* (): Generator<unknown, never, any> {
        yield* sleep(5);
        throw new RangeError('inside');
      };
      const waiting = createTask(() => shield(broken(), { signal: controller.signal }));
      yield* sleep(1);
      controller.abort('enough');
      assert.equal(yield* errorOf(waiting), 'enough');
      yield* sleep(10);
      loop.setExceptionHandler(before);
      assert.deepEqual(
        reports.map(({ message }) => message),
        ['RangeError exception in shielded future'],
      );
    }));

  it('throws the reason of a signal that was aborted before, also if it is done inside', () =>
    withVirtualTime(function* () {
      const signal = AbortSignal.abort('before');
      const done = new Future<number>();
      done.setResult(1);
      assert.equal(yield* errorOf(shield(done, { signal })), 'before');
      const inner = createTask(after(1, 'saved'));
      assert.equal(yield* errorOf(shield(inner, { signal })), 'before');
      assert.equal(yield* inner, 'saved');
    }));

  it('refuses a signal that is none, and starts nothing', () => {
    const never = (): never => assert.fail('it should not start');
    assert.throws(() => shield(never, { signal: 5 as never }), {
      name: 'TypeError',
      message: 'shield: signal must be an AbortSignal, got 5',
    });
  });
});
