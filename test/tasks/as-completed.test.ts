import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';

import {
  asCompleted,
  createTask,
  Future,
  gather,
  getRunningLoop,
  sleep,
  TimeoutError,
} from 'ringloop';
import { BOTH_KINDS, errorOf } from '../support/both-kinds.js';
import { withVirtualTime } from '../support/virtual-time.js';

function* after<T>(ms: number, value: T): Generator<unknown, T, any> {
  yield* sleep(ms);
  return value;
}

function* failAfter(ms: number): Generator<unknown, never, any> {
  yield* sleep(ms);
  throw new RangeError('broken');
}

/** TypeScript believes that `for await` waits for whatever can be awaited; it does not. */
function asFuture<T>(value: T): Future<T> {
  assert.ok(value instanceof Future);
  return value;
}

describe('asCompleted', () => {
  it('hands results out in the order in which they come', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      for (const next of asCompleted([after(30, 'c'), after(10, 'a'), after(20, 'b')])) {
        seen.push(`${yield* next} at ${getRunningLoop().time()}`);
      }
      assert.deepEqual(seen, ['a at 10', 'b at 20', 'c at 30']);
    }));

  it('throws an error where its result would be, and goes on', () =>
    withVirtualTime(function* () {
      const seen: unknown[] = [];
      for (const next of asCompleted([after(20, 'fine'), failAfter(10)])) {
        try {
          seen.push(yield* next);
        } catch (error) {
          seen.push((error as Error).message);
        }
      }
      assert.deepEqual(seen, ['broken', 'fine']);
    }));

  it('hands the futures themselves out with for await', () =>
    withVirtualTime(async () => {
      const slow = createTask(after(20, 'slow'));
      const fast = createTask(after(10, 'fast'));
      const seen: unknown[] = [];
      for await (const each of asCompleted([slow, fast])) {
        const future = asFuture(each);
        seen.push(future, future.result());
      }
      assert.deepEqual(seen, [fast, 'fast', slow, 'slow']);
    }));

  it('hands the futures themselves out with nextFuture() in generators', () =>
    withVirtualTime(function* () {
      const slow = createTask(after(20, 'slow'));
      const fast = createTask(after(10, 'fast'));
      const completed = asCompleted([slow, fast]);
      assert.equal(yield* completed.nextFuture()!, fast);
      assert.equal(yield* completed.nextFuture()!, slow);
      assert.equal(completed.nextFuture(), null);
    }));

  it('can be left in the middle; the others run on', () =>
    withVirtualTime(async () => {
      const slow = createTask(after(20, 'slow'));
      for await (const future of asCompleted([slow, createTask(after(10, 'fast'))])) {
        assert.equal(asFuture(future).result(), 'fast');
        break;
      }
      assert.equal(await slow, 'slow');
    }));

  it('throws a TimeoutError for each that has not come in time, and cancels none', () =>
    withVirtualTime(function* () {
      const tasks = [after(10, 'a'), after(50, 'b'), after(60, 'c')].map((each) =>
        createTask(each),
      );
      const seen: unknown[] = [];
      for (const next of asCompleted(tasks, { timeout: 20 })) {
        try {
          seen.push(yield* next);
        } catch (error) {
          assert.ok(error instanceof TimeoutError);
          seen.push(`late at ${getRunningLoop().time()}`);
        }
      }
      assert.deepEqual(seen, ['a', 'late at 20', 'late at 20']);
      assert.deepEqual(yield* gather(tasks), ['a', 'b', 'c']);
    }));

  it('throws the TimeoutError from for await, too', () =>
    withVirtualTime(async () => {
      const slow = createTask(after(50, 'slow'));
      await assert.rejects(async () => {
        for await (const future of asCompleted([slow], { timeout: 10 }))
          assert.fail(String(future));
      }, TimeoutError);
      assert.equal(await slow, 'slow');
    }));

  it('disarms its limit when everything has come', () =>
    withVirtualTime(function* () {
      for (const next of asCompleted([after(1, 'a')], { timeout: 1000 })) yield* next;
      assert.equal(getRunningLoop().statistics().timers, 0);
    }));

  it('is over at once for nothing', () =>
    withVirtualTime(async () => {
      assert.deepEqual([...asCompleted([])], []);
      for await (const future of asCompleted([], { timeout: 5 })) assert.fail(String(future));
    }));

  it('takes the same future once', () =>
    withVirtualTime(function* () {
      const future = new Future<string>();
      future.setResult('x');
      const all = [...asCompleted([future, future])];
      assert.equal(all.length, 1);
      assert.equal(yield* all[0]!, 'x');
    }));

  it('calls a function as often as it is given', () =>
    withVirtualTime(function* () {
      let calls = 0;
      function* generator(): Generator<unknown, number, any> {
        return ++calls;
      }
      const asyncFunction = async (): Promise<number> => ++calls;
      const results: number[] = [];
      const all = [generator, asyncFunction, generator, generator, asyncFunction];
      for (const next of asCompleted<() => any>(all)) results.push((yield* next) as number);
      assert.deepEqual(results.sort(), [1, 2, 3, 4, 5]);
    }));

  it('gives several waiting tasks one result each', () =>
    withVirtualTime(function* () {
      const nexts = [...asCompleted([after(20, 'b'), after(10, 'a')])];
      const tasks = nexts.map((next) =>
        createTask(function* () {
          return yield* next;
        }),
      );
      assert.deepEqual(yield* gather(tasks), ['a', 'b']);
    }));

  it('loses no result to a waiting task that is cancelled', () =>
    withVirtualTime(function* () {
      const [first, second] = [...asCompleted([after(10, 'a'), after(20, 'b')])];
      const stopped = createTask(first!);
      const other = createTask(second!);
      yield* sleep(1);
      stopped.cancel();
      assert.equal(yield* other, 'a');
    }));

  it('refuses what is no iterable of awaitables', () => {
    for (const wrong of [5, null, undefined, {}, new Future()]) {
      assert.throws(() => asCompleted(wrong as never), TypeError);
    }
    assert.throws(() => asCompleted([5] as never), TypeError);
    assert.throws(() => asCompleted([], { timeout: NaN }), TypeError);
  });

  for (const [kind, start] of BOTH_KINDS) {
    it(`throws the reason of its signal for each that has not come, in ${kind}`, () =>
      withVirtualTime(function* () {
        const controller = new AbortController();
        const { signal } = controller;
        const slow = createTask(after(50, 'slow'));
        const results = asCompleted([slow, after(5, 'fast'), after(60, 'slower')], { signal });
        const [first, second, third] = [...results].map((next) => start(() => next));
        getRunningLoop().callLater(10, () => controller.abort('enough'));
        assert.equal(yield* first!, 'fast');
        assert.equal(yield* errorOf(second!), 'enough');
        assert.equal(yield* errorOf(third!), 'enough');
        assert.equal(getRunningLoop().time(), 10);
        assert.equal(getEventListeners(signal, 'abort').length, 0);
        assert.equal(yield* slow, 'slow');
      }));
  }

  it('hands out what has come before its signal was aborted', () =>
    withVirtualTime(function* () {
      const controller = new AbortController();
      const { signal } = controller;
      const results = asCompleted([after(1, 'a'), after(2, 'b'), after(50, 'c')], { signal });
      yield* sleep(5);
      controller.abort('enough');
      const seen: unknown[] = [];
      for (const next of results) seen.push((yield* errorOf(next)) ?? 'a result');
      assert.deepEqual(seen, ['a result', 'a result', 'enough']);
    }));

  it('throws the reason of a signal that was aborted before, and from for await, too', () =>
    withVirtualTime(async () => {
      const signal = AbortSignal.abort(new RangeError('before'));
      const task = createTask(after(5, 'a'));
      await assert.rejects(
        async () => {
          for await (const _ of asCompleted([task], { signal, timeout: 1 }))
            assert.fail('a result');
        },
        { message: 'before' },
      );
      assert.equal(getRunningLoop().statistics().timers, 0);
      assert.equal(getEventListeners(signal, 'abort').length, 0);
      assert.equal(await task, 'a');
    }));

  it('listens to its signal no longer than it must', () =>
    withVirtualTime(function* () {
      const { signal } = new AbortController();
      for (const next of asCompleted([after(1, 'a'), after(2, 'b')], { signal })) yield* next;
      assert.equal(getEventListeners(signal, 'abort').length, 0);
      const late = asCompleted([after(10, 'late')], { signal, timeout: 5 });
      assert.ok((yield* errorOf(late.next()!)) instanceof TimeoutError);
      assert.equal(getEventListeners(signal, 'abort').length, 0);
      assert.deepEqual([...asCompleted([], { signal })], []);
      assert.equal(getEventListeners(signal, 'abort').length, 0);
      yield* sleep(10);
    }));

  it('refuses a signal that is none, and starts nothing', () => {
    const never = (): never => assert.fail('it should not start');
    assert.throws(() => asCompleted([never], { signal: 5 as never }), {
      name: 'TypeError',
      message: 'asCompleted: signal must be an AbortSignal, got 5',
    });
  });
});
