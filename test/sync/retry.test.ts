import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import {
  createTask,
  currentTask,
  getRunningLoop,
  isCancelledError,
  KeyboardInterrupt,
  moveOnAfter,
  type RetryOptions,
  retry,
  sleep,
  TimeoutError,
  timeout,
} from 'ringloop';
import { BOTH_KINDS, errorOf } from '../support/both-kinds.js';
import { Random } from '../support/random.js';
import { withVirtualTime } from '../support/virtual-time.js';

/** A body that fails a number of times, and notes when it is tried. */
class Flaky {
  readonly times: number[] = [];
  readonly attempts: number[] = [];

  constructor(private readonly failures: number) {}

  readonly generator = (attempt: number): Generator<unknown, string, any> => this.steps(attempt);

  readonly async = async (attempt: number): Promise<string> => {
    this.note(attempt);
    await sleep(0);
    return this.outcome(attempt);
  };

  private *steps(attempt: number): Generator<unknown, string, any> {
    this.note(attempt);
    yield* sleep(0);
    return this.outcome(attempt);
  }

  private note(attempt: number): void {
    this.attempts.push(attempt);
    this.times.push(getRunningLoop().time());
  }

  private outcome(attempt: number): string {
    if (attempt <= this.failures) throw new RangeError(`failure ${attempt}`);
    return `try ${attempt}`;
  }
}

/** No chance: every delay is as long as it can be. */
const STEADY = { jitter: 0 };

for (const kind of ['generator', 'async'] as const) {
  describe(`retry of ${kind === 'async' ? 'an async function' : 'a generator function'}`, () => {
    it('returns what the first try that succeeds returns', () =>
      withVirtualTime(function* () {
        const flaky = new Flaky(2);
        assert.equal(yield* retry(flaky[kind], STEADY), 'try 3');
        assert.deepEqual(flaky.attempts, [1, 2, 3]);
        assert.deepEqual(flaky.times, [0, 100, 300]);
      }));

    it('does not wait when there is nothing to repeat', () =>
      withVirtualTime(function* () {
        assert.equal(yield* retry(new Flaky(0)[kind]), 'try 1');
        assert.equal(getRunningLoop().time(), 0);
        assert.equal(getRunningLoop().statistics().timers, 0);
      }));

    it('throws the last error, as it is, without a delay behind it', () =>
      withVirtualTime(function* () {
        const flaky = new Flaky(Infinity);
        const error = yield* errorOf(retry(flaky[kind], { ...STEADY, attempts: 3 }));
        assert.equal(error.message, 'failure 3');
        assert.deepEqual(flaky.attempts, [1, 2, 3]);
        assert.equal(getRunningLoop().time(), 300);
      }));

    it('is cancelled in the middle of a try, and does not try again', () =>
      withVirtualTime(function* () {
        let tries = 0;
        const body = {
          *generator() {
            tries++;
            yield* sleep(100);
          },
          async async() {
            tries++;
            await sleep(100);
          },
        }[kind];
        const retrying = createTask(() => retry(body));
        yield* sleep(50);
        retrying.cancel('enough');
        assert.equal((yield* errorOf(retrying)).reason, 'enough');
        assert.equal(tries, 1);
      }));
  });
}

for (const [kind, start] of BOTH_KINDS) {
  describe(`retry in ${kind}`, () => {
    it('begins nothing before it is awaited', () =>
      withVirtualTime(function* () {
        const flaky = new Flaky(0);
        const retrying = retry(flaky.async);
        yield* sleep(1);
        assert.deepEqual(flaky.attempts, []);
        assert.equal(yield* start(() => retrying), 'try 1');
      }));

    it('is cancelled in the middle of a delay', () =>
      withVirtualTime(function* () {
        const flaky = new Flaky(Infinity);
        const retrying = start(() => retry(flaky.generator, STEADY));
        yield* sleep(50);
        retrying.cancel('enough');
        const error = yield* errorOf(retrying);
        assert.ok(isCancelledError(error));
        assert.equal(error.reason, 'enough');
        assert.equal(flaky.attempts.length, 1);
        assert.equal(getRunningLoop().statistics().timers, 0);
      }));

    it('does not take a cancellation for a failure when the body throws another error', () =>
      withVirtualTime(function* () {
        // Such as the AbortError of Node's own functions. It was tried again, and the request to
        // cancel was forgotten.
        let tries = 0;
        const retrying = start(() =>
          retry(async () => {
            tries++;
            await delay(60_000, undefined, { signal: currentTask()!.signal });
          }),
        );
        yield* sleep(0);
        yield* sleep(0);
        retrying.cancel('enough');
        const error = yield* errorOf(retrying);
        assert.equal(error.name, 'AbortError');
        assert.equal(tries, 1);
      }));

    it('throws the reason of its signal in the middle of a try, and of a delay', () =>
      withVirtualTime(function* () {
        for (const failures of [0, Infinity]) {
          const controller = new AbortController();
          const { signal } = controller;
          const body = async (): Promise<void> => {
            if (failures > 0) throw new RangeError('again');
            await sleep(1000);
          };
          const retrying = start(() => retry(body, { ...STEADY, signal }));
          yield* sleep(50);
          controller.abort('stop');
          assert.equal(yield* errorOf(retrying), 'stop');
          assert.equal(retrying.cancelled(), false);
          assert.equal(getEventListeners(signal, 'abort').length, 0);
          assert.equal(getRunningLoop().statistics().timers, 0);
        }
      }));

    it('never calls the body if its signal was aborted before', () =>
      withVirtualTime(function* () {
        const never = (): never => assert.fail('it should not begin');
        const signal = AbortSignal.abort('before');
        assert.equal(yield* errorOf(start(() => retry(never, { signal }))), 'before');
      }));

    it('ends with its signal though its body throws another error, and the delay is zero', () =>
      withVirtualTime(function* () {
        const controller = new AbortController();
        const { signal } = controller;
        let tries = 0;
        const body = async (): Promise<void> => {
          tries++;
          await sleep(10).then(undefined, () => {});
          throw new RangeError('in spite of it');
        };
        const options = { signal, delayMs: 0, attempts: Infinity };
        const retrying = start(() => retry(body, options));
        yield* sleep(25);
        controller.abort('stop');
        assert.equal(yield* errorOf(retrying), 'stop');
        assert.equal(tries, 3);
      }));
  });
}

/** The delays of a retry that fails throughout. */
function* delaysOf(options: RetryOptions): Generator<unknown, number[], any> {
  const flaky = new Flaky(Infinity);
  yield* errorOf(retry(flaky.generator, options));
  return flaky.times.slice(1).map((time, i) => time - flaky.times[i]!);
}

describe('retry', () => {
  it('tries five times, and doubles a delay of 100 ms', () =>
    withVirtualTime(function* () {
      assert.deepEqual(yield* delaysOf(STEADY), [100, 200, 400, 800]);
    }));

  it('lets the delay grow by a factor, and up to a limit', () =>
    withVirtualTime(function* () {
      const options = { ...STEADY, attempts: 6, delayMs: 10, factor: 3 };
      assert.deepEqual(yield* delaysOf(options), [10, 30, 90, 270, 810]);
      assert.deepEqual(yield* delaysOf({ ...options, delayMaxMs: 50 }), [10, 30, 50, 50, 50]);
      assert.deepEqual(yield* delaysOf({ ...options, factor: 1 }), [10, 10, 10, 10, 10]);
      assert.deepEqual(yield* delaysOf({ ...options, factor: 0 }), [10, 0, 0, 0, 0]);
    }));

  it('never waits longer than 30 seconds, unless it is told to', () =>
    withVirtualTime(function* () {
      const delays = yield* delaysOf({ ...STEADY, attempts: 12 });
      assert.deepEqual(delays.slice(-3), [25_600, 30_000, 30_000]);
    }));

  it('takes a random part off the delay', () =>
    withVirtualTime(function* () {
      const chances = [0, 0.25, 0.5, 1];
      let next = 0;
      const random = (): number => chances[next++ % 4]!;
      const options = { attempts: 5, delayMs: 100, factor: 1, random };
      assert.deepEqual(yield* delaysOf(options), [100, 75, 50, 0]);
      assert.deepEqual(yield* delaysOf({ ...options, jitter: 0.5 }), [100, 87.5, 75, 50]);
      assert.deepEqual(yield* delaysOf({ ...options, jitter: 0 }), [100, 100, 100, 100]);
    }));

  it('takes chance itself if it is not told another', () =>
    withVirtualTime(function* () {
      const delays = yield* delaysOf({ attempts: 200, factor: 1 });
      assert.ok(delays.every((delayMs) => delayMs >= 0 && delayMs <= 100));
      assert.ok(new Set(delays).size > 50, 'they are all the same');
    }));

  it('goes on without delays for ever, where the factor has become infinite', () =>
    withVirtualTime(function* () {
      // Zero times infinity is NaN: the 1026th try died of a TypeError of sleep().
      const flaky = new Flaky(2000);
      const options = { attempts: Infinity, delayMs: 0 };
      assert.equal(yield* retry(flaky.generator, options), 'try 2001');
      assert.equal(getRunningLoop().time(), 0);
      const endless = { attempts: 3, delayMs: Infinity, delayMaxMs: Infinity, random: () => 1 };
      assert.deepEqual(yield* delaysOf(endless), [0, 0]);
    }));

  it('asks whether an error is worth another try', () =>
    withVirtualTime(function* () {
      const asked: string[] = [];
      const retryIf = (error: unknown, attempt: number): boolean => {
        asked.push(`${attempt}: ${(error as Error).message}`);
        return attempt < 2;
      };
      const error = yield* errorOf(retry(new Flaky(Infinity).async, { retryIf }));
      assert.equal(error.message, 'failure 2');
      assert.deepEqual(asked, ['1: failure 1', '2: failure 2']);
    }));

  it('does not ask about the last try, nor about a cancellation', () =>
    withVirtualTime(function* () {
      let asked = 0;
      const retryIf = (): boolean => ++asked > 0;
      yield* errorOf(retry(new Flaky(Infinity).async, { retryIf, attempts: 2 }));
      assert.equal(asked, 1);
      const retrying = createTask(() => retry(() => sleep(100), { retryIf }));
      yield* sleep(1);
      retrying.cancel();
      yield* errorOf(retrying);
      assert.equal(asked, 1);
    }));

  it('throws what retryIf throws', () =>
    withVirtualTime(function* () {
      const retryIf = (): never => {
        throw new TypeError('in retryIf');
      };
      const error = yield* errorOf(retry(new Flaky(1).generator, { retryIf }));
      assert.equal(error.message, 'in retryIf');
    }));

  it('does not repeat what has the program end', () =>
    withVirtualTime(function* () {
      let tries = 0;
      const body = function* (): Generator<unknown, void, any> {
        tries++;
        yield* sleep(1);
        throw new KeyboardInterrupt();
      };
      assert.ok((yield* errorOf(retry(body))) instanceof KeyboardInterrupt);
      assert.equal(tries, 1);
    }));

  it('repeats a try whose own time limit was reached', () =>
    withVirtualTime(function* () {
      const body = (attempt: number) => timeout(10, () => sleep(attempt < 3 ? 100 : 1, attempt));
      assert.equal(yield* retry(body, STEADY), 3);
      assert.equal(currentTask()!.cancelling(), 0);
    }));

  it('ends with a time limit around it', () =>
    withVirtualTime(function* () {
      for (const delayMs of [0, 1, 7]) {
        const body = (): Generator<unknown, void, any> =>
          (function* () {
            yield* sleep(3);
            throw new RangeError('again');
          })();
        const options = { ...STEADY, attempts: Infinity, delayMs, factor: 1 };
        const error = yield* errorOf(timeout(50, () => retry(body, options)));
        assert.ok(error instanceof TimeoutError);
        const none = yield* moveOnAfter(50, () => retry(body, options));
        assert.equal(none, undefined);
      }
      assert.equal(getRunningLoop().time(), 300);
    }));

  it('tries again in a task that was cancelled before, and cleans up', () =>
    withVirtualTime(function* () {
      const flaky = new Flaky(2);
      const seen: string[] = [];
      const task = createTask(function* () {
        try {
          yield* sleep(1000);
        } finally {
          seen.push(yield* retry(flaky.async, STEADY));
        }
      });
      yield* sleep(1);
      task.cancel();
      assert.ok(isCancelledError(yield* errorOf(task)));
      assert.deepEqual(seen, ['try 3']);
    }));

  it('works outside any task', async () => {
    assert.equal(await retry(new Flaky(1).async, { delayMs: 0 }), 'try 2');
  });

  it('takes options that are left undefined for the default', () =>
    withVirtualTime(function* () {
      const options = { attempts: undefined, delayMs: undefined, jitter: 0 } as never;
      assert.deepEqual(yield* delaysOf(options), [100, 200, 400, 800]);
    }));

  it('is cancelled at any moment, and tries no more', async () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Random(seed);
      await withVirtualTime(function* () {
        const moment = random.below(60);
        let last = 0;
        const durations = Array.from({ length: 50 }, () => random.below(3));
        const body = function* (attempt: number): Generator<unknown, void, any> {
          last = getRunningLoop().time();
          yield* sleep(durations[attempt % 50]!);
          throw new RangeError('again');
        };
        const options = { attempts: Infinity, delayMs: random.below(4), factor: 1 };
        const retrying = createTask(retry(body, { ...options, random: () => random.next() }));
        yield* sleep(moment + 0.5);
        retrying.cancel('enough');
        const error = yield* errorOf(retrying);
        assert.equal(error.reason, 'enough', `seed ${seed}`);
        yield* sleep(10);
        assert.ok(last <= moment + 0.5, `seed ${seed}: tried again`);
        assert.equal(getRunningLoop().statistics().timers, 0);
      });
    }
  });

  it('refuses wrong arguments', () => {
    const body = (): never => assert.fail('it should not begin');
    for (const wrong of [undefined, null, 5, sleep(1)]) {
      assert.throws(() => retry(wrong as never), {
        name: 'TypeError',
        message: /^retry: body must be a function, got /,
      });
    }
    for (const wrong of [null, 5, 'often']) {
      assert.throws(() => retry(body, wrong as never), {
        name: 'TypeError',
        message: /^retry: options must be an object, got /,
      });
    }
    for (const name of ['attempts', 'delayMs', 'factor', 'delayMaxMs', 'jitter'] as const) {
      for (const wrong of ['5', NaN, null]) {
        assert.throws(() => retry(body, { [name]: wrong } as never), {
          name: 'TypeError',
          message: new RegExp(`^retry: ${name} must be a number, got `),
        });
      }
      assert.throws(() => retry(body, { [name]: -1 }), {
        name: 'RangeError',
        message: `retry: ${name} is out of range: -1`,
      });
    }
    for (const wrong of [{ attempts: 0 }, { attempts: 2.5 }, { jitter: 1.1 }]) {
      assert.throws(() => retry(body, wrong), RangeError, JSON.stringify(wrong));
    }
    for (const name of ['retryIf', 'random'] as const) {
      assert.throws(() => retry(body, { [name]: 5 } as never), {
        name: 'TypeError',
        message: `retry: ${name} must be a function, got 5`,
      });
    }
    assert.throws(() => retry(body, { signal: {} as never }), /signal must be an AbortSignal/);
  });
});
