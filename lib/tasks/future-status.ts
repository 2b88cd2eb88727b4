/** The bits of a future's `status`, for the few files that look at them. */

/** The lowest two bits are the state. */
export const DONE_MASK = 3;
/** Not settled yet: no bit of the state is set. */
export const PENDING = 0;
/** Cancelled; `value` is the reason. */
export const CANCELLED = 1;
/** `value` is the result. */
export const FINISHED = 2;
/** `value` is the error. */
export const FAILED = 3;
/** There is one waiter, and it is a task (or something else with `step()`), not a listener. */
export const ONE_STEPPER = 4;
/** `next()` has handed the future out for waiting; without it somebody wrote `yield future`. */
export const BLOCKING = 8;
/** CANCELLED, and `value` is the error to throw the first time. */
export const ERROR_SAVED = 16;
/** FAILED, and nobody has looked yet. */
export const UNRETRIEVED = 32;
/** A task whose next step throws a CancelledError; `value` is its reason. */
export const MUST_CANCEL = 64;
/** There is an array of waiters. */
export const WAITER_LIST = 128;
/** A task inside a cancel scope. */
export const IN_CANCEL_SCOPE = 256;
/** A `Waiting` that has begun. */
export const BEGUN = 256;
/** From here on a task counts its requests to cancel. */
export const CANCEL_REQUEST = 512;
/** What makes a count of them. */
export const CANCEL_REQUEST_SHIFT = 9;

/**
 * What a driver sends into a coroutine that goes on. `yield*` begins with `undefined`, so whatever
 * is behind it can tell a beginning from a continuation without a state of its own.
 */
export const RESUMED = null;

/**
 * On the prototype of Future, and so known to every copy of ringloop: 'future', or 'coroutine' for
 * one that begins only when it is awaited.
 */
export const FUTURE_BRAND: unique symbol = Symbol.for('ringloop.Future');
