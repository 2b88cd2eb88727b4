/**
 * Future: a result that is not there yet.
 *
 * Facts. Most futures have one waiter, a task. A future is created, awaited and settled once, so
 * every word of it counts. asyncio never calls anybody when a future settles: it queues.
 * Decision. Four fields. `status` packs the state and what `waiters` is: one task, one listener, or
 * an array. `value` is the result, the error or the message of the cancellation. A future is its
 * own iterator: whether it is done says whether `next()` waits or returns, so `yield* future`
 * allocates nothing but the result object.
 * Invariants. Waiters are queued in the order in which they came, exactly once; a done future has
 * none.
 */
import { guarded, InvalidStateError, makeCancelledError, RuntimeError, show } from '../errors.js';
import type { Context } from '../loop/context.js';
import { captureContext, checkContext } from '../loop/context.js';
import type { Listener, Steppable } from '../loop/dispatcher.js';
import type { Yieldable } from '../types.js';
import { currentLoop } from './current-loop.js';
import type { EventLoop } from './event-loop.js';
import {
  BLOCKING,
  CANCELLED,
  DONE_MASK,
  ERROR_SAVED,
  FAILED,
  FINISHED,
  FUTURE_BRAND,
  ONE_STEPPER,
  PENDING,
  RESUMED,
  UNRETRIEVED,
  WAITER_LIST,
} from './future-status.js';
import { subscribePromise } from './promise-bridge.js';
import { located } from './swallowed-cancel.js';
import { Unretrieved, watchUnretrieved } from './unretrieved.js';

/** A waiter: a task, which is queued as a step, or a listener, which is told who settled. */
type Waiter = Steppable | Listener<any>;

/** Stands for waiters that have left. */
const LOOK_AWAY: Listener<Future<unknown>> = { settled: (future) => future.retrieve() };

/** A callback of `addDoneCallback`. */
class DoneCallback implements Listener<Future<unknown>> {
  constructor(
    readonly callback: (future: any) => unknown,
    private readonly context: Context | null,
  ) {}

  settled(future: Future<unknown>): void {
    future.loop.runCallback(this.callback, [future], this.context, this);
  }
}

/**
 * A result that will be there later: settled once, awaited by any number of tasks.
 *
 * `yield* future` in a generator coroutine and `await future` in an async function return the
 * result or throw the error; a future that is done does not make them wait. Counterpart:
 * `asyncio.Future`.
 *
 * @typeParam T - the type of the result
 */
export class Future<T = unknown> implements PromiseLike<T>, Yieldable<T> {
  /** The loop this future belongs to. */
  readonly loop: EventLoop;
  /** @internal */
  status = PENDING;
  /** @internal */
  value: unknown = undefined;
  private waiters: Waiter | Waiter[] | null = null;

  /** @param loop - the loop it belongs to, if not the current one */
  constructor(loop?: EventLoop) {
    this.loop = loop ?? currentLoop();
  }

  /** Whether there is a result, an error or a cancellation. */
  done(): boolean {
    return (this.status & DONE_MASK) !== PENDING;
  }

  /** Whether it was cancelled. */
  cancelled(): boolean {
    return (this.status & DONE_MASK) === CANCELLED;
  }

  /**
   * Cancels the future: whoever waits for it gets a `CancelledError`.
   *
   * @param reason - a message, or anything that explains why; it is in the error's `reason`
   * @returns false if it was done already
   */
  cancel(reason?: unknown): boolean {
    this.retrieve();
    if (this.done()) return false;
    this.status |= CANCELLED;
    this.value = reason;
    this.wakeWaiters();
    return true;
  }

  /**
   * The result.
   *
   * @throws the error it was settled with; CancelledError if it was cancelled; InvalidStateError if
   *   it is not done
   */
  result(): T {
    switch (this.status & DONE_MASK) {
      case FINISHED:
        return this.value as T;
      case FAILED:
        this.retrieve();
        throw this.value;
      case CANCELLED:
        throw this.takeCancelledError();
      default:
        throw new InvalidStateError('Result is not set.');
    }
  }

  /**
   * The error it was settled with, or null if it has a result.
   *
   * @throws CancelledError if it was cancelled; InvalidStateError if it is not done
   */
  exception(): unknown {
    switch (this.status & DONE_MASK) {
      case FINISHED:
        return null;
      case FAILED:
        this.retrieve();
        return this.value;
      case CANCELLED:
        throw this.takeCancelledError();
      default:
        throw new InvalidStateError('Exception is not set.');
    }
  }

  /**
   * Settles the future with a result. Waiters run in the next iteration, in the order they came.
   *
   * @throws InvalidStateError if it is done already
   */
  setResult(result: T): void {
    this.checkPending();
    this.settle(FINISHED, result);
  }

  /**
   * Settles the future with an error.
   *
   * @throws InvalidStateError if it is done already; TypeError if it is not an Error
   */
  setException(error: Error): void {
    this.checkPending();
    if (!(error instanceof Error)) {
      throw new TypeError(`setException: expected an Error, got ${show(error)}`);
    }
    this.fail(error);
  }

  /**
   * Calls back when the future is done, through the loop: never from inside this call or `set*`.
   *
   * @param callback - called with the future
   * @param options - `context`: run in this context instead of a copy of the current one
   * @throws TypeError if `callback` is not a function
   *
   * Order: with other callbacks and waiting tasks, as they came. Counterpart: `add_done_callback`.
   */
  addDoneCallback(callback: (future: this) => unknown, options?: { context?: Context }): void {
    if (typeof callback !== 'function') {
      throw new TypeError(`addDoneCallback: expected a function, got ${show(callback)}`);
    }
    const context = options?.context;
    if (context !== undefined) checkContext('addDoneCallback', context);
    this.addListener(new DoneCallback(callback, context ?? captureContext()));
  }

  /** Removes every registration of a callback that has not been queued. Returns how many. */
  removeDoneCallback(callback: (future: this) => unknown): number {
    return this.removeWaiters((waiter) => (waiter as DoneCallback).callback === callback);
  }

  /** Its state, for messages. */
  toString(): string {
    const how = ['pending', 'cancelled', 'finished', 'failed'][this.status & DONE_MASK];
    return `<${this.constructor.name} ${how}>`;
  }

  /** @internal What `console.log` shows: one line, not the loop and everything behind it. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return String(this);
  }

  // ---- waiting ----------------------------------------------------------------------------------

  /** `yield* future` waits for the future and returns its result. */
  [Symbol.iterator](): Iterator<Future<unknown>, T, any> {
    return this as unknown as Iterator<Future<unknown>, T, any>;
  }

  /** @internal */
  next(received?: unknown): IteratorResult<unknown, T> {
    if ((this.status & DONE_MASK) !== PENDING) return { value: this.result(), done: true };
    if (received === RESUMED) throw new RuntimeError('coroutine is being awaited already');
    this.status |= BLOCKING;
    return { value: this, done: false };
  }

  /** @internal */
  throw(error: unknown): never {
    throw located(error);
  }

  /** @internal */
  return(value: T): IteratorResult<unknown, T> {
    return { value, done: true };
  }

  /**
   * What `await` calls. In an async-function task it makes the task wait, so that it can be
   * cancelled.
   */
  // biome-ignore lint/suspicious/noThenProperty: being awaitable is the purpose
  then<A = T, B = never>(
    onResult?: ((value: T) => A | PromiseLike<A>) | null,
    onError?: ((error: any) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return subscribePromise(this, onResult, onError);
  }

  /** As `Promise.prototype.catch`. */
  catch<B = never>(onError?: ((error: any) => B | PromiseLike<B>) | null): Promise<T | B> {
    return this.then(undefined, onError);
  }

  /** As `Promise.prototype.finally`. */
  finally(onSettled?: (() => void) | null): Promise<T> {
    return this.then().finally(onSettled);
  }

  // ---- for the floors above ---------------------------------------------------------------------

  /** @internal Settles without asking whether it may. */
  settle(how: number, value: unknown): void {
    this.status = (this.status & ~DONE_MASK) | how;
    this.value = value;
    this.wakeWaiters();
  }

  /** @internal Settles with an error, and has it reported if nobody ever looks. */
  fail(error: unknown): void {
    // A waiting task always takes the error; a listener may look away.
    const waited = (this.status & ONE_STEPPER) !== 0;
    // Until its stack is made text, V8 keeps whoever was on it: this very task among them.
    if (this.waiters === null) guarded(() => (error as Error | undefined)?.stack, undefined);
    this.settle(FAILED, error);
    if (waited) return;
    this.status |= UNRETRIEVED;
    watchUnretrieved(this, this.describeUnretrieved());
  }

  /** @internal Settles as cancelled; the first who asks gets this very error. */
  cancelWith(error: unknown): void {
    this.status |= ERROR_SAVED;
    this.settle(CANCELLED, error);
  }

  /** @internal What to say if the error is never looked at. */
  protected describeUnretrieved(): Unretrieved {
    return new Unretrieved(this.loop, 'Future exception was never retrieved', this.value);
  }

  /** @internal The error of a done future, or undefined: what a waiter gets thrown. */
  takeError(): unknown {
    const status = this.status & DONE_MASK;
    if (status === FINISHED) return undefined;
    if (status === CANCELLED) return this.takeCancelledError();
    this.retrieve();
    return this.value;
  }

  /** @internal */
  failed(): boolean {
    return (this.status & DONE_MASK) !== FINISHED;
  }

  /** @internal The error to throw for a cancellation: the saved one once, then new ones. */
  takeCancelledError(): unknown {
    if ((this.status & ERROR_SAVED) === 0) return makeCancelledError(this.value);
    this.status &= ~ERROR_SAVED;
    const error = this.value;
    this.value = undefined;
    return error;
  }

  /** @internal The error for a cancellation that this future may have survived. */
  makeCancelledError(): unknown {
    return this.cancelled() ? this.takeCancelledError() : makeCancelledError(undefined);
  }

  /** @internal The reason of a cancellation that nobody has taken the error of. */
  get cancelReason(): unknown {
    return (this.status & ERROR_SAVED) === 0 ? this.value : undefined;
  }

  /** @internal A task (or the like) that goes on when this is done. */
  addStepper(stepper: Steppable): void {
    if (this.done()) this.loop.scheduleStep(stepper);
    else if (this.waiters === null) {
      this.waiters = stepper;
      this.status |= ONE_STEPPER;
    } else this.addToList(stepper);
  }

  /** @internal A listener that is told when this is done. */
  addListener(listener: Listener<any>): void {
    if (this.done()) this.loop.scheduleSettled(listener, this);
    else if (this.waiters === null) this.waiters = listener;
    else this.addToList(listener);
  }

  /** @internal Returns how many registrations there were. */
  removeWaiters(unwanted: (waiter: Waiter) => boolean): number {
    // Once done, the waiters are on their way and no longer to be removed.
    if (this.waiters === null || this.done()) return 0;
    const all = this.listOfWaiters();
    const kept = all.filter((waiter) => !unwanted(waiter));
    this.waiters = kept.length === 0 ? null : kept;
    this.status &= ~(ONE_STEPPER | WAITER_LIST);
    if (kept.length > 0) this.status |= WAITER_LIST;
    return all.length - kept.length;
  }

  /**
   * @internal This waiter wants to hear of it no more. What is left in its place, once for all of
   * them, sees an error that comes too late for them.
   */
  release(waiter: Waiter): void {
    if (this.done()) return;
    this.removeWaiters((each) => each === waiter || each === LOOK_AWAY);
    this.addListener(LOOK_AWAY);
  }

  /** @internal Somebody has seen the error. */
  retrieve(): void {
    if ((this.status & UNRETRIEVED) === 0) return;
    this.status &= ~UNRETRIEVED;
    Unretrieved.retrieved(this);
  }

  private checkPending(): void {
    if (this.done()) throw new InvalidStateError('invalid state');
  }

  private listOfWaiters(): Waiter[] {
    const { waiters } = this;
    if ((this.status & WAITER_LIST) !== 0) return waiters as Waiter[];
    return waiters === null ? [] : [waiters as Waiter];
  }

  private addToList(waiter: Waiter): void {
    const list = this.listOfWaiters();
    list.push(waiter);
    this.waiters = list;
    this.status = (this.status & ~ONE_STEPPER) | WAITER_LIST;
  }

  private wakeWaiters(): void {
    const { waiters, status, loop } = this;
    if (waiters === null) return;
    if ((status & (ONE_STEPPER | WAITER_LIST)) === 0) {
      loop.scheduleDeliver(this);
      return;
    }
    this.waiters = null;
    if ((status & ONE_STEPPER) !== 0) {
      loop.scheduleStep(waiters as Steppable);
      return;
    }
    for (const waiter of waiters as Waiter[]) {
      if (isSteppable(waiter)) loop.scheduleStep(waiter);
      else loop.scheduleSettled(waiter, this);
    }
  }

  /** @internal From the ready queue: the only waiter is a listener. */
  deliver(): void {
    const listener = this.waiters as Listener<this>;
    this.waiters = null;
    listener.settled(this);
  }
}
Object.defineProperty(Future.prototype, FUTURE_BRAND, { value: 'future' });

function isSteppable(waiter: Waiter): waiter is Steppable {
  return typeof (waiter as Steppable).step === 'function';
}

/**
 * Whether a value is a future or a task, of this or of another copy of ringloop. Counterpart:
 * `asyncio.isfuture`.
 */
export function isFuture(value: unknown): value is Future<unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    (value as { [FUTURE_BRAND]?: string })[FUTURE_BRAND] === 'future'
  );
}
