/**
 * limit: a function for every item, so many at a time.
 *
 * Decision. One task for each item, in a task group, started when there is a permit: items are
 * taken from the iterable no sooner. A failure cancels the rest, and nothing runs on afterwards.
 * Async iterables are asked for one item at a time.
 */
import { show } from '../errors.js';
import { ExceptionGroup } from '../exception-group.js';
import type { Abortable } from '../tasks/abortable.js';
import { underSignal } from '../tasks/cancel-scope.js';
import { Coroutine, callBody } from '../tasks/coroutine.js';
import { currentTask } from '../tasks/current-task.js';
import { type TaskGroup, taskGroup } from '../tasks/task-group.js';
import { until } from '../tasks/until.js';
import type { Awaitable } from '../types.js';
import { Semaphore } from './semaphore.js';

/** What `limit` can be told. */
export interface LimitOptions extends Abortable {
  /** false: results in the order in which they come; default: in the order of the items. */
  ordered?: boolean;
}

type Items<T> = Iterable<T> | AsyncIterable<T>;
type Work<T, R> = (item: T, index: number) => Awaitable<R>;

/** One item, or null at the end. */
function* nextItem<T>(
  iterator: Iterator<T> | AsyncIterator<T>,
): Generator<unknown, { item: T } | null, any> {
  const next = iterator.next();
  const { value, done } = next instanceof Promise ? yield* until(next) : (next as any);
  return done ? null : { item: value };
}

function* closeIterator(iterator: Iterator<unknown> | AsyncIterator<unknown>): Generator<any> {
  const closed: unknown = iterator.return?.();
  if (closed instanceof Promise) yield* until(closed);
}

function* startAll<T, R>(
  group: TaskGroup,
  permits: Semaphore,
  iterator: Iterator<T> | AsyncIterator<T>,
  work: (item: T, index: number) => Generator<unknown, R, any>,
): Generator<unknown, void, any> {
  for (let index = 0; ; index++) {
    yield* permits.acquire();
    const next = yield* nextItem(iterator);
    if (next === null) return;
    group.createTask(work(next.item, index));
  }
}

function* limitSteps<T, R>(
  count: number,
  items: Items<T>,
  work: Work<T, R>,
  ordered: boolean,
): Generator<unknown, R[], any> {
  const permits = new Semaphore(Math.min(count, Number.MAX_SAFE_INTEGER));
  const iterator = iteratorOf(items);
  const results: R[] = [];
  function* one(item: T, index: number): Generator<unknown, void, any> {
    const result = yield* callBody(work, currentTask()!, item, index);
    if (ordered) results[index] = result;
    else results.push(result);
    permits.release();
  }
  try {
    yield* taskGroup((group) => startAll(group, permits, iterator, one));
  } catch (error) {
    yield* closeIterator(iterator);
    const only = error instanceof ExceptionGroup && error.errors.length === 1;
    throw only ? error.errors[0] : error;
  }
  return results;
}

function iteratorOf<T>(items: Items<T>): Iterator<T> | AsyncIterator<T> {
  return Symbol.asyncIterator in items
    ? items[Symbol.asyncIterator]()
    : (items as Iterable<T>)[Symbol.iterator]();
}

/**
 * Calls a function for every item, so many at a time, and waits for all of them.
 *
 *     const pages = yield* limit(10, urls, function* (url) { ... });
 *
 * @param count - how many at a time; `Infinity`: all
 * @param items - an iterable or an async iterable; the next item is taken when there is a place for
 *   it
 * @param work - a generator function or an async function; it gets the item and its index
 * @param options - `ordered`, `signal`
 * @returns when awaited, the results
 * @throws TypeError or RangeError if an argument is wrong; when awaited: the error of `work` or of
 *   the iterable, after the others were cancelled and have ended, or an ExceptionGroup if there are
 *   several; CancelledError, the reason of the signal
 *
 * Order: work starts in the order of the items.
 */
export function limit<T, R>(
  count: number,
  items: Items<T>,
  work: Work<T, R>,
  options: LimitOptions = {},
): Coroutine<R[]> {
  if (typeof count !== 'number' || Number.isNaN(count)) {
    throw new TypeError(`limit: count must be a number, got ${show(count)}`);
  }
  if (count < 1 || (count !== Infinity && !Number.isSafeInteger(count))) {
    throw new RangeError(`limit: count must be a whole number of at least 1, got ${count}`);
  }
  if (!isIterable(items)) {
    throw new TypeError(`limit: items must be iterable, got ${show(items)}`);
  }
  if (typeof work !== 'function') {
    throw new TypeError(`limit: work must be a function, got ${show(work)}`);
  }
  const { ordered = true, signal } = options;
  return new Coroutine(underSignal('limit', signal, limitSteps(count, items, work, ordered)));
}

function isIterable(items: unknown): boolean {
  const { [Symbol.iterator]: sync, [Symbol.asyncIterator]: async } = Object(items);
  return typeof sync === 'function' || typeof async === 'function';
}
