/**
 * broadcast: every item to every subscriber.
 *
 * Facts. With many receivers one of them is always the slowest, and somebody has to decide what
 * that means.
 * Decision. Each subscriber has a channel of its own, and the policy is stated: the sender waits,
 * the slow one loses its oldest items (and counts them), or the slow one is left behind.
 */
import { BrokenChannel, ClosedChannel, EndOfChannel, Lagged, show } from '../errors.js';
import { type Abortable, abortable } from '../tasks/abortable.js';
import { Coroutine } from '../tasks/coroutine.js';
import { makeChannel, type Receiver, type Sender } from './channel.js';
import { Lock } from './lock.js';

/** What happens when a subscriber has no room. */
export type SlowPolicy = 'wait' | 'dropOldest' | 'disconnect';

/** What `broadcast` can be told. */
export interface BroadcastOptions {
  /** How many items a subscriber may be behind. */
  capacity?: number;
  /**
   * `wait`: `send` waits for it; `dropOldest`: it loses its oldest item; `disconnect`: it gets what
   * it has, and then a `Lagged` error.
   */
  slow?: SlowPolicy;
}

/** What `broadcast.statistics()` tells. */
export interface BroadcastStatistics {
  subscribers: number;
  /** Items of the subscriber that is behind most. */
  behind: number;
  capacity: number;
  slow: SlowPolicy;
}

/** One receiver of a broadcast. `broadcast.subscribe()` makes one. */
export class Subscription<T> {
  private readonly sender: Sender<T>;
  private readonly receiver: Receiver<T>;
  private lostItems = 0;
  private lagged = false;

  /** @internal */
  constructor(
    private readonly owner: Broadcast<T>,
    capacity: number,
  ) {
    const end = (): Error => (this.lagged ? new Lagged(this.lostItems) : new EndOfChannel());
    [this.sender, this.receiver] = makeChannel<T>(capacity, end);
  }

  /** How many items it did not get, because it was too slow. */
  get lost(): number {
    return this.lostItems;
  }

  /**
   * Receives the next item.
   *
   * @param options - `signal` ends the wait
   * @throws TypeError if an option has the wrong type; when awaited: EndOfChannel if the broadcast
   *   is closed, Lagged if it was left behind, ClosedChannel, CancelledError, the reason of the
   *   signal
   */
  receive(options?: Abortable): Coroutine<T> {
    return this.receiver.receive(options);
  }

  /** Receives an item at once. @throws WouldBlock if there is none; as `receive` */
  receiveNowait(): T {
    return this.receiver.receiveNowait();
  }

  /** Nothing more is received. */
  close(): void {
    this.owner.forget(this);
    this.receiver.close();
  }

  /** `using subscription = ...` */
  [Symbol.dispose](): void {
    this.close();
  }

  /** `for await (const item of subscription)`, until the broadcast is closed. Closes it. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    try {
      for (;;) yield await this.receive();
    } catch (error) {
      if (!(error instanceof EndOfChannel)) throw error;
    } finally {
      this.close();
    }
  }

  /** @internal Items it has not received. */
  get behind(): number {
    return this.sender.size;
  }

  /** @internal false: it has no room. */
  offer(item: T): boolean {
    return this.sender.offer(item);
  }

  /** @internal */
  dropOldest(): void {
    this.receiver.receiveNowait();
    this.lostItems++;
  }

  /** @internal */
  leaveBehind(): void {
    this.lagged = true;
    this.lostItems++;
    this.sender.close();
  }

  /** @internal */
  end(): void {
    this.sender.close();
  }

  /** @internal */
  waitAndSend(item: T): Coroutine<void> {
    return this.sender.send(item);
  }
}

/** Items that go to every subscriber. `broadcast()` makes one. */
export class Broadcast<T> {
  private readonly subscriptions = new Set<Subscription<T>>();
  /** Senders that wait take turns, so that every subscriber sees the same order. */
  private readonly turn = new Lock();
  private closed = false;

  /** @internal */
  constructor(
    private readonly capacity: number,
    private readonly slow: SlowPolicy,
  ) {}

  /** A new receiver: it gets what is sent from now on. */
  subscribe(): Subscription<T> {
    const subscription = new Subscription<T>(this, this.capacity);
    if (this.closed) subscription.end();
    else this.subscriptions.add(subscription);
    return subscription;
  }

  /**
   * Sends an item to every subscriber. Without subscribers it is dropped.
   *
   * @param options - `signal` ends the wait
   * @throws TypeError if an option has the wrong type; when awaited: EndOfChannel if the broadcast
   *   is closed, CancelledError, the reason of the signal. With `slow: 'wait'`, a send that is
   *   ended early has reached those subscribers that had room.
   *
   * Order: every subscriber gets the items in the same order.
   */
  send(item: T, options?: Abortable): Coroutine<void> {
    return abortable('send', options, new Coroutine(this.sendSteps(item)));
  }

  /** Ends it: subscribers get what they have, and then EndOfChannel. */
  close(): void {
    this.closed = true;
    for (const subscription of this.subscriptions) subscription.end();
    this.subscriptions.clear();
  }

  /** `using news = broadcast()` */
  [Symbol.dispose](): void {
    this.close();
  }

  /** How many subscribe, and how far the slowest is behind. */
  statistics(): BroadcastStatistics {
    let behind = 0;
    for (const subscription of this.subscriptions) behind = Math.max(behind, subscription.behind);
    return {
      subscribers: this.subscriptions.size,
      behind,
      capacity: this.capacity,
      slow: this.slow,
    };
  }

  /** @internal */
  forget(subscription: Subscription<T>): void {
    this.subscriptions.delete(subscription);
  }

  private *sendSteps(item: T): Generator<unknown, void, any> {
    if (this.slow === 'wait') yield* this.turn.acquire();
    try {
      if (this.closed) throw new EndOfChannel();
      const slow = [...this.subscriptions].filter((subscription) => !subscription.offer(item));
      for (const subscription of slow) yield* this.sendToSlow(subscription, item);
    } finally {
      if (this.slow === 'wait') this.turn.release();
    }
  }

  private *sendToSlow(subscription: Subscription<T>, item: T): Generator<unknown, void, any> {
    if (this.slow === 'dropOldest') {
      subscription.dropOldest();
      subscription.offer(item);
    } else if (this.slow === 'disconnect') {
      subscription.leaveBehind();
      this.forget(subscription);
    } else yield* this.waitFor(subscription, item);
  }

  /** It may unsubscribe meanwhile, or the broadcast may be closed. */
  private *waitFor(subscription: Subscription<T>, item: T): Generator<unknown, void, any> {
    if (!this.subscriptions.has(subscription)) return;
    try {
      yield* subscription.waitAndSend(item);
    } catch (error) {
      const left = error instanceof BrokenChannel || error instanceof ClosedChannel;
      if (!left || this.subscriptions.has(subscription)) throw error;
    }
  }
}

const POLICIES: readonly SlowPolicy[] = ['wait', 'dropOldest', 'disconnect'];

/**
 * Makes a broadcast: every item goes to everybody who subscribed before it was sent.
 *
 * @param options - `capacity` (1 and more, default 16); `slow`: what happens when a subscriber has
 *   no room, default `wait`
 * @throws TypeError or RangeError if an option is wrong
 */
export function broadcast<T = unknown>(options: BroadcastOptions = {}): Broadcast<T> {
  const { capacity = 16, slow = 'wait' } = options;
  if (typeof capacity !== 'number' || Number.isNaN(capacity)) {
    throw new TypeError(`broadcast: capacity must be a number, got ${show(capacity)}`);
  }
  if (capacity < 1) {
    throw new RangeError(`broadcast: capacity must be >= 1, got ${capacity}`);
  }
  if (!POLICIES.includes(slow)) {
    throw new TypeError(`broadcast: slow must be one of ${POLICIES.join(', ')}, got ${show(slow)}`);
  }
  return new Broadcast<T>(capacity, slow);
}
