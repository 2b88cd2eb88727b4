import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import {
  broadcast,
  ClosedChannel,
  createTask,
  currentTask,
  EndOfChannel,
  Event,
  Future,
  getRunningLoop,
  isCancelledError,
  Lock,
  memoryChannel,
  moveOnAfter,
  Queue,
  Semaphore,
  select,
  sleep,
} from 'ringloop';
import { BOTH_KINDS, errorOf } from '../support/both-kinds.js';
import { collectGarbage, withReports } from '../support/capture.js';
import { withVirtualTime } from '../support/virtual-time.js';

/** How many wait for a future. */
function waitersOf(future: Future<unknown>): number {
  const { waiters } = future as unknown as { waiters: unknown };
  return waiters === null ? 0 : Array.isArray(waiters) ? waiters.length : 1;
}

for (const [kind, start] of BOTH_KINDS) {
  describe(`select in ${kind}`, () => {
    it('returns the first of several operations, and leaves the others alone', () =>
      withVirtualTime(function* () {
        const [jobs, stopped, lock] = [new Queue<string>(), new Event(), new Lock()];
        yield* lock.acquire();
        const selecting = start(() =>
          select({ job: jobs.get(), stop: stopped.wait(), lock: lock.acquire(), tick: sleep(50) }),
        );
        yield* sleep(10);
        assert.deepEqual(
          [jobs.statistics().getters, stopped.statistics().waiters, lock.statistics().waiters],
          [1, 1, 1],
        );
        jobs.putNowait('job');
        assert.deepEqual(yield* selecting, { key: 'job', value: 'job' });
        assert.deepEqual(
          [jobs.statistics().getters, stopped.statistics().waiters, lock.statistics().waiters],
          [0, 0, 0],
        );
        assert.equal(getRunningLoop().statistics().timers, 0);
      }));

    it('does not wait if one is ready: the one that is named first', () =>
      withVirtualTime(function* () {
        const [first, second] = [new Queue<number>(), new Queue<number>()];
        first.putNowait(1);
        second.putNowait(2);
        const selecting = start(() => select({ second: second.get(), first: first.get() }));
        assert.deepEqual(yield* selecting, { key: 'second', value: 2 });
        assert.deepEqual([first.qsize(), second.qsize()], [1, 0]);
      }));

    it('takes one item when two queues are filled in the same iteration', () =>
      withVirtualTime(function* () {
        const [first, second] = [new Queue<number>(), new Queue<number>()];
        const selecting = start(() => select({ first: first.get(), second: second.get() }));
        yield* sleep(1);
        second.putNowait(2);
        first.putNowait(1);
        assert.deepEqual(yield* selecting, { key: 'second', value: 2 });
        assert.deepEqual([first.qsize(), second.qsize()], [1, 0]);
        assert.equal(yield* first.get(), 1);
      }));

    it('leaves the second item to whoever waits behind it', () =>
      withVirtualTime(function* () {
        const [first, second] = [memoryChannel<number>(0), memoryChannel<number>(0)];
        const selecting = start(() =>
          select({ first: first[1].receive(), second: second[1].receive() }),
        );
        yield* sleep(0);
        const other = start(() => second[1].receive());
        yield* sleep(1);
        first[0].sendNowait(1);
        second[0].sendNowait(2);
        assert.deepEqual(yield* selecting, { key: 'first', value: 1 });
        assert.equal(yield* other, 2);
      }));

    it('sends one item when two receivers come in the same iteration', () =>
      withVirtualTime(function* () {
        const [first, second] = [memoryChannel<string>(0), memoryChannel<string>(0)];
        const selecting = start(() =>
          select({ first: first[0].send('item'), second: second[0].send('item') }),
        );
        yield* sleep(1);
        assert.equal(first[1].receiveNowait(), 'item');
        assert.equal(second[0].statistics().sending, 0);
        assert.deepEqual(yield* selecting, { key: 'first', value: undefined });
      }));

    it('puts one item only', () =>
      withVirtualTime(function* () {
        const [first, second] = [new Queue<string>(1), new Queue<string>(1)];
        first.putNowait('full');
        second.putNowait('full');
        const selecting = start(() => select({ first: first.put('x'), second: second.put('x') }));
        yield* sleep(1);
        assert.equal(first.getNowait(), 'full');
        assert.equal(second.getNowait(), 'full');
        assert.equal((yield* selecting).key, 'first');
        assert.deepEqual([first.qsize(), second.qsize()], [1, 0]);
      }));

    it('gets a lock that is released while it waits, and passes on one that came too late', () =>
      withVirtualTime(function* () {
        const [lock, other] = [new Lock(), new Lock()];
        yield* lock.acquire();
        yield* other.acquire();
        const selecting = start(() => select({ lock: lock.acquire(), other: other.acquire() }));
        yield* sleep(1);
        const behind = start(() => other.acquire());
        yield* sleep(1);
        lock.release();
        other.release();
        assert.deepEqual(yield* selecting, { key: 'lock', value: true });
        assert.equal(yield* behind, true);
        assert.deepEqual([lock.locked(), other.locked()], [true, true]);
        assert.deepEqual([lock.statistics().waiters, other.statistics().waiters], [0, 0]);
      }));

    it('passes a lock and a permit on when it is cancelled with them on their way', () =>
      withVirtualTime(function* () {
        for (const made of [new Lock(), new Semaphore(1)]) {
          yield* made.acquire();
          const selecting = start(() => select({ it: made.acquire(), never: sleep(1e6) }));
          yield* sleep(1);
          const behind = start(() => made.acquire());
          yield* sleep(1);
          made.release();
          selecting.cancel();
          assert.ok(isCancelledError(yield* errorOf(selecting)));
          assert.equal(yield* behind, true);
          made.release();
          assert.equal(made.locked(), false);
        }
      }));

    it('holds what hold() gave it, until that is released', () =>
      withVirtualTime(function* () {
        const lock = new Lock();
        const { value } = yield* start(() => select({ held: lock.hold() }));
        assert.equal(lock.locked(), true);
        value.release();
        assert.equal(lock.locked(), false);
      }));

    it('throws what the first one throws', () =>
      withVirtualTime(function* () {
        const [sender, receiver] = memoryChannel<string>(0);
        const future = new Future<string>();
        const closing = start(() =>
          select({ item: receiver.receive(), never: new Event().wait() }),
        );
        const failing = start(() => select({ future, never: new Event().wait() }));
        yield* sleep(1);
        sender.close();
        future.setException(new RangeError('failed'));
        assert.ok((yield* errorOf(closing)) instanceof EndOfChannel);
        assert.equal((yield* errorOf(failing)).message, 'failed');
        const atOnce = start(() => select({ never: new Event().wait(), item: receiver.receive() }));
        assert.ok((yield* errorOf(atOnce)) instanceof EndOfChannel);
      }));

    it('takes nothing when it is cancelled, not even in the same iteration', () =>
      withVirtualTime(function* () {
        const [sender, receiver] = memoryChannel<string>(0);
        const selecting = start(() => select({ item: receiver.receive(), never: sleep(1e6) }));
        yield* sleep(1);
        const behind = start(() => receiver.receive());
        yield* sleep(1);
        selecting.cancel();
        sender.sendNowait('item');
        assert.ok(isCancelledError(yield* errorOf(selecting)));
        assert.equal(yield* behind, 'item');
        assert.equal(getRunningLoop().statistics().timers, 0);
      }));

    it('takes nothing when its signal is aborted, not even in the same iteration', () =>
      withVirtualTime(function* () {
        // The wait that the signal ends and the wait that the item goes to were two: the item went
        // to a select that had failed already, and was lost.
        const [sender, receiver] = memoryChannel<string>(0);
        const { signal, ...controller } = abortController();
        const selecting = start(() => select({ item: receiver.receive() }, { signal }));
        yield* sleep(1);
        const behind = start(() => receiver.receive());
        yield* sleep(1);
        controller.abort(new RangeError('enough'));
        sender.sendNowait('item');
        assert.equal((yield* errorOf(selecting)).message, 'enough');
        assert.equal(yield* behind, 'item');
        assert.equal(getEventListeners(signal, 'abort').length, 0);
      }));

    it('has the item if its signal is aborted after the item was handed over', () =>
      withVirtualTime(function* () {
        const [sender, receiver] = memoryChannel<string>(0);
        const { signal, ...controller } = abortController();
        const selecting = start(() => select({ item: receiver.receive() }, { signal }));
        yield* sleep(1);
        sender.sendNowait('item');
        controller.abort();
        assert.deepEqual(yield* selecting, { key: 'item', value: 'item' });
      }));

    it('throws the reason of a signal that was aborted before, and begins nothing', () =>
      withVirtualTime(function* () {
        const { signal, ...controller } = abortController();
        controller.abort('before');
        const queue = new Queue<string>();
        queue.putNowait('item');
        const selecting = start(() => select({ item: queue.get() }, { signal }));
        assert.equal(yield* errorOf(selecting), 'before');
        assert.equal(queue.qsize(), 1);
      }));

    it('waits on if somebody else was faster than the one that was woken', () =>
      withVirtualTime(function* () {
        const [queue, stopped] = [new Queue<string>(), new Event()];
        const selecting = start(() => select({ item: queue.get(), stop: stopped.wait() }));
        yield* sleep(1);
        queue.putNowait('item');
        assert.equal(queue.getNowait(), 'item');
        yield* sleep(1);
        assert.equal(selecting.done(), false);
        assert.equal(queue.statistics().getters, 1);
        stopped.set();
        assert.deepEqual(yield* selecting, { key: 'stop', value: true });
        assert.equal(queue.statistics().getters, 0);
      }));

    it('neither cancels futures and tasks, nor leaves anything at them, in 10,000 rounds', () =>
      withVirtualTime(function* () {
        const stop = new Future<string>();
        const task = createTask(() => sleep(1e9, 'task'));
        const queue = new Queue<number>();
        for (let i = 0; i < 10_000; i++) {
          if (i % 2 === 0) queue.putNowait(i);
          else getRunningLoop().callSoon(() => queue.putNowait(i));
          const { key, value } = yield* select({ stop, task, item: queue.get() });
          assert.deepEqual([key, value], ['item', i]);
        }
        assert.deepEqual([waitersOf(stop), waitersOf(task)], [0, 0]);
        assert.deepEqual([stop.done(), task.done()], [false, false]);
        stop.setResult('stopped');
        assert.deepEqual(yield* start(() => select({ task, stop })), {
          key: 'stop',
          value: 'stopped',
        });
        task.cancel();
      }));
  });
}

/** One that can be taken apart. */
function abortController(): { signal: AbortSignal; abort(reason?: unknown): void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: (reason) => controller.abort(reason) };
}

describe('select', () => {
  it('returns an item that it has in hand when it is cancelled; the next wait is', () =>
    withVirtualTime(function* () {
      const [sender, receiver] = memoryChannel<string>(0);
      const seen: unknown[] = [];
      const task = createTask(function* () {
        seen.push(yield* select({ item: receiver.receive() }));
        yield* sleep(1);
      });
      yield* sleep(1);
      sender.sendNowait('item');
      task.cancel('enough');
      assert.equal((yield* errorOf(task)).reason, 'enough');
      assert.deepEqual(seen, [{ key: 'item', value: 'item' }]);
    }));

  it('in a block whose time is up loses nothing, and cancels nothing behind the block', () =>
    withVirtualTime(function* () {
      const [sender, receiver] = memoryChannel<string>(1);
      const seen: unknown[] = [];
      const task = createTask(function* () {
        yield* moveOnAfter(10, function* () {
          seen.push(yield* select({ item: receiver.receive() }));
        });
        yield* sleep(1);
        seen.push(currentTask()!.cancelling());
      });
      // Timers that are due at the same time fire in the order in which they were armed.
      yield* sleep(0);
      getRunningLoop().callLater(10, () => sender.sendNowait('item'));
      yield* task;
      assert.deepEqual(seen, [0]);
      assert.equal(receiver.receiveNowait(), 'item');
    }));

  it('takes the values of sleeps, futures and tasks', () =>
    withVirtualTime(function* () {
      const never = new Event();
      const task = createTask(() => sleep(5, 'task'));
      const done = new Future<number>();
      done.setResult(1);
      assert.deepEqual(yield* select({ nap: sleep(5, 'slept'), stop: never.wait() }), {
        key: 'nap',
        value: 'slept',
      });
      assert.deepEqual(yield* select({ stop: never.wait(), task }), { key: 'task', value: 'task' });
      assert.deepEqual(yield* select({ stop: never.wait(), done }), { key: 'done', value: 1 });
      assert.equal(getRunningLoop().time(), 5);
    }));

  it('takes a sleep of no time at all for one iteration', () =>
    withVirtualTime(function* () {
      // It is another object than a sleep that lasts, and was refused.
      const queue = new Queue<string>();
      assert.equal((yield* select({ item: queue.get(), tick: sleep(0) })).key, 'tick');
      queue.putNowait('item');
      assert.equal((yield* select({ item: queue.get(), tick: sleep(0) })).key, 'item');
      assert.equal(getRunningLoop().statistics().timers, 0);
      assert.equal(getRunningLoop().time(), 0);
    }));

  it('is told that a task was cancelled, as whoever waits for it is', () =>
    withVirtualTime(function* () {
      const task = createTask(() => sleep(100));
      getRunningLoop().callLater(5, () => task.cancel('stopped'));
      const error = yield* errorOf(select({ task, never: sleep(1000) }));
      assert.equal(error.reason, 'stopped');
      assert.equal(currentTask()!.cancelling(), 0);
    }));

  it('ends the sleeps that began with it', () =>
    withVirtualTime(function* () {
      const queue = new Queue<number>();
      queue.putNowait(1);
      yield* select({ tick: sleep(100), item: queue.get() });
      yield* select({ other: sleep(1), tick: sleep(100), item: queue.get() });
      assert.equal(getRunningLoop().statistics().timers, 0);
    }));

  it('receives from a subscription', () =>
    withVirtualTime(function* () {
      // Its receive() was a generator, which select cannot be the first of.
      const news = broadcast<string>();
      const subscription = news.subscribe();
      const selecting = createTask(() =>
        select({ item: subscription.receive(), never: sleep(1e6) }),
      );
      yield* sleep(1);
      yield* news.send('item');
      assert.deepEqual(yield* selecting, { key: 'item', value: 'item' });
    }));

  it('does not hold up others at an end that is closed while it waits there twice', () =>
    withVirtualTime(function* () {
      // The first of the two took the second out of the list while close() stood on it: those
      // behind were never told, and waited for ever.
      const [, receiver] = memoryChannel<string>(0);
      const selecting = createTask(() => select({ a: receiver.receive(), b: receiver.receive() }));
      const behind = createTask(() => receiver.receive());
      yield* sleep(1);
      receiver.close();
      yield* sleep(1);
      assert.deepEqual([selecting.done(), behind.done()], [true, true]);
      assert.ok((yield* errorOf(selecting)) instanceof ClosedChannel);
      assert.ok((yield* errorOf(behind)) instanceof ClosedChannel);
      assert.equal(receiver.statistics().receiving, 0);
    }));

  it('has no error reported that came together with its cancellation', () =>
    withReports(async (reports) => {
      // Nobody looked at the error of the case that was first, because the cancellation was thrown.
      await (async () => {
        const [sender, receiver] = memoryChannel<string>(0);
        const task = createTask(() => select({ item: receiver.receive() }));
        await sleep(1);
        sender.close();
        task.cancel();
        await assert.rejects(async () => await task, isCancelledError);
      })();
      await collectGarbage(() => reports.length > 0);
      assert.deepEqual(reports, []);
    }));

  it('refuses cases that are none, and says what it got', () => {
    for (const [wrong, shown] of [
      [5, '5'],
      ['text', '"text"'],
      [null, 'null'],
      [function* () {}, 'function'],
      [Promise.resolve(), 'an instance of Promise'],
    ] as [unknown, string][]) {
      assert.throws(() => select({ fine: new Event().wait(), wrong: wrong as never }), {
        name: 'TypeError',
        message: new RegExp(`^select: case wrong must be an operation .*, got ${shown}`),
      });
    }
    for (const wrong of [null, undefined, 5]) {
      assert.throws(() => select(wrong as never), {
        name: 'TypeError',
        message: `select: cases must be an object, got ${wrong}`,
      });
    }
    assert.throws(() => select({}), { name: 'TypeError', message: /at least one case/ });
    assert.throws(() => select({ it: new Event().wait() }, { signal: 5 as never }), {
      name: 'TypeError',
      message: 'select: signal must be an AbortSignal, got 5',
    });
  });
});
