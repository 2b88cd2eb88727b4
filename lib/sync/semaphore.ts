/**
 * Semaphore: a number of permits.
 *
 * Facts. asyncio's semaphore is fair since 3.10.8: a permit that is released belongs to the waiter
 * that is woken, at once, and nobody can overtake it.
 * Decision. asyncio's algorithm. A waiter that is cancelled with its permit in hand gives it to the
 * next.
 * Invariants. `value` + permits in hand or on their way = what was released and never acquired.
 */
import { show } from '../errors.js';
import { type Abortable, abortable } from '../tasks/abortable.js';
import type { Coroutine } from '../tasks/coroutine.js';
import { WaitList } from '../tasks/wait-list.js';
import { Waiting } from '../tasks/waiting.js';
import { Hold } from './hold.js';

/** What `semaphore.statistics()` tells. */
export interface SemaphoreStatistics {
  /** Permits that are free. */
  value: number;
  /** How many wait for one. */
  waiters: number;
}

/** A number of permits, given out first come, first served. Counterpart: `asyncio.Semaphore`. */
export class Semaphore {
  private readonly waiters = new WaitList(this);

  /**
   * @param value - permits in the beginning
   * @throws TypeError if it is not an integer; RangeError if it is negative
   */
  constructor(protected value = 1) {
    if (!Number.isSafeInteger(value)) {
      throw new TypeError(`Semaphore: initial value must be an integer, got ${show(value)}`);
    }
    if (value < 0) throw new RangeError('Semaphore initial value must be >= 0');
  }

  /** Whether `acquire` would have to wait. */
  locked(): boolean {
    return this.value === 0 || (this.waiters.first !== null && this.waiters.hasClaimants());
  }

  /**
   * Waits for a permit.
   *
   * @param options - `signal` ends the wait
   * @returns when awaited, true
   * @throws TypeError if an option has the wrong type; when awaited: CancelledError, the reason of
   *   the signal, RuntimeError if it was used on another loop
   *
   * Order: first come, first served; a waiter goes on in the iteration after the release. A wait
   * that is cancelled loses no permit. Counterpart: `Semaphore.acquire`.
   */
  acquire(options?: Abortable): Coroutine<true> {
    return abortable('acquire', options, new Waiting<true>(this, true));
  }

  /** Gives a permit back, or a new one, and wakes whoever waited longest. */
  release(): void {
    this.value++;
    this.wakeNext();
  }

  /**
   * As `acquire`, for a block: `using _ = yield* semaphore.hold()` gives the permit back at its
   * end.
   *
   * @returns when awaited, what to dispose of or to `release()`
   */
  hold(options?: Abortable): Coroutine<Hold> {
    return abortable('hold', options, new Waiting<Hold>(this, new Hold(this)));
  }

  /** Begins a block: as `acquire`, without a result. `exit()` ends it. */
  enter(options?: Abortable): Coroutine<void> {
    return abortable('enter', options, new Waiting<void>(this, undefined));
  }

  /** Ends a block: `release()`. */
  exit(): void {
    this.release();
  }

  /** How many permits are free, and how many tasks wait. */
  statistics(): SemaphoreStatistics {
    return { value: this.value, waiters: this.waiters.size };
  }

  /** For messages. */
  toString(): string {
    return `<${this.constructor.name} value: ${this.value}, waiters: ${this.waiters.size}>`;
  }

  // ---- Operation --------------------------------------------------------------------------------

  /** @internal */
  begin(waiting: Waiting<unknown>): boolean {
    if (!this.locked()) {
      this.value--;
      return true;
    }
    this.waiters.push(waiting);
    return false;
  }

  /** @internal */
  woken(waiting: Waiting<unknown>): boolean {
    this.waiters.remove(waiting);
    this.wakeThoseWhoCan();
    return true;
  }

  /** @internal */
  abandoned(waiting: Waiting<unknown>): boolean {
    this.waiters.remove(waiting);
    if (waiting.wasWoken()) this.value++;
    this.wakeThoseWhoCan();
    return false;
  }

  /** Some came while permits were free, and waited because others were before them. */
  private wakeThoseWhoCan(): void {
    while (this.value > 0 && this.wakeNext());
  }

  private wakeNext(): boolean {
    const next = this.waiters.firstWaiting();
    if (next === null) return false;
    this.value--;
    next.wake(next.value);
    return true;
  }
}
