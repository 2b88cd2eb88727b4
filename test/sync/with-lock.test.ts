import assert from 'node:assert/strict';
import {
  BoundedSemaphore,
  Condition,
  createTask,
  currentTask,
  isCancelledError,
  Lock,
  Semaphore,
  sleep,
  withLock,
} from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';
import { errorOf } from '../support/waits.js';

describe('withLock', () => {
  it('returns what its block returns, and holds the lock meanwhile', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      const result = yield* withLock(lock, function* () {
        assert.equal(lock.statistics().owner, currentTask());
        yield* sleep(1);
        return 'done';
      });
      assert.equal(result, 'done');
      assert.equal(lock.locked(), false);
    }));

  it('works with async functions, inside and outside', () =>
    withVirtualTime(async () => {
      const lock = new Lock();
      const seen: string[] = [];
      const worker = (name: string) => async (): Promise<string> => {
        seen.push(`${name} in`);
        await sleep(5);
        seen.push(`${name} out`);
        return name;
      };
      const results = await Promise.all([withLock(lock, worker('a')), withLock(lock, worker('b'))]);
      assert.deepEqual(results, ['a', 'b']);
      assert.deepEqual(seen, ['a in', 'a out', 'b in', 'b out']);
      assert.equal(lock.locked(), false);
    }));

  for (const lock of [new Lock(), new Condition(), new Semaphore(), new BoundedSemaphore()]) {
    it(`takes a ${lock.constructor.name}`, () =>
      withVirtualTime(function* () {
        yield* withLock(lock, function* () {
          assert.equal(lock.locked(), true);
        });
        assert.equal(lock.locked(), false);
      }));
  }

  it('takes whatever has acquire() and release()', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const own = {
        *acquire() {
          yield* sleep(1);
          seen.push('acquired');
        },
        release: () => void seen.push('released'),
      };
      yield* withLock(own, function* () {
        seen.push('block');
      });
      assert.deepEqual(seen, ['acquired', 'block', 'released']);
    }));

  it('lets the error of the block through, and releases the lock', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      const failing = withLock(lock, async () => {
        throw new RangeError('inside');
      });
      assert.equal((yield* errorOf(failing)).message, 'inside');
      assert.equal(lock.locked(), false);
    }));

  it('releases the lock when the block is cancelled', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      const task = createTask(() => withLock(lock, () => sleep(1000)));
      yield* sleep(1);
      task.cancel();
      assert.ok(isCancelledError(yield* errorOf(task)));
      assert.equal(lock.locked(), false);
    }));

  it('neither runs the block nor releases when it is cancelled while it waits', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      yield* lock.acquire();
      const task = createTask(() => withLock(lock, () => assert.fail('it should not run')));
      yield* sleep(1);
      task.cancel();
      assert.ok(isCancelledError(yield* errorOf(task)));
      assert.equal(lock.locked(), true);
    }));

  it('passes the lock on when it is cancelled with the lock on its way', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      yield* lock.acquire();
      const task = createTask(() => withLock(lock, () => assert.fail('it should not run')));
      const next = createTask(() => withLock(lock, () => sleep(1, 'next')));
      yield* sleep(1);
      lock.release();
      task.cancel();
      assert.equal(yield* next, 'next');
      assert.ok(isCancelledError(yield* errorOf(task)));
    }));

  it('refuses what is no lock, and blocks that are no function, and says what it got', () => {
    for (const [wrong, shown] of [
      [undefined, 'undefined'],
      [null, 'null'],
      ['lock', '"lock"'],
      [{ acquire() {} }, 'an instance of Object'],
    ]) {
      assert.throws(() => withLock(wrong as never, function* () {}), {
        name: 'TypeError',
        message: `withLock: expected a lock, got ${shown}`,
      });
    }
    assert.throws(() => withLock(new Lock(), 5 as never), {
      name: 'TypeError',
      message: 'withLock: body must be a function, got 5',
    });
  });

  it('releases the lock when the block returns nothing to wait for', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      const error = yield* errorOf(withLock(lock, (() => 5) as never));
      assert.ok(error instanceof TypeError);
      assert.equal(lock.locked(), false);
    }));
});
