import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';

import { type EventLoop, getEventLoop, getRunningLoop, sleep } from 'ringloop';
import { turnOfNode } from '../support/capture.js';
import { withVirtualTime } from '../support/virtual-time.js';

/** A coroutine that ends at a time of the loop. */
function* reaches(loop: EventLoop, whenMs: number): Generator<unknown, void, any> {
  yield* sleep(whenMs - loop.time());
}

describe('callLater and callAt', () => {
  it('call back in the order of the deadlines, at the deadlines', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      const seen: string[] = [];
      const note = (name: string): void => void seen.push(`${name} at ${loop.time()}`);
      loop.callLater(30, note, 'later 30');
      loop.callAt(20, note, 'at 20');
      loop.callLater(10.5, note, 'later 10.5');
      yield* reaches(loop, 40);
      assert.deepEqual(seen, ['later 10.5 at 10.5', 'at 20 at 20', 'later 30 at 30']);
    }));

  it('run equal deadlines in the order in which they were armed', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      const seen: number[] = [];
      for (let i = 0; i < 50; i++) loop.callAt(10, () => seen.push(i));
      yield* reaches(loop, 11);
      assert.deepEqual(
        seen,
        Array.from({ length: 50 }, (_, i) => i),
      );
    }));

  it('run a timer of zero in the next iteration, behind what is queued', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      const seen: string[] = [];
      loop.callLater(0, () => seen.push('timer'));
      loop.callSoon(() => {
        seen.push('soon');
        loop.callSoon(() => seen.push('an iteration later'));
      });
      yield* reaches(loop, 1);
      assert.deepEqual(seen, ['soon', 'timer', 'an iteration later']);
    }));

  it('run a deadline in the past in the next iteration, the earliest first', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      yield* sleep(100);
      const seen: string[] = [];
      loop.callLater(-1, () => seen.push('-1'));
      loop.callLater(-50, () => seen.push('-50'));
      loop.callAt(0, () => seen.push('at 0'));
      loop.callLater(-Infinity, () => seen.push('-Infinity'));
      yield* sleep(0);
      yield* sleep(0);
      assert.deepEqual(seen, ['-Infinity', 'at 0', '-50', '-1']);
      assert.equal(loop.time(), 100);
    }));

  it('never call back at Infinity', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      const seen: string[] = [];
      const handles = [
        loop.callLater(Infinity, () => seen.push('later')),
        loop.callAt(Infinity, () => seen.push('at')),
      ];
      yield* sleep(1e12);
      assert.deepEqual(seen, []);
      assert.deepEqual(
        handles.map((handle) => handle.cancelled()),
        [false, false],
      );
      for (const handle of handles) handle.cancel();
    }));

  it('run an hour of timers in no time when the loop has a clock of its own', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      let minutes = 0;
      const tick = (): void => {
        if (++minutes < 60) loop.callLater(60_000, tick);
      };
      loop.callLater(60_000, tick);
      yield* reaches(loop, 3_600_000);
      assert.equal(minutes, 60);
    }));

  it('do not fire a timer that was cancelled, among many that were not', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      const seen: number[] = [];
      const handles = Array.from({ length: 3000 }, (_, i) =>
        loop.callLater((i * 7919) % 1000, () => seen.push(i)),
      );
      handles.forEach((handle, i) => {
        if (i % 3 !== 0) handle.cancel();
      });
      yield* reaches(loop, 1001);
      const expected = handles
        .map((handle, i) => ({ when: handle.when(), i }))
        .filter(({ i }) => i % 3 === 0)
        .sort((a, b) => a.when - b.when || a.i - b.i)
        .map(({ i }) => i);
      assert.deepEqual(seen, expected);
    }));

  it('let a callback cancel a timer that is due in the same iteration', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      const seen: string[] = [];
      loop.callAt(5, () => second.cancel());
      const second = loop.callAt(5, () => seen.push('second'));
      loop.callAt(5, () => seen.push('third'));
      yield* reaches(loop, 6);
      assert.deepEqual(seen, ['third']);
    }));

  it('let a callback arm the next timer', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      const times: number[] = [];
      const again = (): void => {
        times.push(loop.time());
        if (times.length < 3) loop.callLater(5, again);
      };
      loop.callLater(5, again);
      yield* reaches(loop, 20);
      assert.deepEqual(times, [5, 10, 15]);
    }));

  it('arm ten thousand timers and run every one', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      let fired = 0;
      for (let i = 0; i < 10_000; i++) loop.callLater(i % 97, () => fired++);
      yield* reaches(loop, 100);
      assert.equal(fired, 10_000);
      assert.equal(loop.statistics().timers, 0);
    }));
});

describe("timers of the thread's loop, in real time", () => {
  it('are never early', async () => {
    const loop = getEventLoop();
    const early: number[] = [];
    await Promise.all(
      [0.1, 0.5, 1, 1.7, 2, 3.3].map(
        (delay) =>
          new Promise<void>((resolve) => {
            const due = performance.now() + delay;
            loop.callLater(delay, () => {
              const now = performance.now();
              if (now < due) early.push(due - now);
              resolve();
            });
          }),
      ),
    );
    assert.deepEqual(early, []);
  });

  it('can be armed from anywhere and wake the loop in time', async () => {
    const began = performance.now();
    await new Promise((resolve) => setImmediate(() => getEventLoop().callLater(1, resolve)));
    assert.ok(performance.now() - began >= 1);
  });

  it('fire the earlier one first when it is armed while the loop waits for the later one', async () => {
    const loop = getEventLoop();
    const seen: string[] = [];
    const late = loop.callLater(60_000, () => seen.push('late'));
    await turnOfNode();
    await new Promise<void>((resolve) => {
      loop.callLater(1, () => resolve(void seen.push('early')));
    });
    assert.deepEqual(seen, ['early']);
    late.cancel();
  });
});
