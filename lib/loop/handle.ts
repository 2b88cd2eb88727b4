/**
 * Handles: what `callSoon`, `callLater`, `callAt` and `addReader` return, so that it can be undone.
 *
 * Decision. A cancelled handle stays where it is queued and does nothing when its turn comes;
 * dropping callback and arguments at once is what frees memory.
 */
import type { Context } from './context.js';
import { KIND_HANDLE } from './ready-queue.js';
import type { Scheduler } from './scheduler.js';

export type Callback = (...args: any[]) => unknown;

/** A callback that will run once, unless it is cancelled. Counterpart: `asyncio.Handle`. */
export class Handle {
  /** @internal KIND_HANDLE, on the prototype: it weighs nothing. */
  declare readonly kind: number;
  /** @internal null: cancelled */
  callback: Callback | null;
  /** @internal null: none */
  args: unknown[] | null;
  /** @internal */
  readonly context: Context | null;

  /** @internal */
  constructor(callback: Callback, args: unknown[] | null, context: Context | null) {
    this.callback = callback;
    this.args = args;
    this.context = context;
  }

  /** Makes sure that the callback does not run (again). Cancelling twice is no error. */
  cancel(): void {
    this.callback = null;
    this.args = null;
  }

  /** Whether `cancel()` was called. */
  cancelled(): boolean {
    return this.callback === null;
  }

  /** Keeps the process alive until it has run. Queued callbacks always do: nothing changes. */
  ref(): this {
    return this;
  }

  /** Lets the process end before it has run. Queued callbacks run all the same. */
  unref(): this {
    return this;
  }

  /** `using handle = loop.callSoon(...)`: cancelled at the end of the block. */
  [Symbol.dispose](): void {
    this.cancel();
  }
}

Object.defineProperty(Handle.prototype, 'kind', { value: KIND_HANDLE });

/** A handle with a deadline. Counterpart: `asyncio.TimerHandle`. */
export class TimerHandle extends Handle {
  /** @internal */
  slot = -1;
  private readonly deadlineMs: number;
  private readonly scheduler: Scheduler;

  /** @internal */
  constructor(
    callback: Callback,
    args: unknown[] | null,
    context: Context | null,
    deadlineMs: number,
    scheduler: Scheduler,
  ) {
    super(callback, args, context);
    this.deadlineMs = deadlineMs;
    this.scheduler = scheduler;
  }

  /** The deadline in milliseconds of `loop.time()`; `Infinity` if it never comes. */
  when(): number {
    return this.deadlineMs;
  }

  override cancel(): void {
    super.cancel();
    this.scheduler.cancelTimer(this);
  }

  override ref(): this {
    this.scheduler.setTimerReferenced(this, true);
    return this;
  }

  override unref(): this {
    this.scheduler.setTimerReferenced(this, false);
    return this;
  }
}
