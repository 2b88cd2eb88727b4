import assert from 'node:assert/strict';

import { createTask, currentTask, Future, gather, run, shield, sleep, until, wait } from 'ringloop';
import { BOTH_KINDS } from '../support/both-kinds.js';
import { runProgram, withReports } from '../support/capture.js';

class Hostile extends Error {}

function hostile(): never {
  throw new Hostile('hostile');
}

function revoked(): any {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

/** Values of which a question throws. */
const VALUES: Record<string, () => any> = {
  'a revoked Proxy': revoked,
  'a Proxy of a function, revoked': () => {
    const { proxy, revoke } = Proxy.revocable(() => {}, {});
    revoke();
    return proxy;
  },
  'a Proxy whose every trap throws': () =>
    new Proxy({}, { get: hostile, has: hostile, getPrototypeOf: hostile, ownKeys: hostile }),
  'an object without a prototype': () => Object.create(null),
  'a throwing then': () => Object.defineProperty({}, 'then', { get: hostile }),
  'a throwing next': () => Object.defineProperty({}, 'next', { get: hostile }),
  'a throwing constructor': () => Object.defineProperty({}, 'constructor', { get: hostile }),
  'a throwing Symbol.toPrimitive': () => ({ [Symbol.toPrimitive]: hostile }),
  'a throwing toString': () => ({ toString: hostile }),
  'an Error whose stack throws': () =>
    Object.defineProperty(new Error(), 'stack', { get: hostile }),
  'an Error whose message throws': () =>
    Object.defineProperty(new Error(), 'message', { get: hostile }),
  'a frozen Error': () => Object.freeze(new Error('frozen')),
  'a symbol': () => Symbol('value'),
  null: () => null,
  undefined: () => undefined,
};

async function settles(outcome: Promise<unknown>): Promise<'fulfilled' | 'rejected'> {
  const [{ status }] = (await Promise.allSettled([outcome])) as [PromiseSettledResult<unknown>];
  return status;
}

/** The run() settles, nothing is uncaught, and the next one works. */
async function survives(main: () => any): Promise<void> {
  await withReports(async () => {
    await settles(run(main));
    assert.equal(await run(() => sleep(0, 'works')), 'works');
  });
}

// A question to such a value, asked outside of any catch, became an uncaught exception, and the
// run() of its task never settled.
describe('hostile values', () => {
  for (const [name, make] of Object.entries(VALUES)) {
    describe(name, () => {
      it('can be yielded', () =>
        survives(function* () {
          yield make();
        }));

      it('can be thrown', async () => {
        await survives(function* () {
          throw make();
        });
        await survives(async () => {
          throw make();
        });
      });

      it('can be returned', async () => {
        await survives(function* () {
          return make();
        });
        await survives(async () => make());
        await survives(() => make());
      });

      it('can be the reason of a cancellation', () =>
        survives(function* () {
          const task = createTask(() => sleep(60_000));
          const asyncTask = createTask(async () => sleep(60_000));
          const future = new Future();
          yield* sleep(0);
          for (const each of [task, asyncTask, future]) each.cancel(make());
          yield* wait([task, asyncTask, future]);
          return String(task);
        }));

      it('can be thrown by what others wait for', async () => {
        for (const [, start] of BOTH_KINDS) {
          await survives(function* () {
            const failing = (): any =>
              (function* () {
                yield* sleep(0);
                throw make();
              })();
            yield* wait([start(() => gather(failing())), start(() => shield(failing()))]);
            yield* gather([createTask(failing), createTask(failing)], { returnExceptions: true });
          });
        }
      });

      it('can be what a promise rejects with', () =>
        survives(function* () {
          yield* until(Promise.reject(make()));
        }));

      it('can be thrown in a callback, and by the exception handler', () =>
        withReports(() =>
          run(function* () {
            const { loop } = currentTask()!;
            loop.callSoon(() => {
              throw make();
            });
            yield* sleep(0);
          }),
        ));
    });
  }

  it('may be the results of the iterator behind yield*', async () => {
    const results = [revoked(), 5, Object.defineProperty({}, 'done', { get: hostile })];
    for (const result of results) {
      const iterator = { next: () => result, [Symbol.iterator]: () => iterator };
      await survives(function* () {
        yield* iterator as Iterable<any>;
      });
    }
  });

  it('may be thenables that settle twice, at once, or throw', async () => {
    const thenables = [
      Object.defineProperty({}, 'then', { value: hostile }),
      {
        // biome-ignore lint/suspicious/noThenProperty: it is what is tested
        then(resolve: (value: string) => void, reject: (error: Error) => void): void {
          resolve('first');
          reject(new Error('second'));
        },
      },
    ] as PromiseLike<any>[];
    for (const thenable of thenables) {
      await survives(() => thenable);
      await survives(function* () {
        yield* until(thenable);
      });
    }
  });

  it('are reported without a second error', async () => {
    const { stderr, code } = await runProgram(`
      ringloop.getEventLoop().callSoon(() => {
        throw Object.defineProperty(new Error('x'), 'stack', { get() { throw new Error('y'); } });
      });
    `);
    assert.equal(code, 0);
    assert.match(stderr, /Exception in callback/);
  });
});

// Errors without a stack are made by setting Error.stackTraceLimit, which throws where it is frozen.
describe('frozen intrinsics', () => {
  const PROGRAM = `
    const { createTask, gather, isCancelledError, openConnection, run, sleep } = ringloop;
    const { startServer, timeout } = ringloop;
    const { AsyncLocalStorage } = require('node:async_hooks');
    const storage = new AsyncLocalStorage();
    run(function* () {
      for (const runnable of [() => sleep(1000), async () => sleep(1000)]) {
        const task = createTask(runnable);
        yield* sleep(0);
        task.cancel('enough');
        try { yield* task; } catch (error) { console.log(isCancelledError(error)); }
      }
      try { yield* timeout(1, () => sleep(1000)); } catch (error) { console.log(error.name); }
      console.log(String(yield* gather(sleep(1, 'a'), async () => 'b')));
      storage.run('store', () => createTask(async () => console.log(storage.getStore())));
      const server = yield* startServer(async (reader, writer) => {
        writer.write(await reader.readLine());
      }, '127.0.0.1', 0);
      const [reader, writer] = yield* openConnection('127.0.0.1', server.port);
      writer.write('line\\n');
      console.log(String(yield* reader.readLine()).trim());
      writer.close();
      server.close();
      yield* server.waitClosed();
    });
  `;
  const EXPECTED = 'true\ntrue\nTimeoutError\na,b\nstore\nline\n';

  it('of Node do not get in the way', async () => {
    const { stdout, stderr } = await runProgram(PROGRAM, { flags: ['--frozen-intrinsics'] });
    assert.doesNotMatch(stderr, /Error/);
    assert.equal(stdout, EXPECTED);
  });

  it('of the program do not get in the way', async () => {
    const freeze = 'Object.freeze(Error); Object.freeze(Error.prototype);';
    const { stdout, stderr } = await runProgram(freeze + PROGRAM);
    assert.equal(stderr, '');
    assert.equal(stdout, EXPECTED);
  });
});
