import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';

import {
  createTask,
  currentTask,
  Event,
  gather,
  isCancelledError,
  run,
  sleep,
  wait,
} from 'ringloop';
import { errorOf } from '../support/both-kinds.js';
import { runProgram } from '../support/capture.js';
import { withVirtualTime } from '../support/virtual-time.js';

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
      assert.equal(error.reason, 'enough');
      assert.equal(task.cancelled(), true);
    }));
});
