import assert from 'node:assert/strict';
import {
  type Broadcast,
  broadcast,
  ClosedChannel,
  createTask,
  EndOfChannel,
  isCancelledError,
  Lagged,
  Receiver,
  type Subscription,
  sleep,
  WouldBlock,
} from 'ringloop';
import { BOTH_KINDS, errorOf } from '../support/both-kinds.js';
import { withVirtualTime } from '../support/virtual-time.js';

/** All that can be received without waiting. */
function received<T>(subscription: Subscription<T>): T[] {
  const items: T[] = [];
  try {
    for (;;) items.push(subscription.receiveNowait());
  } catch {
    return items;
  }
}

function* sendAll<T>(news: Broadcast<T>, ...items: T[]): Generator<unknown, void, any> {
  for (const item of items) yield* news.send(item);
}

for (const [kind, start] of BOTH_KINDS) {
  describe(`${kind} at a broadcast`, () => {
    it('gets every item that was sent since it subscribed', () =>
      withVirtualTime(function* () {
        const news = broadcast<number>();
        yield* news.send(0);
        const early = news.subscribe();
        const receiving = start(() => early.receive());
        yield* sleep(1);
        yield* news.send(1);
        const late = news.subscribe();
        yield* start(() => news.send(2));
        assert.equal(yield* receiving, 1);
        assert.equal(yield* start(() => early.receive()), 2);
        assert.deepEqual([received(early), received(late)], [[], [2]]);
      }));

    it('waits for the slowest subscriber', () =>
      withVirtualTime(function* () {
        const news = broadcast<number>({ capacity: 2 });
        const [fast, slow] = [news.subscribe(), news.subscribe()];
        yield* sendAll(news, 1, 2);
        assert.deepEqual(received(fast), [1, 2]);
        const sending = start(() => news.send(3));
        yield* sleep(1);
        assert.equal(sending.done(), false);
        assert.deepEqual(news.statistics(), {
          subscribers: 2,
          behind: 2,
          capacity: 2,
          slow: 'wait',
        });
        assert.deepEqual(received(fast), [3], 'who has room has it already');
        assert.equal(slow.receiveNowait(), 1);
        yield* sending;
        assert.deepEqual(received(slow), [2, 3]);
        assert.equal(slow.lost, 0);
      }));

    it('gets the items in the same order as all others, whoever is slow', () =>
      withVirtualTime(function* () {
        const news = broadcast<number>({ capacity: 1 });
        const [one, two] = [news.subscribe(), news.subscribe()];
        yield* news.send(0);
        assert.equal(one.receiveNowait(), 0);
        const senders = [1, 2, 3].map((item) => start(() => news.send(item)));
        yield* sleep(1);
        const seen: number[][] = [[], []];
        for (let i = 0; i < 10; i++) {
          seen[1]!.push(...received(two));
          yield* sleep(1);
          seen[0]!.push(...received(one));
          yield* sleep(1);
        }
        for (const sender of senders) yield* sender;
        assert.deepEqual(seen, [
          [1, 2, 3],
          [0, 1, 2, 3],
        ]);
      }));

    it('lets the next sender go on when it is cancelled, or its signal aborted', () =>
      withVirtualTime(function* () {
        const news = broadcast<string>({ capacity: 1 });
        const subscription = news.subscribe();
        yield* news.send('first');
        const controller = new AbortController();
        const cancelled = start(() => news.send('cancelled'));
        const aborted = start(() => news.send('aborted', controller));
        const queued = start(() => news.send('aborted in line', controller));
        const last = start(() => news.send('last'));
        yield* sleep(1);
        cancelled.cancel();
        assert.ok(isCancelledError(yield* errorOf(cancelled)));
        controller.abort('enough');
        assert.equal(yield* errorOf(aborted), 'enough');
        assert.equal(yield* errorOf(queued), 'enough');
        assert.equal(subscription.receiveNowait(), 'first');
        yield* last;
        assert.deepEqual(received(subscription), ['last']);
      }));

    it('loses nothing when a receive() is cancelled or aborted', () =>
      withVirtualTime(function* () {
        const news = broadcast<string>();
        const subscription = news.subscribe();
        const controller = new AbortController();
        const cancelled = start(() => subscription.receive());
        const aborted = start(() => subscription.receive(controller));
        yield* sleep(1);
        cancelled.cancel();
        controller.abort('enough');
        yield* news.send('in the very same iteration');
        assert.ok(isCancelledError(yield* errorOf(cancelled)));
        assert.equal(yield* errorOf(aborted), 'enough');
        assert.deepEqual(received(subscription), ['in the very same iteration']);
      }));

    it('is not waited for any more when it has unsubscribed', () =>
      withVirtualTime(function* () {
        const news = broadcast<number>({ capacity: 1 });
        const [slow, slower, fast] = [news.subscribe(), news.subscribe(), news.subscribe()];
        yield* news.send(1);
        assert.equal(fast.receiveNowait(), 1);
        const sending = start(() => news.send(2));
        yield* sleep(1);
        slower.close();
        slow.close();
        yield* sending;
        assert.deepEqual(received(fast), [2]);
        assert.equal(news.statistics().subscribers, 1);
        assert.ok((yield* errorOf(start(() => slow.receive()))) instanceof ClosedChannel);
      }));

    it('that is slow leaves while the send is aborted: the reason comes, whatever its name', () =>
      withVirtualTime(function* () {
        const news = broadcast<number>({ capacity: 1 });
        const slow = news.subscribe();
        yield* news.send(1);
        const controller = new AbortController();
        const sending = start(() => news.send(2, controller));
        yield* sleep(1);
        const reason = Object.assign(new Error('no more'), { name: 'WrongChannel' });
        controller.abort(reason);
        slow.close();
        assert.equal(yield* errorOf(sending), reason);
      }));

    it('gets what it has, and then EndOfChannel, when the broadcast is closed', () =>
      withVirtualTime(function* () {
        const news = broadcast<number>();
        const [one, two] = [news.subscribe(), news.subscribe()];
        yield* news.send(1);
        assert.equal(two.receiveNowait(), 1);
        const waiting = start(() => two.receive());
        yield* sleep(1);
        news.close();
        assert.ok((yield* errorOf(waiting)) instanceof EndOfChannel);
        assert.equal(yield* start(() => one.receive()), 1);
        assert.ok((yield* errorOf(start(() => one.receive()))) instanceof EndOfChannel);
        assert.ok((yield* errorOf(start(() => news.send(2)))) instanceof EndOfChannel);
        assert.throws(() => news.subscribe().receiveNowait(), EndOfChannel);
        assert.equal(news.statistics().subscribers, 0);
      }));

    it('does not hang if the broadcast is closed while it waits for a slow subscriber', () =>
      withVirtualTime(function* () {
        const news = broadcast<number>({ capacity: 1 });
        const slow = news.subscribe();
        yield* news.send(1);
        const sending = start(() => news.send(2));
        const queued = start(() => news.send(3));
        yield* sleep(1);
        news.close();
        yield* sending;
        assert.ok((yield* errorOf(queued)) instanceof EndOfChannel);
        assert.deepEqual(received(slow), [1]);
      }));

    it('is left behind with slow: disconnect, and told how much it lost', () =>
      withVirtualTime(function* () {
        const news = broadcast<number>({ capacity: 2, slow: 'disconnect' });
        const [fast, slow] = [news.subscribe(), news.subscribe()];
        yield* sendAll(news, 1, 2);
        assert.deepEqual(received(fast), [1, 2]);
        yield* start(() => news.send(3));
        assert.equal(news.statistics().subscribers, 1);
        assert.deepEqual(received(fast), [3]);
        assert.equal(yield* start(() => slow.receive()), 1);
        assert.equal(slow.receiveNowait(), 2);
        const error = yield* errorOf(start(() => slow.receive()));
        assert.ok(error instanceof Lagged);
        assert.equal(error.lost, 1);
        assert.throws(() => slow.receiveNowait(), { name: 'Lagged', message: '1 items were lost' });
        assert.equal(slow.lost, 1);
      }));
  });
}

describe('broadcast', () => {
  it('drops what is sent while nobody subscribes', () =>
    withVirtualTime(function* () {
      const news = broadcast<number>({ capacity: 1 });
      yield* sendAll(news, 1, 2, 3);
      assert.throws(() => news.subscribe().receiveNowait(), WouldBlock);
    }));

  it('drops the oldest items of the slow with slow: dropOldest, and counts them', () =>
    withVirtualTime(function* () {
      const news = broadcast<number>({ capacity: 2, slow: 'dropOldest' });
      const [fast, slow] = [news.subscribe(), news.subscribe()];
      const seen: number[] = [];
      for (let i = 0; i < 5; i++) {
        yield* news.send(i);
        seen.push(...received(fast));
      }
      assert.deepEqual([seen, fast.lost], [[0, 1, 2, 3, 4], 0]);
      assert.deepEqual([received(slow), slow.lost], [[3, 4], 3]);
    }));

  it('never waits with slow: dropOldest or disconnect', () =>
    withVirtualTime(function* () {
      for (const slow of ['dropOldest', 'disconnect'] as const) {
        const news = broadcast<number>({ capacity: 1, slow });
        news.subscribe();
        const sending = news.send(1)[Symbol.iterator]();
        assert.equal(sending.next().done, true);
        assert.equal(news.send(2)[Symbol.iterator]().next().done, true);
      }
    }));

  it('makes no object for an item and a subscriber: it looks at the channels themselves', () =>
    withVirtualTime(function* () {
      const { statistics } = Receiver.prototype;
      let asked = 0;
      Receiver.prototype.statistics = function (this: Receiver<unknown>) {
        asked++;
        return statistics.call(this);
      };
      try {
        const news = broadcast<number>({ capacity: 1, slow: 'dropOldest' });
        const subscription = news.subscribe();
        yield* sendAll(news, 1, 2);
        assert.equal(news.statistics().behind, 1);
        assert.deepEqual(received(subscription), [2]);
        assert.equal(asked, 0);
      } finally {
        Receiver.prototype.statistics = statistics;
      }
    }));

  it('does not send to who subscribes while a sender waits', () =>
    withVirtualTime(function* () {
      const news = broadcast<number>({ capacity: 1 });
      const slow = news.subscribe();
      yield* news.send(1);
      const sending = createTask(() => news.send(2));
      yield* sleep(1);
      const late = news.subscribe();
      assert.equal(slow.receiveNowait(), 1);
      yield* sending;
      assert.deepEqual([received(slow), received(late)], [[2], []]);
    }));

  it('is read with for await until it is closed; leaving it early unsubscribes', () =>
    withVirtualTime(async () => {
      const news = broadcast<number>({ capacity: 1 });
      const seen: number[] = [];
      const reading = createTask(async () => {
        for await (const item of news.subscribe()) seen.push(item);
      });
      const leaving = createTask(async () => {
        for await (const item of news.subscribe()) if (item === 1) break;
      });
      await sleep(1);
      for (let i = 0; i < 4; i++) await news.send(i);
      await leaving;
      assert.equal(news.statistics().subscribers, 1);
      news.close();
      await reading;
      assert.deepEqual(seen, [0, 1, 2, 3]);
    }));

  it('and its subscriptions are closed by using', () =>
    withVirtualTime(function* () {
      const news = broadcast<number>();
      const outer = news.subscribe();
      {
        using subscription = news.subscribe();
        assert.deepEqual(received(subscription), []);
        assert.equal(news.statistics().subscribers, 2);
      }
      assert.equal(news.statistics().subscribers, 1);
      {
        using scoped = news;
        yield* scoped.send(1);
      }
      assert.equal(outer.receiveNowait(), 1);
      assert.throws(() => outer.receiveNowait(), EndOfChannel);
    }));

  it('tells how far the slowest is behind, also of very many', () =>
    withVirtualTime(function* () {
      const news = broadcast<number>();
      assert.equal(news.statistics().behind, 0);
      const subscriptions = Array.from({ length: 200_000 }, () => news.subscribe());
      yield* news.send(1);
      assert.deepEqual(received(subscriptions[0]!), [1]);
      const { subscribers, behind } = news.statistics();
      assert.deepEqual([subscribers, behind], [200_000, 1]);
    })).timeout(60_000);

  it('refuses options that are none, and says what it got', () => {
    for (const capacity of ['1', null, {}, NaN]) {
      assert.throws(() => broadcast({ capacity: capacity as never }), {
        name: 'TypeError',
        message: /^broadcast: capacity must be a number, got /,
      });
    }
    assert.throws(() => broadcast({ capacity: 0 }), {
      name: 'RangeError',
      message: 'broadcast: capacity must be >= 1, got 0',
    });
    assert.throws(() => broadcast({ slow: 'faster' as never }), {
      name: 'TypeError',
      message: 'broadcast: slow must be one of wait, dropOldest, disconnect, got "faster"',
    });
    const news = broadcast();
    assert.throws(() => news.send(1, { signal: 5 as never }), {
      message: /^send: signal .* got 5/,
    });
    assert.throws(() => news.subscribe().receive({ signal: 5 as never }), TypeError);
  });
});
