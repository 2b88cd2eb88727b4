/**
 * Whoever gives a wait up leaves nothing behind, however long what was waited for goes on.
 *
 * A promise that never settles kept 745 bytes of each `until()` that was cancelled, a future 830 of
 * each `asCompleted` that was left early, a server 425 of each `waitClosed()`: a server that races
 * its requests against its shutdown grew for ever.
 */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import {
  asCompleted,
  Condition,
  createTask,
  Event,
  Future,
  gather,
  isCancelledError,
  Lock,
  memoryChannel,
  Queue,
  run,
  select,
  shield,
  sleep,
  startServer,
  type Task,
  timeout,
  until,
  wait,
  waitFor,
} from 'ringloop';
import { BOTH_KINDS, errorOf, type Start } from '../support/both-kinds.js';
import { collectGarbage, turnOfNode, withReports } from '../support/capture.js';
import { withVirtualTime } from '../support/virtual-time.js';

const WARM_UP = 300;
const ROUNDS = 1500;
/** So few rounds are cheap, and noisy: what the engine does meanwhile it does not do each time. */
const ATTEMPTS = 4;
/** The smallest leak there was is 400 bytes. */
const MAX_BYTES = 100;

async function heapUsed(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    global.gc!();
    await turnOfNode();
  }
  return process.memoryUsage().heapUsed;
}

/** Bytes that stay of each round. */
async function bytesLeft(round: () => PromiseLike<unknown>): Promise<number> {
  for (let i = 0; i < WARM_UP; i++) await round();
  let left = Infinity;
  for (let attempt = 0; attempt < ATTEMPTS && left > MAX_BYTES; attempt++) {
    const before = await heapUsed();
    for (let i = 0; i < ROUNDS; i++) await round();
    left = Math.min(left, ((await heapUsed()) - before) / ROUNDS);
  }
  return left;
}

/** Begins to wait, and is cancelled. */
async function giveUp(task: Task<unknown>): Promise<void> {
  await sleep(0);
  await sleep(0);
  task.cancel();
  await wait([task]);
  assert.equal(task.cancelled(), true);
}

/** What goes on for ever. */
class LongLived {
  readonly future = new Future<void>();
  readonly task = createTask(() => this.future);
  readonly promise = new Promise<void>(() => {});
  readonly event = new Event();
  readonly lock = new Lock();
  readonly condition = new Condition();
  readonly queue = new Queue<void>();
  readonly receiver = memoryChannel<void>(1)[1];
  readonly signal = new AbortController().signal;
}

type Wait = (long: LongLived) => any;

const CANCELLED: Record<string, Wait> = {
  'until()': (long) => until(long.promise),
  'until() with a signal': (long) => until(long.promise, { signal: long.signal }),
  'until() of a future': (long) => until(long.future),
  'shield() of a future': (long) => shield(long.future),
  'shield() of a task': (long) => shield(long.task),
  'shield() of a promise': (long) => shield(long.promise),
  'gather() of promises': (long) => gather(long.promise, until(long.promise)),
  'gather() with a signal': (long) => gather([shield(long.task)], { signal: long.signal }),
  'waitFor() a promise': (long) => waitFor(long.promise, 1e6),
  'timeout()': (long) => timeout(1e6, () => until(long.promise)),
  'wait()': (long) => wait([long.future, long.task], { signal: long.signal }),
  'select()': (long) => select({ a: long.future, b: long.event.wait(), c: long.queue.get() }),
  'asCompleted()': (long) => asCompleted([long.future, long.promise]).next(),
  'asCompleted() with a time and a signal': ({ task, signal }) =>
    asCompleted([task], { signal, timeout: 1e6 }).next(),
  'Event.wait()': (long) => long.event.wait({ signal: long.signal }),
  'Queue.get()': (long) => long.queue.get({ signal: long.signal }),
  'receive()': (long) => long.receiver.receive(),
};

/** Rounds that end without being cancelled. */
const LEFT: Record<string, (long: LongLived, start: Start) => any> = {
  'the losers of select()': (long) =>
    select({ a: until(long.promise), b: long.future, t: sleep(0) }),
  'what select() did not even look at': (long) =>
    select({ first: new Queue(1).put(1), second: until(long.promise) }),
  'wait() that had no time': (long) => wait([until(long.promise), long.task], { timeout: 0 }),
  'gather() that has failed': (long) =>
    gather([long.future, long.promise, Promise.reject(new Error('early'))]).catch(() => {}),
};

describe('a wait that is given up', () => {
  for (const [name, operation] of Object.entries(CANCELLED)) {
    for (const [kind, start] of BOTH_KINDS) {
      it(`leaves nothing: ${name} in ${kind}`, () =>
        run(async () => {
          const long = new LongLived();
          const left = await bytesLeft(() => giveUp(start(() => operation(long))));
          assert.ok(left < MAX_BYTES, `${left} bytes stay of each`);
          assert.ok(getEventListeners(long.signal, 'abort').length < 10);
        }));
    }
  }

  for (const [name, round] of Object.entries(LEFT)) {
    it(`leaves nothing: ${name}`, () =>
      run(async () => {
        const long = new LongLived();
        const left = await bytesLeft(async () => void (await round(long, BOTH_KINDS[0]![1])));
        assert.ok(left < MAX_BYTES, `${left} bytes stay of each`);
      }));
  }

  const LOOPS: Record<string, (long: LongLived, options: object) => any> = {
    'for await': async (long, options) => {
      for await (const _ of asCompleted([long.future, long.promise, sleep(0)], options)) break;
    },
    'for with await': async (long, options) => {
      for (const next of asCompleted([long.task, long.promise, sleep(0)], options)) {
        await next;
        break;
      }
    },
    'for with yield*': function* (long, options) {
      for (const next of asCompleted([long.task, long.future, sleep(0)], options)) {
        yield* next;
        break;
      }
    },
  };
  for (const [kind, loop] of Object.entries(LOOPS)) {
    it(`leaves nothing: asCompleted() left early, ${kind}`, () =>
      run(async () => {
        const long = new LongLived();
        for (const options of [{}, { signal: long.signal, timeout: 1e6 }]) {
          const left = await bytesLeft(() => createTask(() => loop(long, options)));
          assert.ok(left < MAX_BYTES, `${left} bytes stay of each`);
        }
      }));
  }

  for (const [kind, start] of BOTH_KINDS) {
    it(`leaves nothing: Server.waitClosed() in ${kind}`, () =>
      run(async () => {
        await using server = await startServer(() => {}, '127.0.0.1', 0);
        const left = await bytesLeft(() => giveUp(start(() => server.waitClosed())));
        assert.ok(left < MAX_BYTES, `${left} bytes stay of each`);
      }));

    it(`leaves nothing: Condition.wait() in ${kind}`, () =>
      run(async () => {
        const { condition } = new LongLived();
        await condition.acquire();
        const waiting = async (): Promise<void> => {
          const task = start(() => condition.acquire());
          condition.release();
          await task;
          await giveUp(createTask(() => condition.wait()));
        };
        const left = await bytesLeft(waiting);
        assert.ok(left < MAX_BYTES, `${left} bytes stay of each`);
      }));
  }
});

describe('what follows a promise', () => {
  it('settles in the order of the calls, however many were given up in between', () =>
    withVirtualTime(function* () {
      let resolve!: (value: string) => void;
      const promise = new Promise<string>((settle) => {
        resolve = settle;
      });
      const seen: unknown[] = [];
      const tasks = Array.from({ length: 100 }, (_, i) =>
        createTask(function* () {
          seen.push([i, yield* until(promise)]);
        }),
      );
      yield* sleep(1);
      for (const [i, task] of tasks.entries()) if (i % 3 === 0) task.cancel();
      resolve('there');
      yield* until(turnOfNode());
      yield* sleep(1);
      const expected = tasks.map((_, i) => [i, 'there']).filter((_, i) => i % 3 !== 0);
      assert.deepEqual(seen, expected);
    }));

  it('settles futures that nobody waits for yet, and those of which only callbacks are left', () =>
    withVirtualTime(async () => {
      let resolve!: (value: number) => void;
      const promise = new Promise<number>((settle) => {
        resolve = settle;
      });
      const held = Array.from({ length: 50 }, () => until(promise));
      let called = 0;
      for (let i = 0; i < 50; i++) until(promise).addDoneCallback(() => called++);
      const late = Array.from({ length: 50 }, () => until(promise));
      const waiting = late.map((future) => createTask(() => future));
      const cancelled = until(promise);
      cancelled.cancel();
      await collectGarbage();
      resolve(7);
      assert.deepEqual(await Promise.all(held), Array(50).fill(7));
      assert.deepEqual(await Promise.all(waiting), Array(50).fill(7));
      await sleep(0);
      assert.equal(called, 50);
      assert.equal(cancelled.cancelled(), true);
      assert.equal(await until(promise), 7);
    }));

  it('asks what only looks like a promise each time, since that may do something', () =>
    withVirtualTime(async () => {
      let asked = 0;
      const query = {
        // biome-ignore lint/suspicious/noThenProperty: that is what is tested
        then(settle: (value: number) => void): void {
          settle(++asked);
        },
      } as PromiseLike<number>;
      assert.equal(await until(query), 1);
      assert.equal(await until(query), 2);
    }));

  it('has an error reported that none of those got who are gone', async () => {
    let reject!: (error: Error) => void;
    const promise = new Promise((_, fail) => {
      reject = fail;
    });
    const registered = new WeakRef(new Future<void>());
    await withReports(async (reports) => {
      for (let i = 0; i < 50; i++) until(promise);
      await collectGarbage(() => registered.deref() === undefined);
      reject(new RangeError('for nobody'));
      await turnOfNode();
      await collectGarbage();
      await turnOfNode();
      await collectGarbage();
      assert.ok(reports.length > 0);
      for (const { exception } of reports) {
        assert.equal((exception as Error).message, 'for nobody');
      }
    });
  });

  it('leaves the error of a future to that future when it was given up', () =>
    withVirtualTime(function* () {
      const future = new Future<void>();
      const task = createTask(() => until(future));
      yield* sleep(1);
      task.cancel();
      assert.ok(isCancelledError(yield* errorOf(task)));
      assert.equal(future.done(), false);
      const other = createTask(() => until(future));
      yield* sleep(1);
      future.setException(new RangeError('broken'));
      assert.equal((yield* errorOf(other)).message, 'broken');
    }));
});
