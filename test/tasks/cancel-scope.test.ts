import assert from 'node:assert/strict';
import {
  type Awaitable,
  asCompleted,
  type CancelledError,
  CancelScope,
  Condition,
  type Coroutine,
  cancelScope,
  createTask,
  currentScope,
  currentTask,
  defaultTaskFactory,
  Event,
  eagerTaskFactory,
  Future,
  gather,
  getRunningLoop,
  isCancelledError,
  Lock,
  Queue,
  RuntimeError,
  Semaphore,
  shield,
  sleep,
  type Task,
  type TaskFactory,
  TaskGroup,
  TimeoutError,
  taskGroup,
  timeout,
  until,
  wait,
  waitFor,
} from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';

/** What a coroutine throws; undefined if it throws nothing. */
function* errorOf(coroutine: Iterable<unknown>): Generator<unknown, any, any> {
  try {
    yield* coroutine as Generator<unknown, unknown, any>;
  } catch (error) {
    return error;
  }
}

/** Iterations of the loop so far. */
const turns = (): number => getRunningLoop().statistics().turns;
const now = (): number => getRunningLoop().time();
const timers = (): number => getRunningLoop().statistics().timers;

/** Sleeps for long and, once cancelled, cleans up for a second that no scope reaches. */
function* cleanUpInShield(seen: string[], name = 'clean-up'): Generator<unknown, void, any> {
  try {
    yield* sleep(1e6);
  } finally {
    yield* cancelScope(() => sleep(1000), { shield: true });
    seen.push(`${name} done at ${now()}`);
  }
}

const waits: Record<string, () => Awaitable<unknown>> = {
  sleep: () => sleep(1e6),
  'sleep(Infinity)': () => sleep(Infinity),
  'sleep(0)': () => sleep(0),
  'sleep with options': () => sleep(1e6, 'result', { ref: false }),
  'a future': () => new Future(),
  'queue.get': () => new Queue().get(),
  'queue.put': () => {
    const queue = new Queue<number>(1);
    queue.putNowait(1);
    return queue.put(2);
  },
  'event.wait': () => new Event().wait(),
  'semaphore.acquire': () => new Semaphore(0).acquire(),
  'a gather of coroutines': () => gather(sleep(1e6), sleep(2e6)),
  'a gather of futures': () => gather(new Future(), new Future()),
  'a task': () => createTask(() => sleep(1e6)),
  'a shielded task': () => shield(new Future()),
  until: () => until(new Promise(() => {})),
  wait: () => wait([new Future()]),
  'wait with a timeout': () => wait([new Future()], { timeout: 1e6 }),
  waitFor: () => waitFor(sleep(1e6), null),
  'waitFor with a limit': () => waitFor(new Future(), 1e6),
  asCompleted: () => asCompleted([new Future()]).next()!,
  'a group': () =>
    taskGroup(function* (group) {
      group.createTask(() => sleep(1e6));
    }),
  'a timeout': () => timeout(1e6, () => sleep(1e6)),
  'a scope': () => cancelScope(() => sleep(1e6)),
};

const ROUNDS = 5;
/** Iterations that a wait may take to be cancelled: a group's takes four. */
const PER_ROUND = 8;

describe('a cancelled scope', () => {
  for (const [name, begin] of Object.entries(waits)) {
    it(`cancels ${name} again and again, in a generator`, () =>
      withVirtualTime(function* () {
        const errors: CancelledError[] = [];
        let scope: CancelScope | undefined;
        const before = turns();
        const result = yield* cancelScope(function* (mine) {
          scope = mine;
          mine.cancel('enough');
          for (let i = 0; i < ROUNDS; i++) {
            const error = yield* errorOf(begin() as Iterable<unknown>);
            errors.push(error);
          }
          yield* begin() as Generator<unknown, unknown, any>;
          assert.fail('it should have been left');
        });
        assert.equal(result, undefined);
        assert.equal(scope!.cancelledCaught, true);
        assert.equal(errors.length, ROUNDS);
        for (const error of errors) {
          assert.ok(isCancelledError(error), String(error));
          assert.equal(error.origin, scope);
          assert.equal(error.reason, 'enough');
        }
        assert.ok(turns() - before <= (ROUNDS + 1) * PER_ROUND, `${turns() - before} iterations`);
        assert.equal(now(), 0);
        assert.equal(timers(), 0);
        assert.equal(currentTask()!.cancelling(), 0);
      }));

    it(`cancels ${name} again and again, in an async function`, () =>
      withVirtualTime(async () => {
        const errors: unknown[] = [];
        const before = turns();
        const result = await cancelScope(async (scope) => {
          scope.cancel('enough');
          for (let i = 0; i < ROUNDS; i++) {
            try {
              await begin();
            } catch (error) {
              errors.push(error);
            }
          }
          await begin();
          assert.fail('it should have been left');
        });
        assert.equal(result, undefined);
        assert.equal(errors.length, ROUNDS);
        assert.ok(errors.every(isCancelledError));
        assert.ok(turns() - before <= (ROUNDS + 1) * PER_ROUND, `${turns() - before} iterations`);
        assert.equal(now(), 0);
        assert.equal(timers(), 0);
        await sleep(0);
      }));

    it(`interrupts ${name} that has begun, and every one that follows`, () =>
      withVirtualTime(function* () {
        if (name === 'sleep(0)') return;
        const seen: unknown[] = [];
        yield* cancelScope(function* (scope) {
          getRunningLoop().callLater(10, () => scope.cancel());
          for (let i = 0; i < ROUNDS; i++) seen.push(yield* errorOf(begin() as never));
        });
        assert.equal(seen.length, ROUNDS);
        assert.ok(seen.every(isCancelledError));
        assert.equal(now(), 10);
      }));
  }

  it('cancels lock.acquire again and again, and takes no lock', () =>
    withVirtualTime(function* () {
      const lock = new Lock();
      yield* lock.acquire();
      const errors: unknown[] = [];
      yield* cancelScope(function* (scope) {
        scope.cancel();
        for (let i = 0; i < ROUNDS; i++) errors.push(yield* errorOf(lock.acquire()));
        assert.equal(lock.statistics().waiters, 0);
      });
      assert.ok(errors.every(isCancelledError));
      assert.equal(errors.length, ROUNDS);
      lock.release();
      assert.equal(yield* lock.acquire(), true);
    }));

  it('cancels condition.wait again and again; each time it has the lock again', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      const errors: unknown[] = [];
      yield* cancelScope(function* (scope) {
        yield* condition.acquire();
        scope.cancel();
        for (let i = 0; i < ROUNDS; i++) {
          errors.push(yield* errorOf(condition.wait()));
          assert.equal(condition.locked(), true);
        }
        condition.release();
      });
      assert.ok(errors.every(isCancelledError));
      assert.equal(errors.length, ROUNDS);
    }));

  it('lets condition.wait wait for its lock without spinning', () =>
    withVirtualTime(function* () {
      const condition = new Condition();
      let scope: CancelScope | undefined;
      const waiter = createTask(() =>
        cancelScope(function* (mine) {
          scope = mine;
          yield* condition.acquire();
          try {
            yield* condition.wait();
          } finally {
            assert.equal(condition.locked(), true);
            condition.release();
          }
        }),
      );
      yield* sleep(1);
      yield* condition.acquire();
      scope!.cancel();
      const before = turns();
      yield* sleep(1000);
      assert.ok(turns() - before < 10, `${turns() - before} iterations`);
      assert.equal(waiter.done(), false);
      condition.release();
      yield* waiter;
      assert.equal(condition.locked(), false);
    }));

  it('interrupts what an async function awaits at once', () =>
    withVirtualTime(async () => {
      let errors = 0;
      const swallow = async (awaitable: Awaitable<unknown>): Promise<void> => {
        try {
          await awaitable;
        } catch {
          errors++;
        }
      };
      await cancelScope(async (scope) => {
        getRunningLoop().callLater(10, () => scope.cancel());
        for (let i = 0; i < ROUNDS; i++) {
          await Promise.all([sleep(100), new Queue().get(), sleep(0)].map(swallow));
        }
      });
      assert.equal(errors, 3 * ROUNDS - 1); // the first sleep(0) was over
      assert.equal(now(), 10);
    }));

  it('lets what needs no waiting through', () =>
    withVirtualTime(function* () {
      const result = yield* cancelScope(function* (scope) {
        scope.cancel();
        const queue = new Queue<string>();
        queue.putNowait('item');
        const done = new Future<string>();
        done.setResult('!');
        return (yield* queue.get()) + (yield* done);
      });
      assert.equal(result, 'item!');
    }));

  it('does not take a value from who has been given it', () =>
    withVirtualTime(function* () {
      const queue = new Queue<string>();
      const result = yield* cancelScope(function* (scope) {
        getRunningLoop().callSoon(() => {
          queue.putNowait('item');
          scope.cancel();
        });
        const item = yield* queue.get();
        assert.ok(isCancelledError(yield* errorOf(sleep(0))));
        return item;
      });
      assert.equal(result, 'item');
    }));

  it('keeps its first reason, and cancels nobody once it is left', () =>
    withVirtualTime(function* () {
      const scope = new CancelScope().enter();
      scope.cancel('first');
      scope.cancel('second');
      const error = yield* errorOf(sleep(1));
      assert.equal(error.reason, 'first');
      assert.equal(scope.exit(error), true);
      assert.equal(scope.reason, 'first');
      scope.cancel('late');
      yield* sleep(1);
      const other = new CancelScope().enter();
      assert.equal(other.exit(), false);
      other.cancel('late');
      yield* sleep(1);
      assert.equal(now(), 2);
    }));

  it('may be cancelled before it is entered', () =>
    withVirtualTime(function* () {
      const scope = new CancelScope();
      scope.cancel('early');
      scope.enter();
      const error = yield* errorOf(sleep(0));
      assert.equal(error.reason, 'early');
      assert.equal(scope.exit(error), true);
    }));

  it('may be cancelled by a callback, and by another task', () =>
    withVirtualTime(function* () {
      let scope: CancelScope | undefined;
      const block = (): Coroutine<unknown> =>
        cancelScope(function* (mine) {
          scope = mine;
          yield* sleep(1e6);
        });
      getRunningLoop().callLater(5, () => scope!.cancel());
      yield* block();
      assert.equal(now(), 5);
      createTask(function* () {
        yield* sleep(5);
        scope!.cancel();
      });
      yield* block();
      assert.equal(now(), 10);
    }));

  it('lets other errors and results through', () =>
    withVirtualTime(function* () {
      const error = yield* errorOf(
        cancelScope(function* (scope) {
          scope.cancel();
          throw new RangeError('mine');
        }),
      );
      assert.equal(error.message, 'mine');
      let scope: CancelScope | undefined;
      const result = yield* cancelScope(function* (mine) {
        scope = mine;
        mine.cancel();
        yield* errorOf(sleep(1));
        return 'in spite of it';
      });
      assert.equal(result, 'in spite of it');
      assert.equal(scope!.cancelCalled, true);
      assert.equal(scope!.cancelledCaught, false);
    }));

  it('lets a CancelledError through while it is not cancelled itself', () =>
    withVirtualTime(function* () {
      const other = createTask(() => sleep(100));
      getRunningLoop().callSoon(() => other.cancel('another'));
      const error = yield* errorOf(cancelScope(() => other));
      assert.equal(error.reason, 'another');
    }));
});

describe('nested scopes', () => {
  function* nested(
    cancel: (outer: CancelScope, inner: CancelScope) => void,
  ): Generator<unknown, string[], any> {
    const seen: string[] = [];
    yield* cancelScope(function* (outer) {
      yield* cancelScope(function* (inner) {
        getRunningLoop().callLater(5, () => cancel(outer, inner));
        for (let i = 0; i < 3; i++) {
          const error = yield* errorOf(sleep(10));
          if (error !== undefined) seen.push(error.origin === outer ? 'by outer' : 'by inner');
        }
        yield* sleep(10);
      });
      seen.push('after inner');
      yield* sleep(0);
      seen.push('in outer');
    });
    return seen;
  }

  it('go on behind the inner one when only that is cancelled', () =>
    withVirtualTime(function* () {
      const seen = yield* nested((_outer, inner) => inner.cancel());
      assert.deepEqual(seen, ['by inner', 'by inner', 'by inner', 'after inner', 'in outer']);
    }));

  it('are both left when the outer one is cancelled', () =>
    withVirtualTime(function* () {
      const seen = yield* nested((outer) => outer.cancel());
      assert.deepEqual(seen, ['by outer', 'by outer', 'by outer']);
    }));

  it('are both left when both are cancelled, whoever is first', () =>
    withVirtualTime(function* () {
      const outerFirst = yield* nested((outer, inner) => {
        outer.cancel();
        inner.cancel();
      });
      assert.deepEqual(outerFirst, ['by outer', 'by outer', 'by outer']);
      const innerFirst = yield* nested((outer, inner) => {
        inner.cancel();
        outer.cancel();
      });
      assert.deepEqual(innerFirst, ['by inner', 'by outer', 'by outer']);
    }));

  it('must be left in the reverse order; the one inside goes on', () =>
    withVirtualTime(function* () {
      const around = new CancelScope().enter();
      const outer = new CancelScope({ deadline: 100 }).enter();
      const inner = new CancelScope().enter();
      const cause = new RangeError('cause');
      assert.throws(() => outer.exit(cause), {
        name: 'RuntimeError',
        message: /reverse order/,
        cause,
      });
      assert.equal(timers(), 0);
      outer.cancel();
      yield* sleep(1);
      around.cancel('around');
      const error = yield* errorOf(sleep(1));
      assert.equal(error.origin, around);
      assert.equal(inner.exit(error), false);
      assert.throws(() => outer.exit(), RuntimeError);
      assert.equal(around.exit(error), true);
      yield* sleep(1);
    }));

  it('cannot overlap within one task: those who run side by side get a RuntimeError', () =>
    withVirtualTime(async () => {
      const [first, second] = await Promise.allSettled([
        cancelScope(async () => await sleep(10)),
        cancelScope(async () => await sleep(20, 'second')),
      ]);
      assert.ok(first.status === 'rejected' && first.reason instanceof RuntimeError);
      assert.match(first.reason.message, /tasks of their own/);
      assert.deepEqual(second, { status: 'fulfilled', value: 'second' });
      const results = await gather(
        cancelScope(() => sleep(10, 'first')),
        cancelScope(() => sleep(20, 'second')),
      );
      assert.deepEqual(results, ['first', 'second']);
    }));
});

describe('a shield', () => {
  it('keeps the scopes around it out, and costs no iterations', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      let before = 0;
      yield* cancelScope(function* (scope) {
        getRunningLoop().callLater(5, () => {
          before = turns();
          scope.cancel();
        });
        yield* cleanUpInShield(seen);
      });
      assert.deepEqual(seen, ['clean-up done at 1005']);
      assert.ok(turns() - before < 12, `${turns() - before} iterations`);
    }));

  it('works in async functions', () =>
    withVirtualTime(async () => {
      const seen: string[] = [];
      let before = 0;
      await cancelScope(async (scope) => {
        getRunningLoop().callLater(5, () => {
          before = turns();
          scope.cancel();
        });
        try {
          await sleep(1e6);
        } finally {
          await cancelScope(async () => await sleep(1000), { shield: true });
          seen.push(`clean-up done at ${now()}`);
        }
      });
      assert.deepEqual(seen, ['clean-up done at 1005']);
      assert.ok(turns() - before < 12, `${turns() - before} iterations`);
    }));

  it('that runs when the scope is cancelled runs on; what follows is cancelled', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      yield* cancelScope(function* (scope) {
        getRunningLoop().callLater(5, () => scope.cancel());
        seen.push((yield* cancelScope(() => sleep(10, 'shielded'), { shield: true }))!);
        const error = yield* errorOf(sleep(10));
        assert.equal(error.origin, scope);
      });
      assert.deepEqual(seen, ['shielded']);
      assert.equal(now(), 10);
    }));

  it('can be cancelled itself, and has limits of its own', () =>
    withVirtualTime(function* () {
      yield* cancelScope(function* (outer) {
        outer.cancel();
        const shielded = new CancelScope({ shield: true, deadline: 20 }).enter();
        assert.equal(shielded.effectiveDeadline(), 20);
        const error = yield* errorOf(sleep(1000));
        assert.equal(error.origin, shielded);
        assert.equal(shielded.exit(error), true);
        assert.equal(now(), 20);
        assert.equal((yield* errorOf(sleep(1))).origin, outer);
      });
      assert.equal(now(), 20);
    }));

  it('does not stop task.cancel()', () =>
    withVirtualTime(function* () {
      const task = createTask(() => cancelScope(() => sleep(1000), { shield: true }));
      yield* sleep(1);
      task.cancel('edge');
      const error = yield* errorOf(task);
      assert.equal(error.reason, 'edge');
      assert.equal(now(), 1);
    }));

  it('protects a scope inside it, whose clean-up may take its time', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      yield* cancelScope(function* (outer) {
        outer.cancel();
        yield* cancelScope(
          function* () {
            yield* cancelScope(function* (inner) {
              yield* sleep(10);
              inner.cancel();
              yield* sleep(10);
            });
            yield* sleep(10);
            seen.push(`at ${now()}`);
          },
          { shield: true },
        );
      });
      assert.deepEqual(seen, ['at 20']);
    }));
});

describe('the deadline of a scope', () => {
  it('cancels at its time, with a reason that can be chosen', () =>
    withVirtualTime(function* () {
      for (const [reason, expected] of [
        [undefined, 'deadline passed'],
        ['too slow', 'too slow'],
      ]) {
        const scope = new CancelScope({ deadline: now() + 10, reason }).enter();
        const began = now();
        const error = yield* errorOf(sleep(100));
        assert.equal(error.reason, expected);
        assert.equal(error.origin, scope);
        assert.equal(now(), began + 10);
        assert.equal(scope.exit(error), true);
      }
    }));

  it('in the past cancels the first wait, sleep(0) included', () =>
    withVirtualTime(function* () {
      yield* sleep(100);
      for (const deadline of [100, 50, 0, -Infinity]) {
        const scope = new CancelScope({ deadline }).enter();
        assert.equal(scope.cancelCalled, true);
        const error = yield* errorOf(sleep(0));
        assert.equal(error.origin, scope);
        assert.equal(scope.exit(error), true);
      }
      assert.equal(timers(), 0);
    }));

  it('can be moved, taken away and set from inside', () =>
    withVirtualTime(function* () {
      yield* cancelScope(function* (scope) {
        assert.equal(scope.deadline, Infinity);
        scope.deadline = 10;
        yield* sleep(5);
        scope.deadline = 50;
        assert.equal(scope.deadline, 50);
        yield* sleep(40);
        scope.deadline = Infinity;
        assert.equal(timers(), 0);
        yield* sleep(55);
        scope.deadline = 110;
        yield* sleep(100);
      });
      assert.equal(now(), 110);
      assert.equal(timers(), 0);
    }));

  it('moved into the past cancels at once', () =>
    withVirtualTime(function* () {
      yield* sleep(10);
      yield* cancelScope(function* (scope) {
        scope.deadline = 5;
        assert.equal(scope.cancelCalled, true);
        assert.ok(isCancelledError(yield* errorOf(sleep(0))));
        scope.deadline = 1000; // too late
        assert.ok(isCancelledError(yield* errorOf(sleep(0))));
        assert.equal(timers(), 0);
      });
    }));

  it('set before or after the block arms no timer', () =>
    withVirtualTime(function* () {
      const scope = new CancelScope();
      scope.deadline = 10;
      assert.equal(timers(), 0);
      scope.enter();
      assert.equal(timers(), 1);
      scope.exit();
      assert.equal(timers(), 0);
      scope.deadline = 20;
      assert.equal(timers(), 0);
      yield* sleep(50);
      assert.equal(scope.cancelCalled, false);
    }));

  it('is the earliest of all around it, up to a shield', () =>
    withVirtualTime(function* () {
      const outer = new CancelScope({ deadline: 10 }).enter();
      const inner = new CancelScope({ deadline: 20 }).enter();
      const shielded = new CancelScope({ shield: true, deadline: 40 }).enter();
      const innermost = new CancelScope({ deadline: 50 }).enter();
      assert.deepEqual(
        [outer, inner, shielded, innermost].map((each) => each.effectiveDeadline()),
        [10, 10, 40, 40],
      );
      outer.deadline = 30;
      assert.equal(inner.effectiveDeadline(), 20);
      inner.cancel();
      assert.equal(inner.effectiveDeadline(), -Infinity);
      assert.equal(outer.effectiveDeadline(), 30);
      assert.equal(innermost.effectiveDeadline(), 40);
      for (const scope of [innermost, shielded, inner, outer]) scope.exit();
      assert.equal(new CancelScope().effectiveDeadline(), Infinity);
    }));

  it('of the outer scope wins when it is earlier', () =>
    withVirtualTime(function* () {
      const seen: number[] = [];
      yield* cancelScope(
        function* () {
          yield* cancelScope(() => sleep(1000), { deadline: 20 });
          seen.push(now());
          yield* cancelScope(() => sleep(1000), { deadline: 1000 });
          seen.push(now());
        },
        { deadline: 50 },
      );
      assert.deepEqual(seen, [20]);
      assert.equal(now(), 50);
    }));
});

describe('the signal a scope listens to', () => {
  it('cancels it, with the reason of the signal', () =>
    withVirtualTime(function* () {
      const controller = new AbortController();
      const reason = new RangeError('why');
      getRunningLoop().callLater(10, () => controller.abort(reason));
      const scope = new CancelScope({ signal: controller.signal }).enter();
      const error = yield* errorOf(sleep(100));
      assert.equal(error.reason, reason);
      assert.equal(error.origin, scope);
      assert.equal(scope.exit(error), true);
      assert.equal(now(), 10);
    }));

  it('cancels the first wait when it was aborted before', () =>
    withVirtualTime(async () => {
      const seen: string[] = [];
      await cancelScope(
        async (scope) => {
          seen.push(String(scope.reason));
          await sleep(0);
          seen.push('never');
        },
        { signal: AbortSignal.abort('before') },
      );
      assert.deepEqual(seen, ['before']);
    }));

  it('is forgotten when the scope is left', () =>
    withVirtualTime(function* () {
      const controller = new AbortController();
      let scope: CancelScope | undefined;
      yield* cancelScope(
        function* (mine) {
          scope = mine;
        },
        { signal: controller.signal },
      );
      controller.abort();
      assert.equal(scope!.cancelCalled, false);
      yield* sleep(1);
    }));
});

describe('the signal of a scope', () => {
  /** As `fetch`: a promise that only its signal can end. */
  const fetchLike = (signal: AbortSignal): Promise<never> =>
    new Promise((_resolve, reject) => {
      const abort = (): void => reject(signal.reason);
      if (signal.aborted) abort();
      else signal.addEventListener('abort', abort);
    });

  it('aborts promise code inside', () =>
    withVirtualTime(async () => {
      let caught: unknown;
      let scope: CancelScope | undefined;
      await cancelScope(
        async (mine) => {
          scope = mine;
          try {
            await fetchLike(mine.signal);
          } catch (error) {
            caught = error;
            throw error;
          }
        },
        { deadline: 10 },
      );
      assert.ok(isCancelledError(caught));
      assert.equal(caught.origin, scope);
      assert.equal(scope!.cancelledCaught, true);
      assert.equal(now(), 10);
    }));

  it('is aborted already where the scope is cancelled', () =>
    withVirtualTime(async () => {
      let error: unknown;
      await cancelScope(async (scope) => {
        scope.cancel();
        error = await fetchLike(scope.signal).catch((each: unknown) => each);
      });
      assert.ok(isCancelledError(error));
    }));

  it('is aborted by scopes around it, but not behind a shield', () =>
    withVirtualTime(function* () {
      const outer = new CancelScope().enter();
      const inner = new CancelScope().enter();
      const shielded = new CancelScope({ shield: true }).enter();
      const signals = [outer, inner, shielded].map((each) => each.signal);
      assert.ok(signals.every((each) => !each.aborted));
      outer.cancel('why');
      assert.deepEqual(
        signals.map((each) => each.aborted),
        [true, true, false],
      );
      assert.equal(signals[1]!.reason.reason, 'why');
      assert.equal(signals[1]!.reason.origin, outer);
      for (const scope of [shielded, inner, outer]) scope.exit();
    }));
});

describe('task.cancel() and scopes', () => {
  it('passes through a scope that is not cancelled', () =>
    withVirtualTime(function* () {
      const task = createTask(() => cancelScope(() => sleep(100)));
      yield* sleep(1);
      task.cancel('edge');
      assert.equal((yield* errorOf(task)).reason, 'edge');
      assert.equal(task.cancelled(), true);
    }));

  for (const order of ['before', 'after'] as const) {
    it(`passes through a cancelled scope when it comes ${order} scope.cancel()`, () =>
      withVirtualTime(function* () {
        let scope: CancelScope | undefined;
        const task = createTask(() =>
          cancelScope(function* (mine) {
            scope = mine;
            yield* sleep(100);
          }),
        );
        yield* sleep(1);
        if (order === 'before') task.cancel('edge');
        scope!.cancel('level');
        if (order === 'after') task.cancel('edge');
        const error = yield* errorOf(task);
        assert.equal(error.reason, 'edge');
        assert.equal(task.cancelled(), true);
        assert.equal(scope!.cancelledCaught, false);
      }));

    it(`passes through in an async function when it comes ${order} scope.cancel()`, () =>
      withVirtualTime(async () => {
        let scope: CancelScope | undefined;
        const task = createTask(async () => {
          await cancelScope(async (mine) => {
            scope = mine;
            await sleep(100);
          });
        });
        await sleep(1);
        if (order === 'before') task.cancel('edge');
        scope!.cancel('level');
        if (order === 'after') task.cancel('edge');
        await assert.rejects(async () => await task, { reason: 'edge' });
      }));
  }

  it('that comes before the scope was entered does not keep the scope from swallowing', () =>
    withVirtualTime(function* () {
      const task = createTask(function* () {
        assert.ok(isCancelledError(yield* errorOf(sleep(100))));
        yield* cancelScope(function* (scope) {
          scope.cancel();
          yield* sleep(100);
        });
        return currentTask()!.cancelling();
      });
      yield* sleep(1);
      task.cancel();
      assert.equal(yield* task, 1);
    }));

  it('is an edge: once it is swallowed, the block goes on', () =>
    withVirtualTime(function* () {
      const task = createTask(() =>
        cancelScope(function* () {
          assert.ok(isCancelledError(yield* errorOf(sleep(100))));
          yield* sleep(100);
          return 'went on';
        }),
      );
      yield* sleep(1);
      task.cancel();
      assert.equal(yield* task, 'went on');
      assert.equal(now(), 101);
    }));

  it('that was taken back leaves the CancelledError to the scope', () =>
    withVirtualTime(function* () {
      const task = createTask(function* () {
        yield* cancelScope(function* (scope) {
          assert.ok(isCancelledError(yield* errorOf(sleep(100))));
          currentTask()!.uncancel();
          scope.cancel();
          yield* sleep(100);
        });
        return 'swallowed';
      });
      yield* sleep(1);
      task.cancel();
      assert.equal(yield* task, 'swallowed');
    }));

  it('keeps a cancelled scope from swallowing while it was not taken back', () =>
    withVirtualTime(function* () {
      const task = createTask(() =>
        cancelScope(function* (scope) {
          assert.ok(isCancelledError(yield* errorOf(sleep(100))));
          scope.cancel('level');
          yield* sleep(100);
        }),
      );
      yield* sleep(1);
      task.cancel('edge');
      assert.ok(isCancelledError(yield* errorOf(task)));
      assert.equal(task.cancelled(), true);
    }));

  it('of a task that has not started never starts its scope', () =>
    withVirtualTime(function* () {
      const task = createTask(() => cancelScope(() => assert.fail('never')));
      task.cancel('early');
      assert.equal((yield* errorOf(task)).reason, 'early');
    }));

  it('by timeout() inside a scope is a TimeoutError, as ever', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      yield* cancelScope(
        function* () {
          seen.push((yield* errorOf(timeout(10, () => sleep(100)))).name);
          yield* sleep(100);
        },
        { deadline: 50 },
      );
      assert.deepEqual(seen, ['TimeoutError']);
      assert.equal(now(), 50);
      assert.equal(currentTask()!.cancelling(), 0);
    }));

  it('by timeout() around a scope passes through the scope', () =>
    withVirtualTime(function* () {
      const scope = new CancelScope({ deadline: 50 });
      const error = yield* errorOf(
        timeout(10, function* () {
          scope.enter();
          try {
            yield* sleep(100);
          } catch (error) {
            assert.equal(scope.exit(error), false);
            throw error;
          }
        }),
      );
      assert.ok(error instanceof TimeoutError);
      assert.equal(now(), 10);
      assert.equal(timers(), 0);
      assert.equal(currentTask()!.cancelling(), 0);
      yield* sleep(1);
    }));

  it('by timeout() at the very time of the deadline of a scope around it', () =>
    withVirtualTime(function* () {
      for (const first of ['scope', 'timeout']) {
        const began = now();
        let error: unknown;
        yield* cancelScope(
          function* (scope) {
            if (first === 'timeout') scope.deadline = Infinity;
            error = yield* errorOf(
              timeout(10, function* () {
                scope.deadline = began + 10;
                yield* sleep(100);
              }),
            );
            yield* sleep(0);
            assert.fail('never');
          },
          { deadline: began + 10 },
        );
        assert.ok(error instanceof TimeoutError);
        assert.equal(now(), began + 10);
        assert.equal(currentTask()!.cancelling(), 0);
      }
    }));
});

describe('a task group in a scope', () => {
  it('has tasks that the scope reaches', () =>
    withVirtualTime(function* () {
      const seen: CancelledError[] = [];
      let scope: CancelScope | undefined;
      function* child(): Generator<unknown, void, any> {
        for (let i = 0; i < 3; i++) seen.push(yield* errorOf(sleep(1000)));
        yield* sleep(1000);
      }
      const result = yield* cancelScope(
        function* (mine) {
          scope = mine;
          yield* taskGroup(function* (group) {
            group.createTask(child);
            group.createTask(child);
          });
          return 'never';
        },
        { deadline: 10, reason: 'why' },
      );
      assert.equal(result, undefined);
      assert.equal(seen.length, 6);
      for (const error of seen) {
        assert.equal(error.origin, scope);
        assert.equal(error.reason, 'why');
      }
      assert.equal(now(), 10);
    }));

  it('has tasks that the scope reaches in async functions', () =>
    withVirtualTime(async () => {
      let errors = 0;
      await cancelScope(
        async () => {
          await taskGroup(async (group) => {
            group.createTask(async () => {
              for (let i = 0; i < 3; i++) {
                try {
                  await Promise.all([sleep(1000), sleep(2000)]);
                } catch {
                  errors++;
                }
              }
            });
            await sleep(1000);
          });
          assert.fail('never');
        },
        { deadline: 10 },
      );
      assert.equal(errors, 3);
      assert.equal(now(), 10);
    }));

  it('whose task swallows everything is left with the CancelledError of the scope', () =>
    withVirtualTime(function* () {
      let scope: CancelScope | undefined;
      let error: any;
      yield* cancelScope(
        function* (mine) {
          scope = mine;
          error = yield* errorOf(
            taskGroup(function* (group) {
              group.createTask(() => errorOf(sleep(1000)) as Awaitable<unknown>);
            }),
          );
        },
        { deadline: 10, reason: 'why' },
      );
      assert.equal(error.origin, scope);
      assert.equal(error.reason, 'why');
    }));

  it('that has nothing to wait for ends as ever', () =>
    withVirtualTime(function* () {
      const result = yield* cancelScope(function* (scope) {
        scope.cancel();
        return yield* taskGroup(function* () {
          return 'no wait, no cancellation';
        });
      });
      assert.equal(result, 'no wait, no cancellation');
    }));

  for (const where of ['in its block', 'at its end'] as const) {
    it(`waits ${where} for a shielded clean-up, without spinning`, () =>
      withVirtualTime(function* () {
        const seen: string[] = [];
        let before = 0;
        yield* cancelScope(function* (scope) {
          getRunningLoop().callLater(10, () => {
            before = turns();
            scope.cancel();
          });
          yield* taskGroup(function* (group) {
            group.createTask(cleanUpInShield(seen, 'a'));
            group.createTask(cleanUpInShield(seen, 'b'));
            if (where === 'in its block') yield* sleep(1e6);
          });
        });
        assert.deepEqual(seen, ['a done at 1010', 'b done at 1010']);
        assert.ok(turns() - before < 15, `${turns() - before} iterations`);
        assert.equal(timers(), 0);
      }));
  }

  it('whose task is in a shield already, and awaited by the block, lets it finish', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      yield* cancelScope(
        () =>
          taskGroup(function* (group) {
            const child = group.createTask(function* () {
              yield* cancelScope(() => sleep(100), { shield: true });
              seen.push(`shielded until ${now()}`);
              yield* sleep(100);
              seen.push('never');
            });
            yield* gather(child);
          }),
        { deadline: 10 },
      );
      assert.deepEqual(seen, ['shielded until 100']);
      assert.equal(now(), 100);
    }));

  it('passes task.cancel() on to tasks that clean up in a shield', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      let scope: CancelScope | undefined;
      const task = createTask(() =>
        cancelScope(function* (mine) {
          scope = mine;
          yield* taskGroup(function* (group) {
            group.createTask(cleanUpInShield(seen));
            yield* sleep(1e6);
          });
        }),
      );
      yield* sleep(10);
      scope!.cancel();
      yield* sleep(10);
      task.cancel('edge');
      const error = yield* errorOf(task);
      assert.equal(error.reason, 'edge');
      assert.deepEqual(seen, []);
      assert.equal(now(), 20);
    }));

  it('reports errors of its tasks rather than the cancellation', () =>
    withVirtualTime(function* () {
      const error = yield* errorOf(
        cancelScope(
          () =>
            taskGroup(function* (group) {
              group.createTask(function* () {
                try {
                  yield* sleep(1000);
                } catch {
                  throw new RangeError('clean-up failed');
                }
              });
            }),
          { deadline: 10 },
        ),
      );
      assert.equal(error.name, 'ExceptionGroup');
      assert.equal(error.errors[0].message, 'clean-up failed');
      assert.equal(currentTask()!.cancelling(), 0);
      yield* sleep(1);
    }));

  it('makes tasks in the scope it was entered in, whichever its block is in', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      yield* cancelScope(function* (outer) {
        yield* taskGroup(function* (group) {
          yield* cancelScope(function* (inner) {
            group.createTask(function* () {
              yield* sleep(10);
              seen.push('not of inner');
              assert.ok(isCancelledError(yield* errorOf(sleep(1000))));
              seen.push('of outer');
            });
            inner.cancel();
            yield* sleep(1);
          });
          yield* sleep(20);
          outer.cancel();
        });
      });
      assert.deepEqual(seen, ['not of inner', 'of outer']);
    }));

  it('whose tasks have groups reaches those tasks, too', () =>
    withVirtualTime(function* () {
      let leaves = 0;
      function* tree(depth: number): Generator<unknown, void, any> {
        if (depth === 0) {
          const error = yield* errorOf(sleep(1e6));
          if (isCancelledError(error)) leaves++;
          yield* sleep(1e6);
          return;
        }
        yield* taskGroup(function* (group) {
          group.createTask(tree(depth - 1));
          group.createTask(tree(depth - 1));
        });
      }
      yield* cancelScope(() => tree(4), { deadline: 10 });
      assert.equal(leaves, 16);
      assert.equal(now(), 10);
    }));

  it('ends tasks that are made after the cancellation at their first wait', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      yield* cancelScope(function* (scope) {
        yield* taskGroup(function* (group) {
          scope.cancel();
          group.createTask(function* () {
            seen.push('begun');
            yield* sleep(0);
            seen.push('never');
          });
        });
      });
      assert.deepEqual(seen, ['begun']);
    }));

  it('has tasks in the scope also if they start eagerly, or come from a factory', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      const dropsOptions: TaskFactory = (each, runnable) => defaultTaskFactory(each, runnable, {});
      for (const factory of [null, eagerTaskFactory, dropsOptions]) {
        loop.setTaskFactory(factory);
        let ended = 0;
        const began = now();
        function* child(): Generator<unknown, void, any> {
          for (let i = 0; i < 2; i++) {
            assert.ok(isCancelledError(yield* errorOf(cancelOrSleep())));
          }
          ended++;
          yield* sleep(1e6);
        }
        const cancelOrSleep = (): Iterable<unknown> =>
          taskGroup(function* (group) {
            group.createTask(() => sleep(1e6));
          });
        yield* cancelScope(
          () =>
            taskGroup(function* (group) {
              group.createTask(child);
              group.createTask(child(), { eagerStart: true, name: 'eager' });
            }),
          { deadline: began + 10 },
        );
        assert.equal(ended, 2);
        assert.equal(now(), began + 10);
      }
      loop.setTaskFactory(null);
    }));

  it('leaves nothing behind of a task that was done at once', () =>
    withVirtualTime(function* () {
      const scope = new CancelScope().enter();
      yield* taskGroup(function* (group) {
        for (let i = 0; i < 10; i++) group.createTask(function* () {}, { eagerStart: true });
      });
      assert.equal((scope as unknown as { children: Set<unknown> | null }).children?.size ?? 0, 0);
      scope.exit();
    }));

  it('whose start() is cancelled waits for the shielded clean-up without spinning', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      let before = 0;
      yield* cancelScope(function* (scope) {
        getRunningLoop().callLater(10, () => {
          before = turns();
          scope.cancel();
        });
        yield* taskGroup((group) => group.start(() => cleanUpInShield(seen)));
      });
      assert.deepEqual(seen, ['clean-up done at 1010']);
      assert.ok(turns() - before < 15, `${turns() - before} iterations`);
    }));

  it('whose start() is cancelled lets a shield finish that the task is in already', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      function* child(): Generator<unknown, void, any> {
        yield* cancelScope(() => sleep(100), { shield: true });
        seen.push(`shielded until ${now()}`);
        yield* sleep(100);
        seen.push('never');
      }
      yield* cancelScope(() => taskGroup((group) => group.start(child)), { deadline: 10 });
      assert.deepEqual(seen, ['shielded until 100']);
    }));

  it('that fails passes through a cancelled scope inside it', () =>
    withVirtualTime(function* () {
      const error = yield* errorOf(
        taskGroup(function* (group) {
          group.createTask(function* () {
            yield* sleep(10);
            throw new RangeError('task');
          });
          yield* cancelScope(function* (scope) {
            assert.ok(isCancelledError(yield* errorOf(sleep(1000))));
            scope.cancel();
            yield* sleep(1000);
          });
          assert.fail('never');
        }),
      );
      assert.equal(error.errors[0].message, 'task');
      assert.equal(error.errors.length, 1);
      assert.equal(currentTask()!.cancelling(), 0);
    }));

  it('that is cancelled by cancel() leaves the scope around it alone', () =>
    withVirtualTime(function* () {
      const result = yield* cancelScope(function* () {
        yield* taskGroup(function* (group) {
          group.createTask(() => sleep(1000));
          group.cancel();
          yield* sleep(1000);
        });
        return yield* sleep(1, 'goes on');
      });
      assert.equal(result, 'goes on');
    }));

  it('as an object in a scope behaves the same', () =>
    withVirtualTime(function* () {
      const scope = new CancelScope({ deadline: 10 }).enter();
      const group = new TaskGroup().enter();
      group.createTask(() => sleep(1e6));
      const error = yield* errorOf(group.exit());
      assert.equal(error.origin, scope);
      assert.equal(scope.exit(error), true);
    }));
});

describe('tasks that are only awaited in a scope', () => {
  it('are cancelled once, as by task.cancel(), and waited for', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      yield* cancelScope(
        function* () {
          const task = createTask(function* () {
            const error = yield* errorOf(sleep(1000));
            seen.push(error.reason);
            yield* sleep(5);
            seen.push(`ends at ${now()}`);
          });
          yield* task;
          yield* sleep(0);
          seen.push('never');
        },
        { deadline: 10, reason: 'why' },
      );
      assert.deepEqual(seen, ['why', 'ends at 15']);
    }));

  it('are left alone if nobody waits for them', () =>
    withVirtualTime(function* () {
      let task: Task<string> | undefined;
      yield* cancelScope(
        function* () {
          task = createTask(() => sleep(100, 'unharmed'));
          yield* sleep(1000);
        },
        { deadline: 10 },
      );
      assert.equal(yield* task!, 'unharmed');
    }));
});

describe('who cancelled, and why', () => {
  it('goes from a task through tasks to the leaf, and back', () =>
    withVirtualTime(function* () {
      const seen: [unknown, unknown][] = [];
      function* note(begin: () => Awaitable<unknown>): Generator<unknown, void, any> {
        try {
          yield* begin() as Generator<unknown, unknown, any>;
        } catch (error) {
          const { reason, origin } = error as CancelledError;
          seen.push([reason, origin]);
          throw error;
        }
      }
      const leaf = createTask(note(() => sleep(1000)));
      const middle = createTask(note(() => leaf));
      const top = createTask(note(() => gather(middle)));
      yield* sleep(1);
      const reason = { why: 'enough' };
      top.cancel(reason);
      const error = yield* errorOf(top);
      const me = currentTask();
      assert.equal(seen.length, 3);
      for (const each of seen) assert.deepEqual(each, [reason, me]);
      assert.equal(error.reason, reason);
      assert.equal(error.origin, me);
    }));

  it('is the scope, for tasks and gathers inside it', () =>
    withVirtualTime(function* () {
      const seen: CancelledError[] = [];
      function* leaf(): Generator<unknown, void, any> {
        const error = yield* errorOf(sleep(1000));
        seen.push(error);
        throw error;
      }
      let scope: CancelScope | undefined;
      yield* cancelScope(
        function* (mine) {
          scope = mine;
          const error = yield* errorOf(
            gather(
              leaf(),
              createTask(() => createTask(leaf)),
            ),
          );
          seen.push(error);
        },
        { deadline: 10, reason: 'why' },
      );
      assert.equal(seen.length, 3);
      for (const error of seen) {
        assert.equal(error.origin, scope);
        assert.equal(error.reason, 'why');
      }
    }));

  it('is the task that called, in an async function, too', () =>
    withVirtualTime(async () => {
      const task = createTask(() => sleep(1000));
      await sleep(1);
      task.cancel('why');
      const me = currentTask();
      await assert.rejects(
        async () => await task,
        (error: CancelledError) => error.origin === me && error.reason === 'why',
      );
    }));

  it('is nobody when a callback cancels', () =>
    withVirtualTime(function* () {
      const task = createTask(() => sleep(1000));
      getRunningLoop().callLater(5, () => task.cancel('why'));
      const error = yield* errorOf(task);
      assert.equal(error.origin, null);
      assert.equal(error.reason, 'why');
    }));
});

describe('CancelScope as an object', () => {
  it('can be entered once', () =>
    withVirtualTime(function* () {
      const scope = new CancelScope().enter();
      assert.throws(() => scope.enter(), { message: 'CancelScope has already been entered' });
      assert.equal(scope.exit(), false);
      assert.throws(() => scope.enter(), RuntimeError);
    }));

  it('cannot be left before it is entered, nor twice', () =>
    withVirtualTime(function* () {
      const scope = new CancelScope();
      assert.throws(() => scope.exit(), { name: 'RuntimeError', message: /not been entered/ });
      scope.enter().exit();
      assert.throws(() => scope.exit(), { name: 'RuntimeError', message: /left before/ });
    }));

  it('cannot be entered outside a task, nor left by another one', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      const outside = yield* errorOf(
        (function* () {
          const future = loop.createFuture<void>();
          loop.callSoon(() => {
            try {
              new CancelScope().enter();
            } catch (error) {
              future.setException(error as Error);
            }
          });
          yield* future;
        })(),
      );
      assert.ok(outside instanceof RuntimeError);
      assert.match(outside.message, /inside a task/);
      const scope = new CancelScope().enter();
      const other = createTask(function* () {
        scope.exit();
      });
      assert.match((yield* errorOf(other)).message, /by the task that entered it/);
      scope.exit();
    }));

  it('says in messages what it is', () => {
    const scope = new CancelScope({ shield: true });
    assert.equal(String(scope), '<CancelScope shield>');
    scope.cancel();
    assert.equal(String(scope), '<CancelScope cancelled shield>');
  });

  it('that is open when its task ends leaves nothing behind', () =>
    withVirtualTime(function* () {
      const controller = new AbortController();
      const scopes: CancelScope[] = [];
      const task = createTask(function* () {
        scopes.push(new CancelScope({ deadline: 1000, signal: controller.signal }).enter());
        scopes.push(new CancelScope({ deadline: 2000 }).enter());
      });
      yield* task;
      assert.equal(timers(), 0);
      controller.abort();
      assert.ok(scopes.every((scope) => !scope.cancelCalled));
      scopes[0]!.deadline = 10;
      assert.equal(timers(), 0);
      assert.throws(() => scopes[1]!.exit(), RuntimeError);
    }));

  it('leaves nothing behind when its task is cancelled or fails', () =>
    withVirtualTime(function* () {
      function* forgetful(): Generator<unknown, void, any> {
        new CancelScope({ deadline: 1e6 }).enter();
        yield* sleep(100);
        throw new RangeError('failed');
      }
      const [failed, cancelled] = [createTask(forgetful), createTask(forgetful)];
      yield* sleep(1);
      cancelled.cancel();
      assert.ok(isCancelledError(yield* errorOf(cancelled)));
      assert.ok((yield* errorOf(failed)) instanceof RangeError);
      assert.equal(timers(), 0);
    }));

  it('is left when the generator around its function is closed', () =>
    withVirtualTime(function* () {
      const block = cancelScope(() => new Future(), { deadline: 2000 });
      const steps = block[Symbol.iterator]();
      steps.next();
      assert.equal(timers(), 1);
      steps.return!();
      assert.equal(timers(), 0);
      assert.equal(currentScope(), null);
    }));
});

describe('cancelScope', () => {
  it('returns what its block returns', () =>
    withVirtualTime(async () => {
      assert.equal(await cancelScope(async () => await sleep(1, 'async')), 'async');
      assert.equal(await cancelScope(() => sleep(1, 'coroutine')), 'coroutine');
    }));

  it('refuses what has the wrong type, and says what was passed', () => {
    const block = function* (): Generator<unknown, void, any> {};
    const wrong: [() => unknown, RegExp][] = [
      [() => cancelScope(5 as never), /cancelScope: body must be a function, got 5/],
      [() => cancelScope(sleep(1) as never), /got an instance of/],
      [() => cancelScope(block, { deadline: '5' as never }), /deadline must be .*, got "5"/],
      [() => cancelScope(block, { deadline: NaN }), /got NaN/],
      [() => cancelScope(block, { deadline: null as never }), /got null/],
      [() => cancelScope(block, { shield: 1 as never }), /shield must be true or false, got 1/],
      [() => cancelScope(block, { signal: {} as never }), /signal must be .*, got an instance/],
      [() => cancelScope(block, 5 as never), /options must be an object, got 5/],
      [() => cancelScope(block, null as never), /options must be an object, got null/],
      [() => new CancelScope({ deadline: '5' as never }), /got "5"/],
      [() => (new CancelScope().deadline = 'soon' as never), /deadline must be .*, got "soon"/],
    ];
    for (const [call, message] of wrong) assert.throws(call, { name: 'TypeError', message });
  });

  it('throws a TypeError when its block returns nothing to wait for', () =>
    withVirtualTime(function* () {
      const error = yield* errorOf(cancelScope((() => 5) as never, { deadline: 10 }));
      assert.ok(error instanceof TypeError);
      assert.match(error.message, /got 5/);
      assert.equal(timers(), 0);
      assert.equal(currentTask()!.cancelling(), 0);
    }));

  it('throws a RuntimeError when it is awaited outside a task', async () => {
    const steps = cancelScope(function* () {})[Symbol.iterator]();
    assert.throws(() => steps.next(), RuntimeError);
  });
});
