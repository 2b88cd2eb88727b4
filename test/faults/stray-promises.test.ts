import assert from 'node:assert/strict';
import { createTask, Future, isCancelledError, run, sleep, timeout } from 'ringloop';
import { errorOf } from '../support/both-kinds.js';
import { runProgram, turnOfNode } from '../support/capture.js';
import { withVirtualTime } from '../support/virtual-time.js';

/** The body of a block that leaves a promise behind, which waits later for something of ours. */
function leaving(stray: () => Promise<void>): () => Promise<void> {
  return async () => {
    void (async () => {
      await turnOfNode();
      await stray();
    })();
  };
}

describe('a promise that a block has left to itself', () => {
  // Its awaits became waits of the task, which waited for something else already, or for its turn:
  // the next step looked at them instead, and the process died of a TypeError.
  it('may wait while its task waits', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const gone = new Future<string>();
      const stray = async (): Promise<void> => {
        await sleep(1);
        seen.push('stray');
        await Promise.all([sleep(1), sleep(2)]);
        gone.setResult('gone');
      };
      yield* timeout(50, leaving(stray));
      assert.equal(yield* gone, 'gone');
      assert.deepEqual(seen, ['stray']);
    }));

  it('may wait while its task only gives its turn away', () =>
    withVirtualTime(function* () {
      let over = false;
      const stray = async (): Promise<void> => {
        await Promise.all([sleep(0), sleep(0)]);
        over = true;
      };
      yield* timeout(50, leaving(stray));
      for (let i = 0; !over; i++) {
        assert.ok(i < 1e6, 'it waits for ever');
        yield;
      }
    }));

  it('may wait, in all loops of one process', async () => {
    const { stdout, stderr } = await runProgram(`
      const { run, sleep, timeout } = ringloop;
      run(function* () {
        yield* timeout(1000, async () => {
          void (async () => {
            await new Promise(setImmediate);
            await sleep(2);
          })();
        });
        yield* sleep(10);
        console.log('alive');
      });
    `);
    assert.deepEqual([stdout, stderr], ['alive\n', '']);
  });

  it('does not keep its task from being cancelled where that waits', () =>
    withVirtualTime(function* () {
      const reached = new Future<void>();
      const stray = async (): Promise<void> => {
        reached.setResult();
        await sleep(1);
      };
      const task = createTask(function* () {
        yield* timeout(50, leaving(stray));
        yield* new Future<void>();
      });
      yield* reached;
      yield* sleep(0);
      task.cancel('enough');
      const error = yield* errorOf(task);
      assert.ok(isCancelledError(error));
      assert.equal(error.reason, 'enough');
      yield* sleep(5);
    }));

  // With stores in use its awaits became waits of the generator's task, and a scope in it that
  // expired cancelled what the generator waited for.
  it('has time limits of its own, with AsyncLocalStorage in use', async () => {
    const { stdout, stderr } = await runProgram(`
      const { Event, Lock, moveOnAfter, run, until, withLock } = ringloop;
      const { AsyncLocalStorage } = require('node:async_hooks');
      new AsyncLocalStorage().run('store', () => {});
      async function limited() {
        await withLock(new Lock(), function* () {
          for (let i = 0; i < 2; i++) yield* moveOnAfter(1, () => new Event().wait());
        });
        return 'over';
      }
      run(function* () {
        return yield* until(limited());
      }).then(console.log);
    `);
    assert.deepEqual([stdout, stderr], ['over\n', '']);
  });

  it('may go on when its task is done', async () => {
    let over!: () => void;
    const ended = new Promise<void>((resolve) => {
      over = resolve;
    });
    await run(function* () {
      const stray = async (): Promise<void> => {
        await sleep(1);
        over();
      };
      yield* timeout(50, leaving(stray));
    });
    await ended;
  });
});
