import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import {
  callRemote,
  createTask,
  eagerTaskFactory,
  Future,
  gather,
  getEventLoop,
  getRunningLoop,
  run,
  sleep,
  taskGroup,
  timeout,
  until,
} from 'ringloop';
import { RINGLOOP, runBareProgram, turnOfNode } from '../support/capture.js';
import { withVirtualTime } from '../support/virtual-time.js';
import { withPipe } from './pipe.js';

const storage = new AsyncLocalStorage<string>();
const loop = getEventLoop();

/** The store as it is in the callback that `schedule` arranges. */
function storeIn(schedule: (callback: () => void) => unknown): Promise<string | undefined> {
  return new Promise((resolve) => {
    schedule(() => resolve(storage.getStore()));
  });
}

describe('AsyncLocalStorage in callbacks', () => {
  it('has the store of whoever called callSoon', async () => {
    const a = storage.run('A', () => storeIn((callback) => loop.callSoon(callback)));
    const b = storage.run('B', () => storeIn((callback) => loop.callSoon(callback)));
    const none = storeIn((callback) => loop.callSoon(callback));
    assert.deepEqual(await Promise.all([a, b, none]), ['A', 'B', undefined]);
  });

  it('has the store of whoever called callLater or callAt', async () => {
    const later = storage.run('A', () => storeIn((callback) => loop.callLater(1, callback)));
    const at = storage.run('B', () =>
      storeIn((callback) => loop.callAt(loop.time() + 1, callback)),
    );
    assert.deepEqual(await Promise.all([later, at]), ['A', 'B']);
  });

  it('has the store of whoever called addReader, in every call', () =>
    withPipe(async (pipe) => {
      const seen: unknown[] = [];
      const done = new Promise<void>((resolve) => {
        storage.run('A', () =>
          loop.addReader(pipe.readFd, () => {
            if (seen.push(storage.getStore()) < 2) return;
            loop.removeReader(pipe.readFd);
            resolve();
          }),
        );
      });
      storage.run('B', () => pipe.write('x'));
      await done;
      assert.deepEqual(seen, ['A', 'A']);
    }));

  it('has the store of whoever called addWriter or createRemote', () =>
    withPipe(async (pipe) => {
      const writer = storage.run('A', () =>
        storeIn((callback) => loop.addWriter(pipe.writeFd, callback)),
      );
      assert.equal(await writer, 'A');
      loop.removeWriter(pipe.writeFd);
      let address: Parameters<typeof callRemote>[0];
      let close = (): void => {};
      const remote = storage.run('B', () =>
        storeIn((callback) => ({ address, close } = loop.createRemote(callback))),
      );
      callRemote(address!);
      assert.equal(await remote, 'B');
      close();
    }));

  it('has the store of whoever added the done callback, not of who settles', async () => {
    const future = new Future<void>();
    const seen = storage.run('A', () => storeIn((callback) => future.addDoneCallback(callback)));
    storage.run('B', () => future.setResult());
    assert.equal(await seen, 'A');
  });

  it('does not keep what a callback enters with enterWith()', async () => {
    const seen: unknown[] = [];
    loop.callSoon(() => storage.enterWith('entered'));
    loop.callSoon(() => seen.push(storage.getStore()));
    await turnOfNode();
    loop.callSoon(() => seen.push(storage.getStore()));
    seen.push(await storeIn((callback) => loop.callLater(0, callback)));
    assert.deepEqual(seen, [undefined, undefined, undefined]);
    assert.equal(storage.getStore(), undefined);
  });

  it('has no store in what is queued outside, although a task with a store is running', async () => {
    const seen: unknown[] = [];
    const done = storage.run('A', () =>
      run(function* () {
        for (let i = 0; i < 5; i++) yield* sleep(0);
      }),
    );
    for (let i = 0; i < 5; i++) loop.callSoon(() => seen.push(storage.getStore()));
    await done;
    assert.deepEqual(seen, Array(5).fill(undefined));
  });
});

describe('AsyncLocalStorage in tasks', () => {
  function* watch(seen: unknown[]): Generator<unknown, void, any> {
    seen.push(storage.getStore());
    yield* sleep(0);
    seen.push(storage.getStore());
    yield* sleep(1);
    seen.push(storage.getStore());
  }

  it('has the store of whoever made the task in every step of a generator', () =>
    withVirtualTime(function* () {
      const a: unknown[] = [];
      const b: unknown[] = [];
      const none: unknown[] = [];
      const tasks = [
        storage.run('A', () => createTask(watch(a))),
        storage.run('B', () => createTask(watch(b))),
        createTask(watch(none)),
      ];
      yield* gather(tasks);
      assert.deepEqual(a, ['A', 'A', 'A']);
      assert.deepEqual(b, ['B', 'B', 'B']);
      assert.deepEqual(none, [undefined, undefined, undefined]);
    }));

  it('has the store of whoever made the task at every await of an async function', () =>
    withVirtualTime(async () => {
      const look = async (): Promise<unknown[]> => {
        const seen: unknown[] = [storage.getStore()];
        await sleep(0);
        seen.push(storage.getStore());
        await turnOfNode();
        seen.push(storage.getStore());
        await sleep(1);
        seen.push(storage.getStore());
        return seen;
      };
      const a = storage.run('A', () => createTask(look));
      const b = storage.run('B', () => createTask(look));
      const none = createTask(look);
      assert.deepEqual(await a, ['A', 'A', 'A', 'A']);
      assert.deepEqual(await b, ['B', 'B', 'B', 'B']);
      assert.deepEqual(await none, Array(4).fill(undefined));
    }));

  it('passes the store on to the tasks that a task makes', () =>
    withVirtualTime(async () => {
      const store = await storage.run('A', () =>
        createTask(function* () {
          yield* sleep(1);
          return yield* createTask(function* () {
            return yield* createTask(async () => storage.getStore());
          });
        }),
      );
      assert.equal(store, 'A');
    }));

  it('sees what the task entered with enterWith() from then on, and nobody else does', () =>
    withVirtualTime(function* () {
      const seen: unknown[] = [];
      const entering = createTask(function* () {
        storage.enterWith('mine');
        yield* sleep(1);
        seen.push(storage.getStore());
        yield* sleep(0);
        seen.push(storage.getStore());
        seen.push(yield* createTask(async () => storage.getStore()));
      });
      const other = createTask(function* () {
        yield* sleep(2);
        seen.push(storage.getStore());
      });
      yield* gather(entering, other);
      seen.push(storage.getStore());
      assert.deepEqual(seen, ['mine', 'mine', 'mine', undefined, undefined]);
    }));

  it('sees in an async task what it entered with enterWith(), and nobody else does', () =>
    withVirtualTime(async () => {
      const entering = createTask(async () => {
        storage.enterWith('mine');
        await sleep(1);
        const first = storage.getStore();
        await turnOfNode();
        return [first, storage.getStore()];
      });
      const other = createTask(async () => {
        await sleep(2);
        return storage.getStore();
      });
      assert.deepEqual(await entering, ['mine', 'mine']);
      assert.equal(await other, undefined);
      assert.equal(storage.getStore(), undefined);
    }));

  it('is not lost in the blocks of timeout and taskGroup, nor behind until()', () =>
    withVirtualTime(function* () {
      const seen: unknown[] = [];
      yield* storage.run('A', () =>
        createTask(function* () {
          yield* timeout(50, async () => {
            await sleep(1);
            seen.push(storage.getStore());
          });
          yield* taskGroup(function* (group) {
            group.createTask(async () => {
              await sleep(1);
              seen.push(storage.getStore());
            });
            yield* sleep(2);
          });
          yield* until(turnOfNode());
          seen.push(storage.getStore());
        }),
      );
      assert.deepEqual(seen, ['A', 'A', 'A']);
    }));

  it('is not left behind where an eager task was made', () =>
    withVirtualTime(function* () {
      getRunningLoop().setTaskFactory(eagerTaskFactory);
      const seen: unknown[] = [];
      const task = storage.run('A', () => createTask(watch(seen)));
      assert.deepEqual(seen, ['A']);
      assert.equal(storage.getStore(), undefined);
      yield* task;
      assert.deepEqual(seen, ['A', 'A', 'A']);
    }));

  it('has in a run() the store of whoever called it', async () => {
    const ask = (name: string): Promise<unknown> =>
      storage.run(name, () =>
        run(function* () {
          yield* sleep(1);
          return storage.getStore();
        }),
      );
    assert.deepEqual(await Promise.all([ask('A'), ask('B')]), ['A', 'B']);
  });

  it('has after an await outside any task the store from before', async () => {
    const ask = (name: string): Promise<unknown> =>
      storage.run(name, async () => {
        await sleep(1);
        return storage.getStore();
      });
    assert.deepEqual(await Promise.all([ask('A'), ask('B')]), ['A', 'B']);
  });

  it('has several storages at once', () =>
    withVirtualTime(function* () {
      const other = new AsyncLocalStorage<number>();
      const both = yield* storage.run('A', () =>
        other.run(1, () =>
          createTask(function* () {
            yield* sleep(1);
            return [storage.getStore(), other.getStore()];
          }),
        ),
      );
      assert.deepEqual(both, ['A', 1]);
    }));
});

describe('AsyncLocalStorage in a process of its own', () => {
  const LOAD = `require(${JSON.stringify(RINGLOOP)})`;

  it('keeps a store that was there before ringloop was loaded', async () => {
    const { stdout, stderr } = await runBareProgram(`
      const { AsyncLocalStorage } = require('node:async_hooks');
      const storage = new AsyncLocalStorage();
      storage.run('early', () => {
        const { getEventLoop, run, sleep } = ${LOAD};
        getEventLoop().callSoon(() => console.log('callback', storage.getStore()));
        run(function* () {
          yield* sleep(1);
          console.log('generator', storage.getStore());
        });
        run(async () => {
          await sleep(2);
          console.log('async', storage.getStore());
        });
      });
    `);
    assert.equal(stderr, '');
    assert.equal(stdout, 'callback early\ngenerator early\nasync early\n');
  });

  it('keeps the store that was entered with enterWith() before ringloop was loaded', async () => {
    const { stdout, stderr } = await runBareProgram(`
      const { AsyncLocalStorage } = require('node:async_hooks');
      const storage = new AsyncLocalStorage();
      storage.enterWith('early');
      const { getEventLoop, run, sleep } = ${LOAD};
      run(function* () {
        yield* sleep(1);
        console.log('generator', storage.getStore());
        getEventLoop().callSoon(() => console.log('callback', storage.getStore()));
      });
    `);
    assert.equal(stderr, '');
    assert.equal(stdout, 'generator early\ncallback early\n');
  });

  it('has stores that come up while tasks are running already', async () => {
    const { stdout, stderr } = await runBareProgram(`
      const { AsyncLocalStorage } = require('node:async_hooks');
      const { createTask, run, sleep } = ${LOAD};
      run(function* () {
        yield* sleep(1);
        const storage = new AsyncLocalStorage();
        const task = storage.run('late', () => createTask(function* () {
          yield* sleep(1);
          console.log('child', storage.getStore());
        }));
        yield* task;
        console.log('parent', storage.getStore());
        storage.enterWith('entered');
        yield* sleep(1);
        console.log('parent', storage.getStore());
        yield* createTask(async () => console.log('child', storage.getStore()));
      }).then(() => console.log('outside', '-'));
    `);
    assert.equal(stderr, '');
    assert.deepEqual(stdout.trim().split('\n'), [
      'child late',
      'parent undefined',
      'parent entered',
      'child entered',
      'outside -',
    ]);
  });

  it('does not let the first enterWith() of the process leak out of its callback', async () => {
    const { stdout, stderr } = await runBareProgram(`
      const { AsyncLocalStorage } = require('node:async_hooks');
      const { getEventLoop } = ${LOAD};
      const storage = new AsyncLocalStorage();
      const loop = getEventLoop();
      loop.callSoon(() => storage.enterWith('leak'));
      loop.callSoon(() => console.log('neighbour', storage.getStore()));
      loop.callLater(1, () => {
        console.log('timer', storage.getStore());
        setTimeout(() => loop.callSoon(() => console.log('later', storage.getStore())), 1);
      });
    `);
    assert.equal(stderr, '');
    assert.deepEqual(stdout.trim().split('\n'), [
      'neighbour undefined',
      'timer undefined',
      'later undefined',
    ]);
  });

  it('is not followed with RINGLOOP_ASYNC_CONTEXT=off', async () => {
    const { stdout } = await runBareProgram(
      `
      const { AsyncLocalStorage } = require('node:async_hooks');
      const { getEventLoop } = ${LOAD};
      const storage = new AsyncLocalStorage();
      storage.run('A', () =>
        getEventLoop().callSoon(() => console.log('callback', storage.getStore())));
      `,
      { env: { RINGLOOP_ASYNC_CONTEXT: 'off' } },
    );
    assert.equal(stdout, 'callback undefined\n');
  });
});
