import assert from 'node:assert/strict';

import { createTask, EventLoop, Future, isCancelledError, run, sleep, until } from 'ringloop';
import { turnOfNode, withUnhandledRejections } from '../support/capture.js';
import { withVirtualTime } from '../support/virtual-time.js';

describe('until', () => {
  it('returns what the promise resolves to', () =>
    withVirtualTime(function* () {
      assert.equal(yield* until(Promise.resolve('now')), 'now');
      assert.equal(yield* until(turnOfNode().then(() => 'later')), 'later');
    }));

  it('throws what the promise rejects with, whatever it is', () =>
    withVirtualTime(function* () {
      for (const reason of [new RangeError('no'), 'text', undefined, null]) {
        try {
          yield* until(Promise.reject(reason));
          assert.fail('it should have thrown');
        } catch (error) {
          assert.equal(error, reason);
        }
      }
    }));

  it('takes anything with then', () =>
    withVirtualTime(function* () {
      // biome-ignore lint/suspicious/noThenProperty: that is what is tested
      const thenable = { then: (resolve: (value: string) => void) => resolve('thenable') };
      assert.equal(yield* until(thenable as PromiseLike<string>), 'thenable');
    }));

  it('lets the waiting task be cancelled, and nothing becomes an unhandled rejection', () =>
    withUnhandledRejections(async (errors) => {
      await withVirtualTime(function* () {
        let reject: (error: Error) => void;
        const promise = new Promise((_resolve, fail) => {
          reject = fail;
        });
        const task = createTask(() => until(promise));
        yield* sleep(1);
        task.cancel();
        try {
          yield* task;
          assert.fail('it should have thrown');
        } catch (error) {
          assert.ok(isCancelledError(error));
        }
        reject!(new Error('too late'));
        yield* until(turnOfNode());
      });
      assert.deepEqual(errors, []);
    }));

  it('connects a task to what takes its signal', () =>
    withVirtualTime(async () => {
      const { setTimeout: delay } = await import('node:timers/promises');
      const seen: string[] = [];
      const task: { signal: AbortSignal; cancel(): boolean; cancelled(): boolean } = createTask(
        async () => {
          const request = delay(60_000, undefined, { signal: task.signal });
          request.catch((error: Error) => seen.push(error.name));
          await until(request);
        },
      );
      await sleep(1);
      task.cancel();
      await turnOfNode();
      assert.equal(task.cancelled(), true);
      assert.deepEqual(seen, ['AbortError']);
    }));

  it('is a future of the loop that is named', async () => {
    const loop = new EventLoop();
    const future = until(Promise.resolve(1), { loop });
    assert.ok(future instanceof Future);
    assert.equal(future.loop, loop);
    assert.equal(await loop.runUntilComplete(future), 1);
    loop.close();
  });

  it("wakes the thread's loop when a promise settles that nothing else knows of", async () => {
    const result = await run(() =>
      until(new Promise((resolve) => setTimeout(resolve, 2, 'woken'))),
    );
    assert.equal(result, 'woken');
  });

  it('refuses what is no promise', () => {
    for (const wrong of [5, null, undefined, {}, function* () {}]) {
      assert.throws(() => until(wrong as never), { name: 'TypeError', message: /promise/ });
    }
  });
});
