/**
 * limit: a function for every item, so many at a time.
 *
 * Facts. An asynchronous iterator answers with a promise, which cannot be cancelled; given up, a
 * queue's own iterator would still take an item, and lose it.
 * Decision. One task for each item, in a task group, started when there is a permit: items are
 * taken from the iterable no sooner. Queues and channels are asked directly. A failure cancels the
 * rest, and nothing runs on afterwards. A CancelledError of `work` that nobody here has caused is a
 * failure like any other: the group would overlook it, and its permit be gone.
 */
import { EndOfChannel, isCancelledError, QueueShutDown, show } from '../errors.js';
import { ExceptionGroup } from '../exception-group.js';
import type { Abortable } from '../tasks/abortable.js';
import { outsideScopes, underSignal } from '../tasks/cancel-scope.js';
import { Coroutine, callBody } from '../tasks/coroutine.js';
import { getRunningLoop } from '../tasks/current-loop.js';
import { currentTask } from '../tasks/current-task.js';
import type { Task } from '../tasks/task.js';
import { type TaskGroup, taskGroup } from '../tasks/task-group.js';
import { wait } from '../tasks/wait.js';
import type { Awaitable, Yieldable } from '../types.js';
import { Subscription } from './broadcast.js';
import { Receiver } from './channel.js';
import { Queue } from './queue.js';
import { Semaphore } from './semaphore.js';

/** What `limit` can be told. */
export interface LimitOptions extends Abortable {
  /** false: results in the order in which they come; default: in the order of the items. */
  ordered?: boolean;
}

type Items<T> = Iterable<T> | AsyncIterable<T>;
type Work<T, R> = (item: T, index: number) => Awaitable<R>;
type Item<T> = { item: T };

/** Where the items come from. */
interface Source<T> {
  /** One item, or null at the end. */
  next(): Generator<unknown, Item<T> | null, any>;
  /** Nobody asks any more. */
  close(): Generator<unknown, void, any>;
}

/** A queue or a channel of our own: a wait for its next item that is cancelled takes nothing. */
class OwnSource<T> implements Source<T> {
  constructor(
    private readonly take: () => Yieldable<T>,
    private readonly end: typeof QueueShutDown | typeof EndOfChannel,
    private readonly release?: () => void,
  ) {}

  *next(): Generator<unknown, Item<T> | null, any> {
    try {
      return { item: yield* this.take() };
    } catch (error) {
      if (!(error instanceof this.end)) throw error;
      this.release?.();
      return null;
    }
  }

  *close(): Generator<unknown, void, any> {
    this.release?.();
  }
}

/** Any iterator. As `for` does, it closes one that has not ended, and drops the errors of that. */
class IteratorSource<T> implements Source<T> {
  /** It said so, or threw. */
  private ended = false;
  /** An answer is due that nobody waits for: whoever closes it would wait for that answer. */
  private givenUp = false;

  constructor(
    private readonly iterator: Iterator<T> | AsyncIterator<T>,
    private readonly asynchronous: boolean,
  ) {}

  *next(): Generator<unknown, Item<T> | null, any> {
    this.ended = true;
    const { value, done = false } = this.asynchronous
      ? yield* this.answer(() => this.iterator.next())
      : (this.iterator.next() as IteratorResult<T>);
    this.ended = done;
    return done ? null : { item: value };
  }

  *close(): Generator<unknown, void, any> {
    if (this.ended) return;
    this.ended = true;
    const close = (): unknown => this.iterator.return?.();
    try {
      if (!this.asynchronous) close();
      else if (this.givenUp) abandon(ask(close));
      else yield* this.answer(close);
    } catch (error) {
      if (isCancelledError(error)) throw error;
    }
  }

  /**
   * Waits for an answer. Cancelled, it cancels the waits of ours that the answer waits for, and
   * lets them end. What waits for somebody else's promise cannot be cancelled, and is given up.
   */
  private *answer<A>(question: () => A): Generator<unknown, globalThis.Awaited<A>, any> {
    const asking = ask(question);
    try {
      if (!asking.done()) yield* wait([asking]);
    } catch (error) {
      this.ended = false;
      if (asking.done()) asking.retrieve();
      else if (asking.awaiting().length === 0) {
        this.givenUp = true;
        abandon(asking);
      } else {
        asking.cancel();
        yield* outsideScopes(wait([asking])[Symbol.iterator]() as Generator<unknown, unknown>);
        asking.retrieve();
      }
      throw error;
    }
    return asking.result();
  }
}

/** A task: so an async generator can be cancelled where it awaits, and knows its loop. */
function ask<A>(question: () => A): Task<globalThis.Awaited<A>> {
  const answer = async (): Promise<globalThis.Awaited<A>> => await question();
  return getRunningLoop().createTask(answer, { eagerStart: true });
}

function abandon(task: Task<any>): void {
  task.cancel();
  task.abandon();
  task.addListener({ settled: () => task.retrieve() });
}

function sourceOf<T>(items: Items<T>): Source<T> {
  if (items instanceof Queue) return new OwnSource(() => items.get(), QueueShutDown);
  if (items instanceof Receiver || items instanceof Subscription) {
    return new OwnSource<T>(
      () => items.receive(),
      EndOfChannel,
      () => items.close(),
    );
  }
  const { [Symbol.asyncIterator]: asynchronous } = items as AsyncIterable<T>;
  return typeof asynchronous === 'function'
    ? new IteratorSource<T>(asynchronous.call(items), true)
    : new IteratorSource<T>((items as Iterable<T>)[Symbol.iterator](), false);
}

/** Somebody else's CancelledError, on its way through the group. */
class WorkCancelled extends Error {}

function* startAll<T, R>(
  group: TaskGroup,
  permits: Semaphore,
  source: Source<T>,
  work: (item: T, index: number) => Generator<unknown, R, any>,
): Generator<unknown, void, any> {
  for (let index = 0; ; index++) {
    yield* permits.acquire();
    const next = yield* source.next();
    if (next === null || group.isEnding()) return;
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
  const source = sourceOf(items);
  const results: R[] = [];
  try {
    yield* taskGroup(function* (group) {
      function* one(item: T, index: number): Generator<unknown, void, any> {
        const result = yield* workSteps(group, work, item, index);
        if (ordered) results[index] = result;
        else results.push(result);
        permits.release();
      }
      yield* startAll(group, permits, source, one);
    });
  } catch (error) {
    yield* outsideScopes(source.close());
    throw simplified(error);
  }
  return results;
}

function* workSteps<T, R>(
  group: TaskGroup,
  work: Work<T, R>,
  item: T,
  index: number,
): Generator<unknown, R, any> {
  const task = currentTask()!;
  try {
    return yield* callBody(work, task, item, index);
  } catch (error) {
    const ours = group.isEnding() || task.scopeCancellation() !== null;
    if (ours || !isCancelledError(error)) throw error;
    throw new WorkCancelled('', { cause: error });
  }
}

/** What the group throws, without the group around a single error. */
function simplified(error: unknown): unknown {
  if (!(error instanceof ExceptionGroup)) return error;
  const errors = error.errors.map((each) => (each instanceof WorkCancelled ? each.cause : each));
  return errors.length === 1 ? errors[0] : new ExceptionGroup(error.message, errors);
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
 *   several; CancelledError, also if it is one of `work`'s; the reason of the signal
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
