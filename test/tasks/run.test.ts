import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import {
  allTasks,
  type CancelledError,
  createTask,
  currentTask,
  Future,
  gather,
  getEventLoop,
  run,
  sleep,
} from 'ringloop';
import { turnOfNode, withReports } from '../support/capture.js';

/** What a run() in debug mode would leave behind if the mode were not taken back. */
const debug = (): boolean => getEventLoop().debug;

describe('run', () => {
  it('returns what a generator coroutine returns', async () => {
    assert.equal(
      await run(function* () {
        yield* sleep(1);
        return 42;
      }),
      42,
    );
  });

  it('returns what an async function returns', async () => {
    assert.equal(await run(async () => (await sleep(1), 'done')), 'done');
  });

  it('takes a generator object, and what a function returns', async () => {
    function* main(value: string): Generator<unknown, string, any> {
      yield* sleep(0);
      return value;
    }
    assert.equal(await run(main('object')), 'object');
    assert.equal(await run(() => main('returned')), 'returned');
    assert.equal(await run(() => sleep(0, 'coroutine')), 'coroutine');
  });

  it('rejects with what the main coroutine throws', async () => {
    const error = new RangeError('no');
    const failing = run(function* () {
      yield* sleep(0);
      throw error;
    });
    await assert.rejects(failing, (thrown) => thrown === error);
  });

  it('starts after the calling code', async () => {
    const seen: string[] = [];
    const running = run(async () => seen.push('main'));
    seen.push('caller');
    await running;
    assert.deepEqual(seen, ['caller', 'main']);
  });

  it('cancels what it spawned and did not await, and waits for it', async () => {
    const seen: string[] = [];
    await run(function* () {
      createTask(function* () {
        try {
          yield* sleep(60_000);
        } finally {
          seen.push('cleaned up');
        }
      });
      yield* sleep(0);
      seen.push('main ends');
    });
    assert.deepEqual(seen, ['main ends', 'cleaned up']);
  });

  it('cancels grandchildren, and what is made while it cancels', async () => {
    const seen: string[] = [];
    const lasting = (name: string, cleanUp: () => unknown) =>
      createTask(function* () {
        try {
          yield* sleep(60_000);
        } finally {
          seen.push(name);
          cleanUp();
        }
      });
    await run(function* () {
      createTask(function* () {
        lasting('grandchild', () => lasting('made meanwhile', () => {}));
        yield* sleep(60_000);
      });
      yield* sleep(0);
      yield* sleep(0);
    });
    assert.deepEqual(seen, ['grandchild', 'made meanwhile']);
    assert.equal(allTasks().size, 0);
  });

  it('cancels what it spawned when the main coroutine throws, too', async () => {
    const seen: string[] = [];
    const failing = run(async () => {
      createTask(async () => {
        try {
          await sleep(60_000);
        } finally {
          seen.push('cleaned up');
        }
      });
      await sleep(0);
      throw new RangeError('main');
    });
    await assert.rejects(failing, { message: 'main' });
    assert.deepEqual(seen, ['cleaned up']);
  });

  it('reports what fails while it is cancelled, and settles all the same', () =>
    withReports(async (reports) => {
      const result = await run(function* () {
        createTask(function* () {
          try {
            yield* sleep(60_000);
          } catch {
            throw new RangeError('while cleaning up');
          }
        });
        yield* sleep(0);
        return 'main';
      });
      assert.equal(result, 'main');
      assert.equal(reports.length, 1);
      assert.equal(reports[0]!.message, 'unhandled exception during run() shutdown');
    }));

  it('leaves the tasks of other run() calls alone', async () => {
    const seen: string[] = [];
    const slow = run(function* () {
      yield* gather(
        createTask(function* () {
          yield* sleep(5);
          seen.push('task of the slow one');
        }),
      );
    });
    await run(() => sleep(0));
    assert.deepEqual(seen, []);
    await slow;
    assert.deepEqual(seen, ['task of the slow one']);
  });

  it('can be called a hundred times at once', async () => {
    const results = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        run(function* () {
          yield* sleep(i % 3);
          return i;
        }),
      ),
    );
    assert.deepEqual(
      results,
      Array.from({ length: 100 }, (_, i) => i),
    );
  });

  it('can be called in a task, and belongs to itself there', async () => {
    const names = await run(async () => {
      const inner = await run(async () => currentTask()!.name, { name: 'inner' });
      return [inner, currentTask()!.name];
    });
    assert.deepEqual(names, ['inner', 'main']);
  });

  it('names the main task', async () => {
    const ask = async (): Promise<string> => currentTask()!.name;
    assert.deepEqual(
      [await run(ask), await run(ask, { name: 'request 7' })],
      ['main', 'request 7'],
    );
  });

  it('rejects with a CancelledError when the main task is cancelled', async () => {
    const running = run(function* () {
      currentTask()!.cancel('by itself');
      yield* sleep(0);
    });
    await assert.rejects(running, { name: 'CancelledError', reason: 'by itself' });
  });

  it('refuses what cannot be run', async () => {
    for (const wrong of [5, null, undefined, 'text', {}, [], Promise.resolve(), Symbol('x')]) {
      await assert.rejects(run(wrong as never), { name: 'TypeError', message: /^run: / });
    }
  });

  it('rejects when the function returns nothing to wait for, and says which function', async () => {
    const mistake = run(function forgotToReturn() {} as never);
    await assert.rejects(mistake, { name: 'TypeError', message: /^forgotToReturn must return/ });
  });
});

describe('run with a signal', () => {
  it('cancels the main task with the reason of the signal', async () => {
    const controller = new AbortController();
    const reason = new RangeError('client is gone');
    const seen: unknown[] = [];
    const running = run(
      async () => {
        try {
          await sleep(60_000);
        } catch (error) {
          seen.push((error as CancelledError).reason, currentTask()!.signal.aborted);
          throw error;
        }
      },
      { signal: controller.signal },
    );
    await turnOfNode();
    controller.abort(reason);
    await assert.rejects(running, { name: 'CancelledError', reason, cause: reason });
    assert.deepEqual(seen, [reason, true]);
    assert.deepEqual(getEventListeners(controller.signal, 'abort'), []);
  });

  it('never starts the main task if the signal has fired already', async () => {
    let started = false;
    const running = run(
      async () => {
        started = true;
      },
      { signal: AbortSignal.abort('too late') },
    );
    await assert.rejects(running, { name: 'CancelledError', reason: 'too late' });
    assert.equal(started, false);
  });

  it('lets go of the signal when it is over', async () => {
    const { signal } = new AbortController();
    await run(() => sleep(0), { signal });
    assert.deepEqual(getEventListeners(signal, 'abort'), []);
  });

  it('returns the result if the main task refuses to be cancelled', async () => {
    const controller = new AbortController();
    const running = run(
      function* () {
        const future = new Future();
        try {
          yield* future;
        } catch {
          return 'refused';
        }
        return 'never';
      },
      { signal: controller.signal },
    );
    await turnOfNode();
    controller.abort();
    assert.equal(await running, 'refused');
  });

  it('starts nothing if the signal is none', async () => {
    let started = false;
    const running = run(
      async () => {
        started = true;
      },
      { signal: 5 as never },
    );
    await assert.rejects(running, TypeError);
    await turnOfNode();
    assert.equal(started, false);
    assert.equal(allTasks().size, 0);
  });
});

describe('run with debug', () => {
  it('turns the mode on for as long as it runs', async () => {
    const before = debug();
    await run(async () => assert.equal(debug(), true), { debug: true });
    assert.equal(debug(), before);
  });

  it('leaves the mode as it was when several overlap', async () => {
    const before = debug();
    const first = run(() => sleep(1), { debug: !before });
    const second = run(() => sleep(5));
    await Promise.all([first, second]);
    const after = debug();
    getEventLoop().debug = before;
    assert.equal(after, before);
  });
});
