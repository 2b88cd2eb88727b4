import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import {
  createTask,
  getRunningLoop,
  isCancelledError,
  moveOnAfter,
  RateLimiter,
  rateLimit,
  sleep,
  type Task,
} from 'ringloop';
import { BOTH_KINDS, errorOf } from '../support/both-kinds.js';
import { Random } from '../support/random.js';
import { withVirtualTime } from '../support/virtual-time.js';

const now = (): number => Math.round(getRunningLoop().time() * 1000) / 1000;

for (const [kind, start] of BOTH_KINDS) {
  describe(`RateLimiter.acquire in ${kind}`, () => {
    it('lets so many through at once, and then one for each token', () =>
      withVirtualTime(function* () {
        const limiter = rateLimit(4, 100);
        const times: number[] = [];
        const tasks = Array.from({ length: 8 }, () => start(() => limiter.acquire()));
        for (const task of tasks) task.addDoneCallback(() => times.push(now()));
        for (const task of tasks) yield* task;
        yield* sleep(0);
        assert.deepEqual(times, [0, 0, 0, 0, 25, 50, 75, 100]);
      }));

    it('is first come, first served, also for those who would not have to wait', () =>
      withVirtualTime(function* () {
        const limiter = rateLimit(1, 10);
        const order: string[] = [];
        const note = (name: string) => (): void => void order.push(name);
        yield* limiter.acquire();
        start(() => limiter.acquire()).addDoneCallback(note('first'));
        yield* sleep(5);
        start(() => limiter.acquire()).addDoneCallback(note('second'));
        yield* sleep(5);
        // The token of the first is there; whoever comes now stands behind the second.
        const third = start(() => limiter.acquire());
        third.addDoneCallback(note('third'));
        yield* third;
        yield* sleep(0);
        assert.deepEqual(order, ['first', 'second', 'third']);
        assert.equal(now(), 30);
      }));

    it('takes nothing when it is cancelled, and the next one has its token', () =>
      withVirtualTime(function* () {
        const limiter = rateLimit(1, 10);
        yield* limiter.acquire();
        const first = start(() => limiter.acquire());
        const second = start(() => limiter.acquire());
        yield* sleep(5);
        assert.equal(limiter.statistics().waiters, 2);
        first.cancel('enough');
        assert.equal((yield* errorOf(first)).reason, 'enough');
        yield* second;
        assert.equal(now(), 10);
        assert.equal(limiter.statistics().waiters, 0);
      }));

    it('takes nothing when its signal is aborted, in the line and in front of it', () =>
      withVirtualTime(function* () {
        const limiter = rateLimit(1, 10);
        yield* limiter.acquire();
        const controllers = [new AbortController(), new AbortController()];
        const aborted = controllers.map(({ signal }) => start(() => limiter.acquire({ signal })));
        const last = start(() => limiter.acquire());
        yield* sleep(5);
        for (const controller of controllers) controller.abort('stop');
        for (const task of aborted) assert.equal(yield* errorOf(task), 'stop');
        for (const { signal } of controllers) {
          assert.equal(getEventListeners(signal, 'abort').length, 0);
        }
        yield* last;
        assert.equal(now(), 10);
        assert.equal(getRunningLoop().statistics().timers, 0);
      }));

    it('takes nothing when its signal was aborted before, though there is a token', () =>
      withVirtualTime(function* () {
        const limiter = rateLimit(1, 10);
        const signal = AbortSignal.abort('before');
        assert.equal(yield* errorOf(start(() => limiter.acquire({ signal }))), 'before');
        assert.equal(limiter.tryAcquire(), true);
      }));

    it('runs a block when it may, and gives its outcome', () =>
      withVirtualTime(function* () {
        const limiter = rateLimit(1, 10);
        const body = async (): Promise<number> => now();
        assert.equal(yield* start(() => limiter.run(body)), 0);
        assert.equal(yield* start(() => limiter.run(body)), 10);
        const failing = start(() =>
          limiter.run(function* () {
            yield* sleep(1);
            throw new RangeError(`at ${now()}`);
          }),
        );
        assert.equal((yield* errorOf(failing)).message, 'at 21');
      }));

    it('does not run the block when it is cancelled before, and ends it with its signal', () =>
      withVirtualTime(function* () {
        const limiter = rateLimit(1, 10);
        yield* limiter.acquire();
        const cancelled = start(() => limiter.run(() => assert.fail('it should not run')));
        yield* sleep(5);
        cancelled.cancel();
        assert.ok(isCancelledError(yield* errorOf(cancelled)));
        const controller = new AbortController();
        const { signal } = controller;
        getRunningLoop().callLater(10, () => controller.abort('stop'));
        assert.equal(
          yield* errorOf(start(() => limiter.run(() => sleep(100), { signal }))),
          'stop',
        );
        assert.equal(now(), 15);
      }));
  });
}

describe('RateLimiter', () => {
  it('has a full bucket after a pause, and not more', () =>
    withVirtualTime(function* () {
      const limiter = rateLimit(3, 30);
      assert.deepEqual(limiter.statistics(), { available: 3, waiters: 0 });
      for (let i = 0; i < 3; i++) yield* limiter.acquire();
      assert.deepEqual(limiter.statistics(), { available: 0, waiters: 0 });
      yield* sleep(9.5);
      assert.equal(limiter.statistics().available, 0);
      yield* sleep(0.5);
      assert.equal(limiter.statistics().available, 1);
      yield* sleep(1000);
      assert.equal(limiter.statistics().available, 3);
    }));

  it('tries to take one without waiting', () =>
    withVirtualTime(function* () {
      const limiter = rateLimit(2, 20);
      assert.deepEqual(
        [limiter.tryAcquire(), limiter.tryAcquire(), limiter.tryAcquire()],
        [true, true, false],
      );
      yield* sleep(10);
      assert.deepEqual([limiter.tryAcquire(), limiter.tryAcquire()], [true, false]);
    }));

  it('lets nobody overtake those who wait', () =>
    withVirtualTime(function* () {
      const limiter = rateLimit(1, 10);
      yield* limiter.acquire();
      const first = createTask(limiter.acquire());
      yield* sleep(0);
      getRunningLoop().callLater(10, () => assert.equal(limiter.tryAcquire(), false));
      yield* first;
      assert.equal(limiter.tryAcquire(), false);
    }));

  it('sleeps with one timer, however many wait', () =>
    withVirtualTime(function* () {
      const limiter = rateLimit(1, 10);
      const tasks = Array.from({ length: 100 }, () => createTask(limiter.acquire()));
      yield* sleep(5);
      assert.equal(getRunningLoop().statistics().timers, 1);
      assert.equal(limiter.statistics().waiters, 99);
      for (const task of tasks) yield* task;
      assert.equal(now(), 990);
    }));

  it('does not drift over a million times', () =>
    withVirtualTime(function* () {
      const limiter = rateLimit(3, 10);
      for (let i = 0; i < 30_003; i++) yield* limiter.acquire();
      assert.ok(Math.abs(getRunningLoop().time() - 100_000) < 1e-3, `${getRunningLoop().time()}`);
    }));

  it('gives one in two seconds for half a one in a second', () =>
    withVirtualTime(function* () {
      // The bucket had no room for a whole token, and each took three seconds.
      const limiter = rateLimit(0.5, 1000);
      assert.equal(limiter.statistics().available, 1);
      const times: number[] = [];
      for (let i = 0; i < 4; i++) {
        yield* limiter.acquire();
        times.push(now());
      }
      assert.deepEqual(times, [0, 2000, 4000, 6000]);
    }));

  it('lets a wait be given up in a scope', () =>
    withVirtualTime(function* () {
      const limiter = rateLimit(1, 100);
      yield* limiter.acquire();
      yield* moveOnAfter(10, () => limiter.acquire());
      assert.equal(now(), 10);
      assert.equal(limiter.statistics().waiters, 0);
      yield* limiter.acquire();
      assert.equal(now(), 100);
    }));

  it('keeps to its rate, loses no token and no turn, whoever is cancelled and when', async () => {
    for (let seed = 1; seed <= 200; seed++) {
      try {
        await withVirtualTime(() => randomCrowd(new Random(seed)));
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
  });

  it('refuses wrong arguments', () => {
    for (const [name, make] of [
      ['count', (wrong: unknown) => rateLimit(wrong as number, 1000)],
      ['perMs', (wrong: unknown) => rateLimit(1, wrong as number)],
    ] as const) {
      for (const wrong of [undefined, null, '5', NaN]) {
        assert.throws(() => make(wrong), {
          name: 'TypeError',
          message: new RegExp(`^rateLimit: ${name} must be a number, got `),
        });
      }
      for (const wrong of [0, -1, Infinity]) {
        assert.throws(() => make(wrong), {
          name: 'RangeError',
          message: `rateLimit: ${name} must be positive and finite, got ${wrong}`,
        });
      }
    }
    assert.ok(rateLimit(1, 1) instanceof RateLimiter);
    for (const wrong of [undefined, null, sleep(1)]) {
      assert.throws(() => rateLimit(1, 1).run(wrong as never), {
        name: 'TypeError',
        message: /^run: body must be a function, got /,
      });
    }
    assert.throws(() => rateLimit(1, 1).acquire({ signal: 5 as never }), /must be an AbortSignal/);
    assert.throws(() => rateLimit(1, 1).run(() => sleep(1), { signal: 5 as never }), TypeError);
  });
});

/** Many come, some are cancelled or aborted; those who stay are served in their order. */
function* randomCrowd(random: Random): Generator<unknown, void, any> {
  const [count, perMs] = [random.between(1, 4), random.between(1, 4) * 12];
  const limiter = rateLimit(count, perMs);
  const served: [index: number, time: number][] = [];
  const tasks: Task<void>[] = [];
  const controllers: AbortController[] = [];
  for (let i = 0; i < 25; i++) {
    const controller = new AbortController();
    controllers.push(controller);
    const [, start] = random.pick(BOTH_KINDS);
    const task = start(() => limiter.acquire({ signal: controller.signal }));
    task.addDoneCallback(() => {
      if (!task.cancelled() && task.exception() === null) served.push([i, now()]);
    });
    tasks.push(task);
    if (random.chance(0.3)) yield* sleep(random.below(10));
    const victim = random.below(i + 1);
    const what = random.below(5);
    if (what === 0) tasks[victim]!.cancel();
    if (what === 1) controllers[victim]!.abort('stop');
  }
  for (const task of tasks) yield* errorOf(task);
  yield* sleep(0);
  assert.deepEqual(limiter.statistics().waiters, 0);
  assert.equal(getRunningLoop().statistics().timers, 0);
  const order = served.map(([index]) => index);
  assert.deepEqual(
    order,
    [...order].sort((a, b) => a - b),
  );
  const intervalMs = perMs / count;
  for (const [i, [, first]] of served.entries()) {
    // So many fit into a bucket, and what has flown in since.
    for (const [j, [, last]] of served.entries()) {
      if (j < i) continue;
      assert.ok(j - i + 1 <= count + (last - first) / intervalMs + 1e-3, `${i} to ${j}`);
    }
  }
}
