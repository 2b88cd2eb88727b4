/**
 * memoryChannel: items from senders to receivers, with an end.
 *
 * Facts. A queue does not know when nobody will put any more, or nobody will get. And asyncio's
 * queue wakes a waiter that then finds the item taken.
 * Decision. As in trio: two kinds of ends, which can be cloned and closed. When the last sender is
 * closed, receivers get what is left and then EndOfChannel; when the last receiver is, senders get
 * BrokenChannel. An item goes straight to the receiver that waited longest, so none is overtaken; a
 * receiver that is cancelled with an item in hand still gets it, and the cancellation at its next
 * wait. Capacity 0 is a rendezvous: `send` returns when somebody has taken the item.
 * Invariants. Receivers wait only while the buffer is empty; senders only while it is full. An item
 * is with its sender, in the buffer or with exactly one receiver.
 *
 *   Sender ---+                                     +--- Receiver
 *   Sender ---+--> [ senders ] [ buffer ] ----------+--- Receiver
 *     (clones)       waiting     capacity              (clones, waiting)
 */
import { BrokenChannel, ClosedChannel, EndOfChannel, show, WouldBlock } from '../errors.js';
import { type Abortable, abortable } from '../tasks/abortable.js';
import type { Coroutine } from '../tasks/coroutine.js';
import { WaitList } from '../tasks/wait-list.js';
import { type Operation, Waiting } from '../tasks/waiting.js';
import { Deque } from './deque.js';

/** What `statistics()` of either end tells. */
export interface ChannelStatistics {
  /** Items in the buffer. */
  size: number;
  /** How many fit. */
  capacity: number;
  /** Open ends. */
  senders: number;
  receivers: number;
  /** How many wait. */
  sending: number;
  receiving: number;
}

/** What the ends of a channel share. */
class Channel<T> {
  readonly buffer = new Deque<T>();
  readonly senders = new WaitList(this);
  readonly receivers = new WaitList(this);
  openSenders = 0;
  openReceivers = 0;

  /** @param makeEnd - what receivers get when nothing is left and no sender is */
  constructor(
    readonly capacity: number,
    private readonly makeEnd: () => Error,
  ) {}

  /** false: it would have to wait. */
  offer(item: T): boolean {
    if (this.openReceivers === 0) throw new BrokenChannel();
    const receiver = nextOf(this.receivers);
    if (receiver !== null) receiver.wake(item);
    else if (this.buffer.size < this.capacity) this.buffer.push(item);
    else return false;
    return true;
  }

  /** null: it would have to wait. */
  take(): { item: T } | null {
    const sender = nextOf(this.senders);
    if (sender !== null) {
      this.buffer.push(sender.value as T);
      sender.wake(undefined);
    }
    if (this.buffer.size > 0) return { item: this.buffer.shift() as T };
    if (this.openSenders === 0) throw this.makeEnd();
    return null;
  }

  senderClosed(): void {
    if (--this.openSenders > 0) return;
    failAll(this.receivers, this.makeEnd);
  }

  receiverClosed(): void {
    if (--this.openReceivers > 0) return;
    failAll(this.senders, () => new BrokenChannel());
    while (this.buffer.size > 0) this.buffer.shift();
  }

  statistics(): ChannelStatistics {
    return {
      size: this.buffer.size,
      capacity: this.capacity,
      senders: this.openSenders,
      receivers: this.openReceivers,
      sending: this.senders.size,
      receiving: this.receivers.size,
    };
  }

  toString(): string {
    return `<memoryChannel size: ${this.buffer.size}, capacity: ${this.capacity}>`;
  }
}

/** Who waited longest. Those cancelled before leave the list on the way. */
function nextOf(waiters: WaitList): Waiting<any> | null {
  for (let next = waiters.shift(); next !== null; next = waiters.shift()) {
    if (next.waits()) return next;
  }
  return null;
}

function failAll(waiters: WaitList, makeError: () => Error): void {
  for (let next = nextOf(waiters); next !== null; next = nextOf(waiters)) next.fail(makeError());
}

/** Sending or receiving at one end. */
abstract class EndOperation<T> implements Operation {
  constructor(
    protected readonly end: { checkOpen(): void },
    protected readonly channel: Channel<T>,
  ) {}

  abstract begin(waiting: Waiting<any>): boolean;

  woken(): boolean {
    return true;
  }

  /** The end was closed by its owner. */
  fail(waiters: WaitList): void {
    // One that fails may take another with it, if both are cases of a select.
    for (const waiting of [...waiters]) {
      if (waiting.operation !== this || !waiting.waits()) continue;
      waiters.remove(waiting);
      waiting.fail(new ClosedChannel());
    }
  }

  /** What was handed over was handed over: the cancellation waits. */
  abandoned(waiting: Waiting<any>): boolean {
    waiting.list?.remove(waiting);
    return waiting.wasWoken();
  }
}

class Sending<T> extends EndOperation<T> {
  begin(waiting: Waiting<unknown>): boolean {
    this.end.checkOpen();
    if (this.channel.offer(waiting.value as T)) {
      waiting.value = undefined;
      return true;
    }
    this.channel.senders.push(waiting);
    return false;
  }
}

class Receiving<T> extends EndOperation<T> {
  begin(waiting: Waiting<unknown>): boolean {
    this.end.checkOpen();
    const taken = this.channel.take();
    if (taken === null) {
      this.channel.receivers.push(waiting);
      return false;
    }
    waiting.value = taken.item;
    return true;
  }
}

/** The end of a channel that items are sent from. `memoryChannel()` makes one. */
export class Sender<T> {
  private readonly channel: Channel<T>;
  private readonly sending: Sending<T>;
  private open = true;

  /** @internal */
  constructor(channel: Channel<T>) {
    this.channel = channel;
    this.sending = new Sending(this, channel);
    channel.openSenders++;
  }

  /**
   * Sends an item, as soon as there is room or a receiver for it.
   *
   * @param options - `signal` ends the wait; the item is not sent then
   * @throws TypeError if an option has the wrong type; when awaited: BrokenChannel if no receiver
   *   is left, ClosedChannel if this end is closed, CancelledError, the reason of the signal
   *
   * Order: first come, first served. Once it was taken, no cancellation says that it was not.
   */
  send(item: T, options?: Abortable): Coroutine<void> {
    return abortable('send', options, new Waiting<void>(this.sending, item));
  }

  /** Sends an item at once. @throws WouldBlock if there is no room; BrokenChannel, ClosedChannel */
  sendNowait(item: T): void {
    if (!this.offer(item)) throw new WouldBlock();
  }

  /** @internal false: there is no room. */
  offer(item: T): boolean {
    this.checkOpen();
    return this.channel.offer(item);
  }

  /** @internal Items in the buffer. */
  get size(): number {
    return this.channel.buffer.size;
  }

  /** Another end to send from. The channel ends when all of them are closed. */
  clone(): Sender<T> {
    this.checkOpen();
    return new Sender(this.channel);
  }

  /** Nothing more comes from this end. Closing twice is no error. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    this.sending.fail(this.channel.senders);
    this.channel.senderClosed();
  }

  /** `using sender = ...` */
  [Symbol.dispose](): void {
    this.close();
  }

  /** What is in the channel, and who waits. */
  statistics(): ChannelStatistics {
    return this.channel.statistics();
  }

  /** @internal */
  checkOpen(): void {
    if (!this.open) throw new ClosedChannel();
  }
}

/** The end of a channel that items are received from. `memoryChannel()` makes one. */
export class Receiver<T> {
  private readonly channel: Channel<T>;
  private readonly receiving: Receiving<T>;
  private open = true;

  /** @internal */
  constructor(channel: Channel<T>) {
    this.channel = channel;
    this.receiving = new Receiving(this, channel);
    channel.openReceivers++;
  }

  /**
   * Receives an item, as soon as there is one.
   *
   * @param options - `signal` ends the wait
   * @returns when awaited, the item
   * @throws TypeError if an option has the wrong type; when awaited: EndOfChannel if nothing is
   *   left and no sender is, ClosedChannel if this end is closed, CancelledError, the reason of the
   *   signal
   *
   * Order: first come, first served. No item is lost by a cancellation.
   */
  receive(options?: Abortable): Coroutine<T> {
    return abortable('receive', options, new Waiting<T>(this.receiving, undefined));
  }

  /** Receives an item at once. @throws WouldBlock if there is none; EndOfChannel, ClosedChannel */
  receiveNowait(): T {
    this.checkOpen();
    const taken = this.channel.take();
    if (taken === null) throw new WouldBlock();
    return taken.item;
  }

  /** Another end to receive from: each item goes to one of them. */
  clone(): Receiver<T> {
    this.checkOpen();
    return new Receiver(this.channel);
  }

  /** Nothing more is taken by this end; with the last, what is left is dropped. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    this.receiving.fail(this.channel.receivers);
    this.channel.receiverClosed();
  }

  /** `using receiver = ...` */
  [Symbol.dispose](): void {
    this.close();
  }

  /** `for await (const item of receiver)`, until the channel ends. Closes this end. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    try {
      for (;;) yield await this.receive();
    } catch (error) {
      if (!(error instanceof EndOfChannel)) throw error;
    } finally {
      this.close();
    }
  }

  /** What is in the channel, and who waits. */
  statistics(): ChannelStatistics {
    return this.channel.statistics();
  }

  /** @internal */
  checkOpen(): void {
    if (!this.open) throw new ClosedChannel();
  }
}

/**
 * Makes a channel: items go from its sender to its receiver, in order, each to one receiver.
 *
 * @param capacity - how many items it holds while nobody receives; 0: `send` waits until somebody
 *   has taken the item; `Infinity`: `send` never waits
 * @returns the two ends
 * @throws TypeError if `capacity` is not a number; RangeError if it is negative
 *
 * Counterpart: none in asyncio; `trio.open_memory_channel`.
 */
export function memoryChannel<T = unknown>(
  capacity: number,
): [sender: Sender<T>, receiver: Receiver<T>] {
  if (typeof capacity !== 'number' || Number.isNaN(capacity)) {
    throw new TypeError(`memoryChannel: capacity must be a number, got ${show(capacity)}`);
  }
  if (capacity < 0) throw new RangeError(`memoryChannel: capacity must be >= 0, got ${capacity}`);
  return makeChannel(capacity, () => new EndOfChannel());
}

/** @internal A channel that ends in its own way. */
export function makeChannel<T>(
  capacity: number,
  makeEnd: () => Error,
): [sender: Sender<T>, receiver: Receiver<T>] {
  const channel = new Channel<T>(capacity, makeEnd);
  return [new Sender(channel), new Receiver(channel)];
}
