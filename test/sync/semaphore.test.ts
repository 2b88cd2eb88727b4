import assert from 'node:assert/strict';
import {
  type Abortable,
  type Coroutine,
  createTask,
  Hold,
  isCancelledError,
  Semaphore,
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

function empty(
  wait: (semaphore: Semaphore, options?: Abortable) => Coroutine<unknown>,
  check: (result: unknown) => void,
): () => Subject {
  return () => {
    const semaphore = new Semaphore(0);
    return {
      wait: (options) => wait(semaphore, options),
      *wake() {
        semaphore.release();
      },
      waiters: () => semaphore.statistics().waiters,
      check,
    };
  };
}

const acquiring = empty(
  (semaphore, options) => semaphore.acquire(options),
  (result) => assert.equal(result, true),
);
const holding = empty(
  (semaphore, options) => semaphore.hold(options),
  (result) => assert.ok(result instanceof Hold),
);
const entering = empty(
  (semaphore, options) => semaphore.enter(options),
  (result) => assert.equal(result, undefined),
);

describe('new Semaphore()', () => {
  it('has one permit when it is not told otherwise', () => {
    assert.deepEqual(new Semaphore().statistics(), { value: 1, waiters: 0 });
    assert.equal(new Semaphore().locked(), false);
    assert.equal(new Semaphore(0).locked(), true);
  });

  it('refuses a number of permits that is no integer, and says what it got', () => {
    for (const [wrong, shown] of [
      ['5', '"5"'],
      [1.5, '1.5'],
      [NaN, 'NaN'],
      [Infinity, 'Infinity'],
      [null, 'null'],
      [{}, 'an instance of Object'],
    ]) {
      assert.throws(() => new Semaphore(wrong as never), {
        name: 'TypeError',
        message: `Semaphore: initial value must be an integer, got ${shown}`,
      });
    }
  });

  it('refuses a negative number of permits', () => {
    assert.throws(() => new Semaphore(-1), {
      name: 'RangeError',
      message: 'Semaphore initial value must be >= 0',
    });
  });
});

describe('Semaphore.acquire()', () => {
  behavesLikeEveryWait(acquiring);
  losesNoWakeUp(acquiring);

  it('does not wait while permits are free', () =>
    withVirtualTime(function* () {
      const semaphore = new Semaphore(2);
      let ran = false;
      createTask(function* () {
        ran = true;
      });
      yield* semaphore.acquire();
      yield* semaphore.acquire();
      assert.equal(ran, false);
      assert.equal(semaphore.locked(), true);
    }));

  it('lets as many tasks in as there are permits', () =>
    withVirtualTime(function* () {
      const semaphore = new Semaphore(3);
      let inside = 0;
      let most = 0;
      const tasks = Array.from({ length: 10 }, (_, i) =>
        createTask(function* () {
          using _ = yield* semaphore.hold();
          most = Math.max(most, ++inside);
          yield* sleep(1 + (i % 3));
          inside--;
        }),
      );
      for (const task of tasks) yield* task;
      assert.equal(most, 3);
      assert.deepEqual(semaphore.statistics(), { value: 3, waiters: 0 });
    }));

  it('does not overtake whoever a permit is on its way to', () =>
    withVirtualTime(function* () {
      const semaphore = new Semaphore(0);
      const seen: string[] = [];
      createTask(function* () {
        yield* semaphore.acquire();
        seen.push('waited');
        semaphore.release();
      });
      yield* sleep(1);
      semaphore.release();
      assert.equal(semaphore.locked(), true);
      yield* semaphore.acquire();
      seen.push('came later');
      assert.deepEqual(seen, ['waited', 'came later']);
    }));

  it('overtakes nobody, though there are more permits than waiters', () =>
    withVirtualTime(function* () {
      const semaphore = new Semaphore(0);
      const first = createTask(semaphore.acquire());
      yield* sleep(1);
      semaphore.release();
      semaphore.release();
      const second = createTask(semaphore.acquire());
      assert.equal(semaphore.locked(), true);
      assert.equal(yield* first, true);
      assert.equal(yield* second, true);
      assert.equal(semaphore.statistics().value, 0);
    }));

  it('gives the permit back when it is cancelled with the permit on its way', () =>
    withVirtualTime(function* () {
      const semaphore = new Semaphore(0);
      const task = createTask(semaphore.acquire());
      yield* sleep(1);
      semaphore.release();
      assert.equal(semaphore.statistics().value, 0);
      task.cancel();
      assert.ok(isCancelledError(yield* errorOf(task)));
      assert.deepEqual(semaphore.statistics(), { value: 1, waiters: 0 });
    }));

  it('keeps the permits together when the first of two that are woken is cancelled', () =>
    withVirtualTime(function* () {
      const semaphore = new Semaphore(0);
      const tasks = [1, 2, 3].map(() => createTask(semaphore.acquire()));
      yield* sleep(1);
      semaphore.release();
      semaphore.release();
      tasks[0]!.cancel();
      assert.equal(yield* tasks[1]!, true);
      assert.equal(yield* tasks[2]!, true);
      assert.deepEqual(semaphore.statistics(), { value: 0, waiters: 0 });
    }));

  it('ends with a DeadlockError when nobody gives a permit back', async () => {
    const lines = await deadlockOf('() => new ringloop.Semaphore(0).acquire()');
    assert.deepEqual(lines, ['main']);
  });
});

describe('Semaphore.hold()', () => {
  behavesLikeEveryWait(holding);
  losesNoWakeUp(holding);

  it('gives the permit back at the end of a using block, once', () =>
    withVirtualTime(async () => {
      const semaphore = new Semaphore(1);
      {
        using hold = await semaphore.hold();
        assert.equal(semaphore.locked(), true);
        hold.release();
        assert.equal(semaphore.locked(), false);
      }
      assert.equal(semaphore.statistics().value, 1);
    }));
});

describe('Semaphore.enter()', () => {
  behavesLikeEveryWait(entering);
  losesNoWakeUp(entering);

  it('begins what exit() ends', () =>
    withVirtualTime(function* () {
      const semaphore = new Semaphore(1);
      yield* semaphore.enter();
      assert.equal(semaphore.locked(), true);
      semaphore.exit();
      assert.equal(semaphore.locked(), false);
    }));
});

describe('Semaphore.release()', () => {
  it('may make more permits than there were', () => {
    const semaphore = new Semaphore(1);
    semaphore.release();
    assert.equal(semaphore.statistics().value, 2);
  });
});

describe('Semaphore.statistics()', () => {
  it('tells how many permits are free, and how many wait', () =>
    withVirtualTime(function* () {
      const semaphore = new Semaphore(1);
      yield* semaphore.acquire();
      const task = createTask(async () => await semaphore.acquire());
      yield* sleep(1);
      assert.deepEqual(semaphore.statistics(), { value: 0, waiters: 1 });
      assert.equal(String(semaphore), '<Semaphore value: 0, waiters: 1>');
      semaphore.release();
      yield* task;
      assert.deepEqual(semaphore.statistics(), { value: 0, waiters: 0 });
    }));
});
