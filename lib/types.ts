/** The shapes that every floor agrees on. No code. */

/**
 * A generator coroutine: what a `function*` called returns, and what `yield*` runs.
 *
 * @typeParam T - what it returns
 */
export type GeneratorCoroutine<T> = Generator<unknown, T, any>;

/** What can stand behind `yield*` in a coroutine. */
export interface Yieldable<T> {
  [Symbol.iterator](): Iterator<unknown, T, any>;
}

/** What can be waited for: a future, a task, a coroutine of either kind, a promise. */
export type Awaitable<T> = Yieldable<T> | PromiseLike<T>;

/** What can be made a task: a coroutine, or a function that returns one when it is called. */
export type Runnable<T> = Yieldable<T> | (() => Awaitable<T>);

/** What an `Awaitable` or a `Runnable` comes to. */
export type Awaited<A> =
  A extends Yieldable<infer T>
    ? T
    : A extends PromiseLike<infer T>
      ? T
      : A extends () => infer R
        ? Awaited<R>
        : never;

/** What a loop knows about an error that nobody caught, as handed to its exception handler. */
export interface ExceptionContext {
  message: string;
  exception?: unknown;
  /** The future or task that holds the error. */
  future?: unknown;
  task?: unknown;
  handle?: unknown;
  /** The connection, and what is called about it. */
  transport?: unknown;
  protocol?: unknown;
  /** Where the task or future was created; only in debug mode. */
  createdAt?: string;
}

/** Replaces the report of errors that nobody caught. */
export type ExceptionHandler = (context: ExceptionContext) => void;

/**
 * Where a loop's time comes from, when not from the machine: a loop with a clock never waits for
 * libuv, it asks `select` to move the time. That is how tests run an hour in a millisecond.
 */
export interface Clock {
  /** The time in milliseconds. It must never go back. */
  now(): number;
  /**
   * Called at the start of every iteration, like the system call of a selector.
   *
   * @param timeout - milliseconds until the next timer: 0 when callbacks are ready, `Infinity` when
   *   there is no timer. What it throws leaves the loop's `runForever()`.
   */
  select(timeout: number): void;
}
