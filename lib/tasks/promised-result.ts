/**
 * What a promise makes of the result of a coroutine.
 *
 * Facts. In asyncio a coroutine may return a task, and `run` returns that task. A promise cannot: it
 * waits for whatever has a `then`, and takes its result. An async function does so before it ends.
 * Decision. One rule for both kinds: where a result leaves for a promise (`run`, `Runner.run`,
 * `runUntilComplete`), one that can itself be awaited is awaited, as the last part of the work.
 */
import { RuntimeError } from '../errors.js';
import { isThenable } from './coroutine.js';
import { type Future, isFuture } from './future.js';

/** @internal What has still to be awaited after `future`, which is done; null: nothing. */
export function pendingResult(future: Future<unknown>): PromiseLike<unknown> | null {
  const last = lastOf(future);
  if (last === null || last.failed() || !isThenable(last.value)) return null;
  return last.value;
}

/** @internal The outcome for a promise. @throws what the future failed with; RuntimeError */
export function resultForPromise<T>(future: Future<T>): T {
  const last = lastOf(future);
  if (last === null) throw new RuntimeError(`The result of ${future} is itself: it has no end`);
  return last.result() as T;
}

/** The end of a chain of futures that are each other's result; null: it goes round in a circle. */
function lastOf(future: Future<unknown>): Future<unknown> | null {
  let last = future;
  const seen = new Set<unknown>();
  while (!last.failed() && isFuture(last.value) && last.value.done()) {
    seen.add(last);
    last = last.value;
    if (seen.has(last)) return null;
  }
  return last;
}
