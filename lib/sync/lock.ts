/**
 * Lock: one task at a time.
 *
 * Facts. asyncio's lock is fair: it goes to whoever waited longest, and somebody who comes while it
 * is on its way to a waiter has to wait. The waiter takes it when it runs, not when it is woken.
 * Decision. asyncio's algorithm. The lock is its own `Operation`.
 * Invariants. If the lock is free and somebody waits, the first of them is on its way.
 */
import { RuntimeError } from '../errors.js';
import { state } from '../loop/state.js';
import { type Abortable, abortable } from '../tasks/abortable.js';
import type { Coroutine } from '../tasks/coroutine.js';
import type { Task } from '../tasks/task.js';
import { WaitList } from '../tasks/wait-list.js';
import { Waiting } from '../tasks/waiting.js';
import { Hold } from './hold.js';

/** What `lock.statistics()` tells. */
export interface LockStatistics {
  locked: boolean;
  /** The task that acquired it; null if it is free. */
  owner: Task<unknown> | null;
  /** How many wait for it. */
  waiters: number;
}

/**
 * A lock for tasks, fair: first come, first served. It does not belong to the task that acquired
 * it: any may release it, and acquiring it twice waits for oneself. Counterpart: `asyncio.Lock`.
 */
export class Lock {
  private readonly waiters = new WaitList(this);
  private held = false;
  private owner: unknown = null;

  /** Whether somebody has it. */
  locked(): boolean {
    return this.held;
  }

  /**
   * Waits until the lock is free, and takes it.
   *
   * @param options - `signal` ends the wait
   * @returns when awaited, true
   * @throws TypeError if an option has the wrong type; when awaited: CancelledError, the reason of
   *   the signal, RuntimeError if it was used on another loop
   *
   * Order: first come, first served; a waiter goes on in the iteration after the release. A wait
   * that is cancelled passes the lock on. Counterpart: `Lock.acquire`.
   */
  acquire(options?: Abortable): Coroutine<true> {
    return abortable('acquire', options, new Waiting<true>(this, true));
  }

  /**
   * Gives the lock back, and wakes whoever waited longest.
   *
   * @throws RuntimeError if nobody has it
   */
  release(): void {
    if (!this.held) throw new RuntimeError('Lock is not acquired.');
    this.held = false;
    this.owner = null;
    this.wakeFirst();
  }

  /**
   * As `acquire`, for a block: `using _ = yield* lock.hold()` gives it back at the end.
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

  /** Who has it, and how many wait. */
  statistics(): LockStatistics {
    const owner = this.owner as Task<unknown> | null;
    return { locked: this.held, owner, waiters: this.waiters.size };
  }

  /** For messages. */
  toString(): string {
    return `<Lock ${this.held ? 'locked' : 'unlocked'}, waiters: ${this.waiters.size}>`;
  }

  // ---- Operation --------------------------------------------------------------------------------

  /** @internal */
  begin(waiting: Waiting<unknown>): boolean {
    if (!this.held && (this.waiters.first === null || !this.waiters.hasClaimants())) {
      this.take();
      return true;
    }
    this.waiters.push(waiting);
    return false;
  }

  /** @internal */
  woken(waiting: Waiting<unknown>): boolean {
    this.waiters.remove(waiting);
    this.take();
    return true;
  }

  /** @internal */
  abandoned(waiting: Waiting<unknown>): boolean {
    this.waiters.remove(waiting);
    if (!this.held) this.wakeFirst();
    return false;
  }

  private take(): void {
    this.held = true;
    this.owner = state.task;
  }

  /** The first, also if it is on its way already or was cancelled: it will look again itself. */
  private wakeFirst(): void {
    const { first } = this.waiters;
    if (first?.waits()) first.wake(first.value);
  }
}
