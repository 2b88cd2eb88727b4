/**
 * Task: drives one coroutine, step by step, and can be told to stop.
 *
 * Facts. A task is always in one of three states: waiting for a future, queued for a step, or
 * running. asyncio delivers a cancellation by cancelling what the task waits for; where it waits
 * for nothing, the next step throws instead of sending.
 * Decision. asyncio's algorithm, line for line. The task itself is what stands in the future's
 * list of waiters and in the ready queue: waiting and waking allocate nothing. What few tasks need
 * (a signal, awaits of an async function, a stack) lives in `extra`.
 * Cost. Twelve words and the coroutine.
 * Invariants. I1 while pending, in a scope; afterwards in none. I2 `waiter` is set from the wait
 * until the step. I3 MUST_CANCEL implies that a step will come, or that only foreign promises are
 * awaited.
 *
 *      createTask                 future settles / sleep(0)
 *   ------------> [ queued ] <-----------------------------+
 *                    | step()                              |
 *                    v                                     |
 *                [ running ] -- yields a future --> [ waiting ] <- cancel(): cancels the future
 *                    | returns or throws
 *                    v
 *                 [ done ]
 */
import {
  Cancellation,
  cancelledErrorOf,
  guarded,
  isCancellation,
  isCancelledError,
  isExit,
  makeCancelledError,
  RuntimeError,
} from '../errors.js';
import {
  asyncContext,
  captureStores,
  hasFrames,
  runInTask,
  runWithStores,
  taskOfFlow,
} from '../loop/async-context.js';
import { Context, captureContext, checkContext, storesOf } from '../loop/context.js';
import { state } from '../loop/state.js';
import type { Awaitable, GeneratorCoroutine, Runnable, Yieldable } from '../types.js';
import { makeAbortController } from './abort-signal.js';
import type { CancelScope } from './cancel-scope.js';
import { abortAside, cancelWaiter, cancelWaitOf, closesCircle } from './cancel-walk.js';
import {
  coroutineOf,
  generatorOf,
  isThenable,
  isYieldable,
  notAwaitable,
  promiseOf,
} from './coroutine.js';
import { type Cancellable, type Driver, waitForFuture, waitForYielded } from './driver.js';
import type { EventLoop } from './event-loop.js';
import { Future } from './future.js';
import {
  CANCEL_REQUEST,
  CANCEL_REQUEST_SHIFT,
  CANCELLED,
  DONE_MASK,
  FINISHED,
  FUTURE_BRAND,
  IN_CANCEL_SCOPE,
  MUST_CANCEL,
  PENDING,
  RESUMED,
} from './future-status.js';
import { resumeGenerator, throwIntoGenerator } from './generator.js';
import { Scope } from './scope.js';
import { SwallowedCancel } from './swallowed-cancel.js';
import { Unretrieved, unretrievedOf } from './unretrieved.js';
import { setPutOff } from './waiting.js';

/** What `createTask` can be told. */
export interface TaskOptions {
  /** Shown in messages and debug output; else `Task-1`, `Task-2`, ... */
  name?: string;
  /** Run in this context instead of a copy of the current one. */
  context?: Context;
  /** Take the first step at once, inside `createTask`. Counterpart: `eager_start=True`. */
  eagerStart?: boolean;
  /** @internal The cancel scope that reaches it from outside: that of its group. */
  cancelScope?: CancelScope;
}

/** What only some tasks have. */
interface Extra {
  controller: AbortController | null;
  createdAt: string | undefined;
  /** The reason of the last `cancel()` that found nothing to cancel. */
  lastReason: unknown;
  /** The innermost cancel scope. */
  cancelScope: CancelScope | null;
  /** Debug mode: the cancellation that was thrown into the coroutine. */
  delivered: unknown;
  /** Debug mode: it waits again after that. */
  swallowed: SwallowedCancel | null;
  /** Awaits of promises that a block has left to themselves. */
  strays: Set<AwaitOf> | null;
}

/** Not the result of a generator: the async function's promise will say how the task ends. */
const PROMISE_DECIDES: IteratorResult<unknown, never> = { value: undefined, done: false };

/** How a step has ended. */
const WAITS = 0;
const RETURNED = 1;
const THREW = 2;
/** An async function has begun. */
const GOES_ON = 3;

/** Debug mode. `Error.prepareStackTrace` may make something else of it than a string. */
function creationStack(): string {
  return guarded(() => String(new Error().stack), '').replace(/^Error\n/, '');
}

/** A reason with who gives it: the task that is running. */
function requestOf(reason: unknown): unknown {
  if (isCancellation(reason)) return reason;
  const origin = state.loop === null ? taskOfFlow() : state.task;
  return origin ? new Cancellation(reason, origin) : reason;
}

function isOurFuture(value: unknown): value is Future<unknown> {
  try {
    return value instanceof Future;
  } catch {
    return false; // a revoked Proxy
  }
}

/** An await of an async function that belongs to the task. */
interface AwaitOf extends Driver, Cancellable {
  /** Its task goes on without it. */
  leftBehind(): void;
  /** Its task has ended: nothing may be taken on behalf of that any more. */
  giveUp(): void;
}

/** Whether a task waits in its async functions, not itself. */
function isAwait(waiter: Cancellable): waiter is AwaitOf | Awaits {
  return !(FUTURE_BRAND in waiter);
}

/** Several awaits at once: `await Promise.all([sleep(1), queue.get()])`. */
class Awaits implements Cancellable {
  readonly drivers: Set<AwaitOf>;

  constructor(drivers: AwaitOf[]) {
    this.drivers = new Set(drivers);
  }

  cancel(reason?: unknown): boolean {
    return [...this.drivers].map((driver) => driver.cancel(reason)).includes(true);
  }

  /** For a step that comes while they wait: it is not about them. */
  failed(): boolean {
    this.leftBehind();
    return false;
  }

  /** The task goes on without them. */
  leftBehind(): void {
    for (const driver of this.drivers) driver.leftBehind();
  }
}

/**
 * A coroutine that runs on a loop. `createTask` makes one. Counterpart: `asyncio.Task`.
 *
 * @typeParam T - what the coroutine returns
 */
export class Task<T = unknown> extends Future<T> {
  /** @internal */
  waiter: Cancellable | null = null;
  /** @internal */
  context: Context | null;
  /** @internal */
  previous: Task<unknown> | null = null;
  /** @internal */
  following: Task<unknown> | null = null;
  /** @internal */
  scope: Scope;
  /** A function is called by the first step. Null once it is done, or while a promise decides. */
  private coroutine: GeneratorCoroutine<T> | (() => Awaitable<T>) | null;
  private label: string | number;
  private extra: Extra | null = null;

  /** Not for programs: `createTask` and task factories make tasks. */
  constructor(runnable: Runnable<T>, loop: EventLoop, scope: Scope, options?: TaskOptions) {
    super(loop);
    this.scope = scope;
    this.coroutine = coroutineOf(runnable);
    if (options === undefined) {
      this.label = ++state.lastTaskNumber;
      this.context = captureContext();
    } else {
      this.label = options.name === undefined ? ++state.lastTaskNumber : String(options.name);
      if (options.context !== undefined) checkContext('createTask', options.context);
      this.context = options.context ?? captureContext();
      options.cancelScope?.adopt(this as Task<unknown>);
    }
    if (loop.debug) this.needExtra().createdAt = creationStack();
    scope.add(this as Task<unknown>);
    if (options?.eagerStart && loop.isRunning()) this.startEagerly();
    else loop.scheduleStep(this);
  }

  /** @internal */
  get task(): Task<unknown> {
    return this as Task<unknown>;
  }

  /** The name it was given, or `Task-N`. */
  get name(): string {
    return typeof this.label === 'number' ? `Task-${this.label}` : this.label;
  }

  set name(name: string) {
    this.label = String(name);
  }

  /**
   * The generator it drives; null for an async function, and once done. Counterpart: `get_coro()`.
   */
  getCoro(): GeneratorCoroutine<T> | null {
    return typeof this.coroutine === 'function' ? null : this.coroutine;
  }

  /** The context it runs in. Counterpart: `get_context()`. */
  getContext(): Context {
    return this.context ?? (this.context = new Context(null, null));
  }

  /**
   * Aborted when the task is cancelled: hand it to `fetch` and whatever else takes a signal. After
   * `uncancel()` has taken back the last request, there is a new one.
   */
  get signal(): AbortSignal {
    const extra = this.needExtra();
    if (extra.controller === null) {
      extra.controller = makeAbortController();
      if (this.cancelling() > 0 || this.cancelled()) {
        extra.controller.abort(makeCancelledError(this.cancelReason));
      }
    }
    return extra.controller.signal;
  }

  /**
   * Asks the task to stop: a `CancelledError` is thrown at the await it is in, or at its next one.
   * It may clean up, and it may refuse; a task that has not started never does.
   *
   * @param reason - a message or anything that explains why: the error's `reason`, and, for the
   *   signal, its reason
   * @returns false if it was done already
   *
   * Order: the error arrives in the next iteration, one later for each task in between.
   * Counterpart: `Task.cancel(msg)`.
   */
  override cancel(reason?: unknown): boolean {
    this.retrieve();
    if (this.done()) return false;
    // The scope that this comes from reaches the task by itself, and respects its shields.
    if (isCancellation(reason) && this.isInside(reason.origin)) return false;
    if (closesCircle(this as Task<unknown>)) return false;
    this.status += CANCEL_REQUEST;
    const request = requestOf(reason);
    const controller = this.extra?.controller;
    if (controller) abortAside(controller, makeCancelledError(request));
    if (this.waiter === null) this.cancelLater(request);
    else cancelWaitOf(this as Task<unknown>, request);
    return true;
  }

  /** @internal In its turn: what it waits for is not cancelled yet. */
  cancelWait(request: unknown): void {
    const { waiter } = this;
    if (waiter === null || this.done()) return;
    const cancelled = isAwait(waiter)
      ? waiter.cancel(request)
      : cancelWaiter(this, request, () => makeCancelledError(request));
    if (!cancelled) this.cancelLater(request);
  }

  /** There is nothing to cancel: the next step throws. */
  private cancelLater(request: unknown): void {
    this.status |= MUST_CANCEL;
    this.value = request;
    const plain = isCancellation(request) ? request.reason : request;
    if (plain !== undefined) this.needExtra().lastReason = request;
  }

  /** @internal As in asyncio, the last reason that met no wait is remembered, also if survived. */
  override makeCancelledError(): unknown {
    if (this.cancelled()) return this.takeCancelledError();
    return makeCancelledError(this.extra?.lastReason);
  }

  /** How many requests to cancel there were that nobody took back. */
  cancelling(): number {
    return this.status >> CANCEL_REQUEST_SHIFT;
  }

  /**
   * Takes one request to cancel back. The last one also takes back what has not been delivered.
   *
   * @returns how many are left
   */
  uncancel(): number {
    if (this.cancelling() === 0) return 0;
    this.status -= CANCEL_REQUEST;
    if (this.cancelling() === 0) {
      this.status &= ~MUST_CANCEL;
      if (this.extra !== null) this.forgetDelivered();
      if (this.extra?.controller?.signal.aborted) this.extra.controller = null;
    }
    return this.cancelling();
  }

  /** Not for tasks: their coroutine settles them. @throws RuntimeError always */
  override setResult(_result: T): never {
    throw new RuntimeError('Task does not support set_result operation');
  }

  /** Not for tasks: their coroutine settles them. @throws RuntimeError always */
  override setException(_error: Error): never {
    throw new RuntimeError('Task does not support set_exception operation');
  }

  /** `await using task = createTask(...)`: cancelled and awaited at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.cancel();
    await new Promise<void>((resolve) => this.addDoneCallback(() => resolve()));
  }

  /** Name and state, for messages. */
  override toString(): string {
    const states = { [PENDING]: 'pending', [CANCELLED]: 'cancelled', [FINISHED]: 'finished' };
    const how = states[(this.status & DONE_MASK) as keyof typeof states] ?? 'failed';
    return `<Task ${JSON.stringify(this.name)} ${how}>`;
  }

  // ---- stepping ---------------------------------------------------------------------------------

  /**
   * @internal From the ready queue: what it waited for is done, or there was nothing to wait for.
   */
  step(): void {
    const waiter = this.waiter as Future<unknown> | null;
    if (waiter?.failed()) this.resume(true, waiter.takeError());
    else this.resume(false, RESUMED);
  }

  /** @internal */
  resume(throwing: boolean, value: unknown): void {
    this.waiter = null;
    if ((this.status & MUST_CANCEL) !== 0) {
      const error = this.takePendingCancel();
      if (this.prefersPendingCancel(throwing, value)) {
        this.runStep(true, error);
        return;
      }
    }
    this.runStep(throwing, value);
  }

  /** @internal */
  resumeInStep(throwing: boolean, value: unknown): void {
    const { waiter } = this;
    if (waiter !== null && isAwait(waiter)) waiter.leftBehind();
    this.waiter = null;
    this.runStep(throwing, value);
  }

  /** @internal Of two cancellations, that of a scope around comes again; others do not. */
  prefersPendingCancel(throwing: boolean, value: unknown): boolean {
    if (!throwing || !isCancelledError(value)) return true;
    return this.isInside(guarded(() => value.origin, null));
  }

  /**
   * @internal A cancellation that came too early is delivered by cancelling what is awaited now.
   */
  deliverPendingCancel(future: Future<unknown>): void {
    if ((this.status & (MUST_CANCEL | IN_CANCEL_SCOPE)) === 0) return;
    if ((this.status & MUST_CANCEL) === 0) {
      const cancellation = this.scopeCancellation();
      if (cancellation !== null) future.cancel(cancellation);
    } else if (future.cancel(this.value)) {
      this.status &= ~MUST_CANCEL;
      this.value = undefined;
    }
  }

  /** @internal The innermost cancel scope it is in. */
  get cancelScope(): CancelScope | null {
    return (this.status & IN_CANCEL_SCOPE) === 0 ? null : this.extra!.cancelScope;
  }

  set cancelScope(scope: CancelScope | null) {
    this.needExtra().cancelScope = scope;
    if (scope === null) this.status &= ~IN_CANCEL_SCOPE;
    else this.status |= IN_CANCEL_SCOPE;
  }

  /** @internal The cancellation of a scope that every wait gets now. */
  scopeCancellation(): Cancellation | null {
    return this.cancelScope?.effective() ?? null;
  }

  /** @internal Whether `origin` is a scope that it is in: that one cancels it again and again. */
  isInside(origin: object | null): boolean {
    return (this.status & IN_CANCEL_SCOPE) !== 0 && this.cancelScope!.isInside(origin);
  }

  /** @internal An error that came too late is for the next one. */
  putOff(error: unknown): void {
    if (!isCancelledError(error)) throw error;
    this.status |= MUST_CANCEL;
    const { reason, origin } = cancelledErrorOf(error);
    this.value = new Cancellation(reason, origin);
  }

  /** @internal Whether the next step must throw. */
  mustCancel(): boolean {
    return (this.status & MUST_CANCEL) !== 0;
  }

  /** @internal The error of a cancellation that the next step must throw. */
  takePendingCancel(): unknown {
    const error = makeCancelledError(this.value);
    this.status &= ~MUST_CANCEL;
    this.value = undefined;
    return error;
  }

  /** @internal Debug mode: an error was thrown at its await. */
  noteCancelDelivered(error: unknown): void {
    if (isCancelledError(error) && this.cancelling() > 0) this.needExtra().delivered = error;
  }

  /** Debug mode: it waits, perhaps in spite of that. */
  private noteWait(): void {
    const { extra } = this;
    if (extra === null || extra.delivered === undefined || extra.swallowed !== null) return;
    extra.swallowed = new SwallowedCancel(this as Task<unknown>, extra.delivered);
  }

  private forgetDelivered(): void {
    this.extra!.delivered = undefined;
    this.extra!.swallowed?.over();
    this.extra!.swallowed = null;
  }

  /** @internal An await of an async function begins. */
  addAwait(driver: AwaitOf): void {
    if (this.loop.debug) this.noteWait();
    if (this.waiter === null) this.waiter = driver;
    // Its generator waits itself: this is a promise that was left to itself.
    else if (!isAwait(this.waiter)) this.leaveBehind(driver);
    else if (this.waiter instanceof Awaits) this.waiter.drivers.add(driver);
    else this.waiter = new Awaits([this.waiter, driver]);
  }

  /** @internal Whether its generator waits, rather than async functions on its behalf. */
  waitsItself(): boolean {
    return this.waiter !== null && !isAwait(this.waiter);
  }

  /** @internal An await goes on while the task itself does something else. */
  leaveBehind(driver: AwaitOf): void {
    const extra = this.needExtra();
    (extra.strays ??= new Set()).add(driver);
  }

  /** @internal An await of an async function is over. */
  removeAwait(driver: AwaitOf): void {
    if (this.waiter === driver) this.waiter = null;
    else if (this.waiter instanceof Awaits) this.waiter.drivers.delete(driver);
    this.extra?.strays?.delete(driver);
  }

  /**
   * What `Promise.race` has left behind, and whoever else awaits on behalf of this task: as a
   * cancelled wait it takes nothing, and what it held is given back.
   */
  private giveUpAwaits(): void {
    const { waiter, extra } = this;
    this.waiter = null;
    if (waiter instanceof Awaits) for (const driver of [...waiter.drivers]) driver.giveUp();
    else if (waiter !== null && isAwait(waiter)) (waiter as AwaitOf).giveUp();
    for (const driver of [...(extra?.strays ?? [])]) driver.giveUp();
  }

  /** @internal Nobody waits for its end any more, nor does the end of its `run()`. */
  abandon(): void {
    this.scope.remove(this as Task<unknown>);
    this.scope = new Scope();
    this.scope.add(this as Task<unknown>);
  }

  /** @internal The futures that it waits for, for messages. */
  awaiting(): Future<unknown>[] {
    const { waiter } = this;
    if (waiter === null) return [];
    if (waiter instanceof Future) return [waiter];
    const drivers = waiter instanceof Awaits ? [...waiter.drivers] : [waiter as AwaitOf];
    return drivers.flatMap((driver) => (driver.waiter as Future<unknown> | null) ?? []);
  }

  private runStep(throwing: boolean, value: unknown): void {
    if (!asyncContext.inUse) {
      this.advance(throwing, value);
      if (asyncContext.inUse) this.rememberStores();
      return;
    }
    const stores = storesOf(this.context);
    if (stores === null) {
      this.advance(throwing, value);
      this.rememberStores();
      return;
    }
    if (this.context === null) this.context = new Context(null, stores);
    else this.context.stores = stores;
    runWithStores(stores, this, () => {
      this.advance(throwing, value);
      this.rememberStores();
    });
  }

  /**
   * enterWith() in a step is seen by the next one; where stores are written in place, it is anyway.
   */
  private rememberStores(): void {
    if (!hasFrames || this.done()) return;
    const stores = captureStores();
    if (stores === null && this.context === null) return;
    // Whoever is next in the queue must not see them.
    if (stores !== null && this.context?.stores == null) this.loop.requestDrain();
    this.context ??= new Context(null, null);
    this.context.stores = stores;
  }

  private advance(throwing: boolean, value: unknown): void {
    const { loop: outerLoop, task: outerTask, context: outerContext } = state;
    const coroutine = this.coroutine!;
    const { loop } = this;
    const began = loop.debug ? performance.now() : 0;
    state.loop = loop;
    state.task = this;
    state.context = this.context;
    let how = WAITS;
    let outcome: unknown;
    try {
      let result: IteratorResult<unknown, T>;
      if (typeof coroutine === 'function') result = this.callBody(coroutine, throwing, value);
      else if (throwing) result = throwIntoGenerator(coroutine, value);
      else result = resumeGenerator(coroutine, value);
      // Behind `yield*` this is an object of the user's, whose getters may throw.
      outcome = result.value;
      if (result.done) how = RETURNED;
      else if (result === PROMISE_DECIDES) how = GOES_ON;
    } catch (error) {
      how = THREW;
      outcome = error;
    }
    this.context = state.context;
    state.loop = outerLoop;
    state.task = outerTask;
    state.context = outerContext;
    if (loop.debug) {
      loop.reportSlow(began, String(this));
      if (throwing) this.noteCancelDelivered(value);
      if (how === WAITS) this.noteWait();
    }
    if (how === WAITS) {
      if (isOurFuture(outcome)) waitForFuture(this, outcome);
      else waitForYielded(this, outcome);
    } else if (how === RETURNED) this.finishWithResult(outcome as T);
    else if (how === THREW) this.finishWithError(outcome);
  }

  /** The first step of a function. One that was cancelled before is never called. */
  private callBody(
    body: () => Awaitable<T>,
    throwing: boolean,
    value: unknown,
  ): IteratorResult<unknown, T> {
    if (throwing) throw value;
    const started: unknown = runInTask(this, body);
    if (!(started instanceof Promise) && isYieldable(started)) {
      this.coroutine = generatorOf(started as Yieldable<T>);
      return resumeGenerator(this.coroutine, RESUMED);
    }
    if (!isThenable(started)) throw new TypeError(notAwaitable(body, started));
    this.coroutine = null;
    this.loop.requestDrain();
    promiseOf(started).then(
      (result) => this.finishWithResult(result as T),
      (error: unknown) => this.finishFlow(error),
    );
    return PROMISE_DECIDES;
  }

  /** An async function has thrown, in a microtask: what leaves the loop must go through it. */
  private finishFlow(error: unknown): void {
    try {
      this.finishWithError(error);
    } catch (exit) {
      this.loop.leaveWith(exit);
    }
  }

  private startEagerly(): void {
    this.runStep(false, RESUMED);
    if (this.done()) return;
    // As in asyncio, a task counts from the moment it is handed out: behind those its step made.
    this.scope.remove(this as Task<unknown>);
    this.scope.add(this as Task<unknown>);
  }

  private finishWithResult(result: T): void {
    this.extra?.swallowed?.swallowed();
    this.leave();
    if ((this.status & MUST_CANCEL) === 0) {
      this.settle(FINISHED, result);
    } else {
      this.status &= ~MUST_CANCEL;
      this.settle(CANCELLED, this.value);
    }
  }

  private finishWithError(error: unknown): void {
    this.extra?.swallowed?.over();
    this.leave();
    this.status &= ~MUST_CANCEL;
    if (isCancelledError(error)) {
      this.cancelWith(error);
      return;
    }
    this.fail(error);
    if (isExit(error)) throw error;
  }

  private leave(): void {
    this.scope.remove(this as Task<unknown>);
    this.coroutine = null;
    if (this.waiter !== null || this.extra !== null) this.giveUpAwaits();
    while ((this.status & IN_CANCEL_SCOPE) !== 0) this.cancelScope!.close();
  }

  private needExtra(): Extra {
    return (this.extra ??= {
      controller: null,
      createdAt: undefined,
      lastReason: undefined,
      cancelScope: null,
      delivered: undefined,
      swallowed: null,
      strays: null,
    });
  }

  protected override describeUnretrieved(): Unretrieved {
    const created = this.extra?.createdAt;
    const hint = created === undefined ? ' (RINGLOOP_DEBUG=1 tells where it was created)' : '';
    const message = `Task exception was never retrieved: ${this.name}${hint}`;
    return new Unretrieved(this.loop, message, this.value, created);
  }

  override fail(error: unknown): void {
    super.fail(error);
    const entry = unretrievedOf(this);
    if (entry !== undefined) this.scope.unretrieved.add(entry);
  }
}

setPutOff((error) => (state.task as Task<unknown>).putOff(error));
