/** What the three kinds of queues have in common, as one set of tests. */
import assert from 'node:assert/strict';
import {
  createTask,
  isCancelledError,
  type Queue,
  QueueEmpty,
  QueueFull,
  QueueShutDown,
  sleep,
} from 'ringloop';
import { withVirtualTime } from './virtual-time.js';
import {
  behavesLikeEveryWait,
  deadlockOf,
  errorOf,
  KINDS,
  losesNoWakeUp,
  type Subject,
} from './waits.js';

/** A class of queues. */
export type QueueClass = new (maxsize?: number) => Queue<number>;

/** The tests of a class of queues, whatever the order of its items. */
export function behavesLikeEveryQueue(Kind: QueueClass): void {
  describe(`new ${Kind.name}()`, () => constructing(Kind));
  describe(`${Kind.name}.get()`, () => getting(Kind));
  describe(`${Kind.name}.put()`, () => putting(Kind));
  describe(`${Kind.name}.join()`, () => joining(Kind));
  describe(`${Kind.name}.shutdown()`, () => shuttingDown(Kind));
  describe(`${Kind.name}, iterated`, () => iterating(Kind));
}

function constructing(Kind: QueueClass): void {
  it('makes a queue without a limit, unless it is told a positive one', () => {
    for (const queue of [new Kind(), new Kind(0), new Kind(-1)]) {
      for (let i = 0; i < 100; i++) queue.putNowait(i);
      assert.equal(queue.full(), false);
      assert.equal(queue.statistics().maxsize, 0);
    }
    const limited = new Kind(2);
    limited.putNowait(1);
    assert.equal(limited.full(), false);
    limited.putNowait(2);
    assert.equal(limited.full(), true);
    assert.equal(limited.maxsize, 2);
  });

  it('refuses a limit that is no number, and says what it got', () => {
    for (const [wrong, shown] of [
      ['5', '"5"'],
      [NaN, 'NaN'],
      [null, 'null'],
      [{}, 'an instance of Object'],
    ]) {
      assert.throws(() => new Kind(wrong as never), {
        name: 'TypeError',
        message: `Queue: maxsize must be a number, got ${shown}`,
      });
    }
  });

  it('makes a queue that tells how much is in it', () =>
    withVirtualTime(function* () {
      const queue = new Kind(1);
      const idle = { maxsize: 1, getters: 0, putters: 0, isShutdown: false };
      assert.deepEqual(queue.statistics(), { ...idle, size: 0, unfinished: 0 });
      const getter = createTask(queue.get());
      yield* sleep(1);
      assert.deepEqual(queue.statistics(), { ...idle, size: 0, unfinished: 0, getters: 1 });
      queue.putNowait(1);
      yield* getter;
      queue.putNowait(2);
      createTask(queue.put(3));
      yield* sleep(1);
      assert.deepEqual(queue.statistics(), { ...idle, size: 1, unfinished: 2, putters: 1 });
      assert.equal(String(queue), `<${Kind.name} size: 1, maxsize: 1>`);
    }));
}

function getting(Kind: QueueClass): void {
  const empty = (): Subject => {
    const queue = new Kind();
    return {
      wait: (options) => queue.get(options),
      *wake() {
        queue.putNowait(7);
      },
      waiters: () => queue.statistics().getters,
      check: (result) => assert.equal(result, 7),
    };
  };
  behavesLikeEveryWait(empty);
  losesNoWakeUp(empty);

  it('does not wait when there is an item', () =>
    withVirtualTime(function* () {
      const queue = new Kind();
      queue.putNowait(1);
      let ran = false;
      createTask(function* () {
        ran = true;
      });
      assert.equal(yield* queue.get(), 1);
      assert.equal(ran, false);
    }));

  it('leaves the item where it is when it is cancelled after it was woken', () =>
    withVirtualTime(function* () {
      const queue = new Kind();
      const task = createTask(queue.get());
      yield* sleep(1);
      queue.putNowait(1);
      task.cancel();
      assert.ok(isCancelledError(yield* errorOf(task)));
      assert.equal(queue.getNowait(), 1);
    }));

  it('waits on when somebody was faster, and can be aborted then', () =>
    withVirtualTime(function* () {
      const queue = new Kind();
      const controller = new AbortController();
      const task = createTask(queue.get({ signal: controller.signal }));
      yield* sleep(1);
      queue.putNowait(1);
      assert.equal(queue.getNowait(), 1);
      yield* sleep(1);
      assert.equal(queue.statistics().getters, 1);
      controller.abort(new RangeError('aborted'));
      assert.equal((yield* errorOf(task)).message, 'aborted');
      assert.equal(queue.statistics().getters, 0);
    }));

  it('is aborted when it was woken, and somebody was faster in the same iteration', () =>
    withVirtualTime(function* () {
      const queue = new Kind();
      const controller = new AbortController();
      const task = createTask(queue.get({ signal: controller.signal }));
      yield* sleep(1);
      queue.putNowait(1);
      controller.abort(new RangeError('aborted'));
      assert.equal(queue.getNowait(), 1);
      assert.equal((yield* errorOf(task)).message, 'aborted');
      assert.equal(queue.statistics().getters, 0);
    }));

  it('ends with a DeadlockError when nobody puts anything', async () => {
    assert.deepEqual(await deadlockOf(`() => new ringloop.${Kind.name}().get()`), ['main']);
  });

  it('has a sister that does not wait, and throws QueueEmpty', () => {
    const queue = new Kind();
    assert.throws(() => queue.getNowait(), QueueEmpty);
    queue.putNowait(1);
    assert.equal(queue.getNowait(), 1);
    assert.equal(queue.empty(), true);
  });
}

function putting(Kind: QueueClass): void {
  const full = (): Subject => {
    const queue = new Kind(1);
    return {
      *setUp() {
        yield* queue.put(1);
      },
      wait: (options) => queue.put(2, options),
      *wake() {
        queue.getNowait();
      },
      waiters: () => queue.statistics().putters,
      check: (result) => assert.equal(result, undefined),
    };
  };
  behavesLikeEveryWait(full);
  losesNoWakeUp(full);

  for (const [kind, start] of KINDS) {
    it(`puts its item when there is room, in ${kind}, and not if it is cancelled`, () =>
      withVirtualTime(function* () {
        const queue = new Kind(1);
        yield* queue.put(1);
        const tasks = [2, 3, 4].map((item) => start(() => queue.put(item)));
        yield* sleep(1);
        tasks[1]!.cancel();
        const items: number[] = [];
        for (let i = 0; i < 3; i++) {
          items.push(queue.getNowait());
          yield* sleep(1);
        }
        assert.deepEqual(items, [1, 2, 4]);
      }));

    it(`puts nothing when it is cancelled after it was woken, in ${kind}`, () =>
      withVirtualTime(function* () {
        const queue = new Kind(1);
        yield* queue.put(1);
        const task = start(() => queue.put(2));
        yield* sleep(1);
        queue.getNowait();
        task.cancel();
        assert.ok(isCancelledError(yield* errorOf(task)));
        assert.equal(queue.empty(), true);
        yield* queue.put(3);
        assert.equal(queue.statistics().unfinished, 2);
      }));

    it(`keeps its item while it waits again, in ${kind}, because somebody was faster`, () =>
      withVirtualTime(function* () {
        const queue = new Kind(1);
        yield* queue.put(1);
        const task = start(() => queue.put(2));
        yield* sleep(1);
        assert.equal(queue.getNowait(), 1);
        queue.putNowait(3);
        yield* sleep(1);
        assert.equal(task.done(), false);
        assert.equal(queue.getNowait(), 3);
        yield* task;
        assert.equal(queue.getNowait(), 2);
      }));
  }

  it('ends with a DeadlockError when nobody takes anything', async () => {
    const lines = await deadlockOf(`function* () {
      const queue = new ringloop.${Kind.name}(1);
      yield* queue.put(1);
      yield* queue.put(2);
    }`);
    assert.deepEqual(lines, ['main']);
  });

  it('has a sister that does not wait, and throws QueueFull', () => {
    const queue = new Kind(1);
    queue.putNowait(1);
    assert.throws(() => queue.putNowait(2), QueueFull);
    assert.equal(queue.qsize(), 1);
    assert.equal(queue.statistics().unfinished, 1);
  });
}

function joining(Kind: QueueClass): void {
  const busy = (): Subject => {
    const queue = new Kind();
    return {
      *setUp() {
        yield* queue.put(1);
      },
      wait: (options) => queue.join(options),
      *wake() {
        if (queue.statistics().unfinished > 0) queue.taskDone();
      },
      // Not in the statistics: the event behind it is.
      waiters: () => (queue as any).finished.statistics().waiters,
      check: (result) => assert.equal(result, undefined),
    };
  };
  behavesLikeEveryWait(busy);
  losesNoWakeUp(busy);

  it('does not wait when nothing was put', () =>
    withVirtualTime(function* () {
      yield* new Kind().join();
    }));

  it('waits for taskDone(), not for get()', () =>
    withVirtualTime(function* () {
      const queue = new Kind();
      queue.putNowait(1);
      queue.putNowait(2);
      const task = createTask(queue.join());
      queue.getNowait();
      queue.getNowait();
      yield* sleep(1);
      queue.taskDone();
      yield* sleep(1);
      assert.equal(task.done(), false);
      queue.taskDone();
      yield* task;
    }));

  it('throws a RangeError when taskDone() is called more often than items were put', () => {
    const queue = new Kind();
    queue.putNowait(1);
    queue.taskDone();
    assert.throws(() => queue.taskDone(), {
      name: 'RangeError',
      message: 'task_done() called too many times',
    });
  });

  it('ends with a DeadlockError when nobody calls taskDone()', async () => {
    const lines = await deadlockOf(`async () => {
      const queue = new ringloop.${Kind.name}();
      queue.putNowait(1);
      await queue.join();
    }`);
    assert.deepEqual(lines, ['main']);
  });
}

function shuttingDown(Kind: QueueClass): void {
  for (const [kind, start] of KINDS) {
    it(`wakes whoever waits, in ${kind}, with a QueueShutDown`, () =>
      withVirtualTime(function* () {
        const [empty, full] = [new Kind(), new Kind(1)];
        full.putNowait(1);
        const tasks = [1, 2].map(() => start(() => empty.get()));
        const putters = [1, 2].map((item) => start(() => full.put(item)));
        yield* sleep(1);
        empty.shutdown();
        full.shutdown();
        for (const task of [...tasks, ...putters]) {
          assert.ok((yield* errorOf(task)) instanceof QueueShutDown);
        }
        assert.equal(full.qsize(), 1);
      }));
  }

  it('lets the items that are left be taken', () =>
    withVirtualTime(function* () {
      const queue = new Kind();
      queue.putNowait(1);
      queue.shutdown();
      assert.equal(queue.statistics().isShutdown, true);
      assert.throws(() => queue.putNowait(2), QueueShutDown);
      assert.ok((yield* errorOf(queue.put(2))) instanceof QueueShutDown);
      assert.equal(yield* queue.get(), 1);
      assert.throws(() => queue.getNowait(), QueueShutDown);
      assert.ok((yield* errorOf(queue.get())) instanceof QueueShutDown);
    }));

  it('drops the items that are left when it is told to, and ends join()', () =>
    withVirtualTime(function* () {
      const queue = new Kind();
      queue.putNowait(1);
      queue.putNowait(2);
      const task = createTask(queue.join());
      yield* sleep(1);
      queue.shutdown(true);
      yield* task;
      assert.equal(queue.empty(), true);
      assert.equal(queue.statistics().unfinished, 0);
    }));

  it('gives the item to a getter that was woken before', () =>
    withVirtualTime(function* () {
      const queue = new Kind();
      const task = createTask(queue.get());
      yield* sleep(1);
      queue.putNowait(1);
      queue.shutdown();
      assert.equal(yield* task, 1);
    }));

  it('can be called twice, the second time to drop the rest', () => {
    const queue = new Kind();
    queue.putNowait(1);
    queue.shutdown();
    queue.shutdown(true);
    assert.equal(queue.empty(), true);
  });
}

function iterating(Kind: QueueClass): void {
  it('ends when the queue is empty and shut down', () =>
    withVirtualTime(async () => {
      const queue = new Kind();
      const seen: number[] = [];
      const consumer = createTask(async () => {
        for await (const item of queue) seen.push(item);
        return 'ended';
      });
      for (const item of [1, 2, 3]) {
        await queue.put(item);
        await sleep(1);
      }
      queue.shutdown();
      assert.equal(await consumer, 'ended');
      assert.deepEqual(seen, [1, 2, 3]);
    }));

  it('takes no item more than it hands out when it is left early', () =>
    withVirtualTime(async () => {
      const queue = new Kind();
      for (let i = 0; i < 3; i++) queue.putNowait(1);
      for await (const item of queue) {
        assert.equal(item, 1);
        break;
      }
      assert.equal(queue.qsize(), 2);
      for await (const _ of queue) break;
      assert.equal(queue.qsize(), 1);
    }));

  it('is shared by several consumers: each item goes to one of them', () =>
    withVirtualTime(async () => {
      const queue = new Kind();
      const seen: number[] = [];
      const consumers = [1, 2, 3].map(() =>
        createTask(async () => {
          for await (const item of queue) {
            await sleep(item % 3);
            seen.push(item);
          }
        }),
      );
      for (let i = 0; i < 20; i++) await queue.put(i);
      queue.shutdown();
      await Promise.all(consumers);
      assert.deepEqual(
        seen.sort((a, b) => a - b),
        Array.from({ length: 20 }, (_, i) => i),
      );
    }));

  it('is cancelled with its task, and loses no item', () =>
    withVirtualTime(async () => {
      const queue = new Kind();
      const consumer = createTask(async () => {
        for await (const _ of queue) assert.fail('it should get nothing');
      });
      await sleep(1);
      queue.putNowait(1);
      consumer.cancel();
      await assert.rejects(async () => await consumer, isCancelledError);
      assert.equal(queue.getNowait(), 1);
    }));
}
