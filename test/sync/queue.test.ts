import assert from 'node:assert/strict';
import { createTask, Queue, sleep } from 'ringloop';
import { behavesLikeEveryQueue } from '../support/queues.js';
import { withVirtualTime } from '../support/virtual-time.js';
import { KINDS } from '../support/waits.js';

behavesLikeEveryQueue(Queue);

describe('Queue', () => {
  it('returns the oldest item first, however many there are', () => {
    const queue = new Queue<number>();
    let put = 0;
    let got = 0;
    // The ring grows while it is wrapped around.
    for (let round = 1; round < 40; round++) {
      for (let i = 0; i < round; i++) queue.putNowait(put++);
      for (let i = 0; i < round - 3; i++) assert.equal(queue.getNowait(), got++);
    }
    while (!queue.empty()) assert.equal(queue.getNowait(), got++);
    assert.equal(got, put);
  });

  it('takes any value as an item, also undefined and a promise', () =>
    withVirtualTime(function* () {
      const queue = new Queue<unknown>();
      const items = [undefined, null, 0, Promise.resolve(5), new Error('item'), sleep(1)];
      for (const item of items) yield* queue.put(item);
      for (const item of items) assert.equal(yield* queue.get(), item);
    }));

  it('takes undefined as an item from a putter that waits', () =>
    withVirtualTime(function* () {
      const queue = new Queue<unknown>(1);
      queue.putNowait('first');
      createTask(queue.put(undefined));
      yield* sleep(1);
      assert.equal(yield* queue.get(), 'first');
      assert.equal(yield* queue.get(), undefined);
    }));

  for (const [kind, start] of KINDS) {
    it(`keeps the order of items that wait for room, put by ${kind}`, () =>
      withVirtualTime(function* () {
        const queue = new Queue<number>(2);
        for (let i = 0; i < 8; i++) start(() => queue.put(i));
        yield* sleep(1);
        const got: number[] = [];
        for (let i = 0; i < 8; i++) {
          got.push(yield* queue.get());
          yield* sleep(1);
        }
        assert.deepEqual(got, [0, 1, 2, 3, 4, 5, 6, 7]);
      }));
  }

  it('hands items from a producer to a consumer one by one through a queue of one', () =>
    withVirtualTime(async () => {
      const queue = new Queue<number>(1);
      const seen: string[] = [];
      const producer = createTask(async () => {
        for (let i = 0; i < 3; i++) {
          await queue.put(i);
          seen.push(`put ${i}`);
        }
        queue.shutdown();
      });
      for await (const item of queue) seen.push(`got ${item}`);
      await producer;
      assert.deepEqual(seen.sort(), ['got 0', 'got 1', 'got 2', 'put 0', 'put 1', 'put 2']);
    }));

  it('wakes one getter for each item', () =>
    withVirtualTime(function* () {
      const queue = new Queue<number>();
      const tasks = [1, 2, 3].map(() => createTask(queue.get()));
      yield* sleep(1);
      queue.putNowait(1);
      queue.putNowait(2);
      yield* sleep(1);
      assert.deepEqual(
        tasks.map((task) => task.done()),
        [true, true, false],
      );
    }));

  it('lets somebody who comes when there is an item be faster than one that was woken', () =>
    withVirtualTime(function* () {
      const queue = new Queue<string>();
      const waited = createTask(queue.get());
      yield* sleep(1);
      queue.putNowait('first');
      assert.equal(yield* queue.get(), 'first');
      queue.putNowait('second');
      assert.equal(yield* waited, 'second');
    }));
});
