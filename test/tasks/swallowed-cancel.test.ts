import assert from 'node:assert/strict';

import { createTask, currentTask, Queue, type Runnable, sleep, wait } from 'ringloop';

import { withConsole } from '../support/capture.js';
import { withVirtualTime } from '../support/virtual-time.js';

/** What is warned about a task that is cancelled in its first wait. */
async function warningsAbout(
  body: Runnable<unknown>,
  { debug = true, name = 'stubborn' } = {},
): Promise<string[]> {
  const lines = await withConsole('warn', async (warned) => {
    await withVirtualTime(function* () {
      const task = createTask(body, { name });
      task.loop.debug = debug;
      yield* sleep(1);
      task.cancel();
      yield* wait([task]);
    });
    return warned;
  });
  return lines.map(String);
}

describe('debug mode, when a cancelled task swallows its CancelledError and waits again', () => {
  it('names the task and the line when it ends with a result', async () => {
    const [warning, ...others] = await warningsAbout(function* stubbornBody() {
      try {
        yield* sleep(1000);
      } catch {}
      yield* sleep(5);
    });
    assert.deepEqual(others, []);
    assert.match(warning!, /task "stubborn" was cancelled at stubbornBody \(.*swallowed-cancel/);
    assert.match(warning!, /without uncancel\(\); it has ended with a result/);
  });

  it('says so once when it is still running a second later', async () => {
    const warnings = await warningsAbout(function* () {
      for (let i = 0; i < 5; i++) {
        try {
          yield* sleep(1500);
        } catch {}
      }
    });
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /it is still running/);
  });

  it('names the task when it is an async function', async () => {
    const warnings = await warningsAbout(async () => {
      try {
        await sleep(1000);
      } catch {}
      await sleep(5);
    });
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /task "stubborn" was cancelled, swallowed/);
  });

  it('is silent where the wait is clean-up and the task ends cancelled', async () => {
    const warnings = await warningsAbout(function* () {
      try {
        yield* new Queue().get();
      } finally {
        yield* sleep(5);
      }
    });
    assert.deepEqual(warnings, []);
  });

  it('is silent where uncancel() takes the cancellation back', async () => {
    const warnings = await warningsAbout(function* () {
      try {
        yield* sleep(1000);
      } catch {
        currentTask()!.uncancel();
      }
      yield* sleep(2000);
    });
    assert.deepEqual(warnings, []);
  });

  it('is silent where the task ends without another wait', async () => {
    const warnings = await warningsAbout(function* () {
      try {
        yield* sleep(1000);
      } catch {}
    });
    assert.deepEqual(warnings, []);
  });

  it('is silent without debug mode', async () => {
    const stubborn = function* (): Generator<unknown, void, any> {
      try {
        yield* sleep(1000);
      } catch {}
      yield* sleep(5);
    };
    assert.deepEqual(await warningsAbout(stubborn, { debug: false }), []);
  });
});
