import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import {
  ALL_COMPLETED,
  createTask,
  FIRST_COMPLETED,
  FIRST_EXCEPTION,
  Future,
  gather,
  getRunningLoop,
  isCancelledError,
  sleep,
  type Task,
  wait,
} from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';

function* after<T>(ms: number, value: T): Generator<unknown, T, any> {
  yield* sleep(ms);
  return value;
}

function* failAfter(ms: number): Generator<unknown, never, any> {
  yield* sleep(ms);
  throw new RangeError('broken');
}

/** Cancels what is left over and looks at every outcome. */
function* clear(tasks: Iterable<Task<any>>): Generator<unknown, void, any> {
  for (const task of tasks) task.cancel();
  yield* gather([...tasks], { returnExceptions: true });
}

describe('wait', () => {
  it('returns when all are done, failed ones included, and throws nothing', () =>
    withVirtualTime(function* () {
      const tasks = [
        createTask(after(10, 'a')),
        createTask(failAfter(5)),
        createTask(after(1, 'c')),
      ];
      const [done, pending] = yield* wait(tasks);
      assert.deepEqual([...done], tasks);
      assert.equal(pending.size, 0);
      assert.equal(getRunningLoop().time(), 10);
      yield* clear(tasks);
    }));

  it('returns after the first with FIRST_COMPLETED, and cancels nothing', () =>
    withVirtualTime(function* () {
      const slow = createTask(after(10, 'slow'));
      const fast = createTask(after(5, 'fast'));
      const [done, pending] = yield* wait([slow, fast], { returnWhen: FIRST_COMPLETED });
      assert.deepEqual([[...done], [...pending]], [[fast], [slow]]);
      assert.equal(yield* slow, 'slow');
    }));

  it('returns after the first failure with FIRST_EXCEPTION', () =>
    withVirtualTime(function* () {
      const tasks = [
        createTask(after(1, 'a')),
        createTask(failAfter(5)),
        createTask(after(50, 'c')),
      ];
      const [done, pending] = yield* wait(tasks, { returnWhen: FIRST_EXCEPTION });
      assert.deepEqual([[...done], [...pending]], [tasks.slice(0, 2), tasks.slice(2)]);
      assert.equal(getRunningLoop().time(), 5);
      yield* clear(tasks);
    }));

  it('does not count a cancelled task as a failure', () =>
    withVirtualTime(function* () {
      const tasks = [createTask(after(50, 'a')), createTask(after(100, 'b'))];
      getRunningLoop().callLater(1, () => tasks[0]!.cancel());
      const [done] = yield* wait(tasks, { returnWhen: FIRST_EXCEPTION });
      assert.equal(done.size, 2);
      assert.equal(getRunningLoop().time(), 100);
    }));

  it('returns what is done when the time is up, without an error', () =>
    withVirtualTime(function* () {
      const fast = createTask(after(5, 'fast'));
      const slow = createTask(after(50, 'slow'));
      const [done, pending] = yield* wait(new Set([slow, fast]), { timeout: 20 });
      assert.deepEqual([[...done], [...pending]], [[fast], [slow]]);
      assert.equal(getRunningLoop().time(), 20);
      assert.equal(yield* slow, 'slow');
    }));

  it('disarms its time limit when it returns before', () =>
    withVirtualTime(function* () {
      yield* wait([createTask(after(1, 'a'))], { timeout: 1000 });
      assert.equal(getRunningLoop().statistics().timers, 0);
    }));

  it('takes futures too, each once', () =>
    withVirtualTime(function* () {
      const future = new Future<number>();
      getRunningLoop().callLater(5, () => future.setResult(1));
      const [done] = yield* wait([future, future], { returnWhen: ALL_COMPLETED });
      assert.deepEqual([...done], [future]);
    }));

  it('throws the reason of its signal, and cancels nothing', () =>
    withVirtualTime(async () => {
      const controller = new AbortController();
      const { signal } = controller;
      getRunningLoop().callLater(5, () => controller.abort(new RangeError('enough')));
      const slow = createTask(after(50, 'slow'));
      await assert.rejects(async () => await wait([slow], { signal }), { message: 'enough' });
      assert.equal(getRunningLoop().time(), 5);
      assert.deepEqual(getEventListeners(signal, 'abort'), []);
      assert.equal(await slow, 'slow');
    }));

  it('leaves the tasks running when the waiting task is cancelled', () =>
    withVirtualTime(function* () {
      const slow = createTask(after(50, 'slow'));
      const waiting = createTask(() => wait([slow], { timeout: 1000 }));
      yield* sleep(1);
      waiting.cancel();
      try {
        yield* waiting;
        assert.fail('it should have thrown');
      } catch (error) {
        assert.ok(isCancelledError(error));
      }
      assert.equal(yield* slow, 'slow');
      assert.equal(getRunningLoop().statistics().timers, 0);
    }));

  it('refuses an empty set, coroutines, and unknown options', () => {
    assert.throws(() => wait([]), {
      name: 'RangeError',
      message: 'Set of Tasks/Futures is empty.',
    });
    assert.throws(() => wait([after(1, 'a')] as never), TypeError);
    assert.throws(() => wait([async () => {}] as never), TypeError);
    assert.throws(() => wait(new Future() as never), TypeError);
    for (const wrong of [5, null, undefined, {}])
      assert.throws(() => wait(wrong as never), TypeError);
    const future = new Future();
    assert.throws(() => wait([future], { returnWhen: 'SOMETIME' as never }), RangeError);
    assert.throws(() => wait([future], { timeout: NaN }), TypeError);
    assert.throws(() => wait([future], { timeout: '5' as never }), TypeError);
  });
});
