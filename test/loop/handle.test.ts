import assert from 'node:assert/strict';

import { getEventLoop, getRunningLoop, Handle, TimerHandle } from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';

const nextIteration = (): Promise<void> =>
  new Promise((resolve) => getEventLoop().callSoon(resolve));

describe('Handle', () => {
  it('is what callSoon returns, and is not cancelled at first', async () => {
    const handle = getEventLoop().callSoon(() => {});
    assert.ok(handle instanceof Handle);
    assert.equal(handle.cancelled(), false);
    await nextIteration();
    assert.equal(handle.cancelled(), false);
  });

  it('does not run once it is cancelled', async () => {
    let calls = 0;
    const handle = getEventLoop().callSoon(() => calls++);
    handle.cancel();
    assert.equal(handle.cancelled(), true);
    await nextIteration();
    assert.equal(calls, 0);
  });

  it('can be cancelled by a callback of the same iteration', async () => {
    let calls = 0;
    getEventLoop().callSoon(() => second.cancel());
    const second = getEventLoop().callSoon(() => calls++);
    await nextIteration();
    assert.equal(calls, 0);
  });

  it('can be cancelled twice, and after it has run', async () => {
    const handle = getEventLoop().callSoon(() => {});
    await nextIteration();
    handle.cancel();
    handle.cancel();
    assert.equal(handle.cancelled(), true);
  });

  it('can cancel itself while it runs', async () => {
    const seen: boolean[] = [];
    const handle = getEventLoop().callSoon(() => {
      handle.cancel();
      seen.push(handle.cancelled());
    });
    await nextIteration();
    assert.deepEqual(seen, [true]);
  });

  it('drops its callback and arguments when it is cancelled', async () => {
    let value: object | undefined = { large: true };
    const reference = new WeakRef(value);
    const handle = getEventLoop().callSoon(() => {}, value);
    value = undefined;
    handle.cancel();
    await nextIteration();
    await nextIteration();
    global.gc!();
    assert.equal(reference.deref(), undefined);
    assert.equal(handle.cancelled(), true);
  });

  it('is cancelled at the end of a using block', async () => {
    let calls = 0;
    {
      using handle = getEventLoop().callSoon(() => calls++);
      assert.equal(handle.cancelled(), false);
    }
    await nextIteration();
    assert.equal(calls, 0);
  });

  it('has ref and unref, which return it and change nothing for a queued callback', async () => {
    let calls = 0;
    const handle = getEventLoop().callSoon(() => calls++);
    assert.equal(handle.unref().ref().unref(), handle);
    await nextIteration();
    assert.equal(calls, 1);
  });
});

describe('TimerHandle', () => {
  it('knows its deadline', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      const later = loop.callLater(250.5, () => {});
      const at = loop.callAt(99, () => {});
      const never = loop.callLater(Infinity, () => {});
      assert.ok(later instanceof TimerHandle);
      assert.deepEqual([later.when(), at.when(), never.when()], [250.5, 99, Infinity]);
      for (const handle of [later, at, never]) handle.cancel();
      assert.equal(later.when(), 250.5);
    }));

  it('disarms its timer at once when it is cancelled', () => {
    const before = getEventLoop().statistics().timers;
    const handle = getEventLoop().callLater(60_000, () => {});
    assert.equal(getEventLoop().statistics().timers, before + 1);
    handle.cancel();
    handle.cancel();
    assert.equal(getEventLoop().statistics().timers, before);
    assert.equal(handle.cancelled(), true);
  });

  it('is disarmed at the end of a using block', () => {
    {
      using handle = getEventLoop().callLater(60_000, () => {});
      assert.equal(handle.cancelled(), false);
    }
    assert.equal(getEventLoop().statistics().timers, 0);
  });

  it('has ref and unref, which return it, also when it is over', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      const handle = loop.callLater(1, () => {});
      assert.equal(handle.unref().unref().ref().ref(), handle);
      const future = loop.createFuture<void>();
      loop.callLater(2, () => future.setResult());
      yield* future;
      assert.equal(handle.unref().ref(), handle);
    }));

  it('does not disturb a later timer that took its place', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      const seen: string[] = [];
      const first = loop.callLater(10, () => seen.push('first'));
      first.cancel();
      const future = loop.createFuture<void>();
      loop.callLater(20, () => {
        seen.push('second');
        future.setResult();
      });
      first.cancel();
      first.unref();
      yield* future;
      assert.deepEqual(seen, ['second']);
    }));
});
