/**
 * Queue: items from some tasks to others.
 *
 * Facts. asyncio's queue wakes a waiter for each item, and the waiter takes the item when it runs;
 * whoever comes in between may have taken it, and then it waits again.
 * Decision. asyncio's algorithm. Getting and putting are two operations of the queue; LifoQueue and
 * PriorityQueue differ in the store.
 * Invariants. An item is in the store or with exactly one task. A waiter that was woken and cannot
 * take its turn passes it on.
 */
import { QueueEmpty, QueueFull, QueueShutDown, show } from '../errors.js';
import { type Abortable, abortable } from '../tasks/abortable.js';
import type { Coroutine } from '../tasks/coroutine.js';
import { WaitList } from '../tasks/wait-list.js';
import { type Operation, Waiting } from '../tasks/waiting.js';
import { Deque } from './deque.js';
import { Event } from './event.js';

/** Where a queue keeps its items. */
export interface Store<T> {
  readonly size: number;
  push(item: T): void;
  /** Only called if there is an item. */
  shift(): T | undefined;
}

/** What `queue.statistics()` tells. */
export interface QueueStatistics {
  /** Items in the queue. */
  size: number;
  /** How many fit, 0: any number. */
  maxsize: number;
  /** Items for which `taskDone()` was not called. */
  unfinished: number;
  /** How many wait for an item. */
  getters: number;
  /** How many wait for room. */
  putters: number;
  isShutdown: boolean;
}

class Getting<T> implements Operation {
  constructor(private readonly queue: Queue<T>) {}

  begin(waiting: Waiting<T>): boolean {
    const { queue } = this;
    if (queue.empty()) {
      if (queue.isShutdown) throw new QueueShutDown();
      queue.getters.push(waiting);
      return false;
    }
    waiting.value = queue.getNowait();
    return true;
  }

  /** Somebody may have been faster. */
  woken(waiting: Waiting<T>): boolean {
    try {
      return this.begin(waiting);
    } catch (error) {
      this.passOn();
      throw error;
    }
  }

  abandoned(waiting: Waiting<T>): boolean {
    this.queue.getters.remove(waiting);
    if (waiting.wasWoken()) this.passOn();
    return false;
  }

  private passOn(): void {
    if (!this.queue.empty()) wakeNext(this.queue.getters);
  }
}

/** The item is the `value` of the wait until it is put, and undefined, the result, afterwards. */
class Putting<T> implements Operation {
  constructor(private readonly queue: Queue<T>) {}

  begin(waiting: Waiting<unknown>): boolean {
    const { queue } = this;
    if (queue.full()) {
      if (queue.isShutdown) throw new QueueShutDown();
      queue.putters.push(waiting);
      return false;
    }
    queue.putNowait(waiting.value as T);
    waiting.value = undefined;
    return true;
  }

  /** A PriorityQueue may refuse the item. */
  woken(waiting: Waiting<unknown>): boolean {
    try {
      return this.begin(waiting);
    } catch (error) {
      this.passOn();
      throw error;
    }
  }

  abandoned(waiting: Waiting<unknown>): boolean {
    this.queue.putters.remove(waiting);
    if (waiting.wasWoken()) this.passOn();
    return false;
  }

  private passOn(): void {
    if (!this.queue.full()) wakeNext(this.queue.putters);
  }
}

/** Those woken or cancelled before leave the list on the way. */
function wakeNext(waiters: WaitList): void {
  for (let next = waiters.shift(); next !== null; next = waiters.shift()) {
    if (!next.waits()) continue;
    next.wake(next.value);
    return;
  }
}

/** First in, first out. Counterpart: `asyncio.Queue`. */
export class Queue<T = unknown> {
  /** How many items fit; 0: any number. */
  readonly maxsize: number;
  /** @internal */
  readonly getters = new WaitList(this);
  /** @internal */
  readonly putters = new WaitList(this);
  /** @internal */
  isShutdown = false;
  private readonly getting = new Getting<T>(this);
  private readonly putting = new Putting<T>(this);
  private readonly finished = new Event();
  private unfinished = 0;
  /** @internal */
  protected readonly store: Store<T>;

  /**
   * @param maxsize - how many items fit; zero or less: any number
   * @throws TypeError if it is not a number
   */
  constructor(maxsize = 0) {
    if (typeof maxsize !== 'number' || Number.isNaN(maxsize)) {
      throw new TypeError(`Queue: maxsize must be a number, got ${show(maxsize)}`);
    }
    this.maxsize = maxsize;
    this.store = this.makeStore();
    this.finished.set();
  }

  /** @internal What makes the other kinds of queues. */
  protected makeStore(): Store<T> {
    return new Deque<T>();
  }

  /** How many items there are. */
  qsize(): number {
    return this.store.size;
  }

  /** Whether there is no item. */
  empty(): boolean {
    return this.store.size === 0;
  }

  /** Whether there is no room. */
  full(): boolean {
    return this.maxsize > 0 && this.store.size >= this.maxsize;
  }

  /**
   * Puts an item, as soon as there is room.
   *
   * @param options - `signal` ends the wait; the item is not put then
   * @throws TypeError if an option has the wrong type; when awaited: QueueShutDown, CancelledError,
   *   the reason of the signal, RuntimeError if it was used on another loop
   *
   * Order: waiters are woken first come, first served; who comes when there is room does not wait,
   * and may overtake one that was woken. Counterpart: `Queue.put`.
   */
  put(item: T, options?: Abortable): Coroutine<void> {
    return abortable('put', options, new Waiting<void>(this.putting, item));
  }

  /**
   * Puts an item at once.
   *
   * @throws QueueFull if there is no room; QueueShutDown after `shutdown()`
   */
  putNowait(item: T): void {
    if (this.isShutdown) throw new QueueShutDown();
    if (this.full()) throw new QueueFull();
    this.store.push(item);
    if (this.unfinished++ === 0) this.finished.clear();
    if (this.getters.first !== null) wakeNext(this.getters);
  }

  /**
   * Takes an item, as soon as there is one.
   *
   * @param options - `signal` ends the wait
   * @returns when awaited, the item
   * @throws TypeError if an option has the wrong type; when awaited: QueueShutDown if it is empty
   *   and shut down, CancelledError, the reason of the signal, RuntimeError if it was used on
   *   another loop
   *
   * Order: as `put`. A wait that is cancelled loses no item. Counterpart: `Queue.get`.
   */
  get(options?: Abortable): Coroutine<T> {
    return abortable('get', options, new Waiting<T>(this.getting, undefined));
  }

  /**
   * Takes an item at once.
   *
   * @throws QueueEmpty if there is none; QueueShutDown if there will be none
   */
  getNowait(): T {
    if (this.store.size === 0) {
      if (this.isShutdown) throw new QueueShutDown();
      throw new QueueEmpty();
    }
    const item = this.store.shift() as T;
    if (this.putters.first !== null) wakeNext(this.putters);
    return item;
  }

  /**
   * Says that an item that was taken has been dealt with: see `join`.
   *
   * @throws RangeError if it is called more often than items were put
   */
  taskDone(): void {
    if (this.unfinished <= 0) throw new RangeError('task_done() called too many times');
    if (--this.unfinished === 0) this.finished.set();
  }

  /**
   * Waits until every item has been taken and `taskDone()` was called for it.
   *
   * @param options - `signal` ends the wait
   * @throws TypeError if an option has the wrong type; when awaited: CancelledError, the reason of
   *   the signal
   */
  join(options?: Abortable): Coroutine<void> {
    return abortable('join', options, new Waiting<void>(this.finished, undefined));
  }

  /**
   * Ends the queue: putting throws QueueShutDown from now on, getting does when it is empty.
   * Whoever waits is woken.
   *
   * @param immediate - true: drops the items that are left, which count as dealt with
   */
  shutdown(immediate = false): void {
    this.isShutdown = true;
    if (immediate) this.drop();
    while (this.getters.first !== null) wakeNext(this.getters);
    while (this.putters.first !== null) wakeNext(this.putters);
  }

  /** `for await (const item of queue)`, until it is empty and shut down. */
  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    const next = async (): Promise<IteratorResult<T>> => {
      try {
        return { value: await this.get(), done: false };
      } catch (error) {
        if (error instanceof QueueShutDown) return { value: undefined, done: true };
        throw error;
      }
    };
    return { next, [Symbol.asyncIterator]: () => this[Symbol.asyncIterator]() };
  }

  /** How much is in it, and how many wait. */
  statistics(): QueueStatistics {
    return {
      size: this.store.size,
      maxsize: Math.max(0, this.maxsize),
      unfinished: this.unfinished,
      getters: this.getters.size,
      putters: this.putters.size,
      isShutdown: this.isShutdown,
    };
  }

  /** For messages. */
  toString(): string {
    return `<${this.constructor.name} size: ${this.store.size}, maxsize: ${this.maxsize}>`;
  }

  private drop(): void {
    while (!this.empty()) {
      this.store.shift();
      if (this.unfinished > 0) this.unfinished--;
    }
    if (this.unfinished === 0) this.finished.set();
  }
}
