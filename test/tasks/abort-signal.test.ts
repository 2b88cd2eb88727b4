import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import {
  asCompleted,
  type CancelledError,
  cancelScope,
  createTask,
  currentTask,
  Event,
  EventLoop,
  Future,
  gather,
  isCancelledError,
  Lock,
  limit,
  moveOnAfter,
  Queue,
  run,
  select,
  shield,
  sleep,
  until,
  wait,
  waitFor,
} from 'ringloop';
import { errorOf } from '../support/both-kinds.js';
import { runProgram, turnOfNode } from '../support/capture.js';
import { withVirtualTime } from '../support/virtual-time.js';

const COUNT = 40;

/** Runs `body` with a list of what Node warns of meanwhile. */
async function withWarnings(body: () => Promise<void>): Promise<string[]> {
  const warnings: string[] = [];
  const listener = ({ name }: Error): void => void warnings.push(name);
  process.on('warning', listener);
  try {
    await body();
    await turnOfNode();
  } finally {
    process.off('warning', listener);
  }
  return warnings;
}

const never = new Event();
type Options = { signal: AbortSignal };

/** Every way to hang on a signal. */
const WAITS: Record<string, (options: Options) => PromiseLike<unknown> & Iterable<unknown>> = {
  'event.wait': (options) => never.wait(options),
  'queue.get': (options) => new Queue().get(options),
  sleep: (options) => sleep(60_000, null, options),
  until: (options) => until(new Promise(() => {}), options),
  gather: (options) => gather([new Future()], options),
  wait: (options) => wait([new Future()], options),
  waitFor: (options) => waitFor(new Future(), null, options),
  shield: (options) => shield(new Future(), options),
  asCompleted: (options) => asCompleted([new Future()], options).next()!,
  limit: (options) => limit(1, [1], () => new Future(), options),
  select: (options) => select({ lock: new Future() }, options),
  cancelScope: (options) => cancelScope(() => never.wait(), options),
};

// From the eleventh listener on, Node 20 prints MaxListenersExceededWarning.
describe('one signal for many', () => {
  for (const [name, operation] of Object.entries(WAITS)) {
    it(`is listened to once, however many wait with it: ${name}`, async () => {
      const warnings = await withWarnings(() =>
        run(async () => {
          const controller = new AbortController();
          const { signal } = controller;
          const tasks = Array.from({ length: COUNT }, (_, i) =>
            i % 2 === 0
              ? createTask(async () => await operation({ signal }))
              : createTask(function* () {
                  yield* operation({ signal });
                }),
          );
          await sleep(1);
          assert.equal(getEventListeners(signal, 'abort').length, 1);
          controller.abort(new RangeError('enough'));
          await gather(tasks, { returnExceptions: true });
          assert.equal(getEventListeners(signal, 'abort').length, 0);
        }),
      );
      assert.deepEqual(warnings, []);
    });
  }

  it('is listened to once by any number of run()s', async () => {
    const warnings = await withWarnings(async () => {
      const controller = new AbortController();
      const { signal } = controller;
      const runs = Array.from({ length: COUNT }, () => run(() => sleep(60_000), { signal }));
      await turnOfNode();
      assert.equal(getEventListeners(signal, 'abort').length, 1);
      controller.abort();
      await Promise.allSettled(runs);
      assert.equal(getEventListeners(signal, 'abort').length, 0);
    });
    assert.deepEqual(warnings, []);
  });

  it('may be that of a task or of a scope, also for listeners of others', async () => {
    const listenMany = (signal: AbortSignal): void => {
      for (let i = 0; i < COUNT; i++) signal.addEventListener('abort', () => i);
    };
    const warnings = await withWarnings(() =>
      run(async () => {
        const task = createTask(async () => {
          const { signal } = currentTask()!;
          listenMany(signal);
          await Promise.all(Array.from({ length: COUNT }, () => never.wait({ signal })));
        });
        await sleep(1);
        task.cancel();
        await wait([task]);
        await moveOnAfter(1, async ({ signal }) => {
          listenMany(signal);
          await gather(Array.from({ length: COUNT }, () => () => never.wait({ signal })));
        });
      }),
    );
    assert.deepEqual(warnings, []);
  });

  it('tells those who wait in the order in which they began, but not who has left', () =>
    run(async () => {
      const controller = new AbortController();
      const { signal } = controller;
      const told: number[] = [];
      const tasks = Array.from({ length: 4 }, (_, i) =>
        createTask(async () => {
          try {
            await never.wait({ signal });
          } catch {
            told.push(i);
          }
        }),
      );
      await sleep(1);
      tasks[1]!.cancel();
      await wait([tasks[1]!]);
      told.length = 0;
      controller.abort();
      await wait(tasks);
      assert.deepEqual(told, [0, 2, 3]);
    }));

  // As EventTarget does it. The wait of a loop that was closed cannot be told.
  it('tells the others although one of them cannot be told', async () => {
    const { signal, abort } = fresh();
    const loop = new EventLoop();
    const future = until(new Promise(() => {}), { loop, signal });
    future.addDoneCallback(() => {});
    loop.close();
    const errors: unknown[] = [];
    const before = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => void errors.push(error));
    try {
      await assert.rejects(
        run(async () => {
          createTask(() => sleep(1)).addDoneCallback(abort);
          await new Lock().acquire();
          await never.wait({ signal });
        }),
        { message: 'enough' },
      );
      await turnOfNode();
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of before) process.on('uncaughtException', listener);
    }
    assert.deepEqual(errors.map(String), ['RuntimeError: Event loop is closed']);
  });
});

function fresh(): { signal: AbortSignal; abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort(new Error('enough')) };
}

describe('an AbortSignal that many wait for', () => {
  it('has one listener of ours, and none when nobody waits', () =>
    withVirtualTime(function* () {
      const controller = new AbortController();
      const { signal } = controller;
      const never = new Event();
      const tasks = Array.from({ length: 40 }, () => createTask(() => never.wait({ signal })));
      yield* sleep(1);
      assert.equal(getEventListeners(signal, 'abort').length, 1);
      controller.abort(new RangeError('enough'));
      const outcomes = yield* gather(tasks, { returnExceptions: true });
      assert.ok(outcomes.every((outcome) => outcome instanceof RangeError));
      assert.equal(getEventListeners(signal, 'abort').length, 0);
    }));

  it('ends their waits in the order in which they began', () =>
    withVirtualTime(function* () {
      const controller = new AbortController();
      const ended: number[] = [];
      const tasks = [0, 1, 2].map((i) =>
        createTask(function* () {
          yield* errorOf(sleep(1000, null, { signal: controller.signal }));
          ended.push(i);
        }),
      );
      yield* sleep(1);
      controller.abort();
      yield* wait(tasks);
      assert.deepEqual(ended, [0, 1, 2]);
    }));

  it('makes Node warn of nothing, nor does a signal of a task', async () => {
    const { stdout, stderr } = await runProgram(`
      const { cancelScope, createTask, currentTask, Event, gather, run, sleep } = ringloop;
      const never = new Event();
      const forty = (work) => gather(Array.from({ length: 40 }, () => work));
      run(async () => {
        const controller = new AbortController();
        const { signal } = controller;
        setTimeout(() => controller.abort(), 10);
        await Promise.allSettled([
          forty(() => never.wait({ signal })),
          forty(() => cancelScope(() => sleep(1000), { signal })),
          ...Array.from({ length: 40 }, () => run(() => sleep(1000), { signal })),
        ]);
        const task = createTask(async () => {
          const own = currentTask().signal;
          for (let i = 0; i < 40; i++) own.addEventListener('abort', () => {});
          await Promise.allSettled(Array.from({ length: 40 }, () => never.wait({ signal: own })));
        });
        await sleep(1);
        task.cancel();
        await task.catch(() => {});
      }).then(() => console.log('over'));
    `);
    assert.deepEqual([stdout, stderr], ['over\n', '']);
  });
});

describe("the AbortError of a task's own signal", () => {
  it('counts as the cancellation of the task', () =>
    run(async () => {
      const task = createTask(async () => {
        const { signal } = currentTask()!;
        await new Promise((_, reject) => {
          signal.addEventListener('abort', () =>
            reject(
              Object.assign(new Error('aborted', { cause: signal.reason }), { name: 'AbortError' }),
            ),
          );
        });
      });
      await sleep(0);
      task.cancel('enough');
      const error = await task.catch((reason: unknown) => reason);
      assert.ok(isCancelledError(error));
      assert.equal((error.cause as CancelledError).reason, 'enough');
      assert.equal(task.cancelled(), true);
    }));
});
