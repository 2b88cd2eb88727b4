/**
 * What a promise makes of the result of a coroutine.
 *
 * Facts. In asyncio a coroutine may return a task, and `run` returns that task. A promise cannot:
 * it waits for whatever has a `then`, and takes its result. An async function does so before it
 * ends.
 * Decision. One rule for both kinds: where a result leaves for a promise (`run`, `Runner.run`,
 * `runUntilComplete`), one that can itself be awaited is awaited, as the last part of the work.
 */
import { guarded } from '../errors.js';
import { isThenable } from './coroutine.js';
import type { Future } from './future.js';
import { lastOf } from './promise-bridge.js';

/** @internal What has still to be awaited after `future`, which is done; null: nothing. */
export function pendingResult(future: Future<unknown>): PromiseLike<unknown> | null {
  const last = lastOf(future);
  if (last === null || last.failed()) return null;
  const { value } = last;
  return guarded(() => isThenable(value), false) ? (value as PromiseLike<unknown>) : null;
}
