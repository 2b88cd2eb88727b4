/** Two copies of the package in one thread, as npm may install them. */
import assert from 'node:assert/strict';
import { CHECKOUT, RINGLOOP, runBareProgram } from '../support/capture.js';

/** Runs the body of an async function with two copies of ringloop, `first` and `second`. */
async function withTwoCopies(body: string): Promise<unknown> {
  const { stdout, stderr, code } = await runBareProgram(`
    const path = ${JSON.stringify(RINGLOOP)};
    const first = require(path);
    for (const key of Object.keys(require.cache)) {
      if (key.startsWith(${JSON.stringify(`${CHECKOUT}/dist`)})) delete require.cache[key];
    }
    const second = require(path);
    if (first.run === second.run) throw new Error('these are not two copies');
    (async () => { ${body} })().then((result) => console.log(JSON.stringify(result)));
  `);
  assert.equal(stderr, '');
  assert.equal(code, 0);
  return JSON.parse(stdout);
}

describe('two copies of ringloop in one thread', () => {
  it('share the loop of the thread, and so the order of events', async () => {
    const seen = await withTwoCopies(`
      const seen = [];
      first.getEventLoop().callSoon(() => seen.push(1));
      second.getEventLoop().callSoon(() => seen.push(2));
      first.getEventLoop().callSoon(() => seen.push(3));
      await second.sleep(0);
      return [first.getEventLoop() === second.getEventLoop(), ...seen];
    `);
    assert.deepEqual(seen, [true, 1, 2, 3]);
  });

  it('understand the futures, tasks and errors of each other', async () => {
    const seen = await withTwoCopies(`
      return second.run(function* () {
        const task = first.createTask(function* () { yield* second.sleep(1); return 'value'; });
        const seen = [first.isFuture(task), second.isFuture(task), yield* task];
        seen.push(...(yield* second.gather(first.sleep(1, 'a'), second.sleep(1, 'b'))));
        const slow = first.createTask(() => second.sleep(60_000));
        yield* second.sleep(0);
        slow.cancel('stop');
        try { yield* slow; } catch (error) {
          seen.push(first.isCancelledError(error), second.isCancelledError(error), error.reason);
        }
        return seen;
      });
    `);
    assert.deepEqual(seen, [true, true, 'value', 'a', 'b', true, true, 'stop']);
  });

  for (const [runs, awaits] of [
    ['first', 'second'],
    ['second', 'first'],
  ]) {
    it(`know the task of an async function that the ${runs} one runs`, async () => {
      const seen = await withTwoCopies(`
        return ${runs}.run(async () => {
          const before = ${awaits}.currentTask()?.name;
          await ${awaits}.sleep(1);
          await new Promise((resolve) => setTimeout(resolve, 1));
          return [before, ${awaits}.currentTask()?.name, ${runs}.currentTask()?.name];
        }, { name: 'the task' });
      `);
      assert.deepEqual(seen, ['the task', 'the task', 'the task']);
    });

    it(`cancel an async function of the ${runs} one at an await of the ${awaits} one`, async () => {
      const seen = await withTwoCopies(`
        return ${runs}.run(async () => {
          const seen = [];
          const task = ${runs}.createTask(async () => {
            try { await ${awaits}.sleep(60_000); } finally { seen.push('cancelled at the await'); }
          });
          await ${runs}.sleep(1);
          task.cancel();
          try { await task; } catch (error) { seen.push(error.name); }
          return seen;
        });
      `);
      assert.deepEqual(seen, ['cancelled at the await', 'CancelledError']);
    });

    it(`let timeouts of the ${awaits} one work in tasks of the ${runs} one`, async () => {
      const seen = await withTwoCopies(`
        return ${runs}.run(async () => {
          try {
            await ${awaits}.timeout(5, async () => { await ${runs}.sleep(60_000); });
          } catch (error) {
            return [error.name, ${runs}.currentTask().cancelling()];
          }
        });
      `);
      assert.deepEqual(seen, ['TimeoutError', 0]);
    });
  }

  it('both follow a store of AsyncLocalStorage', async () => {
    const seen = await withTwoCopies(`
      const { AsyncLocalStorage } = require('node:async_hooks');
      const storage = new AsyncLocalStorage();
      const ask = (copy) => storage.run('A', () => copy.run(function* () {
        yield* first.sleep(1);
        yield* second.sleep(1);
        return storage.getStore();
      }));
      return [await ask(first), await ask(second), storage.getStore() ?? null];
    `);
    assert.deepEqual(seen, ['A', 'A', null]);
  });

  it('follow a context variable of each other', async () => {
    const seen = await withTwoCopies(`
      const color = new first.ContextVar('color', { defaultValue: 'none' });
      return second.run(async () => {
        color.set('red');
        await second.sleep(1);
        return [color.get(), await second.createTask(async () => color.get())];
      });
    `);
    assert.deepEqual(seen, ['red', 'red']);
  });
});
