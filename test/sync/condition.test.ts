import assert from 'node:assert/strict';
import {
  type Abortable,
  Condition,
  Coroutine,
  cancelScope,
  createTask,
  currentTask,
  isCancelledError,
  Lock,
  RuntimeError,
  sleep,
  type Task,
  withLock,
} from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';
import {
  behavesLikeEveryWait,
  deadlockOf,
  errorOf,
  KINDS,
  losesNoWakeUp,
  type Subject,
} from '../support/waits.js';

/** Waits, with the lock before and after. */
function* waitLocked(condition: Condition, options?: Abortable): Generator<unknown, true, any> {
  yield* condition.acquire();
  try {
    return yield* condition.wait(options);
  } finally {
    assert.equal(condition.statistics().lock.owner, currentTask());
    condition.release();
  }
}

function* notify(condition: Condition, n?: number): Generator<unknown, void, any> {
  yield* condition.acquire();
  condition.notify(n);
  condition.release();
}

function waiting(): Subject {
  const condition = new Condition();
  return {
    composed: true,
    wait: (options) => new Coroutine(waitLocked(condition, options)),
    wake: () => notify(condition),
    waiters: () => condition.statistics().waiters,
    check: (result) => assert.equal(result, true),
  };
}

function waitingForTokens(): Subject {
  const condition = new Condition();
  let tokens = 0;
  return {
    composed: true,
    wait: (options) =>
      withLock(condition, function* () {
        yield* condition.waitFor(() => tokens > 0, options);
        return tokens--;
      }),
    *wake() {
      tokens++;
      yield* notify(condition);
    },
    waiters: () => condition.statistics().waiters,
    check: (result) => assert.equal(result, 1),
  };
}

function lockTaken(): Subject {
  const condition = new Condition();
  return {
    *setUp() {
      yield* condition.acquire();
    },
    wait: (options) => condition.acquire(options),
    *wake() {
      condition.release();
    },
    waiters: () => condition.statistics().lock.waiters,
    check: (result) => assert.equal(result, true),
  };
}

describe('Condition.acquire()', () => {
  behavesLikeEveryWait(lockTaken);
  losesNoWakeUp(lockTaken);
});

describe('new Condition()', () => {
  it('shares the lock it is given', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      const [full, empty] = [new Condition(lock), new Condition(lock)];
      yield* full.acquire();
      assert.equal(empty.locked(), true);
      empty.release();
      assert.equal(lock.locked(), false);
    }));

  it('refuses a lock that is none, and says what it got', () => {
    for (const [wrong, shown] of [
      [5, '5'],
      [null, 'null'],
      [new Condition(), 'an instance of Condition'],
    ]) {
      assert.throws(() => new Condition(wrong as never), {
        name: 'TypeError',
        message: `Condition: lock must be a Lock, got ${shown}`,
      });
    }
  });
});

describe('Condition.wait()', () => {
  behavesLikeEveryWait(waiting);
  losesNoWakeUp(waiting);

  it('throws a RuntimeError if nobody has the lock', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      const error = yield* errorOf(condition.wait());
      assert.ok(error instanceof RuntimeError);
      assert.equal(error.message, 'cannot wait on un-acquired lock');
      assert.deepEqual(condition.statistics().waiters, 0);
    }));

  it('refuses a signal that is none', () => {
    assert.throws(() => new Condition().wait({ signal: 5 as never }), {
      name: 'TypeError',
      message: 'wait: signal must be an AbortSignal, got 5',
    });
  });

  it('releases the lock while it waits', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      const task = createTask(waitLocked(condition));
      yield* sleep(1);
      assert.equal(condition.locked(), false);
      yield* notify(condition);
      assert.equal(yield* task, true);
    }));

  it('does not go on before the lock is released', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      const task = createTask(waitLocked(condition));
      yield* sleep(1);
      yield* condition.acquire();
      condition.notify();
      yield* sleep(10);
      assert.equal(task.done(), false);
      condition.release();
      assert.equal(yield* task, true);
    }));

  for (const [kind, start] of KINDS) {
    describe(`in ${kind}`, () => itTakesTheLockAgain(start));
  }

  it('passes the notification on when it is cancelled after it', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      const [first, second] = [1, 2].map(() => createTask(waitLocked(condition)));
      yield* sleep(1);
      yield* condition.acquire();
      condition.notify();
      yield* sleep(1);
      first!.cancel();
      condition.release();
      assert.equal(yield* second!, true);
      assert.ok(isCancelledError(yield* errorOf(first!)));
    }));

  it('passes the notification on when it is aborted while it waits for the lock', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      const controller = new AbortController();
      const first = createTask(waitLocked(condition, { signal: controller.signal }));
      const second = createTask(waitLocked(condition));
      yield* sleep(1);
      yield* condition.acquire();
      condition.notify();
      yield* sleep(1);
      controller.abort(new RangeError('aborted'));
      yield* sleep(1);
      assert.equal(first.done(), false);
      condition.release();
      assert.equal((yield* errorOf(first)).message, 'aborted');
      assert.equal(yield* second, true);
    }));

  it('takes the lock again, and is left once, when a cancel scope around it is cancelled', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      let owner: Task<unknown> | null = null;
      const task = createTask(() =>
        cancelScope(function* (scope) {
          yield* condition.acquire();
          createTask(function* () {
            yield* condition.acquire();
            scope.cancel();
            yield* sleep(10);
            condition.release();
          });
          try {
            yield* condition.wait();
          } finally {
            owner = condition.statistics().lock.owner;
            condition.release();
          }
        }),
      );
      assert.equal(yield* task, undefined);
      assert.equal(owner, task);
      assert.equal(condition.locked(), false);
    }));

  it('keeps the lock that it had when it is used on a second loop', async () => {
    const condition = new Condition();
    await withVirtualTime(function* () {
      const task = createTask(waitLocked(condition));
      yield* sleep(1);
      task.cancel();
      yield* errorOf(task);
    });
    await withVirtualTime(function* () {
      yield* condition.acquire();
      assert.ok((yield* errorOf(condition.wait())) instanceof RuntimeError);
      assert.equal(condition.statistics().lock.owner, currentTask());
    });
  });

  it('ends with a DeadlockError when nobody notifies', async () => {
    const lines = await deadlockOf(`function* () {
      const condition = new ringloop.Condition();
      yield* condition.acquire();
      yield* condition.wait();
    }`);
    assert.deepEqual(lines, ['main']);
  });
});

function itTakesTheLockAgain(start: (typeof KINDS)[number][1]): void {
  it('has the lock again when it is cancelled, be it twice while it waits for the lock', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      const task = start(() => new Coroutine(waitLocked(condition)));
      yield* sleep(1);
      yield* condition.acquire();
      for (const reason of ['first', 'second', 'third']) {
        task.cancel(reason);
        yield* sleep(1);
        assert.equal(task.done(), false);
      }
      condition.release();
      const error = yield* errorOf(task);
      assert.equal(error.reason, 'third');
      assert.equal(condition.locked(), false);
    }));

  it('has the lock again when it is aborted', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      const controller = new AbortController();
      const { signal } = controller;
      const task = start(() => new Coroutine(waitLocked(condition, { signal })));
      yield* sleep(1);
      yield* condition.acquire();
      controller.abort(new RangeError('aborted'));
      yield* sleep(1);
      assert.equal(task.done(), false);
      condition.release();
      assert.equal((yield* errorOf(task)).message, 'aborted');
      assert.equal(condition.locked(), false);
    }));
}

describe('Condition.waitFor()', () => {
  behavesLikeEveryWait(waitingForTokens);
  losesNoWakeUp(waitingForTokens);

  it('does not wait when the predicate is true, and returns what it returned', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      assert.equal(yield* condition.waitFor(() => 'yes'), 'yes');
    }));

  it('asks the predicate after every notification', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      let asked = 0;
      const task = createTask(() =>
        withLock(condition, () => condition.waitFor(() => ++asked === 4 && 'fourth')),
      );
      for (let i = 0; i < 3; i++) {
        yield* sleep(1);
        assert.equal(asked, i + 1);
        yield* notify(condition);
      }
      assert.equal(yield* task, 'fourth');
    }));

  it('throws what the predicate throws, with the lock', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      yield* condition.acquire();
      const failing = condition.waitFor(() => {
        throw new RangeError('predicate');
      });
      assert.equal((yield* errorOf(failing)).message, 'predicate');
      assert.equal(condition.locked(), true);
    }));

  it('is aborted by a signal that its predicate aborts', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      const controller = new AbortController();
      yield* condition.acquire();
      const aborted = condition.waitFor(
        () => {
          controller.abort(new RangeError('by the predicate'));
          return false;
        },
        { signal: controller.signal },
      );
      assert.equal((yield* errorOf(aborted)).message, 'by the predicate');
      assert.equal(condition.locked(), true);
    }));

  it('refuses a predicate that is no function, and a signal that is none', () => {
    assert.throws(() => new Condition().waitFor(true as never), {
      name: 'TypeError',
      message: 'waitFor: predicate must be a function, got true',
    });
    assert.throws(() => new Condition().waitFor(() => true, { signal: 'x' as never }), {
      name: 'TypeError',
      message: 'waitFor: signal must be an AbortSignal, got "x"',
    });
  });
});

describe('Condition.notify()', () => {
  it('throws a RuntimeError if nobody has the lock', () => {
    const expected = { name: 'RuntimeError', message: 'cannot notify on un-acquired lock' };
    assert.throws(() => new Condition().notify(), expected);
    assert.throws(() => new Condition().notifyAll(), expected);
  });

  it('wakes as many as it is told to, those who waited longest', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      const seen: number[] = [];
      for (let i = 0; i < 4; i++) {
        createTask(function* () {
          yield* waitLocked(condition);
          seen.push(i);
        });
      }
      yield* sleep(1);
      yield* notify(condition, 0);
      yield* sleep(1);
      assert.deepEqual(seen, []);
      yield* notify(condition, 2);
      yield* sleep(1);
      assert.deepEqual(seen, [0, 1]);
      yield* notify(condition, 100);
      yield* sleep(1);
      assert.deepEqual(seen, [0, 1, 2, 3]);
    }));

  it('does not count those who were notified already', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      const tasks = [1, 2, 3].map(() => createTask(waitLocked(condition)));
      yield* sleep(1);
      yield* condition.acquire();
      condition.notify();
      condition.notify();
      condition.release();
      yield* sleep(1);
      assert.deepEqual(
        tasks.map((task) => task.done()),
        [true, true, false],
      );
    }));

  it('is not remembered when nobody waits', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      yield* notify(condition);
      const task = createTask(waitLocked(condition));
      yield* sleep(1);
      assert.equal(task.done(), false);
    }));
});

describe('Condition.notifyAll()', () => {
  it('wakes all who wait, and they go on one after the other', () =>
    withVirtualTime(async () => {
      const condition = new Condition();
      const seen: string[] = [];
      const tasks = ['a', 'b', 'c'].map((name) =>
        createTask(() =>
          withLock(condition, async () => {
            await condition.wait();
            seen.push(`${name} in`);
            await sleep(1);
            seen.push(`${name} out`);
          }),
        ),
      );
      await sleep(1);
      await withLock(condition, async () => condition.notifyAll());
      await Promise.all(tasks);
      assert.deepEqual(seen, ['a in', 'a out', 'b in', 'b out', 'c in', 'c out']);
    }));
});

describe('Condition', () => {
  it('can be held by a using block, and entered and left', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      {
        using _ = yield* condition.hold();
        assert.equal(condition.locked(), true);
      }
      assert.equal(condition.locked(), false);
      yield* condition.enter();
      assert.equal(condition.locked(), true);
      condition.exit();
      assert.equal(condition.locked(), false);
    }));

  it('tells who has the lock, and how many wait for what', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      createTask(waitLocked(condition));
      yield* sleep(1);
      yield* condition.acquire();
      const next = createTask(condition.acquire());
      yield* sleep(1);
      assert.deepEqual(condition.statistics(), {
        lock: { locked: true, owner: currentTask(), waiters: 1 },
        waiters: 1,
      });
      assert.equal(String(condition), '<Condition <Lock locked, waiters: 1>, waiters: 1>');
      next.cancel();
      condition.release();
    }));
});
