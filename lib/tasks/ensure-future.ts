/** ensureFuture: whatever can be awaited becomes a future. */
import { show } from '../errors.js';
import type { Awaitable, Runnable } from '../types.js';
import { isThenable, isYieldable } from './coroutine.js';
import { currentLoop } from './current-loop.js';
import type { EventLoop } from './event-loop.js';
import { type Future, isFuture } from './future.js';
import { GeneratorObject } from './generator.js';
import { until } from './until.js';

/**
 * Makes a future of what can be awaited: a future or task is returned as it is, a coroutine becomes
 * a task, a promise is wrapped with `until`.
 *
 * @param awaitable - a future, a coroutine, a promise, or a function for `createTask`
 * @param options - `loop`: where to make the task
 * @throws TypeError if it is none of these; RangeError if it is a future of another loop than
 *   `loop`. Counterpart: `asyncio.ensure_future`.
 */
export function ensureFuture<T>(
  awaitable: Awaitable<T> | Runnable<T>,
  options?: { loop?: EventLoop },
): Future<T> {
  if (awaitable instanceof GeneratorObject) {
    return (options?.loop ?? currentLoop()).createTask(awaitable) as Future<T>;
  }
  if (isFuture(awaitable)) {
    if (options?.loop !== undefined && awaitable.loop !== options.loop) {
      throw new RangeError(
        'The future belongs to a different loop than the one specified as the loop argument',
      );
    }
    return awaitable as Future<T>;
  }
  const loop = options?.loop ?? currentLoop();
  if (typeof awaitable === 'function' || isYieldable(awaitable)) {
    return loop.createTask(awaitable as Runnable<T>) as Future<T>;
  }
  if (isThenable(awaitable)) return until(awaitable as PromiseLike<T>, { loop });
  throw new TypeError(
    `a future, a coroutine, a promise or a function was expected, got ${show(awaitable)}`,
  );
}
