import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { performance } from 'node:perf_hooks';

import {
  createTask,
  currentTask,
  gather,
  getEventLoop,
  getRunningLoop,
  run,
  sleep,
} from 'ringloop';
import { turnOfNode } from '../support/capture.js';
import { withVirtualTime } from '../support/virtual-time.js';

describe('sleep', () => {
  it('waits for that many milliseconds, fractions included', () =>
    withVirtualTime(function* () {
      yield* sleep(100);
      assert.equal(getRunningLoop().time(), 100);
      yield* sleep(0.25);
      assert.equal(getRunningLoop().time(), 100.25);
    }));

  it('returns what it was given', () =>
    withVirtualTime(function* () {
      assert.equal(yield* sleep(1, 'result'), 'result');
      assert.equal(yield* sleep(0, 'result'), 'result');
      assert.equal(yield* sleep(-1, 'result'), 'result');
      assert.equal(yield* sleep(1), undefined);
      assert.equal(yield* sleep(0), undefined);
    }));

  it('takes exactly one iteration for zero and less', () =>
    withVirtualTime(function* () {
      for (const delay of [0, -0, -5, -Infinity]) {
        const seen: string[] = [];
        const loop = getRunningLoop();
        loop.callSoon(() => {
          seen.push('this iteration');
          loop.callSoon(() => seen.push('the next'));
        });
        yield* sleep(delay);
        assert.deepEqual(seen, ['this iteration']);
        yield* sleep(delay, 'with a result');
        assert.deepEqual(seen, ['this iteration', 'the next']);
      }
      assert.equal(getRunningLoop().time(), 0);
    }));

  it('begins when it is awaited, not when it is called', () =>
    withVirtualTime(function* () {
      const later = sleep(10);
      yield* sleep(5);
      yield* later;
      assert.equal(getRunningLoop().time(), 15);
    }));

  it('arms no timer before it is awaited', () =>
    withVirtualTime(function* () {
      sleep(10);
      sleep(10, 'x', { ref: false });
      yield* sleep(0);
      assert.equal(getRunningLoop().statistics().timers, 0);
    }));

  it('lets sleeps with equal deadlines end in the order in which they began', () =>
    withVirtualTime(function* () {
      const seen: number[] = [];
      const tasks = Array.from({ length: 20 }, (_, i) =>
        createTask(function* () {
          yield* sleep(10);
          seen.push(i);
        }),
      );
      yield* gather(tasks);
      assert.deepEqual(
        seen,
        [...seen].sort((a, b) => a - b),
      );
      assert.equal(seen.length, 20);
    }));

  it('returns at once when it is awaited a second time', () =>
    withVirtualTime(function* () {
      const once = sleep(10, 'value');
      yield* once;
      yield* once;
      assert.equal(getRunningLoop().time(), 10);
    }));

  it('lasts until it is cancelled when the delay is Infinity', () =>
    withVirtualTime(function* () {
      const task = createTask(() => sleep(Infinity));
      yield* sleep(1e9);
      assert.equal(task.done(), false);
      task.cancel();
      yield* gather([task], { returnExceptions: true });
      assert.equal(task.cancelled(), true);
    }));

  it('works in async functions', () =>
    withVirtualTime(async () => {
      assert.equal(await sleep(5, 'five'), 'five');
      await sleep(0);
      assert.equal(await sleep(0, 'zero'), 'zero');
      assert.equal(getRunningLoop().time(), 5);
    }));

  it('works outside any task', async () => {
    const began = performance.now();
    assert.equal(await sleep(2, 'two'), 'two');
    assert.ok(performance.now() - began >= 2);
    assert.equal(await sleep(0, 'zero'), 'zero');
    assert.equal(await sleep(0), undefined);
  });

  it('runs a million virtual seconds for ten thousand tasks', () =>
    withVirtualTime(function* () {
      const tasks = Array.from({ length: 10_000 }, () => createTask(() => sleep(1e9)));
      yield* gather(tasks);
      assert.equal(getRunningLoop().time(), 1e9);
    }));

  it('refuses what is no number of milliseconds', () => {
    for (const delay of [NaN, '5', null, undefined, {}, 5n]) {
      assert.throws(() => sleep(delay as never), { name: 'TypeError', message: /^sleep: delay/ });
    }
  });
});

describe('sleep with a signal', () => {
  it('throws the reason of the signal as soon as it fires', () =>
    withVirtualTime(function* () {
      const controller = new AbortController();
      getRunningLoop().callLater(5, () => controller.abort(new RangeError('enough')));
      try {
        yield* sleep(100, undefined, { signal: controller.signal });
        assert.fail('it should have thrown');
      } catch (error) {
        assert.equal((error as Error).message, 'enough');
      }
      assert.equal(getRunningLoop().time(), 5);
      assert.equal(getRunningLoop().statistics().timers, 0);
      assert.equal(currentTask()!.cancelling(), 0);
    }));

  it('does not begin if the signal has fired already', () =>
    withVirtualTime(function* () {
      for (const delay of [0, 100]) {
        try {
          yield* sleep(delay, undefined, { signal: AbortSignal.abort('too late') });
          assert.fail('it should have thrown');
        } catch (error) {
          assert.equal(error, 'too late');
        }
      }
      assert.equal(getRunningLoop().time(), 0);
    }));

  it('returns as usual when the signal stays silent, and lets go of it', () =>
    withVirtualTime(async () => {
      const { signal } = new AbortController();
      assert.equal(await sleep(5, 'value', { signal }), 'value');
      assert.deepEqual(getEventListeners(signal, 'abort'), []);
    }));

  it('lets go of the signal when the task is cancelled', () =>
    withVirtualTime(async () => {
      const { signal } = new AbortController();
      const task = createTask(() => sleep(100, 'value', { signal }));
      await sleep(1);
      assert.equal(getEventListeners(signal, 'abort').length, 1);
      task.cancel();
      await assert.rejects(async () => await task, { name: 'CancelledError' });
      assert.deepEqual(getEventListeners(signal, 'abort'), []);
      assert.equal(getRunningLoop().statistics().timers, 0);
    }));
});

describe("sleep on the thread's loop", () => {
  it('is never early', async () => {
    const early = await run(function* () {
      let count = 0;
      for (let i = 0; i < 10; i++) {
        const due = performance.now() + 0.3;
        yield* sleep(0.3);
        if (performance.now() < due) count++;
      }
      return count;
    });
    assert.equal(early, 0);
  });

  it('leaves nothing behind', async () => {
    await run(() => gather(sleep(1), sleep(0), sleep(2)));
    await turnOfNode();
    assert.equal(getEventLoop().statistics().timers, 0);
  });
});
