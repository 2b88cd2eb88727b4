import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import {
  ContextVar,
  copyContext,
  createTask,
  EventLoop,
  Future,
  getEventLoop,
  getRunningLoop,
  RuntimeError,
  SystemExit,
  sleep,
} from 'ringloop';
import { turnOfNode, withConsole } from '../support/capture.js';
import { JumpingClock, withVirtualTime } from '../support/virtual-time.js';

const CLOSED = { name: 'RuntimeError', message: 'Event loop is closed' };

/** Runs `body` with a loop of its own, which is closed afterwards. */
async function withLoop(body: (loop: EventLoop) => unknown): Promise<void> {
  const loop = new EventLoop();
  try {
    await body(loop);
  } finally {
    loop.close();
  }
}

describe("the thread's event loop", () => {
  it('is the same wherever it is asked for', () => {
    assert.equal(getEventLoop(), getEventLoop());
    assert.ok(getEventLoop() instanceof EventLoop);
  });

  it('runs from the start', () => {
    assert.equal(getEventLoop().isRunning(), true);
    assert.equal(getEventLoop().isClosed(), false);
  });

  it('cannot be stopped, closed or started again, since everybody shares it', () => {
    const loop = getEventLoop();
    assert.throws(() => loop.stop(), RuntimeError);
    assert.throws(() => loop.close(), RuntimeError);
    assert.throws(() => loop.runForever(), RuntimeError);
    assert.equal(loop.isRunning(), true);
  });

  it('has the time of performance.now()', () => {
    const before = performance.now();
    const time = getEventLoop().time();
    assert.ok(before <= time && time <= performance.now());
  });
});

describe('getRunningLoop', () => {
  it('throws a RuntimeError where no callback and no task is running', () => {
    assert.throws(getRunningLoop, { name: 'RuntimeError', message: 'no running event loop' });
  });

  it('is the loop whose callback is running', () =>
    withLoop(async (loop) => {
      const seen: EventLoop[] = [];
      loop.callSoon(() => seen.push(getRunningLoop()));
      loop.stop();
      await loop.runForever();
      assert.deepEqual(seen, [loop]);
    }));

  it('is the loop of the task, also after awaits of foreign promises', () =>
    withVirtualTime(async () => {
      const before = getRunningLoop();
      assert.notEqual(before, null);
      await turnOfNode();
      assert.equal(getRunningLoop(), before);
      assert.notEqual(before, await turnOfNode().then(() => null));
    }));

  it('is no loop again when the callback is over', async () => {
    await new Promise((resolve) => getEventLoop().callSoon(resolve));
    assert.throws(getRunningLoop, RuntimeError);
  });
});

describe('EventLoop.callSoon', () => {
  it('runs callbacks in the order of the calls, with their arguments', async () => {
    const seen: unknown[] = [];
    const loop = getEventLoop();
    loop.callSoon((...args: unknown[]) => seen.push(args), 1, 'two');
    loop.callSoon((...args: unknown[]) => seen.push(args));
    loop.callSoonThreadsafe((...args: unknown[]) => seen.push(args), undefined);
    await new Promise((resolve) => loop.callSoon(resolve));
    assert.deepEqual(seen, [[1, 'two'], [], [undefined]]);
  });

  it('never calls back from inside the call', async () => {
    let called = false;
    getEventLoop().callSoon(() => {
      called = true;
    });
    assert.equal(called, false);
    await new Promise((resolve) => getEventLoop().callSoon(resolve));
    assert.equal(called, true);
  });

  it('leaves what a callback queues for the next iteration', async () => {
    const seen: string[] = [];
    const loop = getEventLoop();
    loop.callSoon(() => {
      seen.push('first');
      loop.callSoon(() => seen.push('queued by the first'));
    });
    loop.callSoon(() => seen.push('second'));
    await new Promise((resolve) => loop.callSoon(() => loop.callSoon(resolve)));
    assert.deepEqual(seen, ['first', 'second', 'queued by the first']);
  });

  it('keeps the order while the queue grows far beyond its first size', async () => {
    const loop = getEventLoop();
    const seen: number[] = [];
    for (let i = 0; i < 20_000; i++) loop.callSoon(() => seen.push(i));
    await new Promise((resolve) => loop.callSoon(resolve));
    assert.equal(seen.length, 20_000);
    assert.ok(seen.every((value, index) => value === index));
  });

  it('keeps the order while the queue grows in the middle of an iteration', async () => {
    const loop = getEventLoop();
    const seen: number[] = [];
    let next = 0;
    const fork = (depth: number): void => {
      seen.push(depth);
      if (depth < 12) for (let i = 0; i < 2; i++) loop.callSoon(fork, depth + 1);
      next++;
    };
    fork(0);
    await new Promise<void>((resolve) => {
      const check = (): void => void (next === 2 ** 13 - 1 ? resolve() : loop.callSoon(check));
      check();
    });
    assert.deepEqual(
      seen,
      [...seen].sort((a, b) => a - b),
    );
  });
});

describe('EventLoop.callSoonIn', () => {
  it('runs the callback in the context that is given', async () => {
    const variable = new ContextVar('v', { defaultValue: 'default' });
    const context = copyContext();
    context.run(() => variable.set('inside'));
    const seen: string[] = [];
    getEventLoop().callSoonIn(context, (prefix) => seen.push(prefix + variable.get()), 'got ');
    await new Promise((resolve) => getEventLoop().callSoon(resolve));
    assert.deepEqual(seen, ['got inside']);
  });
});

describe('a new EventLoop', () => {
  it('keeps callbacks until it is told to run', () =>
    withLoop(async (loop) => {
      let calls = 0;
      loop.callSoon(() => calls++);
      await turnOfNode();
      assert.equal(loop.isRunning(), false);
      assert.equal(calls, 0);
      loop.stop();
      await loop.runForever();
      assert.equal(calls, 1);
    }));

  it('runs exactly one iteration if it was stopped before it ran', () =>
    withLoop(async (loop) => {
      const seen: string[] = [];
      loop.callSoon(() => {
        seen.push('first iteration');
        loop.callSoon(() => seen.push('second iteration'));
      });
      loop.stop();
      await loop.runForever();
      assert.deepEqual(seen, ['first iteration']);
      loop.stop();
      await loop.runForever();
      assert.deepEqual(seen, ['first iteration', 'second iteration']);
    }));

  it('finishes the current iteration when a callback stops it', () =>
    withLoop(async (loop) => {
      const seen: string[] = [];
      loop.callSoon(() => loop.stop());
      loop.callSoon(() => seen.push('same iteration'));
      await loop.runForever();
      assert.deepEqual(seen, ['same iteration']);
      assert.equal(loop.isRunning(), false);
    }));

  it('can be stopped from outside while it waits', () =>
    withLoop(async (loop) => {
      const stopped = loop.runForever();
      await turnOfNode();
      assert.equal(loop.isRunning(), true);
      loop.stop();
      await stopped;
      assert.equal(loop.isRunning(), false);
    }));

  it('cannot be run twice at the same time', () =>
    withLoop(async (loop) => {
      const stopped = loop.runForever();
      assert.throws(() => loop.runForever(), /This event loop is already running/);
      loop.stop();
      await stopped;
    }));

  it('runs side by side with another one, each with its own order', async () => {
    const seen: string[] = [];
    const loops = ['a', 'b'].map((name) => {
      const loop = new EventLoop();
      for (let i = 0; i < 3; i++) loop.callSoon(() => seen.push(`${name}${i}`));
      loop.callSoon(() => loop.stop());
      return loop;
    });
    await Promise.all(loops.map((loop) => loop.runForever()));
    for (const name of ['a', 'b']) {
      const own = seen.filter((each) => each.startsWith(name));
      assert.deepEqual(own, [`${name}0`, `${name}1`, `${name}2`]);
    }
    for (const loop of loops) loop.close();
  });

  it('rejects runForever() with a SystemExit that a callback throws, and can go on', () =>
    withLoop(async (loop) => {
      const seen: string[] = [];
      loop.callSoon(() => {
        throw new SystemExit('enough');
      });
      loop.callSoon(() => seen.push('behind it'));
      await assert.rejects(loop.runForever(), { name: 'SystemExit', message: 'enough' });
      assert.deepEqual(seen, []);
      loop.stop();
      await loop.runForever();
      assert.deepEqual(seen, ['behind it']);
    }));

  it('makes futures and tasks of its own', () =>
    withLoop((loop) => {
      const future = loop.createFuture<number>();
      assert.ok(future instanceof Future);
      assert.equal(future.loop, loop);
    }));
});

describe('EventLoop.runUntilComplete', () => {
  it('returns what the coroutine returns', () =>
    withLoop(async (loop) => {
      assert.equal(
        await loop.runUntilComplete(function* () {
          yield* sleep(0);
          return 'done';
        }),
        'done',
      );
    }));

  it('waits for a future that exists already', () =>
    withLoop(async (loop) => {
      const future = loop.createFuture<number>();
      loop.callSoon(() => future.setResult(7));
      assert.equal(await loop.runUntilComplete(future), 7);
    }));

  it('rejects with what the coroutine throws', () =>
    withLoop(async (loop) => {
      const failing = loop.runUntilComplete(function* () {
        throw new RangeError('no');
      });
      await assert.rejects(failing, { name: 'RangeError', message: 'no' });
    }));

  it('rejects if the loop is stopped before the future is done', () =>
    withLoop(async (loop) => {
      const future = loop.createFuture();
      loop.callSoon(() => loop.stop());
      await assert.rejects(loop.runUntilComplete(future), {
        name: 'RuntimeError',
        message: 'Event loop stopped before Future completed.',
      });
    }));

  it('rejects with the SystemExit that leaves the loop', () =>
    withLoop(async (loop) => {
      const leaving = loop.runUntilComplete(function* () {
        yield* sleep(0);
        throw new SystemExit('bye');
      });
      await assert.rejects(leaving, { name: 'SystemExit', message: 'bye' });
      assert.equal(loop.isRunning(), false);
    }));

  it('starts nothing if the loop is running already', () =>
    withLoop(async (loop) => {
      const stopped = loop.runForever();
      let started = false;
      const second = loop.runUntilComplete(function* () {
        started = true;
      });
      await assert.rejects(second, RuntimeError);
      await turnOfNode();
      loop.stop();
      await stopped;
      assert.equal(started, false);
    }));
});

describe('EventLoop.close', () => {
  it('makes every use of the loop a RuntimeError', async () => {
    const loop = new EventLoop();
    const context = copyContext();
    const nothing = (): void => {};
    loop.close();
    assert.equal(loop.isClosed(), true);
    assert.throws(() => loop.callSoon(nothing), CLOSED);
    assert.throws(() => loop.callSoonThreadsafe(nothing), CLOSED);
    assert.throws(() => loop.callSoonIn(context, nothing), CLOSED);
    assert.throws(() => loop.callLater(1, nothing), CLOSED);
    assert.throws(() => loop.callAt(1, nothing), CLOSED);
    assert.throws(() => loop.callAtIn(context, 1, nothing), CLOSED);
    assert.throws(() => loop.addReader(0, nothing), CLOSED);
    assert.throws(() => loop.addWriter(0, nothing), CLOSED);
    assert.throws(() => loop.createRemote(nothing), CLOSED);
    assert.throws(() => loop.createTask(function* () {}), CLOSED);
    assert.throws(() => loop.runForever(), CLOSED);
    await assert.rejects(
      loop.runUntilComplete(function* () {}),
      CLOSED,
    );
  });

  it('lets handles that are left over be cancelled without harm', () => {
    const loop = new EventLoop();
    const handles = [loop.callSoon(() => {}), loop.callLater(5, () => {})];
    loop.close();
    for (const handle of handles) {
      handle.unref().ref().cancel();
      assert.equal(handle.cancelled(), true);
    }
  });

  it('can be called twice, and by leaving a using block', () => {
    let outer: EventLoop;
    {
      using loop = new EventLoop();
      outer = loop;
      loop.close();
    }
    assert.equal(outer.isClosed(), true);
  });

  it('is refused while the loop is running', () =>
    withLoop(async (loop) => {
      const stopped = loop.runForever();
      assert.throws(() => loop.close(), { message: 'Cannot close a running event loop' });
      loop.stop();
      await stopped;
    }));

  it('drops what is queued', async () => {
    const loop = new EventLoop();
    let calls = 0;
    loop.callSoon(() => calls++);
    loop.callLater(0, () => calls++);
    loop.close();
    await turnOfNode();
    assert.equal(calls, 0);
  });
});

describe('EventLoop.statistics', () => {
  it('counts what is queued and armed now', () =>
    withLoop((loop) => {
      loop.callSoon(() => {});
      loop.callSoon(() => {});
      const timer = loop.callLater(1000, () => {});
      assert.equal(loop.statistics().ready, 2);
      assert.equal(loop.statistics().timers, 1);
      timer.cancel();
      assert.equal(loop.statistics().timers, 0);
    }));

  it('counts timers that were armed, cancelled and fired', async () => {
    const loop = new EventLoop({ clock: new JumpingClock() });
    loop.callLater(5, () => {}).cancel();
    loop.callLater(10, () => loop.stop());
    await loop.runForever();
    const { timersArmed, timersCancelled, timersFired, turns } = loop.statistics();
    loop.close();
    assert.deepEqual(
      { timersArmed, timersCancelled, timersFired },
      {
        timersArmed: 2,
        timersCancelled: 1,
        timersFired: 1,
      },
    );
    assert.ok(turns >= 1);
  });
});

describe('debug mode', () => {
  const block = (ms: number): void => {
    for (const end = performance.now() + ms; performance.now() < end; );
  };

  it('warns of a callback that takes 100 ms or more, with its name', () =>
    withConsole('warn', async (lines) => {
      const loop = new EventLoop({ debug: true });
      loop.callSoon(function quickCallback() {});
      loop.callSoon(function slowCallback() {
        block(105);
      });
      loop.stop();
      await loop.runForever();
      loop.close();
      assert.equal(lines.length, 1);
      assert.match(String(lines[0]![0]), /executing slowCallback took 1\d\d ms/);
    }));

  it('warns of a task whose step takes 100 ms or more, with its name', () =>
    withConsole('warn', async (lines) => {
      const loop = new EventLoop({ debug: true });
      await loop.runUntilComplete(function* () {
        yield* createTask(
          function* () {
            block(105);
          },
          { name: 'number cruncher' },
        );
      });
      loop.close();
      assert.equal(lines.length, 1);
      assert.match(String(lines[0]![0]), /"number cruncher".* took 1\d\d ms/);
    }));

  it('is off unless it is asked for', () =>
    withLoop((loop) => assert.equal(loop.debug, process.env['RINGLOOP_DEBUG'] === '1')));
});
