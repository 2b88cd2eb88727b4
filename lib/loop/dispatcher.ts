/**
 * The dispatcher: iterations in asyncio's order, inside libuv.
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
 * iteration are at the head of the queue. I3 `awake` means that dispatch runs or is certain to. I4
 * nothing is current between two entries of the queue, no task and no context: whoever runs user
 * code makes its own current, and takes it back.
 *
 *   dispatch -> beginIteration -> core.turn -> adopt        (I/O and timers behind what was queued)
 *      ^              |
 *      |        runIteration -- handle, step, settled       (exactly the snapshot)
 *      |              |
 *      +--- drain: microtasks, then here again, in the middle of the snapshot
 *      +--- budget: libuv serves the application, then the same
 */
import { performance } from 'node:perf_hooks';

import type { Core } from '../core/core.js';
import { coreModule, layout } from '../core/native.js';
import { RuntimeError, show } from '../errors.js';
import type { Clock } from '../types.js';
import { asyncContext } from './async-context.js';
import type { Handle } from './handle.js';
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
import type { Scheduler } from './scheduler.js';
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

/** How long, in ms, a burst of callbacks and drains may keep libuv from the application itself. */
const BUDGET_MS = 1;
/** Callbacks between two looks at the clock and the selector. An iteration counts for some. */
const TURN_INTERVAL = 256;
const ITERATION_WEIGHT = 8;
/** Callbacks before the first look at the time budget; doubled as long as they are quick. */
const CLOCK_CHECK_MIN = 4;
/** Room for calls from other threads, kept free in the ready queue. */
const REMOTE_ROOM = 64;
const VERDICT_IDLE = layout.verdictIdle;
const VERDICT_BUSY = layout.verdictBusy;
const VERDICT_DRAIN = layout.verdictDrain;
/** Constants: V8 keeps objects that C++ has made as hash tables, which are slow to look into. */
const READY_HEAD = layout.readyHead;
const READY_TAIL = layout.readyTail;
const TAG_BITS = layout.readyTagBits;
const TAG_MASK = (1 << TAG_BITS) - 1;
const TAG_TIMER = layout.tagTimer;
const TAG_REMOTE = layout.tagRemote;
const TAG_READABLE = layout.tagReadable;
/** How many entries of libuv have ended: several calls of `dispatch` can belong to one. */
const ENTRIES = layout.statistics['wakeups']!;
/** Not a verdict of dispatch: the iteration is complete. */
const COMPLETE = -1;

const now = performance.now.bind(performance);

/** Runs what is ready. */
export abstract class Dispatcher {
  /** @internal */
  readonly ready = new ReadyQueue(layout.readyCapacityMin);
  /** @internal True while microtasks run between two parts of an iteration. */
  inDrain = false;
  /** @internal */
  protected readonly timers: TimerTable;
  /** @internal */
  readonly watchers: Watchers;
  /** @internal */
  protected readonly remotes: Remotes;
  /** @internal */
  protected readonly doubles: Float64Array;
  /** @internal */
  protected closed = false;

  private readonly core: Core;
  private readonly words: Uint32Array;
  private readonly clock: Clock | null;
  private remaining = 0;
  private inIteration = false;
  private exitError: { value: unknown } | null = null;
  private sinceTurn = TURN_INTERVAL;
  /** Whether the last turn found anything ready or due. */
  private found = false;
  private drainRequested = false;
  private awake = true;
  private running = false;
  private stopping = false;
  private untilClockCheck = 1;
  private clockCheckInterval = 1;
  /** The entry that the time budget belongs to. */
  private budgetOfEntry = -1;
  /** Doubles from the start: a field that becomes one later costs V8 its compiled code. */
  private lastTimeMs = -Infinity;
  private budgetEndMs = -Infinity;
  private lastClockCheckMs = -Infinity;

  constructor({ clock }: SchedulerOptions) {
    if (clock !== undefined) checkClock(clock);
    const header = new ArrayBuffer(layout.headerBytes);
    this.words = new Uint32Array(header);
    this.doubles = new Float64Array(header);
    this.timers = new TimerTable(this.words);
    this.clock = clock ?? null;
    this.core = new coreModule.NativeLoop({
      header,
      ready: this.ready.buffer,
      submissions: this.timers.buffer,
      dispatch: () => this.dispatch(),
      nowMs: now(),
    });
    this.ready.attach(this.core);
    this.timers.attach(this.core);
    this.watchers = new Watchers(this.core, this.words, () => this.wake());
    this.remotes = new Remotes(this.core, this.words);
  }

  /** @internal Calls user code; what it throws goes to the exception handler. */
  protected abstract runHandle(handle: Handle): void;

  /** @internal The last iteration is over; `error`: what left the loop. */
  protected abstract stopped(error?: { value: unknown }): void;

  /**
   * The loop's time in milliseconds: monotonic, the same as `performance.now()` unless the loop has
   * a clock of its own. Counterpart: `loop.time()`, in seconds.
   */
  time(): number {
    this.lastTimeMs = this.clock === null ? now() : this.clock.now();
    return this.lastTimeMs;
  }

  /** Whether callbacks are being run: between `runForever()` and `stop()`. */
  isRunning(): boolean {
    return this.running;
  }

  /** Whether `close()` was called. */
  isClosed(): boolean {
    return this.closed;
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

  /** @internal Drops everything that is queued and lets go of the core. */
  protected closeCore(): void {
    this.watchers.clear();
    this.remotes.clear();
    this.ready.clear();
    this.remaining = 0;
    this.core.close();
    this.closed = true;
    // Whatever is queued from now on goes through wake(), which refuses.
    this.awake = false;
  }

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
    if (this.closed) return;
    this.timers.setReferenced(entry, referenced);
    if (!this.awake) this.wake();
  }

  /** @internal An error that leaves the loop was thrown in a microtask between two callbacks. */
  leaveWith(error: unknown): void {
    this.exitError = { value: error };
  }

  /** @internal The running callback, if any, settled or started something promises wait for. */
  requestDrain(): void {
    if (state.loop === (this as object)) this.drainRequested = true;
  }

  /** @internal */
  protected enqueue(kind: number, item: unknown): void {
    this.ready.push(kind, item);
    if (!this.awake) this.wake();
  }

  /** @internal Something has changed outside a turn: makes sure that one comes. */
  protected wake(): void {
    if (this.closed) {
      this.ready.clear();
      this.checkOpen();
    }
    if (this.awake || !this.running) return;
    this.awake = true;
    this.core.wake();
  }

  /** @internal Whether anything, of whomever, keeps the process alive. */
  processIsAlive(): boolean {
    return this.core.hostIsAlive();
  }

  /** Entered by the core, under libuv. Returns a verdict. */
  private dispatch(): number {
    if (!this.running) {
      this.inDrain = false;
      return VERDICT_IDLE;
    }
    const outerContext = state.context;
    state.context = null;
    state.loop = this as unknown as Scheduler;
    this.awake = true;
    // Outside an iteration the world may have moved: the next one looks.
    if (!this.inDrain) this.sinceTurn = TURN_INTERVAL;
    this.inDrain = false;
    let verdict = VERDICT_IDLE;
    try {
      if (this.exitError !== null) this.throwExitError(this.exitError.value);
      verdict = this.mayGoOn() ? this.runIterations() : VERDICT_BUSY;
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

  /**
   * The budget is that of libuv's entry, whatever it is that leads back here within one: a drain,
   * or microtasks that queue something for a loop that had nothing left to do.
   */
  private mayGoOn(): boolean {
    const entry = this.doubles[ENTRIES]!;
    if (entry === this.budgetOfEntry) return --this.untilClockCheck > 0 || !this.budgetIsUsedUp();
    this.budgetOfEntry = entry;
    this.startBudget();
    return true;
  }

  private startBudget(): void {
    this.lastClockCheckMs = now();
    this.budgetEndMs = this.lastClockCheckMs + BUDGET_MS;
    // Small at first: the callbacks may have become slow since the last time.
    this.clockCheckInterval = CLOCK_CHECK_MIN;
    this.untilClockCheck = CLOCK_CHECK_MIN;
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
    // Nothing to do, and nothing found a moment ago: libuv looks when it waits, which is sooner.
    const worthLooking = this.ready.size === 0 && this.found;
    if (this.sinceTurn >= TURN_INTERVAL || due || worthLooking) this.turn(NaN);
    return this.ready.size > 0 || this.stopping;
  }

  private timeUntilNextTimer(clock: Clock): number {
    if (this.ready.size > 0 || this.stopping) return 0;
    if (this.words[layout.submissionCount]! > 0) this.core.submit();
    const deadlineNs = this.doubles[layout.nextDeadlineNs]!;
    // Rounded up, or a clock that is moved to just before the deadline would never get there.
    let deadlineMs = deadlineNs / 1e6;
    if (deadlineMs * 1e6 < deadlineNs) deadlineMs *= 1 + Number.EPSILON;
    return Math.max(0, deadlineMs - clock.now());
  }

  private turn(nowNs: number): void {
    const { ready, words } = this;
    ready.reserve(this.timers.armed + 2 * this.watchers.size + REMOTE_ROOM);
    words[READY_HEAD] = ready.head;
    words[READY_TAIL] = ready.tail;
    this.timers.earliest = Infinity;
    this.core.turn(nowNs);
    this.sinceTurn = 0;
    const tail = words[READY_TAIL]! | 0;
    this.found = tail !== ready.tail;
    this.adopt(tail);
  }

  /** Looks up what C++ appended, before any callback can change what its records mean. */
  private adopt(tail: number): void {
    const { ready } = this;
    while (ready.tail !== tail) {
      const index = ready.tail & ready.mask;
      const word = ready.words[index]!;
      ready.tail = (ready.tail + 1) | 0;
      const payload = word >>> TAG_BITS;
      const tag = word & TAG_MASK;
      if (tag === TAG_TIMER) {
        const entry = this.timers.adopt(payload);
        ready.words[index] = entry.kind;
        ready.items[index] = entry;
        continue;
      }
      const entry =
        tag === TAG_REMOTE
          ? this.remotes.called(payload)
          : this.watchers.ready(payload, tag === TAG_READABLE ? 'reader' : 'writer');
      ready.words[index] = entry === null ? KIND_NOTHING : entry.kind;
      ready.items[index] = entry;
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
        this.runHandle(handle);
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
    if (tookMs < 0.05) {
      this.clockCheckInterval = Math.min(this.clockCheckInterval * 2, TURN_INTERVAL);
    } else if (tookMs > 0.2) this.clockCheckInterval = 1;
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

function checkClock(clock: Clock): void {
  if (typeof clock?.now === 'function' && typeof clock.select === 'function') return;
  throw new TypeError(`clock must have now() and select(timeout), got ${show(clock)}`);
}
