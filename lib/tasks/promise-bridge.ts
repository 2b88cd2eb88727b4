/**
 * What `await` does with ringloop's objects.
 *
 * Facts. `await x` calls `x.then(resolve, reject)` from a microtask, and that is all an async
 * function ever tells. AsyncLocalStorage says whose function it is. Calling `resolve` continues the
 * function in the microtasks that follow.
 * Decision. Inside an async-function task, the await becomes a wait of that task: a driver steps
 * what is awaited, is woken by the ready queue like a task, and calls `resolve` or `reject` from
 * there; the loop then drains microtasks before the next callback. So one handle and one drain are
 * one step, as in asyncio, and cancelling the task rejects what it awaits. Elsewhere (plain
 * promise code) a listener settles a promise.
 */
import { isCancelledError, isMarked, makeCancelledError, RuntimeError, show } from '../errors.js';
import { asyncContext, runWithStores, taskOfFlow } from '../loop/async-context.js';
import { type Context, captureContext, storesOf } from '../loop/context.js';
import type { Listener } from '../loop/dispatcher.js';
import { state } from '../loop/state.js';
import { cancelWaiter, leaveWait } from './cancel-walk.js';
import type { Coroutine } from './coroutine.js';
import { type Cancellable, type Driver, waitForYielded } from './driver.js';
import type { Future } from './future.js';
import { FUTURE_BRAND, RESUMED } from './future-status.js';
import type { Task } from './task.js';

type OnResult<T, A> = ((value: T) => A | PromiseLike<A>) | null | undefined;
type OnError<B> = ((error: any) => B | PromiseLike<B>) | null | undefined;
type Handler = ((value: any) => any) | null | undefined;

/**
 * What `then` returns. `await` never looks at it, so the promise behind it is made only when
 * somebody does, or when an error would otherwise be lost.
 */
class Reaction implements Promise<any> {
  declare readonly [Symbol.toStringTag]: string;
  /** Made on demand; before the outcome is there, with the means to settle it. */
  private lazy: Promise<unknown> | Deferred | null = null;

  constructor(
    private readonly onResult: Handler,
    private readonly onError: Handler,
  ) {}

  // biome-ignore lint/suspicious/noThenProperty: it stands in for a promise
  then(onResult?: Handler, onError?: Handler): Promise<any> {
    return this.promise().then(onResult, onError);
  }

  catch(onError?: Handler): Promise<any> {
    return this.promise().catch(onError);
  }

  finally(onSettled?: (() => void) | null): Promise<any> {
    return this.promise().finally(onSettled);
  }

  protected deliver(throwing: boolean, value: unknown): void {
    const handler = throwing ? this.onError : this.onResult;
    if (typeof handler !== 'function') {
      this.finish(throwing, value);
      return;
    }
    let outcome: unknown;
    try {
      outcome = handler(value);
    } catch (error) {
      this.finish(true, error);
      return;
    }
    this.finish(false, outcome);
  }

  private promise(): Promise<unknown> {
    this.lazy ??= new Deferred();
    return this.lazy instanceof Deferred ? this.lazy.promise : this.lazy;
  }

  private finish(throwing: boolean, value: unknown): void {
    const { lazy } = this;
    if (lazy instanceof Deferred) {
      if (throwing) lazy.reject(value);
      else lazy.resolve(value);
      return;
    }
    if (throwing) this.lazy = rejected(value);
    else this.lazy = value === undefined ? NOTHING : new Promise((resolve) => resolve(value));
  }
}
Object.defineProperty(Reaction.prototype, Symbol.toStringTag, { value: 'Promise' });

/** An error that nobody asks for is an unhandled rejection; a cancellation is no error. */
function rejected(error: unknown): Promise<never> {
  const promise = Promise.reject(error);
  if (isCancelledError(error)) promise.catch(() => {});
  return promise;
}

class Deferred {
  resolve!: (value: unknown) => void;
  reject!: (error: unknown) => void;
  readonly promise = new Promise<unknown>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });
}

const NOTHING = Promise.resolve();

/** Why an await is given up. */
const ENDED = 'the task that awaits has ended';

/** An await inside an async-function task. */
class AwaitDriver extends Reaction implements Driver {
  waiter: Cancellable | null = null;
  private givenUp = false;

  constructor(
    readonly task: Task<unknown>,
    private readonly steps: Iterator<unknown, unknown, any>,
    onResult: Handler,
    onError: Handler,
  ) {
    super(onResult, onError);
  }

  start(): this {
    this.task.addAwait(this);
    this.advance(false, undefined);
    return this;
  }

  cancel(reason?: unknown): boolean {
    return cancelWaiter(this, reason, () => makeCancelledError(reason));
  }

  /** For a step of the task that comes while this waits: it is not about this. */
  failed(): boolean {
    this.leftBehind();
    return false;
  }

  leftBehind(): void {
    this.task.leaveBehind(this);
  }

  /** Its task has ended. What it waits for itself ends; tasks and futures of others go on. */
  giveUp(): void {
    const waiter = this.waiter as Future<unknown> | null;
    // Cancelled before, and on its way to be told so.
    const error =
      waiter?.failed() && waiter.done() ? waiter.takeError() : makeCancelledError(ENDED);
    leaveWait(this);
    this.givenUp = true;
    this.advance(true, error);
  }

  step(): void {
    if (this.givenUp && this.waiter === null) return; // it was woken when it was given up
    const waiter = this.waiter as Future<unknown> | null;
    if (waiter?.failed()) this.resume(true, waiter.takeError());
    else this.resume(false, RESUMED);
  }

  resume(throwing: boolean, value: unknown): void {
    this.waiter = null;
    if (this.task.mustCancel()) {
      const error = this.task.takePendingCancel();
      if (this.task.prefersPendingCancel(throwing, value)) {
        this.advance(true, error);
        return;
      }
    }
    this.advance(throwing, value);
  }

  resumeInStep(throwing: boolean, value: unknown): void {
    this.waiter = null;
    this.advance(throwing, value);
  }

  private advance(throwing: boolean, value: unknown): void {
    // In a microtask of the async function its stores are current; in the ready queue none are.
    const stores = asyncContext.inUse && state.loop !== null ? storesOf(this.task.context) : null;
    if (stores === null) this.advanceHere(throwing, value);
    else runWithStores(stores, this.task, () => this.advanceHere(throwing, value));
  }

  /** What `then` was given may be code of users: it runs as the task does. */
  protected override deliver(throwing: boolean, value: unknown): void {
    const { task: outerTask, context: outerContext } = state;
    state.task = this.task;
    state.context = this.task.context;
    super.deliver(throwing, value);
    this.task.context = state.context;
    state.task = outerTask;
    state.context = outerContext;
  }

  private advanceHere(throwing: boolean, value: unknown): void {
    const { loop, task, context } = state;
    state.loop = this.task.loop;
    state.task = this.task;
    state.context = this.task.context;
    let done: boolean | undefined = true;
    let failed = false;
    let outcome: unknown;
    try {
      const result = throwing ? this.steps.throw!(value) : this.steps.next(value);
      if (typeof result !== 'object') throw new TypeError(`${show(result)} is not an object`);
      ({ done, value: outcome } = result);
    } catch (error) {
      failed = true;
      done = true;
      outcome = error;
    }
    this.task.context = state.context;
    state.loop = loop;
    state.task = task;
    state.context = context;
    if (!done) {
      waitForYielded(this, outcome);
      return;
    }
    this.task.removeAwait(this);
    if (failed && this.task.loop.debug) this.task.noteCancelDelivered(outcome);
    this.task.loop.requestDrain();
    this.deliver(failed, outcome);
  }
}

/** An await, or a `then`, outside any task. */
class PromiseListener extends Reaction implements Listener<Future<unknown>> {
  private readonly context: Context | null = captureContext();

  settled(future: Future<unknown>): void {
    future.loop.requestDrain();
    if (this.context === null && !asyncContext.inUse) this.tell(future);
    else future.loop.runBody(this.context, { run: () => this.tell(future) });
  }

  private tell(future: Future<unknown>): void {
    if (future.failed()) this.deliver(true, future.takeError());
    else this.deliver(false, future.value);
  }
}

/**
 * The task whose async function awaits right now, if it is pending. A generator that waits itself
 * has left that function alone: to cancel its wait would be to cancel another one.
 */
function awaitingTask(): Task<unknown> | null {
  if (state.loop !== null) return null;
  const task = taskOfFlow() as Task<unknown> | undefined;
  return task === undefined || task.done() || task.waitsItself() ? null : task;
}

/** @internal `then` of a future. */
export function subscribePromise<T, A, B>(
  future: Future<T>,
  onResult: OnResult<T, A>,
  onError: OnError<B>,
): Promise<A | B> {
  if (future.done()) {
    state.loop?.requestDrain();
    return promiseOfDone(future).then(onResult, onError);
  }
  const task = awaitingTask();
  if (task !== null) {
    const steps = future[Symbol.iterator]();
    return new AwaitDriver(task, steps, onResult as Handler, onError).start();
  }
  const listener = new PromiseListener(onResult as Handler, onError);
  future.addListener(listener);
  return listener;
}

/** A promise waits for a result that can itself be awaited: not for ever, if it is its own. */
function promiseOfDone<T>(future: Future<T>): Promise<T> {
  try {
    return Promise.resolve(resultForPromise(future));
  } catch (error) {
    return Promise.reject(error);
  }
}

/** @internal What a promise for a future that is done gets. @throws its error; RuntimeError */
export function resultForPromise<T>(future: Future<T>): T {
  const last = lastOf(future);
  if (last === null) throw new RuntimeError(`The result of ${future} is itself: it has no end`);
  if (last.failed()) throw last.takeError();
  return last.value as T;
}

/** @internal The end of a chain of futures that are each other's result; null: a circle. */
export function lastOf(future: Future<unknown>): Future<unknown> | null {
  if (future.failed() || !isMarked(future.value, FUTURE_BRAND)) return future;
  const seen = new Set<unknown>();
  let last = future;
  while (!last.failed() && isMarked(last.value, FUTURE_BRAND)) {
    const next = last.value as Future<unknown>;
    if (!next.done()) return last;
    seen.add(last);
    if (seen.has(next)) return null;
    last = next;
  }
  return last;
}

/** @internal `then` of a coroutine. */
export function awaitSteps<T, A, B>(
  coroutine: Coroutine<T>,
  steps: Iterator<unknown, T, any>,
  onResult: OnResult<T, A>,
  onError: OnError<B>,
): Promise<A | B> {
  const task = awaitingTask();
  if (task === null) return wrapInTask(coroutine).then(onResult, onError);
  return new AwaitDriver(task, steps, onResult as Handler, onError).start();
}

let wrapInTask: <T>(coroutine: Coroutine<T>) => Task<T>;

/** @internal Set by event-loop.ts, which stands above this file. */
export function setTaskWrapper(wrap: <T>(coroutine: Coroutine<T>) => Task<T>): void {
  wrapInTask = wrap;
}
