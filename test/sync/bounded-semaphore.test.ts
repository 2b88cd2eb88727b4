import assert from 'node:assert/strict';
import { BoundedSemaphore, createTask, isCancelledError, Semaphore, sleep } from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';
import {
  behavesLikeEveryWait,
  deadlockOf,
  errorOf,
  losesNoWakeUp,
  type Subject,
} from '../support/waits.js';

const TOO_MANY = { name: 'RangeError', message: 'BoundedSemaphore released too many times' };

function taken(): Subject {
  const semaphore = new BoundedSemaphore(3);
  return {
    *setUp() {
      for (let i = 0; i < 3; i++) yield* semaphore.acquire();
    },
    wait: (options) => semaphore.acquire(options),
    *wake() {
      semaphore.release();
    },
    waiters: () => semaphore.statistics().waiters,
    check: (result) => assert.equal(result, true),
  };
}

describe('BoundedSemaphore.acquire()', () => {
  behavesLikeEveryWait(taken);
  losesNoWakeUp(taken);

  it('ends with a DeadlockError when nobody gives a permit back', async () => {
    const lines = await deadlockOf('() => new ringloop.BoundedSemaphore(0).acquire()');
    assert.deepEqual(lines, ['main']);
  });
});

describe('BoundedSemaphore.release()', () => {
  it('throws a RangeError if no permit is out', () => {
    assert.throws(() => new BoundedSemaphore().release(), TOO_MANY);
    assert.throws(() => new BoundedSemaphore(0).release(), TOO_MANY);
    assert.throws(() => new BoundedSemaphore(5).exit(), TOO_MANY);
  });

  it('gives a permit back that is out', () =>
    withVirtualTime(function* () {
      const semaphore = new BoundedSemaphore(2);
      yield* semaphore.acquire();
      semaphore.release();
      assert.equal(semaphore.statistics().value, 2);
      assert.throws(() => semaphore.release(), TOO_MANY);
      assert.equal(semaphore.statistics().value, 2);
    }));

  it('counts a permit on its way to a waiter as one that is out', () =>
    withVirtualTime(function* () {
      const semaphore = new BoundedSemaphore(1);
      yield* semaphore.acquire();
      const task = createTask(semaphore.acquire());
      yield* sleep(1);
      semaphore.release();
      task.cancel();
      assert.ok(isCancelledError(yield* errorOf(task)));
      assert.throws(() => semaphore.release(), TOO_MANY);
    }));
});

describe('BoundedSemaphore', () => {
  it('is a Semaphore, and refuses what that refuses', () => {
    assert.ok(new BoundedSemaphore() instanceof Semaphore);
    assert.throws(() => new BoundedSemaphore(-1), RangeError);
    assert.throws(() => new BoundedSemaphore('1' as never), { name: 'TypeError', message: /"1"/ });
    assert.equal(String(new BoundedSemaphore(2)), '<BoundedSemaphore value: 2, waiters: 0>');
  });

  it('can be held by a using block', () =>
    withVirtualTime(function* () {
      const semaphore = new BoundedSemaphore(1);
      {
        using _ = yield* semaphore.hold();
        assert.equal(semaphore.locked(), true);
      }
      assert.equal(semaphore.locked(), false);
    }));
});
