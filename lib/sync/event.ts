/**
 * Event: a flag that tasks can wait for.
 *
 * Decision. asyncio's algorithm: `set()` wakes everybody who waits, and a `clear()` before they run
 * changes nothing for them.
 */
import { type Abortable, abortable } from '../tasks/abortable.js';
import type { Coroutine } from '../tasks/coroutine.js';
import { WaitList } from '../tasks/wait-list.js';
import { Waiting } from '../tasks/waiting.js';

/** What `event.statistics()` tells. */
export interface EventStatistics {
  set: boolean;
  /** How many wait for it. */
  waiters: number;
}

/** A flag that tasks can wait for. Counterpart: `asyncio.Event`. */
export class Event {
  private readonly waiters = new WaitList(this);
  private value = false;

  /** Whether the flag is set. */
  isSet(): boolean {
    return this.value;
  }

  /**
   * Sets the flag and wakes every task that waits, in the order in which they came, also if the
   * flag is cleared before they run.
   */
  set(): void {
    if (this.value) return;
    this.value = true;
    for (let waiting = this.waiters.first; waiting !== null; waiting = waiting.following) {
      if (waiting.waits()) waiting.wake(waiting.value);
    }
  }

  /** Clears the flag. */
  clear(): void {
    this.value = false;
  }

  /**
   * Waits until the flag is set; if it is set already, does not wait.
   *
   * @param options - `signal` ends the wait
   * @returns when awaited, true
   * @throws TypeError if an option has the wrong type; when awaited: CancelledError, the reason of
   *   the signal, RuntimeError if it was used on another loop
   *
   * Order: waiters go on in the iteration after `set()`, in the order in which they came.
   */
  wait(options?: Abortable): Coroutine<true> {
    return abortable('wait', options, new Waiting<true>(this, true));
  }

  /** Whether it is set, and how many wait. */
  statistics(): EventStatistics {
    return { set: this.value, waiters: this.waiters.size };
  }

  /** For messages. */
  toString(): string {
    return `<Event ${this.value ? 'set' : 'unset'}, waiters: ${this.waiters.size}>`;
  }

  // ---- Operation --------------------------------------------------------------------------------

  /** @internal */
  begin(waiting: Waiting<unknown>): boolean {
    if (this.value) return true;
    this.waiters.push(waiting);
    return false;
  }

  /** @internal */
  woken(waiting: Waiting<unknown>): boolean {
    this.waiters.remove(waiting);
    return true;
  }

  /** @internal */
  abandoned(waiting: Waiting<unknown>): boolean {
    this.waiters.remove(waiting);
    return false;
  }
}
