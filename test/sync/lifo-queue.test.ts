import assert from 'node:assert/strict';
import { createTask, LifoQueue, Queue, sleep } from 'ringloop';
import { behavesLikeEveryQueue } from '../support/queues.js';
import { withVirtualTime } from '../support/virtual-time.js';

behavesLikeEveryQueue(LifoQueue);

describe('LifoQueue', () => {
  it('is a Queue', () => {
    assert.ok(new LifoQueue() instanceof Queue);
  });

  it('returns the newest item first', () =>
    withVirtualTime(function* () {
      const queue = new LifoQueue<number>();
      for (const item of [1, 2, 3]) yield* queue.put(item);
      assert.equal(yield* queue.get(), 3);
      yield* queue.put(4);
      assert.deepEqual([yield* queue.get(), yield* queue.get(), yield* queue.get()], [4, 2, 1]);
    }));

  it('puts the items that waited for room in the order in which they came', () =>
    withVirtualTime(function* () {
      const queue = new LifoQueue<number>(1);
      for (const item of [1, 2, 3]) createTask(queue.put(item));
      yield* sleep(1);
      const got: number[] = [];
      for (let i = 0; i < 3; i++) {
        got.push(queue.getNowait());
        yield* sleep(1);
      }
      assert.deepEqual(got, [1, 2, 3]);
    }));
});
