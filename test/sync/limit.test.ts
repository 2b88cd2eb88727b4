import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import {
  allTasks,
  asCompleted,
  broadcast,
  createTask,
  currentTask,
  ExceptionGroup,
  Future,
  getRunningLoop,
  isCancelledError,
  limit,
  memoryChannel,
  moveOnAfter,
  Queue,
  run,
  sleep,
  type Task,
} from 'ringloop';
import { BOTH_KINDS, errorOf } from '../support/both-kinds.js';
import { turnOfNode, withUnhandledRejections } from '../support/capture.js';
import { Random } from '../support/random.js';
import { withVirtualTime } from '../support/virtual-time.js';

/** Work of either kind that takes a while, and counts. */
class Site {
  active = 0;
  most = 0;
  readonly started: number[] = [];
  readonly ended: number[] = [];
  private readonly delayMs: (item: number) => number;

  constructor(delayMs: (item: number) => number = () => 10) {
    this.delayMs = delayMs;
  }

  readonly generator = (item: number): Generator<unknown, string, any> => this.steps(item);

  readonly async = async (item: number): Promise<string> => {
    this.begin(item);
    try {
      await sleep(this.delayMs(item));
      return `done ${item}`;
    } finally {
      this.end(item);
    }
  };

  private *steps(item: number): Generator<unknown, string, any> {
    this.begin(item);
    try {
      yield* sleep(this.delayMs(item));
      return `done ${item}`;
    } finally {
      this.end(item);
    }
  }

  private begin(item: number): void {
    this.started.push(item);
    this.most = Math.max(this.most, ++this.active);
  }

  private end(item: number): void {
    this.active--;
    this.ended.push(item);
  }
}

/** Items, and whether anybody closed them. */
class Items {
  taken = 0;
  closed = 0;

  constructor(private readonly count: number) {}

  *sync(): Generator<number, void> {
    try {
      while (this.taken < this.count) yield this.taken++;
    } finally {
      this.closed++;
    }
  }

  async *async(): AsyncGenerator<number, void> {
    try {
      while (this.taken < this.count) {
        await null;
        yield this.taken++;
      }
    } finally {
      this.closed++;
    }
  }
}

function* failAfter(ms: number, error: unknown): Generator<unknown, never, any> {
  yield* sleep(ms);
  throw error;
}

const WORK: ['generator' | 'async', string][] = [
  ['generator', 'a generator function'],
  ['async', 'an async function'],
];

for (const [kind, name] of WORK) {
  describe(`limit with ${name}`, () => {
    it('runs so many at a time, and the next one as soon as one has ended', () =>
      withVirtualTime(function* () {
        const site = new Site((item) => [10, 30, 10, 10][item]!);
        yield* limit(2, [0, 1, 2, 3], site[kind]);
        assert.equal(site.most, 2);
        assert.deepEqual(site.started, [0, 1, 2, 3]);
        assert.deepEqual(site.ended, [0, 2, 1, 3]);
        assert.equal(getRunningLoop().time(), 30);
      }));

    it('returns the results in the order of the items, or in that of their coming', () =>
      withVirtualTime(function* () {
        const site = new Site((item) => 10 - item);
        assert.deepEqual(yield* limit(3, [1, 3, 2], site[kind]), ['done 1', 'done 3', 'done 2']);
        assert.deepEqual(yield* limit(3, [1, 3, 2], site[kind], { ordered: false }), [
          'done 3',
          'done 2',
          'done 1',
        ]);
        assert.deepEqual(yield* limit(1, [1, 3, 2], site[kind], { ordered: true }), [
          'done 1',
          'done 3',
          'done 2',
        ]);
      }));

    it('takes an item when there is a place for it, and not before', () =>
      withVirtualTime(function* () {
        for (const source of ['sync', 'async'] as const) {
          const items = new Items(5);
          const site = new Site();
          const limiting = createTask(limit(2, items[source](), site[kind]));
          yield* sleep(5);
          assert.equal(items.taken, 2);
          yield* sleep(10);
          assert.equal(items.taken, 4);
          assert.equal((yield* limiting).length, 5);
          assert.equal(items.closed, 1);
        }
      }));

    it('cancels the others when one fails, waits for them, and throws that error as it is', () =>
      withVirtualTime(function* () {
        const items = new Items(10);
        const site = new Site(() => 100);
        const broken = new RangeError('broken');
        const error = yield* errorOf(
          limit(3, items.sync(), (item) => (item === 1 ? failAfter(5, broken) : site[kind](item))),
        );
        assert.equal(error, broken);
        assert.deepEqual([site.started, site.ended, site.active], [[0, 2], [0, 2], 0]);
        assert.deepEqual([items.taken, items.closed], [3, 1]);
        assert.equal(getRunningLoop().time(), 5);
        assert.equal(currentTask()!.cancelling(), 0);
        yield* sleep(1);
      }));

    it('cancels all when it is cancelled, and closes the items', () =>
      withVirtualTime(function* () {
        for (const source of ['sync', 'async'] as const) {
          const items = new Items(10);
          const site = new Site(() => 100);
          const limiting = createTask(() => limit(3, items[source](), site[kind]));
          yield* sleep(5);
          limiting.cancel('enough');
          assert.equal((yield* errorOf(limiting)).reason, 'enough');
          assert.deepEqual([site.started.length, site.active], [3, 0]);
          assert.deepEqual([items.taken, items.closed], [3, 1]);
        }
      }));

    it('throws the reason of its signal, whatever it is doing', () =>
      withVirtualTime(function* () {
        for (const source of ['sync', 'async'] as const) {
          const controller = new AbortController();
          const { signal } = controller;
          const items = new Items(10);
          const site = new Site(() => 100);
          const limiting = createTask(() => limit(3, items[source](), site[kind], { signal }));
          yield* sleep(5);
          controller.abort('stop');
          assert.equal(yield* errorOf(limiting), 'stop');
          assert.deepEqual([site.started.length, site.active, items.closed], [3, 0, 1]);
          assert.equal(getEventListeners(signal, 'abort').length, 0);
        }
      }));
  });
}

for (const [kind, start] of BOTH_KINDS) {
  describe(`limit in ${kind}`, () => {
    it('returns nothing for no items', () =>
      withVirtualTime(function* () {
        const never = (): never => assert.fail('there is no item');
        assert.deepEqual(yield* start(() => limit(2, [], never)), []);
        assert.deepEqual(yield* start(() => limit(2, new Items(0).async(), never)), []);
      }));

    it('begins nothing before it is awaited', () =>
      withVirtualTime(function* () {
        const items = new Items(3);
        const limiting = limit(2, items.sync(), (item) => sleep(1, item));
        yield* sleep(5);
        assert.equal(items.taken, 0);
        assert.deepEqual(yield* start(() => limiting), [0, 1, 2]);
      }));

    it('begins nothing if its signal was aborted before', () =>
      withVirtualTime(function* () {
        const items = new Items(3);
        const signal = AbortSignal.abort('before');
        const never = (): never => assert.fail('it should not begin');
        assert.equal(
          yield* errorOf(start(() => limit(2, items.sync(), never, { signal }))),
          'before',
        );
        assert.equal(items.taken, 0);
        assert.equal(getEventListeners(signal, 'abort').length, 0);
      }));

    it('lets a cancellation come before its signal', () =>
      withVirtualTime(function* () {
        const controller = new AbortController();
        const { signal } = controller;
        const limiting = start(() => limit(2, [1], () => sleep(100), { signal }));
        yield* sleep(1);
        controller.abort('aborted');
        limiting.cancel('cancelled');
        assert.equal((yield* errorOf(limiting)).reason, 'cancelled');
      }));

    it('keeps its results if the signal is aborted afterwards', () =>
      withVirtualTime(function* () {
        const controller = new AbortController();
        const { signal } = controller;
        const work = (item: number) => sleep(1, item);
        assert.deepEqual(yield* start(() => limit(2, [1, 2], work, { signal })), [1, 2]);
        controller.abort();
        yield* sleep(1);
      }));

    it('hands items of a queue out until that is shut down', () =>
      withVirtualTime(function* () {
        const queue = new Queue<number>();
        const limiting = start(() => limit(2, queue, (item) => sleep(5, item * 10)));
        yield* sleep(1);
        for (let i = 1; i <= 5; i++) queue.putNowait(i);
        queue.shutdown();
        assert.deepEqual(yield* limiting, [10, 20, 30, 40, 50]);
      }));

    it('takes no item of a queue any more when it is cancelled', () =>
      withVirtualTime(function* () {
        // Its own asynchronous iterator was asked: a promise that nobody could take back, which
        // took the next item and dropped it.
        const queue = new Queue<string>();
        const before = allTasks().size;
        const limiting = start(() => limit(2, queue, () => sleep(100)));
        yield* sleep(1);
        assert.equal(queue.statistics().getters, 1);
        limiting.cancel();
        assert.ok(isCancelledError(yield* errorOf(limiting)));
        assert.equal(queue.statistics().getters, 0);
        assert.equal(allTasks().size, before);
        queue.putNowait('kept');
        yield* sleep(1);
        assert.equal(queue.getNowait(), 'kept');
      }));

    it('takes no item of a queue any more when its signal is aborted', () =>
      withVirtualTime(function* () {
        const queue = new Queue<string>();
        const controller = new AbortController();
        const { signal } = controller;
        const limiting = start(() => limit(2, queue, () => sleep(100), { signal }));
        yield* sleep(1);
        controller.abort('stop');
        queue.putNowait('kept');
        assert.equal(yield* errorOf(limiting), 'stop');
        assert.equal(queue.getNowait(), 'kept');
      }));

    it('receives from a channel until it ends, and closes its end', () =>
      withVirtualTime(function* () {
        const [sender, receiver] = memoryChannel<number>(0);
        const limiting = start(() => limit(2, receiver, (item) => sleep(5, item * 10)));
        for (let i = 1; i <= 5; i++) yield* sender.send(i);
        sender.close();
        assert.deepEqual(yield* limiting, [10, 20, 30, 40, 50]);
        assert.throws(() => receiver.receiveNowait(), { name: 'ClosedChannel' });
      }));

    it('closes its end of a channel when it is cancelled while it waits for an item', () =>
      withVirtualTime(function* () {
        const [sender, receiver] = memoryChannel<number>(0);
        const limiting = start(() => limit(2, receiver, () => sleep(100)));
        yield* sleep(1);
        assert.equal(sender.statistics().receiving, 1);
        limiting.cancel();
        assert.ok(isCancelledError(yield* errorOf(limiting)));
        assert.throws(() => sender.sendNowait(1), { name: 'BrokenChannel' });
      }));

    it('receives from a broadcast', () =>
      withVirtualTime(function* () {
        const news = broadcast<number>({ capacity: 5 });
        const subscription = news.subscribe();
        const limiting = start(() => limit(2, subscription, (item) => sleep(1, item * 10)));
        yield* sleep(1);
        yield* news.send(1);
        yield* news.send(2);
        news.close();
        assert.deepEqual(yield* limiting, [10, 20]);
        assert.equal(news.statistics().subscribers, 0);
      }));

    it('takes futures as they are completed', () =>
      withVirtualTime(function* () {
        // The iterator answers with coroutines, not with promises: each was taken for an item.
        const naps = [createTask(sleep(9, 'slow')), createTask(sleep(3, 'fast'))];
        const work = (nap: Future<string>) => sleep(1, nap.result());
        const results = yield* start(() => limit(1, asCompleted(naps), work as never));
        assert.deepEqual(results, ['fast', 'slow']);
      }));
  });
}

describe('limit', () => {
  it('tells the work what number the item has', () =>
    withVirtualTime(function* () {
      const work = (item: string, index: number) => sleep(1, `${index}${item}`);
      assert.deepEqual(yield* limit(2, 'abc', work), ['0a', '1b', '2c']);
    }));

  it('runs all at once for Infinity', () =>
    withVirtualTime(function* () {
      const site = new Site();
      const results = yield* limit(Infinity, new Items(1000).sync(), site.generator);
      assert.deepEqual([results.length, site.most], [1000, 1000]);
      assert.equal(getRunningLoop().time(), 10);
    }));

  it('keeps the order of ten thousand items', () =>
    withVirtualTime(function* () {
      const results = yield* limit(100, new Items(10_000).sync(), (item) => sleep(item % 7, item));
      assert.deepEqual(
        results,
        Array.from({ length: 10_000 }, (_, i) => i),
      );
    }));

  it('works outside any task', async () => {
    assert.deepEqual(await limit(2, [1, 2, 3], (item) => sleep(0, item)), [1, 2, 3]);
  });

  it('can be nested', () =>
    withVirtualTime(function* () {
      const rows = yield* limit(2, [1, 2], (row) =>
        limit(2, [1, 2, 3], (column) => sleep(1, row * column)),
      );
      assert.deepEqual(rows, [
        [1, 2, 3],
        [2, 4, 6],
      ]);
    }));

  it('throws a group if several fail', () =>
    withVirtualTime(function* () {
      const cleanUpBadly = function* (): Generator<unknown, void, any> {
        try {
          yield* sleep(100);
        } catch {
          throw new TypeError('second');
        }
      };
      const error = yield* errorOf(
        limit<number, void>(2, [0, 1], (item) =>
          item === 1 ? failAfter(1, new RangeError('first')) : cleanUpBadly(),
        ),
      );
      assert.ok(error instanceof ExceptionGroup);
      assert.deepEqual(error.errors.map(String), ['RangeError: first', 'TypeError: second']);
    }));

  it('does not unpack a group that is the error of one', () =>
    withVirtualTime(function* () {
      const group = new ExceptionGroup('mine', [new RangeError('inside')]);
      assert.equal(yield* errorOf(limit(2, [1], () => failAfter(1, group))), group);
    }));

  it('fails as others do when its work is told that something else was cancelled', () =>
    withVirtualTime(function* () {
      // A task group does not mind tasks that were cancelled: the place was never given back, and
      // limit waited for ever.
      for (const source of ['sync', 'async'] as const) {
        const items = new Items(5);
        const site = new Site(() => 100);
        const shared = createTask(() => sleep(1000));
        getRunningLoop().callLater(5, () => shared.cancel('shared'));
        const error = yield* errorOf(
          limit<number, unknown>(2, items[source](), (item) =>
            item === 0 ? shared : site.generator(item),
          ),
        );
        assert.ok(isCancelledError(error));
        assert.equal(error.reason, 'shared');
        assert.deepEqual([site.ended, items.closed], [[1], 1]);
        assert.equal(currentTask()!.cancelling(), 0);
        yield* sleep(1);
      }
    }));

  it('fails when somebody cancels one of its tasks', () =>
    withVirtualTime(function* () {
      const tasks: Task<unknown>[] = [];
      const limiting = createTask(() =>
        limit(1, [1, 2], () => {
          tasks.push(currentTask()!);
          return sleep(100);
        }),
      );
      yield* sleep(1);
      tasks[0]!.cancel('this one');
      assert.equal((yield* errorOf(limiting)).reason, 'this one');
      assert.equal(tasks.length, 1);
    }));

  it('passes a failure of the items on, cancels the work, and does not close what has ended', () =>
    withVirtualTime(function* () {
      for (const asynchronous of [false, true]) {
        const site = new Site(() => 100);
        let closed = 0;
        let taken = 0;
        const next = (): any => {
          if (taken++ < 2) return asynchronous ? Promise.resolve({ value: 1 }) : { value: 1 };
          if (!asynchronous) throw new RangeError('no more');
          return Promise.reject(new RangeError('no more'));
        };
        const iterator = { next, return: () => void closed++ };
        const key = asynchronous ? Symbol.asyncIterator : Symbol.iterator;
        const items = { [key]: () => iterator } as unknown as Iterable<number>;
        const error = yield* errorOf(limit(3, items, site.generator));
        assert.equal(error.message, 'no more');
        assert.deepEqual([site.active, closed], [0, 0]);
      }
    }));

  it('does not close items that have come to their end', () =>
    withVirtualTime(function* () {
      let closed = 0;
      const iterator = { next: () => ({ done: true, value: 0 }), return: () => void closed++ };
      const items = { [Symbol.iterator]: () => iterator } as unknown as Iterable<number>;
      assert.deepEqual(yield* limit(2, items, () => sleep(1)), []);
      const one = function* (): Generator<number, void> {
        yield 1;
      };
      const broken = new RangeError('late');
      assert.equal(yield* errorOf(limit(2, one(), () => failAfter(1, broken))), broken);
      assert.equal(closed, 0);
    }));

  it('waits until the items are closed, also when it is cancelled, in a scope too', () =>
    withVirtualTime(function* () {
      // What closes them is a wait like any other: the scope that had ended the work ended it, too.
      const seen: string[] = [];
      async function* items(): AsyncGenerator<number, void> {
        try {
          for (;;) yield 1;
        } finally {
          await sleep(50);
          seen.push(`closed at ${getRunningLoop().time()}`);
        }
      }
      yield* moveOnAfter(10, () => limit(2, items(), () => sleep(1000)));
      assert.deepEqual(seen, ['closed at 60']);
      const controller = new AbortController();
      const { signal } = controller;
      getRunningLoop().callLater(10, () => controller.abort('stop'));
      assert.equal(yield* errorOf(limit(2, items(), () => sleep(1000), { signal })), 'stop');
      assert.deepEqual(seen.slice(1), ['closed at 120']);
      const limiting = createTask(() => limit(2, items(), () => sleep(1000)));
      yield* sleep(10);
      limiting.cancel();
      assert.ok(isCancelledError(yield* errorOf(limiting)));
      assert.deepEqual(seen.slice(2), ['closed at 180']);
    }));

  it('throws the error of the work, not that of closing the items', () =>
    withVirtualTime(function* () {
      function* sync(): Generator<number, void> {
        try {
          for (;;) yield 1;
        } finally {
          // biome-ignore lint/correctness/noUnsafeFinally: that is what is tested
          throw new TypeError('while closing');
        }
      }
      async function* async(): AsyncGenerator<number, void> {
        yield* sync();
      }
      const broken = new RangeError('broken');
      for (const items of [sync(), async()]) {
        assert.equal(yield* errorOf(limit(1, items, () => failAfter(1, broken))), broken);
      }
    }));

  it('can be cancelled while the items are being closed', () =>
    withVirtualTime(function* () {
      async function* items(): AsyncGenerator<number, void> {
        try {
          yield 1;
          yield 2;
        } finally {
          await new Promise(() => {});
        }
      }
      const limiting = createTask(() =>
        limit(1, items(), () => failAfter(1, new RangeError('broken'))),
      );
      yield* sleep(5);
      assert.equal(limiting.done(), false);
      limiting.cancel('enough');
      assert.equal((yield* errorOf(limiting)).reason, 'enough');
    }));

  it('does not wait for a next item that never comes, and nobody hears of its rejection', () =>
    withUnhandledRejections(async (errors) => {
      await withVirtualTime(function* () {
        let reject!: (error: Error) => void;
        async function* items(): AsyncGenerator<number, void> {
          yield 1;
          await new Promise((_resolve, fail) => {
            reject = fail;
          });
        }
        const limiting = createTask(() => limit(2, items(), () => sleep(1000)));
        yield* sleep(5);
        limiting.cancel();
        assert.ok(isCancelledError(yield* errorOf(limiting)));
        reject(new Error('too late'));
        const failing = createTask(() =>
          limit(2, items(), () => failAfter(1, new RangeError('broken'))),
        );
        assert.equal((yield* errorOf(failing)).message, 'broken');
        reject(new Error('too late again'));
      });
      await turnOfNode();
      assert.deepEqual(errors, []);
    }));

  it('throws what failed, and nothing about the item that came at the same time', () =>
    withVirtualTime(function* () {
      // The item arrived though the block was being cancelled; making a task of it failed, and
      // that stood beside the error.
      const loop = getRunningLoop();
      for (let iterations = 0; iterations < 6; iterations++) {
        const [sender, receiver] = memoryChannel<number>(1);
        const failing = new Future<void>();
        const limiting = createTask(() => limit(2, receiver, () => failing));
        yield* sleep(1);
        sender.sendNowait(1);
        yield* sleep(1);
        failing.setException(new RangeError('broken'));
        const send = (left: number): void => {
          if (left > 0) loop.callSoon(send, left - 1);
          else if (sender.statistics().receiving > 0) sender.sendNowait(2);
        };
        send(iterations);
        const error = yield* errorOf(limiting);
        assert.equal(error.message, 'broken', `${iterations}: ${error.errors}`);
        sender.close();
      }
    }));

  it('refuses work that returns nothing to wait for', () =>
    withVirtualTime(function* () {
      const error = yield* errorOf(limit(2, [1], ((item: number) => item) as never));
      assert.ok(error instanceof TypeError);
      assert.match(error.message, /must return a coroutine or a promise, got 1/);
    }));

  it('refuses wrong arguments before anything begins', () => {
    const work = (): any => assert.fail('it should not begin');
    for (const wrong of [undefined, null, '2', NaN]) {
      assert.throws(() => limit(wrong as never, [1], work), {
        name: 'TypeError',
        message: /^limit: count must be a number, got /,
      });
    }
    for (const wrong of [0, -1, 1.5, -Infinity]) {
      assert.throws(() => limit(wrong, [1], work), {
        name: 'RangeError',
        message: `limit: count must be a whole number of at least 1, got ${wrong}`,
      });
    }
    for (const wrong of [undefined, null, 5, {}, { length: 1 }]) {
      assert.throws(() => limit(1, wrong as never, work), {
        name: 'TypeError',
        message: /^limit: items must be iterable, got /,
      });
    }
    for (const wrong of [undefined, null, {}, sleep(1)]) {
      assert.throws(() => limit(1, [1], wrong as never), {
        name: 'TypeError',
        message: /^limit: work must be a function, got /,
      });
    }
    assert.throws(() => limit(1, [1], work, { signal: 5 as never }), {
      name: 'TypeError',
      message: 'limit: signal must be an AbortSignal, got 5',
    });
  });
});

/** One random program: items of some kind, work that may fail, an end at some moment. */
function* randomLimit(random: Random): Generator<unknown, void, any> {
  const loop = getRunningLoop();
  const [count, total] = [random.between(1, 4), random.between(0, 12)];
  const items = new Items(total);
  const failing = random.chance(0.3) ? random.below(12) : -1;
  const site = new Site(() => random.below(4));
  const kind = random.pick(['generator', 'async'] as const);
  const work = (item: number): any =>
    item === failing ? failAfter(random.below(3), new RangeError('broken')) : site[kind](item);
  const controller = new AbortController();
  const { signal } = controller;
  const source = random.pick(['sync', 'async'] as const);
  const limiting = createTask(() => limit(count, items[source](), work, { signal }));
  const end = random.pick([
    () => limiting.cancel('cancelled'),
    () => controller.abort('aborted'),
    () => {},
  ]);
  loop.callLater(random.below(12), end);
  if (random.chance(0.5)) for (let i = random.below(8); i > 0; i--) yield;
  const error = yield* errorOf(limiting);
  assert.ok(site.most <= count, `${site.most} at a time`);
  assert.equal(site.active, 0, 'something runs on');
  assert.equal(items.closed, items.taken > 0 || error === undefined ? 1 : items.closed);
  assert.equal(getEventListeners(signal, 'abort').length, 0);
  const ok = error?.reason === 'cancelled' || error === 'aborted' || error?.message === 'broken';
  assert.ok(error === undefined || ok, String(error));
  if (error !== undefined) return;
  const expected = Array.from({ length: total }, (_, i) => `done ${i}`);
  assert.deepEqual(limiting.result(), expected);
}

describe('limit with an async generator that waits', () => {
  /** It waits for something of ours before each item, and afterwards. */
  async function* pages(seen: string[]): AsyncGenerator<number, void> {
    try {
      for (let i = 0; i < 3; i++) yield await sleep(10, i);
    } catch (error) {
      seen.push(`${(error as Error).name} at ${getRunningLoop().time()}`);
      throw error;
    } finally {
      await sleep(5);
      seen.push(`closed at ${getRunningLoop().time()}`);
    }
  }

  it('runs it on the loop of the task, and waits for its end', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      assert.deepEqual(yield* limit(2, pages(seen), (item) => sleep(1, item)), [0, 1, 2]);
      assert.deepEqual(seen, ['closed at 35']);
    }));

  it('cancels it where it waits, and lets it clean up', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const limiting = createTask(() => limit(2, pages(seen), () => sleep(1000)));
      yield* sleep(15);
      limiting.cancel();
      assert.ok(isCancelledError(yield* errorOf(limiting)));
      assert.deepEqual(seen, ['CancelledError at 15', 'closed at 20']);
      assert.equal(allTasks().size, 1);
    }));

  it('cancels it when some work fails', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const broken = new RangeError('broken');
      assert.equal(yield* errorOf(limit(2, pages(seen), () => failAfter(3, broken))), broken);
      assert.deepEqual(seen, ['CancelledError at 13', 'closed at 18']);
    }));

  it('cancels it when its signal is aborted, and keeps the scope away from its clean-up', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const controller = new AbortController();
      const { signal } = controller;
      getRunningLoop().callLater(15, () => controller.abort('stop'));
      assert.equal(yield* errorOf(limit(2, pages(seen), () => sleep(1000), { signal })), 'stop');
      assert.deepEqual(seen, ['CancelledError at 15', 'closed at 20']);
    }));

  it('is over with its run(), though it waits for a promise that never settles', async () => {
    async function* stuck(): AsyncGenerator<number, void> {
      yield 1;
      await new Promise(() => {});
    }
    await run(function* () {
      yield* moveOnAfter(1, () => limit(2, stuck(), () => sleep(1000)));
      assert.equal(allTasks().size, 1);
    });
  });
});

describe('limit in random programs', () => {
  it('never runs too many, leaves nothing behind, and closes its items', async () => {
    for (let seed = 1; seed <= 300; seed++) {
      try {
        await withVirtualTime(function* () {
          yield* randomLimit(new Random(seed));
          assert.equal(allTasks().size, 1);
          yield* sleep(20);
          assert.equal(getRunningLoop().statistics().timers, 0);
        });
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
  });
});
