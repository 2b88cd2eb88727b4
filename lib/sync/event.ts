/** Event: a flag that tasks can wait for. */
import { Coroutine } from '../tasks/coroutine.js';
import { Future } from '../tasks/future.js';
import { FINISHED } from '../tasks/future-status.js';

/** A flag that tasks can wait for. Counterpart: `asyncio.Event`. */
export class Event {
  private readonly waiters = new Set<Future<true>>();
  private value = false;

  /** Whether the flag is set. */
  isSet(): boolean {
    return this.value;
  }

  /**
   * Sets the flag and wakes every task that waits, in the order in which they came, also if the
   * flag
   * is cleared before they run.
   */
  set(): void {
    if (this.value) return;
    this.value = true;
    for (const waiter of this.waiters) {
      if (!waiter.done()) waiter.settle(FINISHED, true);
    }
  }

  /** Clears the flag. */
  clear(): void {
    this.value = false;
  }

  /**
   * Waits until the flag is set; if it is set already, does not wait.
   *
   * @returns when awaited, true
   */
  wait(): Coroutine<true> {
    return new Coroutine(this.waitSteps());
  }

  private *waitSteps(): Generator<unknown, true, any> {
    if (this.value) return true;
    const waiter = new Future<true>();
    this.waiters.add(waiter);
    try {
      return yield* waiter;
    } finally {
      this.waiters.delete(waiter);
    }
  }
}
