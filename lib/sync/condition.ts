/**
 * Condition: a lock, and tasks that wait for what it protects to change.
 *
 * Facts. `wait()` must have the lock again before it ends, also when it was cancelled, and again
 * when it was cancelled while it waited for the lock.
 * Decision. asyncio's algorithm: whatever ends a wait by an error wakes another waiter in its
 * place, so wake-ups may be spurious, and none is lost. Taking the lock again is shielded from
 * cancel scopes, which would otherwise cancel it again in every iteration.
 */
import { isCancelledError, RuntimeError, show } from '../errors.js';
import { type Abortable, abortable } from '../tasks/abortable.js';
import { outsideScopes } from '../tasks/cancel-scope.js';
import { Coroutine } from '../tasks/coroutine.js';
import { WaitList } from '../tasks/wait-list.js';
import { Waiting } from '../tasks/waiting.js';
import type { Hold } from './hold.js';
import { Lock, type LockStatistics } from './lock.js';

/** What `condition.statistics()` tells. */
export interface ConditionStatistics {
  lock: LockStatistics;
  /** How many wait for `notify()`. */
  waiters: number;
}

/** A lock whose owner can wait for others to change something. Counterpart: `asyncio.Condition`. */
export class Condition {
  private readonly waiters = new WaitList(this);

  /** @param lock - to share it with other conditions */
  constructor(private readonly lock = new Lock()) {
    if (!(lock instanceof Lock)) {
      throw new TypeError(`Condition: lock must be a Lock, got ${show(lock)}`);
    }
  }

  /** Whether somebody has the lock. */
  locked(): boolean {
    return this.lock.locked();
  }

  /** Acquires the lock: as `Lock.acquire`. */
  acquire(options?: Abortable): Coroutine<true> {
    return this.lock.acquire(options);
  }

  /** Releases the lock. @throws RuntimeError if nobody has it */
  release(): void {
    this.lock.release();
  }

  /** `using _ = yield* condition.hold()`: as `Lock.hold`. */
  hold(options?: Abortable): Coroutine<Hold> {
    return this.lock.hold(options);
  }

  /** Begins a block with the lock. `exit()` ends it. */
  enter(options?: Abortable): Coroutine<void> {
    return this.lock.enter(options);
  }

  /** Ends a block: `release()`. */
  exit(): void {
    this.release();
  }

  /**
   * Releases the lock, waits for `notify()`, and acquires the lock again.
   *
   * @param options - `signal` ends the wait; the lock is acquired all the same
   * @returns when awaited, true
   * @throws TypeError if an option has the wrong type; when awaited: RuntimeError if nobody has the
   *   lock, CancelledError, the reason of the signal
   *
   * Order: those notified acquire the lock in the order in which they waited. Wake-ups may be
   * spurious: check again, or use `waitFor`. Counterpart: `Condition.wait`.
   */
  wait(options?: Abortable): Coroutine<true> {
    return abortable('wait', options, new Coroutine(this.waitSteps()));
  }

  /**
   * Waits until `predicate()` is true: it is asked now, and after every notification.
   *
   * @returns when awaited, what `predicate` returned
   * @throws TypeError if `predicate` is not a function; when awaited: as `wait`
   */
  waitFor<T>(predicate: () => T, options?: Abortable): Coroutine<T> {
    if (typeof predicate !== 'function') {
      throw new TypeError(`waitFor: predicate must be a function, got ${show(predicate)}`);
    }
    return abortable('waitFor', options, new Coroutine(this.waitForSteps(predicate)));
  }

  /**
   * Wakes those who waited longest. They go on when the lock is released.
   *
   * @param n - how many at most
   * @throws RuntimeError if nobody has the lock
   */
  notify(n = 1): void {
    if (!this.locked()) throw new RuntimeError('cannot notify on un-acquired lock');
    this.wakeWaiters(n);
  }

  /** Wakes all who wait. @throws RuntimeError if nobody has the lock */
  notifyAll(): void {
    this.notify(this.waiters.size);
  }

  /** Who has the lock, and how many wait for what. */
  statistics(): ConditionStatistics {
    return { lock: this.lock.statistics(), waiters: this.waiters.size };
  }

  /** For messages. */
  toString(): string {
    return `<Condition ${this.lock}, waiters: ${this.waiters.size}>`;
  }

  // ---- Operation: being notified ----------------------------------------------------------------

  /** @internal */
  begin(waiting: Waiting<unknown>): boolean {
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

  private *waitSteps(): Generator<unknown, true, any> {
    if (!this.locked()) throw new RuntimeError('cannot wait on un-acquired lock');
    const waiting = new Waiting<true>(this, true);
    this.release();
    let failure: { value: unknown } | null = null;
    try {
      try {
        yield* waiting;
      } catch (error) {
        failure = { value: error };
      }
      failure = (yield* outsideScopes(this.acquireAgain())) ?? failure;
      if (failure !== null) throw failure.value;
      return true;
    } catch (error) {
      // Perhaps it had been notified: somebody else is notified instead.
      this.wakeWaiters(1);
      throw error;
    }
  }

  /** Returns the last error that interrupted it. */
  private *acquireAgain(): Generator<unknown, { value: unknown } | null, any> {
    for (let failure: { value: unknown } | null = null; ; ) {
      const acquiring = new Waiting<true>(this.lock, true);
      try {
        yield* acquiring;
        return failure;
      } catch (error) {
        // A signal's reason comes as the failure of what is awaited; anything else is a mistake.
        if (!isCancelledError(error) && acquiring.value !== error) throw error;
        failure = { value: error };
      }
    }
  }

  private *waitForSteps<T>(predicate: () => T): Generator<unknown, T, any> {
    let result = predicate();
    while (!result) {
      yield* this.waitSteps();
      result = predicate();
    }
    return result;
  }

  private wakeWaiters(n: number): void {
    let left = n;
    for (let w = this.waiters.first; w !== null && left > 0; w = w.following) {
      if (!w.waits()) continue;
      left--;
      w.wake(true);
    }
  }
}
