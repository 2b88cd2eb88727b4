import assert from 'node:assert/strict';
import {
  allTasks,
  ContextVar,
  copyContext,
  createTask,
  currentTask,
  EventLoop,
  getEventLoop,
  getRunningLoop,
  Runner,
  RuntimeError,
  SystemExit,
  sleep,
} from 'ringloop';
import { turnOfNode, withReports } from '../support/capture.js';
import { JumpingClock } from '../support/virtual-time.js';

/** Runs `body` with a runner in virtual time, which is closed afterwards. */
async function withRunner(body: (runner: Runner) => unknown): Promise<void> {
  const runner = new Runner({ clock: new JumpingClock() });
  try {
    await body(runner);
  } finally {
    await runner.close();
  }
}

describe('Runner', () => {
  it('returns what its coroutine returns, of either kind', () =>
    withRunner(async (runner) => {
      function* main(): Generator<unknown, string, any> {
        yield* sleep(5);
        return 'generator';
      }
      assert.equal(await runner.run(main), 'generator');
      assert.equal(await runner.run(main()), 'generator');
      assert.equal(await runner.run(async () => await sleep(5, 'async')), 'async');
      assert.equal(runner.getLoop().time(), 15);
    }));

  it('rejects with what its coroutine throws', () =>
    withRunner(async (runner) => {
      const failing = runner.run(function* () {
        throw new RangeError('no');
      });
      await assert.rejects(failing, { message: 'no' });
      assert.equal(await runner.run(async () => 'goes on'), 'goes on');
    }));

  it('has a loop of its own, the same for every run', () =>
    withRunner(async (runner) => {
      const first = await runner.run(async () => getRunningLoop());
      const second = await runner.run(async () => getRunningLoop());
      assert.equal(first, second);
      assert.equal(first, runner.getLoop());
      assert.notEqual(first, getEventLoop());
    }));

  it('names the main task on request', () =>
    withRunner(async (runner) => {
      const name = await runner.run(async () => currentTask()!.name, { name: 'the main one' });
      assert.equal(name, 'the main one');
    }));

  it('keeps tasks that a run has left behind, and lets them go on in the next one', () =>
    withRunner(async (runner) => {
      const seen: string[] = [];
      await runner.run(function* () {
        createTask(function* () {
          yield* sleep(10);
          seen.push('left behind');
        });
        yield* sleep(1);
      });
      assert.deepEqual(seen, []);
      await runner.run(() => sleep(20));
      assert.deepEqual(seen, ['left behind']);
    }));

  it('has one context for every run, unless another is given', () =>
    withRunner(async (runner) => {
      const color = new ContextVar('color', { defaultValue: 'none' });
      await runner.run(async () => void color.set('red'));
      assert.equal(await runner.run(async () => color.get()), 'red');
      const context = copyContext();
      assert.equal(await runner.run(async () => color.get(), { context }), 'none');
      assert.equal(color.get(), 'none');
    }));

  it('uses the loop that its factory makes', async () => {
    const loop = new EventLoop();
    const runner = new Runner({ loopFactory: () => loop });
    assert.equal(runner.getLoop(), loop);
    await runner.close();
    assert.equal(loop.isClosed(), true);
  });

  it('rejects with a SystemExit that leaves the loop', () =>
    withRunner(async (runner) => {
      const leaving = runner.run(function* () {
        const task = createTask(function* () {
          throw new SystemExit('from a task');
        });
        yield* task;
      });
      await assert.rejects(leaving, { name: 'SystemExit', message: 'from a task' });
    }));

  it('rejects if the loop is stopped before the coroutine has ended', () =>
    withRunner(async (runner) => {
      const stopped = runner.run(function* () {
        getRunningLoop().stop();
        yield* sleep(10);
      });
      await assert.rejects(stopped, { name: 'RuntimeError', message: /stopped before/ });
    }));

  it('refuses to run from inside its own loop, and starts nothing', () =>
    withRunner(async (runner) => {
      let started = false;
      await runner.run(async () => {
        const inner = runner.run(async () => {
          started = true;
        });
        await assert.rejects(inner, RuntimeError);
        await sleep(1);
      });
      assert.equal(started, false);
    }));

  it('refuses a second run while one is under way, and starts nothing', async () => {
    const runner = new Runner();
    let started = false;
    const first = runner.run(() => sleep(5));
    const second = runner.run(async () => {
      started = true;
    });
    await assert.rejects(second, RuntimeError);
    await first;
    await runner.close();
    assert.equal(started, false);
  });

  it('refuses what cannot be run', () =>
    withRunner(async (runner) => {
      for (const wrong of [5, null, undefined, 'text', {}, Promise.resolve()]) {
        await assert.rejects(runner.run(wrong as never), { name: 'TypeError', message: /^Runner/ });
      }
    }));
});

describe('Runner.close', () => {
  it('cancels what is left and waits for it, then closes the loop', async () => {
    const runner = new Runner({ clock: new JumpingClock() });
    const seen: string[] = [];
    const loop = runner.getLoop();
    await runner.run(function* () {
      createTask(function* () {
        try {
          yield* sleep(1000);
        } finally {
          yield* sleep(10);
          seen.push(`cleaned up at ${getRunningLoop().time()}`);
        }
      });
      yield* sleep(1);
    });
    await runner.close();
    assert.deepEqual(seen, ['cleaned up at 11']);
    assert.equal(loop.isClosed(), true);
    assert.equal(allTasks(loop).size, 0);
  });

  it('reports what fails while it is cancelled', async () => {
    const runner = new Runner({ clock: new JumpingClock() });
    await withReports(async (reports) => {
      await runner.run(function* () {
        createTask(function* () {
          try {
            yield* sleep(1000);
          } finally {
            // biome-ignore lint/correctness/noUnsafeFinally: it replaces the cancellation
            throw new RangeError('while cleaning up');
          }
        });
        yield* sleep(1);
      });
      await runner.close();
      assert.equal(reports.length, 1);
      assert.equal(reports[0]!.message, 'unhandled exception during run() shutdown');
      assert.equal((reports[0]!.exception as Error).message, 'while cleaning up');
    }, runner.getLoop());
  });

  it('makes every later use a RuntimeError, and can be called twice', async () => {
    const runner = new Runner();
    await runner.run(async () => {});
    await runner.close();
    await runner.close();
    assert.throws(() => runner.getLoop(), { name: 'RuntimeError', message: 'Runner is closed' });
    await assert.rejects(
      runner.run(async () => {}),
      RuntimeError,
    );
  });

  it('needs no loop when nothing was run', async () => {
    await new Runner({ loopFactory: () => assert.fail('no loop is needed') }).close();
  });

  it('comes with the end of an await using block', async () => {
    let loop: EventLoop;
    {
      await using runner = new Runner();
      loop = runner.getLoop();
      await runner.run(() => sleep(0));
    }
    assert.equal(loop.isClosed(), true);
  });

  it("lets the process go on with the thread's loop untouched", async () => {
    await new Runner().close();
    await turnOfNode();
    assert.equal(getEventLoop().isRunning(), true);
  });
});
