/**
 * Every error class ringloop throws on purpose.
 *
 * Facts. asyncio tells a cancelled task from a failed one by the class of the error alone, so a
 * `catch` must be able to do the same. Code written for the web asks for `code === 'ABORT_ERR'`.
 * Decision. asyncio's names. `ValueError` is JavaScript's RangeError, `TypeError` is TypeError.
 * `isCancelledError` looks for a brand, not a class, so that two copies of ringloop in one process
 * understand each other.
 */

const CANCELLED = Symbol.for('ringloop.CancelledError');
const EXIT = Symbol.for('ringloop.exit');

/**
 * @internal What `ask` returns; `otherwise` where it throws. For questions to values of user code:
 * a getter, a trap of a Proxy or a `toString` may throw at any of them.
 */
export function guarded<T>(ask: () => T, otherwise: T): T {
  try {
    return ask();
  } catch {
    return otherwise;
  }
}

/** @internal Whether a value carries a mark of ours. A Proxy may throw instead of answering. */
export function isMarked(value: unknown, mark: symbol): boolean {
  if (typeof value !== 'object' || value === null) return false;
  try {
    return mark in value;
  } catch {
    return false;
  }
}

/** Returns false where intrinsics are frozen: there every error has a stack, and costs that. */
function setStackTraceLimit(limit: number): boolean {
  return Reflect.set(Error, 'stackTraceLimit', limit);
}

/** Asks V8 for no stack: a cancellation is not a mistake, and capturing one costs microseconds. */
function withoutStack<T>(make: () => T): T {
  const limit = Error.stackTraceLimit;
  if (!setStackTraceLimit(0)) return make();
  try {
    return make();
  } finally {
    setStackTraceLimit(limit);
  }
}

/** @internal A class whose instances carry its name, as built-in errors do. */
export function named(errorClass: { prototype: Error }, name: string): void {
  Object.defineProperty(errorClass.prototype, 'name', {
    value: name,
    configurable: true,
    writable: true,
  });
}

/**
 * Thrown at the await of a task that was cancelled. Let it pass, or clean up and throw it again: a
 * task that swallows it goes on running, as in asyncio.
 *
 * `code` is `'ABORT_ERR'`, what code written for `AbortSignal` looks for. Counterpart:
 * `asyncio.CancelledError` (which is no `Exception` in Python; JavaScript's `catch` has no such
 * line to draw).
 */
export class CancelledError extends Error {
  readonly code = 'ABORT_ERR';
  /** What was handed to `cancel()`: a message, or the reason of an `AbortSignal`. */
  readonly reason: unknown;
  /** Not shown with the error: a task has a loop, a context, a stack. */
  readonly #origin: object | null;

  constructor(reason?: unknown, origin: object | null = null) {
    const isError = reason !== undefined && guarded(() => reason instanceof Error, false);
    super(reason === undefined ? '' : messageOf(reason, isError));
    this.reason = reason;
    this.#origin = origin;
    if (isError) this.cause = reason;
  }

  /** Who cancelled: the task that called `cancel()`, or a CancelScope; null: a callback. */
  get origin(): object | null {
    return this.#origin;
  }
}
named(CancelledError, 'CancelledError');
Object.defineProperty(CancelledError.prototype, CANCELLED, { value: true });

/** A reason may be anything, such as an object without a `toString`. */
function messageOf(reason: unknown, isError: boolean): string {
  return guarded(() => String(isError ? (reason as Error).message : reason), null) ?? show(reason);
}

/** @internal A reason together with who cancelled: what travels from `cancel()` to the error. */
export class Cancellation {
  constructor(
    readonly reason: unknown,
    readonly origin: object | null,
  ) {}
}

/** @internal A reason may be anything, a Proxy that throws among others. */
export function isCancellation(reason: unknown): reason is Cancellation {
  if (typeof reason !== 'object' || reason === null) return false;
  return guarded(() => reason instanceof Cancellation, false);
}

/** @internal A CancelledError without a stack. */
export function makeCancelledError(reason?: unknown): CancelledError {
  if (!isCancellation(reason)) return withoutStack(() => new CancelledError(reason));
  return withoutStack(() => new CancelledError(reason.reason, reason.origin));
}

/**
 * Whether `error` is a `CancelledError`, of this or of another copy of ringloop; also whether it is
 * the `AbortError` that Node's functions make of one (`cause`) when they are given `task.signal` or
 * `scope.signal`.
 *
 * @param error - anything that was thrown
 */
export function isCancelledError(error: unknown): error is CancelledError {
  return isMarked(error, CANCELLED) || isMarked(causeOfAbort(error), CANCELLED);
}

/** @internal The CancelledError itself, of what `isCancelledError` accepts. */
export function cancelledErrorOf(error: CancelledError): CancelledError {
  return isMarked(error, CANCELLED) ? error : (causeOfAbort(error) as CancelledError);
}

/** What an AbortError was made of. */
function causeOfAbort(error: unknown): unknown {
  const cause = () => {
    const { name, cause: reason } = error as Error;
    return name === 'AbortError' ? reason : undefined;
  };
  return guarded(cause, undefined);
}

/** A method that the state of the object does not allow, such as `result()` of a pending future. */
export class InvalidStateError extends Error {}
named(InvalidStateError, 'InvalidStateError');

/** A wait that took longer than it was allowed to. Counterpart: Python's `TimeoutError`. */
export class TimeoutError extends Error {
  readonly code = 'ETIMEDOUT';
}
named(TimeoutError, 'TimeoutError');

/** The scheduler was used in a way that makes no sense. Counterpart: Python's `RuntimeError`. */
export class RuntimeError extends Error {}
named(RuntimeError, 'RuntimeError');

/** `getNowait()` of an empty queue. */
export class QueueEmpty extends Error {}
named(QueueEmpty, 'QueueEmpty');

/** `putNowait()` into a full queue. */
export class QueueFull extends Error {}
named(QueueFull, 'QueueFull');

/** A queue that was shut down: nothing can be put, or there is nothing left. */
export class QueueShutDown extends Error {}
named(QueueShutDown, 'QueueShutDown');

/** A barrier that was aborted or reset while tasks waited for each other. */
export class BrokenBarrierError extends RuntimeError {}
named(BrokenBarrierError, 'BrokenBarrierError');

/** An operation of a channel that would have to wait. */
export class WouldBlock extends Error {}
named(WouldBlock, 'WouldBlock');

/** A channel whose senders are closed, with nothing left in it. */
export class EndOfChannel extends Error {}
named(EndOfChannel, 'EndOfChannel');

/** A channel whose receivers are closed: nobody will take the item. */
export class BrokenChannel extends Error {}
named(BrokenChannel, 'BrokenChannel');

/** An end of a channel that was closed by its owner. */
export class ClosedChannel extends Error {}
named(ClosedChannel, 'ClosedChannel');

/** A receiver of a broadcast that was too slow, and was left behind. */
export class Lagged extends Error {
  /** @param lost - how many items it did not get */
  constructor(readonly lost: number) {
    super(`${lost} items were lost`);
  }
}
named(Lagged, 'Lagged');

/** A stream that ended before everything that was asked for had come. */
export class IncompleteReadError extends Error {
  /**
   * @param partial - what had come
   * @param expected - how many bytes were asked for; null: unknown
   */
  constructor(
    readonly partial: Buffer,
    readonly expected: number | null,
  ) {
    super(`${partial.length} bytes read on a total of ${expected ?? 'undefined'} expected bytes`);
  }
}
named(IncompleteReadError, 'IncompleteReadError');

/** A stream in which no separator was found within its limit. */
export class LimitOverrunError extends Error {
  /** @param consumed - how many bytes may be dropped before it is tried again */
  constructor(
    message: string,
    readonly consumed: number,
  ) {
    super(message);
  }
}
named(LimitOverrunError, 'LimitOverrunError');

/** A `run()` that waits while nothing is left that could ever wake it. Lists who waits for whom. */
export class DeadlockError extends Error {
  readonly code = 'ERR_RINGLOOP_DEADLOCK';
}
named(DeadlockError, 'DeadlockError');

/** Leaves the loop at once instead of being reported. Counterpart: Python's `SystemExit`. */
export class SystemExit extends Error {}
named(SystemExit, 'SystemExit');
Object.defineProperty(SystemExit.prototype, EXIT, { value: true });

/** What Ctrl-C means. Leaves the loop at once. Counterpart: Python's `KeyboardInterrupt`. */
export class KeyboardInterrupt extends Error {}
named(KeyboardInterrupt, 'KeyboardInterrupt');
Object.defineProperty(KeyboardInterrupt.prototype, EXIT, { value: true });

/** @internal The two errors that no callback and no task may keep to itself. */
export function isExit(error: unknown): boolean {
  return isMarked(error, EXIT);
}

/** @internal A value as it stands in a message: short, and never throwing. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'function') return `function ${nameOf(value)}`;
  if (typeof value !== 'object' || value === null) return String(value);
  const name = guarded<unknown>(() => value.constructor.name, undefined);
  return typeof name === 'string' && name !== '' ? `an instance of ${name}` : 'an object';
}

/** @internal The name of a function, as it stands in a message; never throwing. */
export function nameOf(callable: Function): string {
  const name = guarded<unknown>(() => callable.name, undefined);
  return typeof name === 'string' && name !== '' ? name : '(anonymous)';
}
