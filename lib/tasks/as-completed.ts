/**
 * asCompleted: results in the order in which they come.
 *
 * Facts. asyncio's iterator works both ways: a plain `for` yields coroutines that give one result
 * each, an `async for` yields the futures themselves. It is built on a Queue, which decides who
 * gets what and when.
 * Decision. The same, with the few lines of a queue that it needs.
 */
import { show, TimeoutError } from '../errors.js';
import type { Listener } from '../loop/dispatcher.js';
import type { Handle } from '../loop/handle.js';
import type { Awaitable, Awaited, Runnable } from '../types.js';
import { ignoreAbort, listenToAbort } from './abort-signal.js';
import type { Abortable } from './abortable.js';
import { checkSignal } from './check-signal.js';
import { Coroutine, runsEachTime } from './coroutine.js';
import { currentLoop } from './current-loop.js';
import { ensureFuture } from './ensure-future.js';
import { Future, isFuture } from './future.js';
import { FINISHED } from './future-status.js';
import { checkTimeout } from './timeout.js';

/** asyncio.Queue, as far as it is needed: unbounded, and nobody puts who could wait. */
class Completions<T> {
  private readonly items: T[] = [];
  private readonly getters: Future<void>[] = [];

  put(item: T): void {
    this.items.push(item);
    this.wakeNext();
  }

  *get(): Generator<unknown, T, any> {
    while (this.items.length === 0) {
      const getter = new Future<void>();
      this.getters.push(getter);
      try {
        yield* getter;
      } catch (error) {
        getter.cancel();
        const index = this.getters.indexOf(getter);
        if (index >= 0) this.getters.splice(index, 1);
        if (this.items.length > 0 && !getter.cancelled()) this.wakeNext();
        throw error;
      }
    }
    return this.items.shift()!;
  }

  private wakeNext(): void {
    for (let getter = this.getters.shift(); getter !== undefined; getter = this.getters.shift()) {
      if (getter.done()) continue;
      getter.settle(FINISHED, undefined);
      return;
    }
  }
}

/** The time is up, or the signal was aborted. */
class GivenUp {
  constructor(readonly error: () => unknown) {}
}

/** What `asCompleted` can be told. */
export interface AsCompletedOptions extends Abortable {
  /** Milliseconds; null or left out: no limit. */
  timeout?: number | null;
}

/**
 * What `asCompleted` returns. `for (const next of it) yield* next` gives results (or throws errors)
 * one by one; `for await (const future of it)` gives the futures as they are done.
 */
export class AsCompleted<T> implements Iterable<Coroutine<T>>, AsyncIterable<Future<T>> {
  /** Futures that are done, and what is thrown in place of those that nobody waits for. */
  private readonly completions = new Completions<Future<T> | GivenUp>();
  private readonly pending: Set<Future<T>>;
  private readonly listener: Listener<Future<T>>;
  private left: number;
  private timer: Handle | null = null;
  private readonly whenMs: number | null;
  /** Coroutines for a result that have not ended. */
  private handedOut = 0;
  /** The loop over it was left. */
  private abandoned = false;
  /** Nothing hangs on what is pending. */
  private resting = false;
  private readonly onAbort = (): void => this.giveUp(() => this.signal!.reason);

  /** @internal */
  constructor(
    futures: Set<Future<T>>,
    delayMs: number | null,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.pending = futures;
    this.left = futures.size;
    this.listener = { settled: (future) => this.completed(future) };
    this.whenMs = delayMs === null ? null : currentLoop().time() + delayMs;
    this.listen();
  }

  private listen(): void {
    const { pending, signal, whenMs } = this;
    for (const future of pending) future.addListener(this.listener);
    if (pending.size === 0) return;
    if (signal?.aborted) {
      this.onAbort();
      return;
    }
    listenToAbort(signal, this.onAbort);
    if (whenMs === null) return;
    this.timer = currentLoop().callAt(whenMs, () => this.giveUp(() => new TimeoutError()));
  }

  *[Symbol.iterator](): Generator<Coroutine<T>, void, any> {
    try {
      for (let next = this.next(); next !== null; next = this.next()) yield next;
    } finally {
      this.rest();
    }
  }

  /** The future travels inside the result object: a promise would wait for it and lose it. */
  [Symbol.asyncIterator](): AsyncIterator<Future<T>, void, any> {
    const next = (): Coroutine<IteratorResult<Future<T>, void>> =>
      this.take((value) => ({ value, done: false as const })) ?? new Coroutine(ended());
    const leave = async (): Promise<IteratorResult<Future<T>, void>> => {
      this.rest();
      return { value: undefined, done: true };
    };
    return { next, return: leave } as unknown as AsyncIterator<Future<T>, void, any>;
  }

  /** A coroutine for the next result, or null when all have been handed out. */
  next(): Coroutine<T> | null {
    return this.take((future) => future.result());
  }

  /**
   * A coroutine for the next future that is done, or null when all have been handed out. For
   * `yield*` only: `await` of something that returns a future waits for that, too.
   */
  nextFuture(): Coroutine<Future<T>> | null {
    return this.take((future) => future);
  }

  private take<R>(outcome: (future: Future<T>) => R): Coroutine<R> | null {
    if (this.left === 0) return null;
    this.left--;
    this.handedOut++;
    if (this.resting) this.goOn();
    return new Coroutine(this.takeSteps(outcome));
  }

  private *takeSteps<R>(outcome: (future: Future<T>) => R): Generator<unknown, R, any> {
    let completed: Future<T> | GivenUp;
    try {
      completed = yield* this.completions.get();
    } catch (error) {
      this.abandoned = true; // cancelled: perhaps nobody asks again
      throw error;
    } finally {
      this.handedOut--;
      if (this.abandoned) this.rest();
    }
    if (completed instanceof GivenUp) throw completed.error();
    return outcome(completed);
  }

  /**
   * The loop over it was left: until somebody asks again, nothing of it hangs on what is pending,
   * which may live for long.
   */
  private rest(): void {
    this.abandoned = true;
    if (this.resting || this.handedOut > 0 || this.pending.size === 0) return;
    this.resting = true;
    for (const future of this.pending) future.removeWaiters((each) => each === this.listener);
    this.over();
  }

  private goOn(): void {
    this.resting = this.abandoned = false;
    this.listen();
  }

  private completed(future: Future<T>): void {
    if (this.pending.size === 0) return;
    this.pending.delete(future);
    this.completions.put(future);
    if (this.pending.size === 0) this.over();
  }

  private giveUp(error: () => unknown): void {
    for (const future of this.pending) {
      future.removeWaiters((each) => each === this.listener);
      this.completions.put(new GivenUp(error));
    }
    this.pending.clear();
    this.over();
  }

  private over(): void {
    this.timer?.cancel();
    ignoreAbort(this.signal, this.onAbort);
  }
}

function* ended(): Generator<unknown, IteratorReturnResult<void>, any> {
  return { value: undefined, done: true };
}

/**
 * Runs awaitables concurrently and hands out their results in the order in which they come.
 *
 * @param awaitables - coroutines, futures, tasks, promises or functions. The same object twice
 *   counts once; a function is called as often as it is mentioned
 * @param options - `timeout`: milliseconds; what has not come by then throws a TimeoutError;
 *   `signal`: what has not come when it is aborted throws its reason
 * @returns an iterator of coroutines, and an async iterator of futures
 * @throws TypeError if `awaitables` is not an iterable of awaitables
 *
 * Order: a result is handed out two iterations after it came. Nothing is cancelled. Counterpart:
 * `asyncio.as_completed`.
 */
export function asCompleted<A extends Awaitable<any> | Runnable<any>>(
  awaitables: Iterable<A>,
  options: AsCompletedOptions = {},
): AsCompleted<Awaited<A>> {
  const { timeout = null } = options;
  checkTimeout('asCompleted', timeout);
  checkSignal('asCompleted', options.signal);
  if (
    isFuture(awaitables) ||
    typeof (awaitables as Iterable<A>)?.[Symbol.iterator] !== 'function'
  ) {
    throw new TypeError(`asCompleted: expected an iterable of awaitables, got ${show(awaitables)}`);
  }
  const futures = distinct(awaitables).map((each) => ensureFuture(each));
  return new AsCompleted(new Set(futures) as Set<Future<Awaited<A>>>, timeout, options.signal);
}

/** Each object once, as in asyncio; a function is not a coroutine but makes one each time. */
function distinct<A>(awaitables: Iterable<A>): A[] {
  const seen = new Set<A>();
  return [...awaitables].filter((each) => {
    if (seen.has(each) && !runsEachTime(each)) return false;
    seen.add(each);
    return true;
  });
}
