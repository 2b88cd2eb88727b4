/**
 * The scheduler: what a loop offers to whoever has callbacks. Everything ends in the ready queue,
 * and is run by the dispatcher.
 */
import { performance } from 'node:perf_hooks';

import { layout } from '../core/native.js';
import { isExit, nameOf, show } from '../errors.js';
import type { ExceptionContext, ExceptionHandler } from '../types.js';
import { asyncContext, runWithoutStores, runWithStores } from './async-context.js';
import { Context, captureContext, checkContext, storesOf } from './context.js';
import { Dispatcher, type SchedulerOptions } from './dispatcher.js';
import { reportException } from './exception-report.js';
import { type Callback, Handle, TimerHandle } from './handle.js';
import { KIND_HANDLE } from './ready-queue.js';
import { state } from './state.js';

/** What the loop counts, from its creation on. */
export interface LoopStatistics {
  turns: number;
  polls: number;
  ioEvents: number;
  timersArmed: number;
  timersCancelled: number;
  timersFired: number;
  wakeups: number;
  remoteCalls: number;
  /** Callbacks in the ready queue now. */
  ready: number;
  /** Timers armed now. */
  timers: number;
  /** Fds watched now. */
  watchers: number;
}

const SLOW_CALLBACK_MS = 100;

const now = performance.now.bind(performance);

/** The public words of a loop, short of tasks. */
export abstract class Scheduler extends Dispatcher {
  /** Reports slow callbacks and remembers where tasks were created. */
  debug: boolean;
  private exceptionHandler: ExceptionHandler | null = null;
  private debugRuns = 0;
  private debugBefore = false;

  constructor(options: SchedulerOptions = {}) {
    super(options);
    this.debug = options.debug ?? process.env['RINGLOOP_DEBUG'] === '1';
  }

  /** @internal Debug mode for one run(): it lasts as long as the last of them. */
  enterDebug(): void {
    if (this.debugRuns++ === 0) this.debugBefore = this.debug;
    this.debug = true;
  }

  /** @internal */
  leaveDebug(): void {
    if (--this.debugRuns === 0) this.debug = this.debugBefore;
  }

  // ---- time and callbacks -----------------------------------------------------------------------

  /**
   * Queues a callback for the next iteration.
   *
   * @param callback - called with `args`, in the context of this call
   * @returns a handle that can be cancelled
   * @throws TypeError if `callback` is not a plain function; RuntimeError if the loop is closed
   *
   * Order: callbacks run in the order in which they were queued. Counterpart: `loop.call_soon`.
   */
  callSoon(callback: Callback, ...args: unknown[]): Handle;
  callSoon(callback: Callback): Handle {
    if (this.closed || typeof callback !== 'function') this.refuse('callSoon', callback);
    // biome-ignore lint/complexity/noArguments: a rest parameter would be an array for each call
    const args = arguments.length > 1 ? Array.prototype.slice.call(arguments, 1) : null;
    const handle = new Handle(callback, args, captureContext());
    this.enqueue(KIND_HANDLE, handle);
    return handle;
  }

  /** As `callSoon`, in a given context. Counterpart: `call_soon(..., context=context)`. */
  callSoonIn(context: Context, callback: Callback, ...args: unknown[]): Handle {
    checkContext('callSoonIn', context);
    this.checkCallback('callSoonIn', callback);
    const handle = new Handle(callback, args, context);
    this.enqueue(KIND_HANDLE, handle);
    return handle;
  }

  /**
   * As `callSoon`. On the loop's own thread there is no difference in Node, where everything wakes
   * the loop; other threads use `createRemote`. Counterpart: `loop.call_soon_threadsafe`.
   */
  callSoonThreadsafe(callback: Callback, ...args: unknown[]): Handle {
    return this.callSoon(callback, ...args);
  }

  /**
   * Calls back after a delay.
   *
   * @param delayMs - milliseconds, fractions allowed; zero or less: in the next iteration, behind
   *   what is queued; `Infinity`: never
   * @returns a handle that can be cancelled
   * @throws TypeError if `delayMs` is not a number or NaN, or `callback` no plain function;
   *   RuntimeError if the loop is closed
   *
   * Order: by deadline, equal deadlines in the order of arming; never before the deadline.
   * Counterpart: `loop.call_later`, in seconds, which leaves ties undefined.
   */
  callLater(delayMs: number, callback: Callback, ...args: unknown[]): TimerHandle;
  callLater(delayMs: number, callback: Callback): TimerHandle {
    if (this.closed || typeof callback !== 'function') this.refuse('callLater', callback);
    checkTime('callLater', 'delay', delayMs);
    // biome-ignore lint/complexity/noArguments: as in callSoon
    const args = arguments.length > 2 ? Array.prototype.slice.call(arguments, 2) : null;
    const deadlineMs = this.time() + delayMs;
    const handle = new TimerHandle(callback, args, captureContext(), deadlineMs, this);
    this.armTimer(handle, deadlineMs);
    return handle;
  }

  /**
   * Calls back at a time of `loop.time()`, in milliseconds. Otherwise as `callLater`. Counterpart:
   * `loop.call_at`.
   */
  callAt(whenMs: number, callback: Callback, ...args: unknown[]): TimerHandle {
    this.checkCallback('callAt', callback);
    checkTime('callAt', 'time', whenMs);
    const handle = new TimerHandle(callback, nonEmpty(args), captureContext(), whenMs, this);
    this.armTimer(handle, whenMs);
    return handle;
  }

  /** As `callAt`, in a given context. */
  callAtIn(context: Context, whenMs: number, callback: Callback, ...args: unknown[]): TimerHandle {
    checkContext('callAtIn', context);
    this.checkCallback('callAtIn', callback);
    checkTime('callAtIn', 'time', whenMs);
    const handle = new TimerHandle(callback, nonEmpty(args), context, whenMs, this);
    this.armTimer(handle, whenMs);
    return handle;
  }

  /** @internal As `callSoon`, in a copy of what `captureContext()` gave earlier. */
  callSoonCaptured(context: Context | null, callback: () => void): void {
    const copy = context === null ? null : new Context(context.variables, context.stores);
    this.enqueue(KIND_HANDLE, new Handle(callback, null, copy));
  }

  // ---- file descriptors and other threads -------------------------------------------------------

  /**
   * Calls back in every iteration in which `fd` can be read, has hung up or has failed. One
   * callback for each fd and direction: a new one replaces the old one.
   *
   * @param fd - a file descriptor that can be waited for: a socket, a pipe, a terminal
   * @returns a handle; cancelling it stops watching
   * @throws TypeError if an argument has the wrong type; RuntimeError if the loop is closed; the
   *   system's error, with `code`, `errno` and `syscall`: EBADF (closed), EPERM (a plain file)
   *
   * Order: ready fds in the kernel's order, for each fd the reader first. Counterpart:
   * `loop.add_reader`.
   */
  addReader(fd: number, callback: Callback, ...args: unknown[]): Handle {
    return this.watch('addReader', fd, 'reader', callback, args);
  }

  /** As `addReader`, for an fd that can be written. Counterpart: `loop.add_writer`. */
  addWriter(fd: number, callback: Callback, ...args: unknown[]): Handle {
    return this.watch('addWriter', fd, 'writer', callback, args);
  }

  /** Stops watching. Returns whether there was a callback. Counterpart: `loop.remove_reader`. */
  removeReader(fd: number): boolean {
    return this.watchers.remove('removeReader', fd, 'reader');
  }

  /** Stops watching. Returns whether there was a callback. Counterpart: `loop.remove_writer`. */
  removeWriter(fd: number): boolean {
    return this.watchers.remove('removeWriter', fd, 'writer');
  }

  /**
   * Makes a callback that other threads of this process can ask for.
   *
   * @param callback - runs on this thread, as if queued with `callSoon`, once for each call
   * @returns an object whose `address` (a plain value) can be sent to any worker, for
   *   `callRemote(address)` there; `close()` takes the callback back
   *
   * Counterpart: `loop.call_soon_threadsafe`. A JavaScript function cannot leave its thread, so
   * the function stays here and its address travels.
   */
  createRemote(callback: Callback): import('./remote.js').Remote {
    this.checkCallback('createRemote', callback);
    return this.remotes.create(callback, captureContext());
  }

  // ---- errors -----------------------------------------------------------------------------------

  /**
   * Replaces the report of errors that nobody caught (on `console.error`).
   *
   * @param handler - called with what is known; `null` brings the default back
   * @throws TypeError if it is neither a function nor null
   *
   * Counterpart: `loop.set_exception_handler`.
   */
  setExceptionHandler(handler: ExceptionHandler | null): void {
    if (handler !== null && typeof handler !== 'function') {
      throw new TypeError(`setExceptionHandler: expected a function or null, got ${show(handler)}`);
    }
    this.exceptionHandler = handler;
  }

  /** The handler that was set, or null. */
  getExceptionHandler(): ExceptionHandler | null {
    return this.exceptionHandler;
  }

  /** Writes a report to `console.error`. Counterpart: `loop.default_exception_handler`. */
  defaultExceptionHandler(context: ExceptionContext): void {
    reportException(context);
  }

  /**
   * Hands an error to the exception handler. An error in the handler itself is reported on
   * `console.error` and goes no further. It runs in the context of the task or callback that the
   * error is about. Counterpart: `loop.call_exception_handler`.
   */
  callExceptionHandler(context: ExceptionContext): void {
    const about = contextOf(context);
    if (about === undefined) this.handleException(context);
    else this.runBody(about, { run: () => this.handleException(context) });
  }

  private handleException(context: ExceptionContext): void {
    try {
      if (this.exceptionHandler === null) this.defaultExceptionHandler(context);
      else this.exceptionHandler(context);
    } catch (error) {
      if (isExit(error)) throw error;
      reportException({ message: 'Unhandled error in exception handler', exception: error });
    }
  }

  /** What the loop has counted so far. */
  statistics(): LoopStatistics {
    const counted = Object.entries(layout.statistics).map(([name, index]) => [
      name,
      this.doubles[index],
    ]);
    return {
      ...(Object.fromEntries(counted) as Omit<LoopStatistics, 'ready' | 'timers' | 'watchers'>),
      ready: this.ready.size,
      timers: this.timers.armed,
      watchers: this.watchers.size,
    };
  }

  protected override runHandle(handle: Handle): void {
    this.runCallback(handle.callback!, handle.args, handle.context, handle);
  }

  /** @internal Calls user code; what it throws goes to the exception handler. */
  runCallback(
    callback: Callback,
    args: unknown[] | null,
    context: Context | null,
    handle: unknown,
  ) {
    state.context = context;
    state.task = null;
    const began = this.debug ? now() : 0;
    try {
      const stores = storesOf(context);
      if (stores !== null) runWithStores(stores, undefined, () => call(callback, args));
      else if (asyncContext.inUse) runWithoutStores(() => call(callback, args));
      else if (args === null) callback();
      else callback(...args);
    } catch (error) {
      if (isExit(error)) throw error;
      this.callExceptionHandler({
        message: `Exception in callback ${nameOf(callback)}`,
        exception: error,
        handle,
      });
    }
    state.context = null;
    if (this.debug) this.reportSlow(began, nameOf(callback));
  }

  /**
   * @internal As runCallback, for an object that deals with its own errors: no closure is made. It
   * may be called in the middle of other code of users.
   */
  runBody(context: Context | null, body: { run(): void }): void {
    const { context: outerContext, task: outerTask } = state;
    state.context = context;
    state.task = null;
    const began = this.debug ? now() : 0;
    try {
      if (asyncContext.inUse || context !== null) runWithStoresOf(context, body);
      else body.run();
    } finally {
      state.context = outerContext;
      state.task = outerTask;
    }
    if (this.debug) this.reportSlow(began, String(body));
  }

  /** @internal */
  reportSlow(beganMs: number, what: string): void {
    if (beganMs === 0) return; // debug mode was turned on meanwhile
    const tookMs = now() - beganMs;
    if (tookMs < SLOW_CALLBACK_MS) return;
    console.warn(`ringloop: executing ${what} took ${tookMs.toFixed(0)} ms`);
  }

  // ---- inside -----------------------------------------------------------------------------------

  private watch(
    name: string,
    fd: number,
    direction: 'reader' | 'writer',
    callback: Callback,
    args: unknown[],
  ): Handle {
    this.checkCallback(name, callback);
    const context = captureContext();
    return this.watchers.add(name, fd, direction, callback, nonEmpty(args), context);
  }

  private checkCallback(name: string, callback: unknown): void {
    if (this.closed || typeof callback !== 'function') this.refuse(name, callback);
  }

  private refuse(name: string, callback: unknown): never {
    this.checkOpen();
    throw new TypeError(`${name}: callback must be a function, got ${show(callback)}`);
  }
}

/** A function of its own: where closures are, V8 makes room for them at every call. */
function runWithStoresOf(context: Context | null, body: { run(): void }): void {
  const stores = storesOf(context);
  if (stores !== null) runWithStores(stores, undefined, () => body.run());
  else if (asyncContext.inUse) runWithoutStores(() => body.run());
  else body.run();
}

/** The context of the task, future or handle that an error is about; undefined: none has one. */
function contextOf({ task, future, handle }: ExceptionContext): Context | null | undefined {
  const about = (task ?? future ?? handle) as { context?: Context | null } | undefined;
  return about?.context;
}

function call(callback: Callback, args: unknown[] | null): void {
  if (args === null) callback();
  else callback(...args);
}

function nonEmpty(args: unknown[]): unknown[] | null {
  return args.length === 0 ? null : args;
}

function checkTime(name: string, what: string, value: unknown): void {
  if (typeof value !== 'number' || Number.isNaN(value)) {
    throw new TypeError(`${name}: ${what} must be a number of milliseconds, got ${show(value)}`);
  }
}
