import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import {
  asCompleted,
  type CancelledError,
  createTask,
  EventLoop,
  Future,
  gather,
  getRunningLoop,
  isCancelledError,
  run,
  sleep,
} from 'ringloop';
import { BOTH_KINDS, errorOf } from '../support/both-kinds.js';
import { Random } from '../support/random.js';
import { withVirtualTime } from '../support/virtual-time.js';

function* after<T>(ms: number, value: T): Generator<unknown, T, any> {
  yield* sleep(ms);
  return value;
}

function* failAfter(ms: number, message: string): Generator<unknown, never, any> {
  yield* sleep(ms);
  throw new RangeError(message);
}

let calls = 0;

describe('gather', () => {
  it('runs everything at once and returns the results in the order of the arguments', () =>
    withVirtualTime(function* () {
      const results = yield* gather(after(30, 'a'), after(10, 'b'), after(20, 'c'));
      assert.deepEqual(results, ['a', 'b', 'c']);
      assert.equal(getRunningLoop().time(), 30);
    }));

  it('takes an array, and whatever can be awaited', () =>
    withVirtualTime(async () => {
      const future = new Future<string>();
      getRunningLoop().callLater(5, () => future.setResult('future'));
      const results = await gather([
        after(1, 'generator'),
        createTask(after(1, 'task')),
        future,
        sleep(1, 'coroutine'),
        Promise.resolve('promise'),
        async () => 'async function',
        function* () {
          return 'generator function';
        },
      ]);
      assert.deepEqual(results, [
        'generator',
        'task',
        'future',
        'coroutine',
        'promise',
        'async function',
        'generator function',
      ]);
    }));

  it('of nothing is done already', () =>
    withVirtualTime(function* () {
      const none = gather();
      assert.equal(none.done(), true);
      assert.deepEqual(yield* none, []);
      assert.deepEqual(yield* gather([]), []);
    }));

  it('starts at once, without being awaited', () =>
    withVirtualTime(function* () {
      const gathering = gather(after(10, 'a'));
      yield* sleep(20);
      assert.equal(gathering.done(), true);
      assert.deepEqual(gathering.result(), ['a']);
    }));

  it('runs the same coroutine once, however often it is given', () =>
    withVirtualTime(function* () {
      let runs = 0;
      function* counted(): Generator<unknown, number, any> {
        runs++;
        yield* sleep(1);
        return runs;
      }
      const same = counted();
      assert.deepEqual(yield* gather(same, after(2, 'other'), same, same), [1, 'other', 1, 1]);
      assert.equal(runs, 1);
    }));

  it('runs a coroutine once that is given among many others', () =>
    withVirtualTime(function* () {
      const same = after(1, 'same');
      const many = Array.from({ length: 40 }, (_, i) => after(1, i));
      const results = yield* gather([same, same, ...many] as Generator<unknown, unknown, any>[]);
      assert.deepEqual(results, ['same', 'same', ...Array.from({ length: 40 }, (_, i) => i)]);
    }));

  // gather(...Array(10).fill(worker)), the ordinary way to start ten workers, started one.
  for (const [kind, worker] of [
    [
      'a generator function',
      function* () {
        yield* sleep(1);
        return ++calls;
      },
    ],
    [
      'an async function',
      async () => {
        await sleep(1);
        return ++calls;
      },
    ],
  ] as [string, () => Generator<unknown, number, any>][]) {
    it(`calls ${kind} as often as it is given`, () =>
      withVirtualTime(function* () {
        calls = 0;
        assert.deepEqual(yield* gather(worker, worker), [1, 2]);
        assert.deepEqual(
          yield* gather(...Array(10).fill(worker)),
          [3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        );
        assert.equal((yield* gather(Array(40).fill(worker))).length, 40);
        assert.equal(calls, 52);
      }));
  }

  // sleep(0) is one object for all callers.
  it('waits for each sleep(0) that it is given', () =>
    withVirtualTime(function* () {
      let iterations = 0;
      yield* gather(sleep(0), sleep(0), function* () {
        iterations++;
      });
      const firsts = [...asCompleted([sleep(0), sleep(0)])];
      assert.equal(firsts.length, 2);
      for (const next of firsts) yield* next;
      assert.equal(iterations, 1);
    }));

  it('throws the first error at once, and lets the others run on', () =>
    withVirtualTime(function* () {
      const slow = createTask(after(50, 'slow'));
      try {
        yield* gather(slow, failAfter(10, 'first'), failAfter(20, 'second'));
        assert.fail('it should have thrown');
      } catch (error) {
        assert.equal((error as Error).message, 'first');
      }
      assert.equal(getRunningLoop().time(), 10);
      assert.equal(slow.done(), false);
      assert.equal(yield* slow, 'slow');
    }));

  it('returns errors as results with returnExceptions', () =>
    withVirtualTime(function* () {
      const stopped = createTask(after(100, 'never'));
      getRunningLoop().callLater(1, () => stopped.cancel());
      const results = yield* gather([after(2, 'fine'), failAfter(1, 'broken'), stopped], {
        returnExceptions: true,
      });
      assert.equal(results[0], 'fine');
      assert.equal((results[1] as Error).message, 'broken');
      assert.ok(isCancelledError(results[2]));
    }));

  it('throws a CancelledError when a child is cancelled, and lets the others run on', () =>
    withVirtualTime(function* () {
      const stopped = createTask(after(100, 'never'));
      const other = createTask(after(10, 'other'));
      getRunningLoop().callLater(1, () => stopped.cancel());
      const gathering = gather(stopped, other);
      try {
        yield* gathering;
        assert.fail('it should have thrown');
      } catch (error) {
        assert.ok(isCancelledError(error));
      }
      assert.equal(gathering.cancelled(), false);
      assert.equal(other.done(), false);
      assert.equal(yield* other, 'other');
    }));

  function* cleanUp(seen: string[], name: string, ms: number): Generator<unknown, void, any> {
    try {
      yield* sleep(1000);
    } catch (error) {
      yield* sleep(ms);
      seen.push(`${name} ${(error as CancelledError).reason} at ${getRunningLoop().time()}`);
      throw error;
    }
  }

  it('cancels every child when it is cancelled, and throws when the first one has ended', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const waiting = createTask(function* () {
        yield* gather(cleanUp(seen, 'a', 5), cleanUp(seen, 'b', 10));
      });
      yield* sleep(1);
      waiting.cancel('shutdown');
      try {
        yield* waiting;
        assert.fail('it should have thrown');
      } catch (error) {
        assert.ok(isCancelledError(error));
      }
      assert.deepEqual(seen, ['a shutdown at 6']);
      yield* sleep(10);
      assert.deepEqual(seen, ['a shutdown at 6', 'b shutdown at 11']);
    }));

  it('waits for every child when it is cancelled with returnExceptions, and throws too', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const waiting = createTask(function* () {
        yield* gather([cleanUp(seen, 'a', 5), cleanUp(seen, 'b', 10)], { returnExceptions: true });
      });
      yield* sleep(1);
      waiting.cancel('shutdown');
      try {
        yield* waiting;
        assert.fail('it should have thrown');
      } catch (error) {
        assert.ok(isCancelledError(error));
      }
      assert.deepEqual(seen, ['a shutdown at 6', 'b shutdown at 11']);
    }));

  it('cannot be cancelled when everything is done', () =>
    withVirtualTime(function* () {
      const gathering = gather(after(1, 'a'));
      yield* gathering;
      assert.equal(gathering.cancel(), false);
      assert.deepEqual(gathering.result(), ['a']);
    }));

  it('starts nothing when one argument is wrong', async () => {
    let started = 0;
    await withVirtualTime(function* () {
      const count = function* (): Generator<unknown, void, any> {
        started++;
      };
      for (const wrong of [5, null, undefined, 'text', {}]) {
        assert.throws(() => gather(count, wrong as never), {
          name: 'TypeError',
          message: /^gather: argument 1/,
        });
      }
      yield* sleep(0);
      yield* sleep(0);
    });
    assert.equal(started, 0);
  });

  it('refuses options that are no object', () => {
    assert.throws(() => gather([], 5 as never), TypeError);
    assert.throws(() => gather([], null as never), TypeError);
  });

  it('refuses futures of different loops', () => {
    const other = new EventLoop();
    const futures = [new Future(), new Future(other)];
    assert.throws(() => gather(futures), RangeError);
    other.close();
  });

  it('works outside any task', async () => {
    assert.deepEqual(await gather(after(1, 'a'), sleep(0, 'b')), ['a', 'b']);
  });

  it('keeps the results of a thousand children in order', async () => {
    const results = await run(() =>
      gather(Array.from({ length: 1000 }, (_, i) => after(i % 3, i))),
    );
    assert.deepEqual(
      results,
      Array.from({ length: 1000 }, (_, i) => i),
    );
  });

  it('can be gathered again', () =>
    withVirtualTime(function* () {
      const [inner, other] = yield* gather(gather(after(1, 'a'), after(2, 'b')), after(3, 'c'));
      assert.deepEqual([inner, other], [['a', 'b'], 'c']);
    }));
});

for (const [kind, start] of BOTH_KINDS) {
  describe(`gather with a signal in ${kind}`, () => {
    /** Cleans up when it is cancelled, and notes why. */
    function* cleanUp(seen: unknown[], ms: number): Generator<unknown, void, any> {
      try {
        yield* sleep(1000);
      } catch (error) {
        yield* sleep(ms);
        seen.push((error as CancelledError).reason, getRunningLoop().time());
        throw error;
      }
    }

    it('cancels every child when it is aborted, and throws its reason', () =>
      withVirtualTime(function* () {
        const controller = new AbortController();
        const { signal } = controller;
        const seen: unknown[] = [];
        const reason = new RangeError('enough');
        const main = start(() => gather([cleanUp(seen, 5), cleanUp(seen, 10)], { signal }));
        yield* sleep(1);
        assert.equal(getEventListeners(signal, 'abort').length, 1);
        controller.abort(reason);
        assert.equal(yield* errorOf(main), reason);
        assert.deepEqual(seen, [reason, 6]);
        assert.equal(main.cancelled(), false);
        assert.equal(getEventListeners(signal, 'abort').length, 0);
        yield* sleep(10);
        assert.deepEqual(seen, [reason, 6, reason, 11]);
      }));

    it('waits for every child with returnExceptions, and throws the reason too', () =>
      withVirtualTime(function* () {
        const controller = new AbortController();
        const { signal } = controller;
        const seen: unknown[] = [];
        const options = { returnExceptions: true, signal } as const;
        const main = start(() => gather([cleanUp(seen, 10), cleanUp(seen, 5)], options));
        yield* sleep(1);
        controller.abort('enough');
        assert.equal(yield* errorOf(main), 'enough');
        assert.deepEqual(seen, ['enough', 6, 'enough', 11]);
      }));

    it('starts no coroutine if it was aborted before', () =>
      withVirtualTime(function* () {
        const never = (): never => assert.fail('it should not start');
        const future = new Future<void>();
        const signal = AbortSignal.abort('before');
        assert.equal(yield* errorOf(start(() => gather([never, future], { signal }))), 'before');
        assert.equal(future.cancelled(), true);
        assert.equal(yield* errorOf(start(() => gather([], { signal }))), 'before');
        const done = new Future<number>();
        done.setResult(1);
        assert.equal(yield* errorOf(start(() => gather([done], { signal }))), 'before');
        assert.equal(getEventListeners(signal, 'abort').length, 0);
      }));

    it('lets a cancellation come first, whichever came first', () =>
      withVirtualTime(function* () {
        for (const abortFirst of [true, false]) {
          for (const returnExceptions of [true, false]) {
            const controller = new AbortController();
            const { signal } = controller;
            const main = start(() => gather([after(100, 'a')], { signal, returnExceptions }));
            yield* sleep(1);
            if (abortFirst) controller.abort('aborted');
            main.cancel('cancelled');
            if (!abortFirst) controller.abort('aborted');
            const error = yield* errorOf(main);
            assert.ok(isCancelledError(error), `${abortFirst}, ${returnExceptions}: ${error}`);
            assert.equal(main.cancelled(), true);
            assert.equal(getEventListeners(signal, 'abort').length, 0);
          }
        }
      }));

    it('keeps its results when they are there, though it is told of them later', () =>
      withVirtualTime(function* () {
        const controller = new AbortController();
        const { signal } = controller;
        const future = new Future<string>();
        const main = start(() => gather([future], { signal }));
        yield* sleep(1);
        future.setResult('there');
        controller.abort('too late');
        assert.deepEqual(yield* main, ['there']);
        assert.equal(getEventListeners(signal, 'abort').length, 0);
      }));
  });
}

describe('gather with a signal', () => {
  it('throws the error of a child that fails while it is cancelled', () =>
    withVirtualTime(function* () {
      const controller = new AbortController();
      const { signal } = controller;
      getRunningLoop().callLater(1, () => controller.abort('enough'));
      const broken = function* (): Generator<unknown, void, any> {
        try {
          yield* sleep(100);
        } catch {
          throw new RangeError('while cleaning up');
        }
      };
      const error = yield* errorOf(gather([broken()], { signal }));
      assert.equal(error.message, 'while cleaning up');
    }));

  it('throws the reason though all its children refuse to be cancelled', () =>
    withVirtualTime(function* () {
      const controller = new AbortController();
      const { signal } = controller;
      getRunningLoop().callLater(1, () => controller.abort('enough'));
      const stubborn = function* (): Generator<unknown, string, any> {
        try {
          yield* sleep(100);
        } catch {}
        return 'refused';
      };
      assert.equal(yield* errorOf(gather([stubborn(), stubborn()], { signal })), 'enough');
    }));

  it('throws a CancelledError of a child that somebody else has cancelled', () =>
    withVirtualTime(function* () {
      const { signal } = new AbortController();
      const child = createTask(after(100, 'never'));
      getRunningLoop().callLater(1, () => child.cancel('this one'));
      const error = yield* errorOf(gather([child], { signal }));
      assert.ok(isCancelledError(error));
      assert.equal(error.reason, 'this one');
      assert.equal(getEventListeners(signal, 'abort').length, 0);
    }));

  it('refuses a signal that is none, and starts nothing', () => {
    const never = (): never => assert.fail('it should not start');
    for (const wrong of [5, null, {}, new AbortController()]) {
      assert.throws(() => gather([never], { signal: wrong as never }), {
        name: 'TypeError',
        message: /^gather: signal must be an AbortSignal, got /,
      });
    }
  });

  it('has the results, the reason or the first error, whenever it is aborted', async () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Random(seed);
      await withVirtualTime(function* () {
        const controller = new AbortController();
        const { signal } = controller;
        const times = Array.from({ length: random.between(1, 4) }, () => random.below(6));
        const fails = random.chance(0.3);
        const children = times.map((ms, i) =>
          createTask(fails && i === 0 ? failAfter(ms, 'broken') : after(ms, i)),
        );
        const returnExceptions = random.chance(0.5);
        const gathering = gather(children, { returnExceptions, signal });
        if (random.chance(0.5)) yield* sleep(random.below(7));
        else for (let i = random.below(6); i > 0; i--) yield;
        const pending = !gathering.done() && children.some((child) => !child.done());
        controller.abort('enough');
        const error = yield* errorOf(gathering);
        const ok = pending ? error === 'enough' || error?.message === 'broken' : error !== 'enough';
        assert.ok(ok, `seed ${seed}: ${error}`);
        assert.equal(getEventListeners(signal, 'abort').length, 0);
        yield* sleep(10);
        assert.ok(children.every((child) => child.done()));
      });
    }
  });
});
