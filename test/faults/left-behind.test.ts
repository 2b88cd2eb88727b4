import assert from 'node:assert/strict';

import {
  createTask,
  Event,
  Future,
  getEventLoop,
  Lock,
  memoryChannel,
  Queue,
  run,
  Semaphore,
  sleep,
  timeout,
} from 'ringloop';
import { withUnhandledRejections } from '../support/capture.js';

type Losing = () => PromiseLike<unknown>;

/** How a wait is left open when its task ends. */
const WAYS: Record<string, (lose: Losing) => () => any> = {
  'Promise.race': (lose) => async () => {
    await Promise.race([sleep(0), lose()]);
  },
  'Promise.all that fails': (lose) => async () => {
    const failing = (async () => {
      await sleep(0);
      throw new RangeError('lost');
    })();
    await Promise.all([failing, lose()]).catch(() => {});
  },
  'Promise.race in a block of a generator coroutine': (lose) =>
    function* () {
      yield* timeout(1000, async () => {
        await Promise.race([sleep(0), lose()]);
      });
      yield* sleep(0);
    },
  'Promise.race in a task': (lose) => async () => {
    await createTask(async () => {
      await Promise.race([sleep(0), lose()]);
    });
  },
  'Promise.race of async functions': (lose) => async () => {
    const losing = async (): Promise<unknown> => await lose();
    await Promise.race([sleep(0), losing()]);
  },
  'a chain of promises that nobody awaits': (lose) => async () => {
    await sleep(0);
    void lose().then((value) => value);
    await sleep(0);
  },
  'Promise.race, and an error': (lose) => async () => {
    await Promise.race([sleep(0), lose()]);
    throw new RangeError('of main');
  },
};

/** Runs a main that leaves a wait behind. Nothing may be unhandled. */
function leaving(way: (lose: Losing) => () => any, lose: Losing): Promise<void> {
  return withUnhandledRejections(async (unhandled) => {
    await run(way(lose)).catch((error) => assert.equal(error.message, 'of main'));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(unhandled, []);
  });
}

// The loser of a race went on when its task, and its run(), were over: it took an item from a later
// program, a lock for ever, and kept the process alive.
describe('what Promise.race and its like have left behind', () => {
  for (const [name, way] of Object.entries(WAYS)) {
    describe(`by ${name}`, () => {
      it('takes no item from a queue', async () => {
        const queue = new Queue<number>();
        await leaving(way, () => queue.get());
        assert.equal(queue.statistics().getters, 0);
        queue.putNowait(1);
        await run(() => sleep(1));
        assert.equal(queue.qsize(), 1);
      });

      it('takes no lock and no permit', async () => {
        const lock = new Lock();
        const semaphore = new Semaphore(1);
        await run(() => lock.acquire());
        await run(() => semaphore.acquire());
        await leaving(way, () => lock.acquire());
        await leaving(way, () => semaphore.acquire());
        lock.release();
        semaphore.release();
        await run(() => sleep(1));
        assert.deepEqual([lock.locked(), semaphore.locked()], [false, false]);
      });

      it('receives nothing from a channel', async () => {
        const [sender, receiver] = memoryChannel<number>(1);
        await leaving(way, () => receiver.receive());
        sender.sendNowait(1);
        await run(() => sleep(1));
        assert.equal(receiver.receiveNowait(), 1);
      });

      it('keeps no timer and no process alive', async () => {
        await leaving(way, () => sleep(60_000));
        assert.equal(getEventLoop().statistics().timers, 0);
      });

      it('waits for no event', async () => {
        const event = new Event();
        await leaving(way, () => event.wait());
        assert.equal(event.statistics().waiters, 0);
      });

      it('cancels no future that others may wait for', async () => {
        const future = new Future<number>();
        await leaving(way, () => future);
        assert.equal(future.done(), false);
        future.setResult(1);
      });
    });
  }

  it('is told so, and can clean up', async () => {
    const seen: unknown[] = [];
    await run(async () => {
      const losing = async (): Promise<void> => {
        try {
          await sleep(60_000);
        } catch (error) {
          seen.push((error as Error).name);
          throw error;
        } finally {
          seen.push('finally');
        }
      };
      await Promise.race([sleep(1), losing()]);
    });
    assert.deepEqual(seen, ['CancelledError', 'finally']);
  });

  it('gives a lock on that was on its way', async () => {
    const lock = new Lock();
    await run(() => lock.acquire());
    await run(async () => {
      const first = lock.acquire();
      await Promise.race([sleep(0), first]);
      lock.release(); // wakes what is lost when this function returns
    });
    await run(() => sleep(0));
    assert.equal(lock.locked(), false);
  });
});
