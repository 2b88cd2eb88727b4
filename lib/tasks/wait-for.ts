/** waitFor: one awaitable, with a time limit. */
import { isCancelledError, TimeoutError } from '../errors.js';
import type { Listener } from '../loop/dispatcher.js';
import type { Awaitable, Awaited, Runnable } from '../types.js';
import type { Abortable } from './abortable.js';
import { underSignal } from './cancel-scope.js';
import { Coroutine, callBody, isThenable, isYieldable, notRunnable } from './coroutine.js';
import { currentTask } from './current-task.js';
import { ensureFuture } from './ensure-future.js';
import { Future } from './future.js';
import { FINISHED } from './future-status.js';
import { checkTimeout, timeout } from './timeout.js';
import { until } from './until.js';

class Release implements Listener {
  constructor(private readonly waiter: Future<void>) {}

  settled(): void {
    if (!this.waiter.done()) this.waiter.settle(FINISHED, undefined);
  }
}

/** Cancels a future and waits until it is done, in a way that can itself be cancelled. */
function* cancelAndWait(future: Future<unknown>): Generator<unknown, void, any> {
  const waiter = new Future<void>(future.loop);
  const release = new Release(waiter);
  future.addListener(release);
  try {
    future.cancel();
    yield* waiter;
  } finally {
    future.removeWaiters((each) => each === release);
  }
}

function* waitForNothing<T>(awaitable: Awaitable<T>): Generator<unknown, T, any> {
  const future = ensureFuture<T>(awaitable);
  if (future.done()) return future.result();
  yield* cancelAndWait(future);
  try {
    return future.result();
  } catch (error) {
    if (isCancelledError(error)) throw new TimeoutError('', { cause: error });
    throw error;
  }
}

function* waitForSteps<T>(
  awaitable: Awaitable<T> | (() => Awaitable<T>),
  delayMs: number | null,
): Generator<unknown, T, any> {
  if (delayMs !== null && delayMs <= 0) return yield* waitForNothing(awaitable as Awaitable<T>);
  return yield* timeout(delayMs, function* () {
    if (typeof awaitable === 'function') return yield* callBody(awaitable, currentTask()!);
    if (isYieldable(awaitable)) return (yield* awaitable) as T;
    return yield* until(awaitable as PromiseLike<T>);
  });
}

/**
 * Waits for an awaitable, at most for some time; then it is cancelled.
 *
 * @param awaitable - a future, a task, a coroutine, a promise, or a function that returns one. A
 *   coroutine and a function run inside the current task.
 * @param delayMs - milliseconds; null: no limit; zero or less: only a result that is there already
 *   counts
 * @param options - `signal` cancels the awaitable; then the signal's reason is thrown
 * @returns when awaited, the result. If the awaitable refuses to be cancelled and returns a value,
 *   that value.
 * @throws TypeError if an argument has the wrong type; when awaited: TimeoutError, or what the
 *   awaitable throws
 *
 * Order: as `timeout`; it waits until the cancelled awaitable has ended, also beyond the limit.
 * Counterpart: `asyncio.wait_for`, in seconds.
 */
export function waitFor<A extends Awaitable<any> | Runnable<any>>(
  awaitable: A,
  delayMs: number | null,
  options?: Abortable,
): Coroutine<Awaited<A>> {
  checkTimeout('waitFor', delayMs);
  if (typeof awaitable !== 'function' && !isYieldable(awaitable) && !isThenable(awaitable)) {
    throw new TypeError(`waitFor: ${notRunnable(awaitable)}`);
  }
  const steps = waitForSteps(awaitable as Awaitable<Awaited<A>>, delayMs);
  return new Coroutine(underSignal('waitFor', options?.signal, steps));
}
