import assert from 'node:assert/strict';

import { createTask, EventLoop, ensureFuture, Future, sleep, Task } from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';

describe('ensureFuture', () => {
  it('returns a future or task as it is', () =>
    withVirtualTime(function* () {
      const future = new Future<void>();
      const task = createTask(() => sleep(1));
      assert.equal(ensureFuture(future), future);
      assert.equal(ensureFuture(task), task);
      yield* task;
    }));

  it('makes a task of a generator, a coroutine or a function', () =>
    withVirtualTime(function* () {
      function* coroutine(): Generator<unknown, string, any> {
        return 'generator';
      }
      for (const [awaitable, result] of [
        [coroutine(), 'generator'],
        [coroutine, 'generator'],
        [sleep(1, 'sleep'), 'sleep'],
        [async () => 'async', 'async'],
      ] as const) {
        const task = ensureFuture<string>(awaitable);
        assert.ok(task instanceof Task);
        assert.equal(yield* task, result);
      }
    }));

  it('wraps a promise', () =>
    withVirtualTime(function* () {
      const future = ensureFuture(Promise.resolve('promise'));
      assert.ok(future instanceof Future && !(future instanceof Task));
      assert.equal(yield* future, 'promise');
    }));

  it('makes the task on the loop that is named', async () => {
    const loop = new EventLoop();
    const task = ensureFuture(() => sleep(0), { loop });
    assert.equal(task.loop, loop);
    await loop.runUntilComplete(task);
    loop.close();
  });

  it('refuses a future of another loop than the one that is named', () => {
    const loop = new EventLoop();
    assert.throws(() => ensureFuture(new Future(), { loop }), RangeError);
    loop.close();
  });

  it('refuses what cannot be awaited', () => {
    for (const wrong of [5, null, undefined, 'text', {}, []]) {
      assert.throws(() => ensureFuture(wrong as never), TypeError);
    }
  });
});
