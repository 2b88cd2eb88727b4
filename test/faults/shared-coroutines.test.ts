import assert from 'node:assert/strict';
import {
  createTask,
  currentTask,
  EventLoop,
  Future,
  gather,
  getRunningLoop,
  RuntimeError,
  run,
  shield,
  sleep,
  type Task,
  waitFor,
} from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';

function* errorOf(coroutine: Iterable<unknown>): Generator<unknown, any, any> {
  try {
    yield* coroutine as Generator<unknown, unknown, any>;
  } catch (error) {
    return error;
  }
}

describe('a generator that two tasks use at once', () => {
  it('gives the second one a RuntimeError', () =>
    withVirtualTime(function* () {
      const shared = sleepTwice();
      const first = createTask(shared);
      const second = createTask(shared);
      const outcomes = [yield* errorOf(first), yield* errorOf(second)];
      const errors = outcomes.filter((outcome) => outcome !== undefined);
      assert.equal(errors.length, 1);
      assert.ok(errors[0] instanceof RuntimeError);
      assert.equal(errors[0].message, 'coroutine is being awaited already');
    }));

  it('does so when one task runs it and another one delegates to it', () =>
    withVirtualTime(function* () {
      const shared = sleepTwice();
      const first = createTask(shared);
      yield* sleep(1);
      const second = createTask(function* () {
        yield* shared;
      });
      const outcomes = [yield* errorOf(first), yield* errorOf(second)];
      const errors = outcomes.filter((outcome) => outcome !== undefined);
      assert.ok(errors.length >= 1);
      for (const error of errors) {
        assert.ok(error instanceof RuntimeError);
        assert.equal(error.message, 'coroutine is being awaited already');
      }
    }));

  it('leaves no task behind that waits for ever', () =>
    withVirtualTime(function* () {
      const future = new Future<void>();
      function* waits(): Generator<unknown, void, any> {
        yield* future;
      }
      const shared = waits();
      const tasks = [createTask(shared), createTask(shared)];
      getRunningLoop().callLater(5, () => future.setResult());
      yield* gather(tasks, { returnExceptions: true });
      assert.deepEqual(
        tasks.map((task) => task.done()),
        [true, true],
      );
    }));

  function* sleepTwice(): Generator<unknown, void, any> {
    yield* sleep(5);
    yield* sleep(5);
  }
});

describe('a generator that is finished', () => {
  it('returns undefined at once when it is used again, as generators do', () =>
    withVirtualTime(function* () {
      function* once(): Generator<unknown, string, any> {
        yield* sleep(5);
        return 'value';
      }
      const coroutine = once();
      assert.equal(yield* coroutine, 'value');
      assert.equal(yield* coroutine, undefined);
      assert.equal(yield* createTask(coroutine), undefined);
      assert.equal(getRunningLoop().time(), 5);
    }));

  it('may be one that runs right now: the TypeError of JavaScript comes through', () =>
    withVirtualTime(function* () {
      const own: Generator<unknown, void, any>[] = [];
      own.push(
        (function* () {
          yield* sleep(0);
          yield* own[0]!;
        })(),
      );
      const error = yield* errorOf(createTask(own[0]!));
      assert.ok(error instanceof TypeError);
      assert.match(error.message, /already running/);
    }));
});

describe('a task that awaits itself', () => {
  it('gets a RuntimeError, as a generator', () =>
    withVirtualTime(function* () {
      const task: Task<void> = createTask(
        function* () {
          yield* task;
        },
        { name: 'narcissus' },
      );
      const error = yield* errorOf(task);
      assert.ok(error instanceof RuntimeError);
      assert.match(error.message, /^Task cannot await on itself: .*narcissus/);
    }));

  it('gets a RuntimeError, as an async function', () =>
    withVirtualTime(async () => {
      const task: Task<void> = createTask(async () => {
        await sleep(0);
        await task;
      });
      await assert.rejects(async () => await task, {
        name: 'RuntimeError',
        message: /^Task cannot await on itself/,
      });
    }));

  it('does not keep the main task of a run() from ending', async () => {
    const error = await run(function* () {
      return yield* errorOf(currentTask()!);
    });
    assert.match(error.message, /^Task cannot await on itself/);
  });
});

describe('a future of another loop', () => {
  it('is refused in the coroutine that awaits it, with both named', async () => {
    const other = new EventLoop();
    await withVirtualTime(function* () {
      const future = other.createFuture();
      const task = createTask(
        function* () {
          yield* future;
        },
        { name: 'stranger' },
      );
      const error = yield* errorOf(task);
      assert.ok(error instanceof RuntimeError);
      assert.match(error.message, /^Task .*stranger.* got Future .* attached to a different loop$/);
    });
    other.close();
  });

  it('is refused in an async function', async () => {
    const other = new EventLoop();
    await withVirtualTime(async () => {
      await assert.rejects(async () => await other.createFuture(), {
        name: 'RuntimeError',
        message: /attached to a different loop$/,
      });
    });
    other.close();
  });

  it('is not refused when it is done, since nobody waits then', async () => {
    const other = new EventLoop();
    const future = other.createFuture<number>();
    future.setResult(5);
    await withVirtualTime(function* () {
      assert.equal(yield* future, 5);
    });
    other.close();
  });

  it('is refused through waitFor, and not through the own loop of shield and gather', async () => {
    const other = new EventLoop();
    await withVirtualTime(function* () {
      const future = other.createFuture<number>();
      const mismatch = /attached to a different loop/;
      assert.match((yield* errorOf(waitFor(future, 5))).message, mismatch);
      assert.match((yield* errorOf(shield(future))).message, mismatch);
      assert.throws(() => gather(future, sleep(1)), {
        name: 'RangeError',
        message: /different loop/,
      });
      assert.equal(getRunningLoop().statistics().timers, 0);
      future.cancel();
    });
    other.close();
  });

  it('is refused by runUntilComplete', async () => {
    const loop = new EventLoop();
    const other = new EventLoop();
    const future = other.createFuture<number>();
    loop.callSoon(() => loop.stop());
    await assert.rejects(loop.runUntilComplete(future), { name: 'RangeError' });
    loop.close();
    other.close();
  });
});
