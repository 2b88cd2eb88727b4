/**
 * rateLimit: so many per time, first come, first served.
 *
 * Facts. To hold to so many in every window one has to remember all of their times.
 * Decision. A bucket of tokens that fills steadily (GCRA): the limiter remembers one time, at which
 * the bucket would be full. Its price: behind a pause there may be the bucket and, within the same
 * time, what flows in. Those who wait stand in line for a lock; the first of them sleeps until
 * a token is due. One who is cancelled has taken nothing.
 */
import { show } from '../errors.js';
import { type Abortable, abortable } from '../tasks/abortable.js';
import { underSignal } from '../tasks/cancel-scope.js';
import { Coroutine, callBody } from '../tasks/coroutine.js';
import { currentLoop } from '../tasks/current-loop.js';
import { currentTask } from '../tasks/current-task.js';
import { sleep } from '../tasks/sleep.js';
import type { Awaitable } from '../types.js';
import { Lock } from './lock.js';

/** What `limiter.statistics()` tells. */
export interface RateLimiterStatistics {
  /** How many could start right now. */
  available: number;
  /** How many wait. */
  waiters: number;
}

/** A limit on how often something starts. `rateLimit()` makes one. */
export class RateLimiter {
  private readonly turn = new Lock();
  private readonly intervalMs: number;
  /** How long it takes to fill: at least one token has room. */
  private readonly fullMs: number;
  /** When the bucket is full again, in milliseconds of `loop.time()`. */
  private fullAtMs = -Infinity;

  /** @internal */
  constructor(count: number, perMs: number) {
    this.intervalMs = perMs / count;
    this.fullMs = Math.max(perMs, this.intervalMs);
  }

  /**
   * Waits until one more may start.
   *
   * @param options - `signal` ends the wait, and takes nothing
   * @throws TypeError if an option has the wrong type; when awaited: CancelledError, the reason of
   *   the signal
   *
   * Order: first come, first served.
   */
  acquire(options?: Abortable): Coroutine<void> {
    return abortable('acquire', options, new Coroutine(this.acquireSteps()));
  }

  /** Takes one at once; false: it would have to wait. */
  tryAcquire(): boolean {
    if (this.turn.locked() || this.delayMs() > 0) return false;
    this.take();
    return true;
  }

  /**
   * Waits until one more may start, and runs it.
   *
   * @param body - a generator function or an async function
   * @returns when awaited, what `body` returns
   */
  run<T>(body: () => Awaitable<T>, options?: Abortable): Coroutine<T> {
    if (typeof body !== 'function') {
      throw new TypeError(`run: body must be a function, got ${show(body)}`);
    }
    const signal = options?.signal;
    return new Coroutine(underSignal('run', signal, this.runSteps(body)));
  }

  /** How many could start now, and how many wait. */
  statistics(): RateLimiterStatistics {
    const usedMs = Math.max(0, this.fullAtMs - currentLoop().time());
    const { locked, waiters } = this.turn.statistics();
    return {
      available: Math.floor((this.fullMs - usedMs) / this.intervalMs + 1e-6),
      waiters: waiters + (locked ? 1 : 0),
    };
  }

  private *acquireSteps(): Generator<unknown, void, any> {
    yield* this.turn.acquire();
    try {
      for (let delayMs = this.delayMs(); delayMs > 0; delayMs = this.delayMs()) {
        yield* sleep(delayMs);
      }
      this.take();
    } finally {
      this.turn.release();
    }
  }

  private *runSteps<T>(body: () => Awaitable<T>): Generator<unknown, T, any> {
    yield* this.acquire();
    return yield* callBody(body, currentTask()!);
  }

  /** Milliseconds until there is a token. */
  private delayMs(): number {
    const delayMs = this.fullAtMs + this.intervalMs - this.fullMs - currentLoop().time();
    return delayMs > 1e-6 ? delayMs : 0;
  }

  private take(): void {
    this.fullAtMs = Math.max(this.fullAtMs, currentLoop().time()) + this.intervalMs;
  }
}

/**
 * Makes a limit on how often something starts: `count` at once after a pause, and then one for each
 * `perMs / count`. So in the long run it is `count` in `perMs`, and never twice as many.
 *
 * @param count - how many
 * @param perMs - milliseconds
 * @throws TypeError if an argument is not a number; RangeError if it is not positive
 */
export function rateLimit(count: number, perMs: number): RateLimiter {
  for (const [name, value] of Object.entries({ count, perMs })) {
    if (typeof value !== 'number' || Number.isNaN(value)) {
      throw new TypeError(`rateLimit: ${name} must be a number, got ${show(value)}`);
    }
    if (value <= 0 || value === Infinity) {
      throw new RangeError(`rateLimit: ${name} must be positive and finite, got ${value}`);
    }
  }
  return new RateLimiter(count, perMs);
}
