import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';

import { createTask, EventLoop, Future, isCancelledError, run, sleep, until } from 'ringloop';
import { BOTH_KINDS, errorOf } from '../support/both-kinds.js';
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

  for (const [kind, start] of BOTH_KINDS) {
    it(`throws the reason of its signal in ${kind}, and the promise goes on`, () =>
      withUnhandledRejections(async (errors) => {
        await withVirtualTime(function* () {
          const controller = new AbortController();
          const { signal } = controller;
          let reject!: (error: Error) => void;
          const promise = new Promise((_resolve, fail) => {
            reject = fail;
          });
          const waiting = start(() => until(promise, { signal }));
          yield* sleep(1);
          controller.abort('enough');
          assert.equal(yield* errorOf(waiting), 'enough');
          assert.equal(waiting.cancelled(), false);
          assert.equal(getEventListeners(signal, 'abort').length, 0);
          reject(new Error('too late'));
          yield* until(turnOfNode());
        });
        assert.deepEqual(errors, []);
      }));

    it(`is cancelled in ${kind}, though its signal is aborted in the same iteration`, () =>
      withVirtualTime(function* () {
        for (const abortFirst of [true, false]) {
          const controller = new AbortController();
          const { signal } = controller;
          const waiting = start(() => until(new Promise(() => {}), { signal }));
          yield* sleep(1);
          if (abortFirst) controller.abort('aborted');
          waiting.cancel('cancelled');
          if (!abortFirst) controller.abort('aborted');
          assert.equal((yield* errorOf(waiting)).reason, 'cancelled');
          yield* sleep(0);
          assert.equal(getEventListeners(signal, 'abort').length, 0);
        }
      }));
  }

  it('throws the reason of a signal that was aborted before, also if the promise is settled', () =>
    withVirtualTime(function* () {
      const signal = AbortSignal.abort('before');
      assert.equal(yield* errorOf(until(Promise.resolve(1), { signal })), 'before');
      assert.equal(getEventListeners(signal, 'abort').length, 0);
    }));

  it('keeps what the promise came to when the signal is aborted later', () =>
    withVirtualTime(function* () {
      const controller = new AbortController();
      const { signal } = controller;
      const future = until(Promise.resolve('there'), { signal });
      yield* until(turnOfNode());
      controller.abort();
      assert.equal(yield* future, 'there');
      assert.equal(getEventListeners(signal, 'abort').length, 0);
    }));

  it('refuses a signal that is none', () => {
    for (const wrong of [5, null, new AbortController()]) {
      assert.throws(() => until(Promise.resolve(1), { signal: wrong as never }), {
        name: 'TypeError',
        message: /^until: signal must be an AbortSignal, got /,
      });
    }
  });
});
