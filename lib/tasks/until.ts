/**
 * until: a native promise as a future.
 *
 * Facts. A promise cannot be cancelled; whoever waits for it can. A promise that settles after
 * nobody waits any more must not become an unhandled rejection.
 * Decision. A future that follows the promise. Cancelling it abandons the promise, and aborts what
 * the caller connected to the task's `signal`.
 */
import { show } from '../errors.js';
import { type Abortable, failOnAbort } from './abortable.js';
import { checkSignal } from './check-signal.js';
import { isThenable, promiseOf } from './coroutine.js';
import { currentLoop } from './current-loop.js';
import type { EventLoop } from './event-loop.js';
import { Future, isFuture } from './future.js';
import { FINISHED } from './future-status.js';

/** What `until` can be told. */
export interface UntilOptions extends Abortable {
  /** Another loop than the current one. */
  loop?: EventLoop;
}

/**
 * Waits for a promise, cancellably: `yield* until(fetch(url, { signal: task.signal }))`.
 *
 * @param promise - a promise or anything with `then`
 * @param options - `loop`: another loop than the current one; `signal` ends the wait: it throws the
 *   signal's reason
 * @returns a future that settles as the promise does
 * @throws TypeError if it is no promise, or the signal is none
 *
 * Order: the waiting task goes on in the iteration after the promise has settled.
 */
export function until<T>(promise: PromiseLike<T>, options?: UntilOptions): Future<T> {
  if (!isThenable(promise)) {
    throw new TypeError(`until: a promise was expected, got ${show(promise)}`);
  }
  const signal = options?.signal;
  checkSignal('until', signal);
  const future = new Until<T>(options?.loop ?? currentLoop());
  future.loop.requestDrain();
  if (signal !== undefined) failOnAbort(future, signal);
  // A thenable of others may do something at each `then`; a promise and a future do not.
  if (!future.done()) future.follow(isFuture(promise) ? promise : promiseOf(promise));
  return future;
}

/** The futures that wait for one promise: it is asked once for all of them. */
class Followers {
  readonly futures = new Set<Until<any>>();

  constructor(promise: PromiseLike<unknown>) {
    promiseOf(promise).then(
      (value) => this.each(promise, (future) => future.settle(FINISHED, value)),
      (error: unknown) => this.each(promise, (future) => future.fail(error)),
    );
  }

  private each(promise: PromiseLike<unknown>, settle: (future: Until<any>) => void): void {
    followers.delete(promise);
    for (const future of this.futures) if (!future.done()) settle(future);
  }
}

const followers = new WeakMap<PromiseLike<unknown>, Followers>();

/** A promise keeps whatever its `then` was given for as long as it is pending: one set of ours. */
class Until<T> extends Future<T> {
  private others: Followers | null = null;

  follow(promise: PromiseLike<T>): void {
    let others = followers.get(promise);
    if (others === undefined) followers.set(promise, (others = new Followers(promise)));
    this.others = others;
    others.futures.add(this);
  }

  override cancel(reason?: unknown): boolean {
    this.others?.futures.delete(this);
    return super.cancel(reason);
  }

  /** @internal */
  override settle(how: number, value: unknown): void {
    this.others?.futures.delete(this);
    super.settle(how, value);
  }
}
