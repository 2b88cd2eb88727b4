import assert from 'node:assert/strict';
import {
  type Abortable,
  type Coroutine,
  createTask,
  currentTask,
  getRunningLoop,
  Hold,
  isCancelledError,
  Lock,
  RuntimeError,
  sleep,
} from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';
import {
  behavesLikeEveryWait,
  deadlockOf,
  errorOf,
  losesNoWakeUp,
  type Subject,
} from '../support/waits.js';

function taken(
  wait: (lock: Lock, options?: Abortable) => Coroutine<unknown>,
  check: (result: unknown) => void,
): () => Subject {
  return () => {
    const lock = new Lock();
    return {
      *setUp() {
        yield* lock.acquire();
      },
      wait: (options) => wait(lock, options),
      *wake() {
        lock.release();
      },
      waiters: () => lock.statistics().waiters,
      check,
    };
  };
}

const acquiring = taken(
  (lock, options) => lock.acquire(options),
  (result) => assert.equal(result, true),
);
const holding = taken(
  (lock, options) => lock.hold(options),
  (result) => assert.ok(result instanceof Hold),
);
const entering = taken(
  (lock, options) => lock.enter(options),
  (result) => assert.equal(result, undefined),
);

describe('Lock.acquire()', () => {
  behavesLikeEveryWait(acquiring);
  losesNoWakeUp(acquiring);

  it('takes a free lock without waiting', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      let ran = false;
      createTask(function* () {
        ran = true;
      });
      assert.equal(yield* lock.acquire(), true);
      assert.equal(ran, false);
      assert.equal(lock.locked(), true);
    }));

  it('lets one task at a time in', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      const seen: string[] = [];
      function* worker(name: string): Generator<unknown, void, any> {
        yield* lock.acquire();
        seen.push(`${name} in`);
        yield* sleep(10);
        seen.push(`${name} out`);
        lock.release();
      }
      const tasks = ['a', 'b', 'c'].map((name) => createTask(worker(name)));
      for (const task of tasks) yield* task;
      assert.deepEqual(seen, ['a in', 'a out', 'b in', 'b out', 'c in', 'c out']);
    }));

  it('waits for its own task when it is called twice: a lock is not reentrant', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      yield* lock.acquire();
      const task = currentTask()!;
      getRunningLoop().callLater(10, () => task.cancel());
      assert.ok(isCancelledError(yield* errorOf(lock.acquire())));
      task.uncancel();
    }));

  it('does not overtake whoever the lock is on its way to', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      const seen: string[] = [];
      yield* lock.acquire();
      createTask(function* () {
        yield* lock.acquire();
        seen.push('waited');
        lock.release();
      });
      yield* sleep(1);
      lock.release();
      assert.equal(lock.locked(), false);
      yield* lock.acquire();
      seen.push('came back');
      assert.deepEqual(seen, ['waited', 'came back']);
    }));

  it('overtakes those whose wait was cancelled', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      yield* lock.acquire();
      const task = createTask(lock.acquire());
      yield* sleep(1);
      task.cancel();
      lock.release();
      yield* lock.acquire();
      assert.equal(lock.statistics().owner, currentTask());
      yield* sleep(1);
      assert.deepEqual(lock.statistics(), { locked: true, owner: currentTask(), waiters: 0 });
    }));

  it('can be the whole coroutine of a task, and is not begun if that is cancelled first', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      const task = createTask(lock.acquire());
      task.cancel();
      assert.ok(isCancelledError(yield* errorOf(task)));
      assert.equal(lock.locked(), false);
    }));

  it('can be awaited once', () =>
    withVirtualTime(function* () {
      const once = new Lock().acquire();
      yield* once;
      const error = yield* errorOf(once);
      assert.ok(error instanceof RuntimeError);
      assert.equal(error.message, 'cannot reuse already awaited coroutine');
    }));

  it('takes nothing when yield stands where yield* belongs', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      const task = createTask(function* () {
        yield lock.acquire();
      });
      const error = yield* errorOf(task);
      assert.match(error.message, /^yield was used instead of yield\* in task/);
      assert.equal(lock.locked(), false);
    }));

  it('ends with a DeadlockError when nobody releases the lock', async () => {
    const lines = await deadlockOf(`function* () {
      const lock = new ringloop.Lock();
      yield* lock.acquire();
      yield* lock.acquire();
    }`);
    assert.deepEqual(lines, ['main']);
  });
});

describe('Lock.hold()', () => {
  behavesLikeEveryWait(holding);
  losesNoWakeUp(holding);

  it('releases the lock at the end of a using block', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      {
        using hold = yield* lock.hold();
        assert.ok(hold instanceof Hold);
        assert.equal(lock.locked(), true);
      }
      assert.equal(lock.locked(), false);
    }));

  it('releases the lock when the block throws, in an async function too', () =>
    withVirtualTime(async () => {
      const lock = new Lock();
      const failing = async (): Promise<void> => {
        using _ = await lock.hold();
        await sleep(1);
        throw new RangeError('inside');
      };
      await assert.rejects(failing, { message: 'inside' });
      assert.equal(lock.locked(), false);
    }));

  it('releases the lock when the block is cancelled', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      const task = createTask(function* () {
        using _ = yield* lock.hold();
        yield* sleep(1000);
      });
      yield* sleep(1);
      assert.equal(lock.statistics().owner, task);
      task.cancel();
      assert.ok(isCancelledError(yield* errorOf(task)));
      assert.equal(lock.locked(), false);
    }));

  it('releases once, however often it is told to', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      const hold = yield* lock.hold();
      hold.release();
      yield* lock.acquire();
      hold.release();
      hold[Symbol.dispose]();
      assert.equal(lock.locked(), true);
    }));
});

describe('Lock.enter()', () => {
  behavesLikeEveryWait(entering);
  losesNoWakeUp(entering);

  it('begins what exit() ends', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      yield* lock.enter();
      assert.equal(lock.locked(), true);
      lock.exit();
      assert.equal(lock.locked(), false);
      assert.throws(() => lock.exit(), RuntimeError);
    }));
});

describe('Lock.release()', () => {
  it('throws a RuntimeError if nobody has the lock', () => {
    assert.throws(() => new Lock().release(), {
      name: 'RuntimeError',
      message: 'Lock is not acquired.',
    });
  });

  it('may be called by any task', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      yield* createTask(lock.acquire());
      lock.release();
      assert.equal(lock.locked(), false);
    }));

  it('wakes in the next iteration, not at once', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      yield* lock.acquire();
      const task = createTask(lock.acquire());
      yield* sleep(1);
      lock.release();
      assert.equal(lock.locked(), false);
      yield* sleep(0);
      assert.equal(lock.locked(), true);
      assert.equal(yield* task, true);
    }));
});

describe('Lock.statistics()', () => {
  it('tells who has the lock, and how many wait', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      assert.deepEqual(lock.statistics(), { locked: false, owner: null, waiters: 0 });
      yield* lock.acquire();
      const task = createTask(async () => await lock.acquire());
      yield* sleep(1);
      assert.deepEqual(lock.statistics(), { locked: true, owner: currentTask(), waiters: 1 });
      assert.equal(String(lock), '<Lock locked, waiters: 1>');
      lock.release();
      assert.deepEqual(lock.statistics(), { locked: false, owner: null, waiters: 1 });
      yield* task;
      assert.deepEqual(lock.statistics(), { locked: true, owner: task, waiters: 0 });
    }));
});
