import assert from 'node:assert/strict';
import { createTask, PriorityQueue, Queue, sleep } from 'ringloop';
import { behavesLikeEveryQueue } from '../support/queues.js';
import { withVirtualTime } from '../support/virtual-time.js';
import { errorOf } from '../support/waits.js';

function drain<T>(queue: Queue<T>): T[] {
  const items: T[] = [];
  while (!queue.empty()) items.push(queue.getNowait());
  return items;
}

function sorted<T>(items: T[]): T[] {
  const queue = new PriorityQueue<T>();
  for (const item of items) queue.putNowait(item);
  return drain(queue);
}

/** Numbers only; says no to anything else. */
function onlyNumbers(a: unknown, b: unknown): number {
  if (typeof a !== 'number' || typeof b !== 'number') throw new RangeError('no number');
  return a - b;
}

behavesLikeEveryQueue(PriorityQueue);

describe('PriorityQueue', () => {
  it('is a Queue', () => {
    assert.ok(new PriorityQueue() instanceof Queue);
  });

  it('returns the smallest item first', () =>
    withVirtualTime(function* () {
      const queue = new PriorityQueue<number>();
      for (const item of [3, 1, 2]) yield* queue.put(item);
      assert.equal(yield* queue.get(), 1);
      yield* queue.put(0);
      assert.deepEqual([yield* queue.get(), yield* queue.get(), yield* queue.get()], [0, 2, 3]);
    }));

  it('sorts a thousand items', () => {
    const items = Array.from({ length: 1000 }, (_, i) => (i * 7919) % 1009);
    assert.deepEqual(
      sorted(items),
      items.slice().sort((a, b) => a - b),
    );
  });

  it('sorts strings, bigints, dates, and arrays of them as Python does tuples', () => {
    assert.deepEqual(sorted(['b', 'a', 'B']), ['B', 'a', 'b']);
    assert.deepEqual(sorted([3n, 1, 2n]), [1, 2n, 3n]);
    assert.deepEqual(sorted([new Date(2), new Date(1)]), [new Date(1), new Date(2)]);
    assert.deepEqual(sorted([[10, 'a'], [9, 'b'], [9]]), [[9], [9, 'b'], [10, 'a']]);
  });

  it('keeps the order of equal items', () => {
    const queue = new PriorityQueue<{ rank: number; name: string }>(0, {
      compare: (a, b) => a.rank - b.rank,
    });
    for (let i = 0; i < 20; i++) queue.putNowait({ rank: i % 2, name: `${i}` });
    assert.deepEqual(
      drain(queue).map(({ name }) => Number(name)),
      [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19],
    );
  });

  it('asks compare, where there is one', () => {
    const queue = new PriorityQueue<number>(0, { compare: (a, b) => b - a });
    for (const item of [2, 3, 1]) queue.putNowait(item);
    assert.deepEqual(drain(queue), [3, 2, 1]);
  });

  it('refuses a compare that is no function, and says what it got', () => {
    for (const [wrong, shown] of [
      [5, '5'],
      [null, 'null'],
      ['up', '"up"'],
    ]) {
      assert.throws(() => new PriorityQueue(0, { compare: wrong as never }), {
        name: 'TypeError',
        message: `PriorityQueue: compare must be a function, got ${shown}`,
      });
    }
  });

  it('refuses items that have no order, the very first one too, and says which', () => {
    for (const [wrong, shown] of [
      [undefined, 'undefined'],
      [NaN, 'NaN'],
      [{}, 'an instance of Object'],
    ]) {
      const queue = new PriorityQueue<unknown>();
      assert.throws(() => queue.putNowait(wrong), {
        name: 'TypeError',
        message: `PriorityQueue: ${shown} and ${shown} have no order; pass compare`,
      });
      queue.putNowait(1);
      assert.throws(() => queue.putNowait(wrong), {
        name: 'TypeError',
        message: `PriorityQueue: ${shown} and 1 have no order; pass compare`,
      });
      assert.equal(queue.qsize(), 1);
      assert.equal(queue.statistics().unfinished, 1);
    }
  });
});

describe('PriorityQueue with items that cannot be compared', () => {
  it('loses nothing when it turns out in get() that two of them have no order', () => {
    // Once the last item was lost each time.
    const queue = new PriorityQueue<unknown[]>();
    for (const item of [[1], [9, 9], [2], [9, 10], [9, 11], [9, 'x']]) queue.putNowait(item);
    assert.throws(() => drain(queue), { name: 'TypeError', message: /have no order/ });
    const left = queue.qsize();
    assert.throws(() => queue.getNowait(), TypeError);
    assert.equal(queue.qsize(), left);
  });

  it('neither loses nor doubles an item when compare throws in the middle of put()', () => {
    for (let failAt = 1; failAt <= 4; failAt++) {
      let countdown = Infinity;
      const queue = new PriorityQueue<number>(0, {
        compare(a, b) {
          if (--countdown === 0) throw new RangeError('compare');
          return a - b;
        },
      });
      for (let i = 10; i < 25; i++) queue.putNowait(i);
      countdown = failAt;
      assert.throws(() => queue.putNowait(1), { message: 'compare' });
      countdown = Infinity;
      assert.deepEqual(
        drain(queue),
        Array.from({ length: 15 }, (_, i) => i + 10),
      );
    }
  });

  it('neither loses nor doubles an item when compare throws in the middle of get()', () => {
    for (let failAt = 1; failAt <= 6; failAt++) {
      let countdown = Infinity;
      const queue = new PriorityQueue<number>(0, {
        compare(a, b) {
          if (--countdown === 0) throw new RangeError('compare');
          return a - b;
        },
      });
      for (let i = 10; i < 25; i++) queue.putNowait(i);
      countdown = failAt;
      assert.throws(() => queue.getNowait(), { message: 'compare' });
      countdown = Infinity;
      assert.deepEqual(
        drain(queue),
        Array.from({ length: 15 }, (_, i) => i + 10),
      );
    }
  });

  it('gives the room to the next putter when the item of the first is refused', () =>
    withVirtualTime(function* () {
      const queue = new PriorityQueue<unknown>(2, { compare: onlyNumbers });
      queue.putNowait(1);
      queue.putNowait(2);
      const refused = createTask(queue.put('text'));
      const next = createTask(queue.put(3));
      yield* sleep(1);
      queue.getNowait();
      assert.equal((yield* errorOf(refused)).message, 'no number');
      yield* next;
      assert.deepEqual(drain(queue), [2, 3]);
    }));

  it('gives the item to the next getter when compare throws for the first', () =>
    withVirtualTime(function* () {
      let countdown = Infinity;
      const queue = new PriorityQueue<number>(0, {
        compare(a, b) {
          if (--countdown === 0) throw new RangeError('compare');
          return a - b;
        },
      });
      const [first, ...others] = [1, 2, 3, 4].map(() => createTask(queue.get()));
      yield* sleep(1);
      for (const item of [1, 2, 3]) queue.putNowait(item);
      countdown = 1;
      assert.equal((yield* errorOf(first!)).message, 'compare');
      const got: number[] = [];
      for (const task of others) got.push(yield* task);
      assert.deepEqual(got, [1, 2, 3]);
    }));
});
