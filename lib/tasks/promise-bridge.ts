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
import { isCancelledError } from '../errors.js';
import { taskOfFlow } from '../loop/async-context.js';
import type { Listener } from '../loop/dispatcher.js';
import { state } from '../loop/state.js';
import type { Coroutine } from './coroutine.js';
import { type Cancellable, type Driver, waitForYielded } from './driver.js';
import type { Future } from './future.js';
import { RESUMED } from './future-status.js';
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
    if (throwing) this.lazy = Promise.reject(value);
    else this.lazy = value === undefined ? NOTHING : Promise.resolve(value);
  }
}
Object.defineProperty(Reaction.prototype, Symbol.toStringTag, { value: 'Promise' });

class Deferred {
  resolve!: (value: unknown) => void;
  reject!: (error: unknown) => void;
  readonly promise = new Promise<unknown>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });
}

const NOTHING = Promise.resolve();

/** An await inside an async-function task. */
class AwaitDriver extends Reaction implements Driver {
  waiter: Cancellable | null = null;

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
    return this.waiter?.cancel(reason) ?? false;
  }

  /** For a step of the task that comes while this waits: it is not about this. */
  failed(): boolean {
    return false;
  }

  step(): void {
    const waiter = this.waiter as Future<unknown> | null;
    if (waiter?.failed()) this.resume(true, waiter.takeError());
    else this.resume(false, RESUMED);
  }

  resume(throwing: boolean, value: unknown): void {
    this.waiter = null;
    if (this.task.mustCancel()) {
      const error = this.task.takePendingCancel();
      if (!throwing || !isCancelledError(value) || this.task.isInside(value.origin)) {
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
    const { loop, task, context } = state;
    state.loop = this.task.loop;
    state.task = this.task;
    state.context = this.task.context;
    let result: IteratorResult<unknown, unknown>;
    let failed = false;
    try {
      result = throwing ? this.steps.throw!(value) : this.steps.next(value);
    } catch (error) {
      failed = true;
      result = { value: error, done: true };
    }
    this.task.context = state.context;
    state.loop = loop;
    state.task = task;
    state.context = context;
    if (!result.done) {
      waitForYielded(this, result.value);
      return;
    }
    this.task.removeAwait(this);
    if (failed && this.task.loop.debug) this.task.noteCancelDelivered(result.value);
    this.task.loop.requestDrain();
    this.deliver(failed, result.value);
  }
}

/** An await, or a `then`, outside any task. */
class PromiseListener extends Reaction implements Listener<Future<unknown>> {
  settled(future: Future<unknown>): void {
    future.loop.requestDrain();
    if (future.failed()) this.deliver(true, future.takeError());
    else this.deliver(false, future.value);
  }
}

/** The task whose async function awaits right now, if it is pending. */
function awaitingTask(): Task<unknown> | null {
  if (state.loop !== null) return null;
  const task = taskOfFlow() as Task<unknown> | undefined;
  return task === undefined || task.done() ? null : task;
}

/** @internal `then` of a future. */
export function subscribePromise<T, A, B>(
  future: Future<T>,
  onResult: OnResult<T, A>,
  onError: OnError<B>,
): Promise<A | B> {
  if (future.done()) {
    state.loop?.requestDrain();
    const settled = future.failed()
      ? Promise.reject(future.takeError())
      : Promise.resolve(future.value as T);
    return settled.then(onResult, onError) as Promise<A | B>;
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

/** @internal Set by create-task.ts, which stands above this file. */
export function setTaskWrapper(wrap: <T>(coroutine: Coroutine<T>) => Task<T>): void {
  wrapInTask = wrap;
}
