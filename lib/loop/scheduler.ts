/**
 * The scheduler: iterations in asyncio's order, inside libuv.
 *
 * Facts. asyncio's iteration is: take ready fds, take due timers, then run exactly the callbacks
 * that were ready at that point. A system call and a reading of the clock in every iteration would
 * cost more than the callbacks. Promises are drained only when we return to libuv.
 * Decision. `dispatch` is entered by the core under libuv and runs iterations until nothing is
 * ready, the time budget is used up, or a callback touched a promise; then it says which. Time and
 * readiness are looked at once per `TURN_INTERVAL` callbacks (or when a timer is due by what is
 * known), and are frozen in between: to a program it looks as if the world had not moved.
 * Cost. A callback pays for one push, one pop and its own call; a turn is paid by many.
 * Invariants. I1 callbacks run only in runIteration(). I2 `remaining` callbacks of the current
 * iteration are at the head of the queue. I3 `awake` means that dispatch runs or is certain to.
 *
 *   dispatch -> beginIteration -> core.turn -> adopt        (I/O and timers behind what was queued)
 *      ^              |
 *      |        runIteration -- handle, step, settled       (exactly the snapshot)
 *      |              |
 *      +--- drain / budget: back to libuv, then here again, in the middle of the snapshot
 */
import { performance } from 'node:perf_hooks';

import type { Core } from '../core/core.js';
import { coreModule, layout } from '../core/native.js';
import { isExit, RuntimeError, show } from '../errors.js';
import type { Clock, ExceptionContext, ExceptionHandler } from '../types.js';
import { asyncContext, runWithStores } from './async-context.js';
import { type Context, captureContext, storesOf } from './context.js';
import { reportException } from './exception-report.js';
import { type Callback, Handle, TimerHandle } from './handle.js';
import {
  KIND_ARGUMENT,
  KIND_DELIVER,
  KIND_HANDLE,
  KIND_NOTHING,
  KIND_SETTLED,
  KIND_STEP,
  ReadyQueue,
} from './ready-queue.js';
import { Remotes } from './remote.js';
import { state } from './state.js';
import { type TimerEntry, TimerTable } from './timer-table.js';
import { Watchers } from './watchers.js';

/** Something queued as KIND_STEP. */
export interface Steppable {
  step(): void;
}

/** Something queued as KIND_DELIVER: a future that knows its listener. */
export interface Deliverable {
  deliver(): void;
}

/** Something queued as KIND_SETTLED, behind the future it listens to. */
export interface Listener<Source = unknown> {
  settled(source: Source): void;
}

export interface SchedulerOptions {
  /** Where time comes from, when not from the machine. */
  clock?: Clock;
  debug?: boolean;
}

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

/** Time in libuv's hands is the application's: a storm of callbacks gives it back after this. */
const BUDGET_MS = 1;
/** Callbacks between two looks at the clock and the selector. An iteration counts for some. */
const TURN_INTERVAL = 256;
const ITERATION_WEIGHT = 8;
/** Room for calls from other threads, kept free in the ready queue. */
const REMOTE_ROOM = 64;
const SLOW_CALLBACK_MS = 100;

const VERDICT_IDLE = layout.verdictIdle;
const VERDICT_BUSY = layout.verdictBusy;
const VERDICT_DRAIN = layout.verdictDrain;
/** Not a verdict of dispatch: the iteration is complete. */
const COMPLETE = -1;

const now = performance.now.bind(performance);

export abstract class Scheduler {
  /** Reports slow callbacks and remembers where tasks, futures and handles were created. */
  debug: boolean;
  /** @internal */
  readonly ready = new ReadyQueue(layout.readyCapacityMin);
  /** @internal True while microtasks run between two parts of an iteration. */
  inDrain = false;

  private readonly header = new ArrayBuffer(layout.headerBytes);
  private readonly words = new Uint32Array(this.header);
  private readonly doubles = new Float64Array(this.header);
  private readonly timers = new TimerTable(this.words);
  private readonly core: Core;
  private readonly watchers: Watchers;
  private readonly remotes: Remotes;
  private readonly clock: Clock | null;

  private remaining = 0;
  private inIteration = false;
  private exitError: { value: unknown } | null = null;
  private sinceTurn = TURN_INTERVAL;
  private lastTimeMs = -Infinity;
  private drainRequested = false;
  private awake = true;
  private running = false;
  private stopping = false;
  private closed = false;
  /** Doubles from the start: a field that becomes one later costs V8 its compiled code. */
  private budgetEndMs = -Infinity;
  private untilClockCheck = 1;
  private clockCheckInterval = 1;
  private lastClockCheckMs = -Infinity;
  private exceptionHandler: ExceptionHandler | null = null;

  constructor(options: SchedulerOptions = {}) {
    this.clock = options.clock ?? null;
    this.debug = options.debug ?? process.env['RINGLOOP_DEBUG'] === '1';
    this.core = new coreModule.NativeLoop({
      header: this.header,
      ready: this.ready.buffer,
      submissions: this.timers.buffer,
      dispatch: () => this.dispatch(),
      nowMs: now(),
    });
    this.ready.attach(this.core);
    this.timers.attach(this.core);
    this.watchers = new Watchers(this.core, this.words);
    this.remotes = new Remotes(this.core, this.words);
  }

  // ---- time and callbacks -----------------------------------------------------------------------

  /**
   * The loop's time in milliseconds: monotonic, the same as `performance.now()` unless the loop has
   * a clock of its own. Counterpart: `loop.time()`, in seconds.
   */
  time(): number {
    this.lastTimeMs = this.clock === null ? now() : this.clock.now();
    return this.lastTimeMs;
  }

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
    const handle = new Handle(callback, args, this.contextNow());
    this.enqueue(KIND_HANDLE, handle);
    return handle;
  }

  /** As `callSoon`, in a given context. Counterpart: `call_soon(..., context=context)`. */
  callSoonIn(context: Context, callback: Callback, ...args: unknown[]): Handle {
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
    const handle = new TimerHandle(callback, args, this.contextNow(), deadlineMs, this);
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
    const handle = new TimerHandle(callback, nonEmpty(args), this.contextNow(), whenMs, this);
    this.armTimer(handle, whenMs);
    return handle;
  }

  /** As `callAt`, in a given context. */
  callAtIn(context: Context, whenMs: number, callback: Callback, ...args: unknown[]): TimerHandle {
    this.checkCallback('callAtIn', callback);
    checkTime('callAtIn', 'time', whenMs);
    const handle = new TimerHandle(callback, nonEmpty(args), context, whenMs, this);
    this.armTimer(handle, whenMs);
    return handle;
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
    return this.remotes.create(callback, this.contextNow());
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
   * `console.error` and goes no further. Counterpart: `loop.call_exception_handler`.
   */
  callExceptionHandler(context: ExceptionContext): void {
    try {
      if (this.exceptionHandler === null) this.defaultExceptionHandler(context);
      else this.exceptionHandler(context);
    } catch (error) {
      if (isExit(error)) throw error;
      reportException({ message: 'Unhandled error in exception handler', exception: error });
    }
  }

  // ---- running ----------------------------------------------------------------------------------

  /** Whether callbacks are being run: between `runForever()` and `stop()`. */
  isRunning(): boolean {
    return this.running;
  }

  isClosed(): boolean {
    return this.closed;
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

  /** @internal */
  protected checkOpen(): void {
    if (this.closed) throw new RuntimeError('Event loop is closed');
  }

  /** @internal From now on callbacks run. */
  protected startRunning(): void {
    this.running = true;
    this.awake = false;
    this.wake();
  }

  /** @internal The current iteration is the last one; one is run if none is under way. */
  protected requestStop(): void {
    this.stopping = true;
    if (!this.awake) this.wake();
  }

  /** @internal The last iteration is over; `error`: what left the loop. */
  protected abstract stopped(error?: { value: unknown }): void;

  /** @internal Drops everything that is queued and lets go of the core. */
  protected closeCore(): void {
    this.closed = true;
    this.awake = true;
    this.watchers.clear();
    this.remotes.clear();
    this.ready.clear();
    this.remaining = 0;
    this.core.close();
  }

  // ---- for the floors above ---------------------------------------------------------------------

  /** @internal */
  scheduleStep(item: Steppable): void {
    this.enqueue(KIND_STEP, item);
  }

  /** @internal */
  scheduleDeliver(item: Deliverable): void {
    this.enqueue(KIND_DELIVER, item);
  }

  /** @internal */
  scheduleSettled(listener: Listener<never>, source: unknown): void {
    this.ready.push(KIND_SETTLED, listener);
    this.enqueue(KIND_ARGUMENT, source);
  }

  /** @internal */
  armTimer(entry: TimerEntry, deadlineMs: number, referenced = true): void {
    this.checkOpen();
    this.timers.arm(entry, deadlineMs, referenced);
    if (!this.awake) this.wake();
  }

  /** @internal */
  cancelTimer(entry: TimerEntry): void {
    if (entry.slot < 0 || this.closed) return;
    this.timers.cancel(entry);
    if (!this.awake) this.wake();
  }

  /** @internal */
  setTimerReferenced(entry: TimerEntry, referenced: boolean): void {
    this.timers.setReferenced(entry, referenced);
    if (!this.awake) this.wake();
  }

  /** @internal An error that leaves the loop was thrown in a microtask between two callbacks. */
  leaveWith(error: unknown): void {
    this.exitError = { value: error };
  }

  /** @internal The running callback, if any, settled or started something promises wait for. */
  requestDrain(): void {
    if (state.loop === (this as Scheduler)) this.drainRequested = true;
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
      else if (args === null) callback();
      else callback(...args);
    } catch (error) {
      if (isExit(error)) throw error;
      const name = callback.name || '(anonymous)';
      this.callExceptionHandler({
        message: `Exception in callback ${name}`,
        exception: error,
        handle,
      });
    }
    if (this.debug) this.reportSlow(began, callback.name || 'a callback');
  }

  /** @internal */
  reportSlow(beganMs: number, what: string): void {
    const tookMs = now() - beganMs;
    if (tookMs < SLOW_CALLBACK_MS) return;
    console.warn(`ringloop: executing ${what} took ${tookMs.toFixed(0)} ms`);
  }

  // ---- inside -----------------------------------------------------------------------------------

  private contextNow(): Context | null {
    return state.loop !== null && state.context === null && !asyncContext.inUse
      ? null
      : captureContext();
  }

  private enqueue(kind: number, item: unknown): void {
    this.ready.push(kind, item);
    if (!this.awake) this.wake();
  }

  private wake(): void {
    if (!this.running) return;
    this.awake = true;
    this.core.wake();
  }

  private watch(
    name: string,
    fd: number,
    direction: 'reader' | 'writer',
    callback: Callback,
    args: unknown[],
  ): Handle {
    this.checkCallback(name, callback);
    const context = this.contextNow();
    const handle = this.watchers.add(name, fd, direction, callback, nonEmpty(args), context);
    if (!this.awake) this.wake();
    return handle;
  }

  private checkCallback(name: string, callback: unknown): void {
    if (this.closed || typeof callback !== 'function') this.refuse(name, callback);
  }

  private refuse(name: string, callback: unknown): never {
    this.checkOpen();
    throw new TypeError(`${name}: callback must be a function, got ${show(callback)}`);
  }

  /** Entered by the core, under libuv. Returns a verdict. */
  private dispatch(): number {
    if (!this.running) {
      this.inDrain = false;
      return VERDICT_IDLE;
    }
    const outerContext = state.context;
    state.loop = this as Scheduler;
    this.awake = true;
    if (!this.inDrain) this.enterFresh();
    this.inDrain = false;
    let verdict = VERDICT_IDLE;
    try {
      if (this.exitError !== null) this.throwExitError(this.exitError.value);
      verdict = this.runIterations();
    } catch (error) {
      this.leave({ value: error });
    } finally {
      state.loop = null;
      state.task = null;
      state.context = outerContext;
    }
    if (verdict === VERDICT_IDLE) this.awake = !this.running;
    else if (verdict === VERDICT_DRAIN) this.inDrain = true;
    if (!asyncContext.polluted) return verdict;
    asyncContext.polluted = false;
    return verdict | layout.verdictRenewContext;
  }

  private throwExitError(error: unknown): never {
    this.exitError = null;
    throw error;
  }

  private enterFresh(): void {
    this.sinceTurn = TURN_INTERVAL;
    this.lastClockCheckMs = now();
    this.budgetEndMs = this.lastClockCheckMs + BUDGET_MS;
    this.untilClockCheck = this.clockCheckInterval;
  }

  private runIterations(): number {
    for (;;) {
      if (!this.inIteration) {
        if (!this.beginIteration()) return VERDICT_IDLE;
        this.inIteration = true;
        this.remaining = this.ready.size;
        this.sinceTurn += this.remaining + ITERATION_WEIGHT;
      }
      const verdict = this.runIteration();
      if (verdict !== COMPLETE) return verdict;
      this.inIteration = false;
      if (this.stopping) {
        this.leave();
        return VERDICT_IDLE;
      }
      if (this.clock !== null && this.budgetIsUsedUp()) return VERDICT_BUSY;
    }
  }

  /** I/O and timers go behind what is queued. False: nothing is ready, and the loop may wait. */
  private beginIteration(): boolean {
    if (this.clock !== null) {
      this.clock.select(this.timeUntilNextTimer(this.clock));
      this.turn(this.clock.now() * 1e6);
      return true;
    }
    const due = this.timers.earliest <= this.lastTimeMs;
    if (this.sinceTurn >= TURN_INTERVAL || due || this.ready.size === 0) this.turn(NaN);
    return this.ready.size > 0 || this.stopping;
  }

  private timeUntilNextTimer(clock: Clock): number {
    if (this.ready.size > 0 || this.stopping) return 0;
    const submitted = this.timers.earliest;
    const known = this.doubles[layout.nextDeadlineNs]! / 1e6;
    if (submitted !== Infinity || this.words[layout.submissionCount]! > 0) {
      this.core.submit();
      this.timers.earliest = Infinity;
      return this.timeUntilNextTimer(clock);
    }
    return known === Infinity ? Infinity : Math.max(0, known - clock.now());
  }

  private turn(nowNs: number): void {
    const { ready, words } = this;
    ready.reserve(this.timers.armed + 2 * this.watchers.size + REMOTE_ROOM);
    words[layout.readyHead] = ready.head;
    words[layout.readyTail] = ready.tail;
    this.timers.earliest = Infinity;
    this.core.turn(nowNs);
    this.sinceTurn = 0;
    this.adopt(words[layout.readyTail]! | 0);
  }

  /** Looks up what C++ appended, before any callback can change what its records mean. */
  private adopt(tail: number): void {
    const { ready } = this;
    while (ready.tail !== tail) {
      const index = ready.tail & ready.mask;
      const word = ready.words[index]!;
      ready.tail = (ready.tail + 1) | 0;
      const payload = word >>> layout.readyTagBits;
      const tag = word & ((1 << layout.readyTagBits) - 1);
      if (tag === layout.tagTimer) {
        const entry = this.timers.adopt(payload);
        ready.words[index] = entry.kind;
        ready.items[index] = entry;
        continue;
      }
      const handle =
        tag === layout.tagRemote
          ? this.remotes.called(payload)
          : this.watchers.ready(payload, tag === layout.tagReadable ? 'reader' : 'writer');
      ready.words[index] = handle === null ? KIND_NOTHING : KIND_HANDLE;
      ready.items[index] = handle;
    }
  }

  /** This is the only place where callbacks are called; all others just queue them. */
  private runIteration(): number {
    const { ready } = this;
    while (this.remaining > 0) {
      this.remaining--;
      const index = ready.head & ready.mask;
      const kind = ready.words[index]!;
      const item = ready.items[index];
      ready.items[index] = null;
      ready.head = (ready.head + 1) | 0;
      if (kind === KIND_HANDLE) {
        const handle = item as Handle;
        if (handle.callback === null) continue;
        this.runCallback(handle.callback, handle.args, handle.context, handle);
      } else if (kind === KIND_STEP) {
        (item as Steppable).step();
      } else if (kind === KIND_DELIVER) {
        (item as Deliverable).deliver();
      } else if (kind === KIND_SETTLED) {
        (item as Listener).settled(this.takeArgument());
      }
      if (this.drainRequested) {
        this.drainRequested = false;
        return VERDICT_DRAIN;
      }
      if (--this.untilClockCheck === 0 && this.budgetIsUsedUp()) return VERDICT_BUSY;
    }
    return COMPLETE;
  }

  private takeArgument(): unknown {
    const { ready } = this;
    this.remaining--;
    const index = ready.head & ready.mask;
    const item = ready.items[index];
    ready.items[index] = null;
    ready.head = (ready.head + 1) | 0;
    return item;
  }

  /** Reads the clock, more often the slower callbacks are. */
  private budgetIsUsedUp(): boolean {
    const time = now();
    const tookMs = time - this.lastClockCheckMs;
    if (tookMs < 0.05) this.clockCheckInterval = Math.min(this.clockCheckInterval * 2, 256);
    else if (tookMs > 0.2) this.clockCheckInterval = Math.max(this.clockCheckInterval >> 2, 1);
    this.lastClockCheckMs = time;
    this.untilClockCheck = this.clockCheckInterval;
    return time >= this.budgetEndMs;
  }

  private leave(error?: { value: unknown }): void {
    this.stopping = false;
    this.running = false;
    this.inIteration = false;
    this.remaining = 0;
    this.awake = true;
    this.stopped(error);
  }
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
