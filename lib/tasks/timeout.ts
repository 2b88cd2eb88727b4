/**
 * timeout: a block of code with a time limit.
 *
 * Facts. asyncio's `async with timeout(...)` sees the error that leaves the block, and turns the
 * CancelledError it caused itself, and no other, into a TimeoutError. JavaScript's `await using`
 * does not see the error.
 * Decision. The block is a function: `timeout(ms, body)`. The object form has `enter()` and
 * `exit(error)`, for those who write the `try` themselves.
 */
import { isCancelledError, RuntimeError, show, TimeoutError } from '../errors.js';
import type { Handle } from '../loop/handle.js';
import type { Awaitable } from '../types.js';
import { Coroutine, callBody } from './coroutine.js';
import { currentLoop, getRunningLoop } from './current-loop.js';
import { currentTask } from './current-task.js';
import type { Task } from './task.js';

type State = 'created' | 'active' | 'expiring' | 'expired' | 'finished';

/** A time limit on the code between `enter()` and `exit()`. Counterpart: `asyncio.Timeout`. */
export class Timeout {
  private state: State = 'created';
  private handle: Handle | null = null;
  private task: Task<unknown> | null = null;
  private cancellingBefore = 0;

  /** @param whenMs - the deadline, in milliseconds of `loop.time()`; null: none */
  constructor(private whenMs: number | null) {
    checkTimeout('Timeout', whenMs);
  }

  /** The deadline, in milliseconds of `loop.time()`, or null. */
  when(): number | null {
    return this.whenMs;
  }

  /** Whether the limit was reached. */
  expired(): boolean {
    return this.state === 'expiring' || this.state === 'expired';
  }

  /**
   * Moves the deadline.
   *
   * @param whenMs - in milliseconds of `loop.time()`; in the past: in the next iteration; null:
   *   none
   * @throws RuntimeError outside the block, or when the limit was reached
   */
  reschedule(whenMs: number | null): void {
    checkTimeout('reschedule', whenMs);
    if (this.state === 'created') throw new RuntimeError('Timeout has not been entered');
    if (this.state !== 'active') {
      throw new RuntimeError(`Cannot change state of ${this.state} Timeout`);
    }
    this.whenMs = whenMs;
    this.handle?.cancel();
    this.handle = whenMs === null ? null : this.arm(whenMs);
  }

  /**
   * Begins the block.
   *
   * @throws RuntimeError if it was entered before, or there is no current task
   */
  enter(): this {
    if (this.state !== 'created') throw new RuntimeError('Timeout has already been entered');
    this.task = currentTask();
    if (this.task === null) throw new RuntimeError('Timeout should be used inside a task');
    this.state = 'active';
    this.cancellingBefore = this.task.cancelling();
    this.reschedule(this.whenMs);
    return this;
  }

  /**
   * Ends the block.
   *
   * @param error - what left the block, if anything
   * @returns the error that should go on: a TimeoutError in place of a CancelledError that this
   *   limit caused, otherwise `error`
   */
  exit(error?: unknown): unknown {
    this.handle?.cancel();
    this.handle = null;
    if (this.state !== 'expiring') {
      this.state = 'finished';
      return error;
    }
    this.state = 'expired';
    // More requests than before the block: somebody else cancels the task, too, and that counts.
    const ours = this.task!.uncancel() <= this.cancellingBefore;
    return ours && isCancelledError(error) ? new TimeoutError('', { cause: error }) : error;
  }

  private arm(whenMs: number): Handle {
    const loop = getRunningLoop();
    const expire = (): void => this.expire();
    return whenMs <= loop.time() ? loop.callSoon(expire) : loop.callAt(whenMs, expire);
  }

  private expire(): void {
    this.task!.cancel();
    this.state = 'expiring';
    this.handle = null;
  }
}

/** @internal */
export function checkTimeout(name: string, value: unknown): void {
  if (value === null || (typeof value === 'number' && !Number.isNaN(value))) return;
  throw new TypeError(`${name}: time must be a number of milliseconds or null, got ${show(value)}`);
}

type Body<T> = (scope: Timeout) => Awaitable<T>;

function* timeoutSteps<T>(scope: Timeout, body: Body<T>): Generator<unknown, T, any> {
  scope.enter();
  let result: T;
  try {
    result = yield* callBody(body, currentTask()!, scope);
  } catch (error) {
    throw scope.exit(error);
  }
  scope.exit();
  return result;
}

function scoped<T>(name: string, scope: Timeout, body: Body<T> | undefined): any {
  if (body === undefined) return scope;
  if (typeof body !== 'function') {
    throw new TypeError(`${name}: body must be a function, got ${show(body)}`);
  }
  return new Coroutine(timeoutSteps(scope, body));
}

/**
 * Runs a block with a time limit; when the limit is reached, the task is cancelled inside the
 * block, and the block throws a TimeoutError.
 *
 * @param delayMs - milliseconds from now; null: no limit (yet: see `reschedule`)
 * @param body - a generator function or an async function; it gets the scope. Without it, the scope
 *   itself is returned, for `enter()` and `exit()`.
 * @throws TypeError if an argument has the wrong type; when awaited: TimeoutError, what the body
 *   throws, RuntimeError outside a task
 *
 * Order: the cancellation arrives one iteration after the deadline; a body that never waits is
 * never interrupted. Counterpart: `asyncio.timeout`, in seconds.
 */
export function timeout(delayMs: number | null): Timeout;
export function timeout<T>(delayMs: number | null, body: Body<T>): Coroutine<T>;
export function timeout<T>(delayMs: number | null, body?: Body<T>): Timeout | Coroutine<T> {
  checkTimeout('timeout', delayMs);
  const whenMs = delayMs === null ? null : currentLoop().time() + delayMs;
  return scoped('timeout', new Timeout(whenMs), body);
}

/**
 * As `timeout`, with the deadline as a time of `loop.time()`. Counterpart: `asyncio.timeout_at`.
 */
export function timeoutAt(whenMs: number | null): Timeout;
export function timeoutAt<T>(whenMs: number | null, body: Body<T>): Coroutine<T>;
export function timeoutAt<T>(whenMs: number | null, body?: Body<T>): Timeout | Coroutine<T> {
  return scoped('timeoutAt', new Timeout(whenMs), body);
}
