/**
 * gather: run awaitables concurrently, wait for all of them, results in the order of the arguments.
 *
 * Facts. A gather of 200,000 is ordinary: what it costs for each child must be next to nothing.
 * Decision. The future that is returned is itself the listener of every child, so a child costs
 * one entry in an array.
 */
import { makeCancelledError, show } from '../errors.js';
import type { Listener, Scheduler } from '../loop/scheduler.js';
import type { Awaitable, Awaited, Runnable } from '../types.js';
import { isThenable, isYieldable } from './coroutine.js';
import { currentLoop, runningLoop } from './current-loop.js';
import { ensureFuture } from './ensure-future.js';
import type { EventLoop } from './event-loop.js';
import { Future, isFuture } from './future.js';
import { FINISHED } from './future-status.js';
import { GeneratorObject } from './generator.js';

export interface GatherOptions {
  /** Errors become results instead of ending the gather. */
  returnExceptions?: boolean;
}

/** Up to this length every pair is compared. */
const EXHAUSTIVE_MAX = 16;

type Gatherable = Awaitable<any> | Runnable<any>;
type Results<A extends readonly unknown[]> = { -readonly [I in keyof A]: Awaited<A[I]> };
type Outcomes<A extends readonly unknown[]> = { -readonly [I in keyof A]: Awaited<A[I]> | Error };

class GatheringFuture extends Future<unknown[]> implements Listener<Future<unknown>> {
  /** @internal For messages: whom it waits for. */
  readonly children: Future<unknown>[];
  private readonly returnExceptions: boolean;
  private unfinished: number;
  private cancelRequested = false;

  constructor(
    children: Future<unknown>[],
    returnExceptions: boolean,
    loop: Scheduler,
  ) {
    super(loop);
    this.children = children;
    this.returnExceptions = returnExceptions;
    this.unfinished = children.length;
    let done = 0;
    for (let i = 0; i < children.length; i++) {
      if (children[i]!.done()) done++;
      else children[i]!.addListener(this);
    }
    // All done already (they ran eagerly): then so is this.
    if (done > 0) for (const child of children.filter((each) => each.done())) this.settled(child);
  }

  /** Cancels the children; the gather ends when all of them have. */
  override cancel(reason?: unknown): boolean {
    if (this.done()) return false;
    let cancelled = false;
    for (const child of this.children) {
      if (child.cancel(reason)) cancelled = true;
    }
    if (cancelled) this.cancelRequested = true;
    return cancelled;
  }

  /** @internal */
  settled(child: Future<unknown>): void {
    this.unfinished--;
    if (this.done()) {
      child.retrieve();
      return;
    }
    if (!this.returnExceptions && child.failed()) {
      this.fail(child.takeError());
      return;
    }
    if (this.unfinished > 0) return;
    const { children } = this;
    const results: unknown[] = new Array(children.length);
    for (let i = 0; i < children.length; i++) results[i] = outcomeOf(children[i]!);
    if (this.cancelRequested) this.fail(child.takeCancelledError());
    else this.settle(FINISHED, results);
  }
}

function outcomeOf(child: Future<unknown>): unknown {
  if (!child.failed()) return child.value;
  return child.cancelled() ? makeCancelledError(child.cancelReason) : child.takeError();
}

/**
 * Runs awaitables concurrently.
 *
 * @param awaitables - coroutines, futures, tasks, promises or functions, one by one or as an array;
 *   the same one twice is run once
 * @param options - `returnExceptions`: errors become results
 * @returns a future of the results, in the order of the arguments. The first error settles it at
 *   once; the others run on. Cancelling it cancels all of them.
 * @throws TypeError if an argument cannot be awaited; RangeError if futures belong to different
 *   loops
 *
 * Order: two iterations after the last one is done. Counterpart: `asyncio.gather`.
 */
export function gather<A extends readonly Gatherable[]>(
  awaitables: readonly [...A],
  options: GatherOptions & { returnExceptions: true },
): Future<Outcomes<A>>;
export function gather<A extends readonly Gatherable[]>(
  awaitables: readonly [...A],
  options?: GatherOptions,
): Future<Results<A>>;
export function gather<A extends readonly Gatherable[]>(...awaitables: A): Future<Results<A>>;
export function gather(...args: unknown[]): Future<any> {
  const asArray = Array.isArray(args[0]);
  const awaitables = (asArray ? args[0] : args) as Gatherable[];
  const options = (asArray ? args[1] : undefined) as GatherOptions | undefined;
  if (options !== undefined && (typeof options !== 'object' || options === null)) {
    throw new TypeError(`gather: options must be an object, got ${show(options)}`);
  }
  for (let i = 0; i < awaitables.length; i++) checkAwaitable(awaitables[i], i);
  if (awaitables.length === 0) {
    const empty = new Future<unknown[]>();
    empty.setResult([]);
    return empty;
  }
  return gatherChildren(awaitables, options?.returnExceptions === true);
}

/** Before anything is started: a bad argument must not leave the others running. */
function checkAwaitable(value: unknown, index: number): void {
  if (value instanceof GeneratorObject || value instanceof Future) return;
  if (typeof value === 'function' || isYieldable(value) || isThenable(value)) return;
  throw new TypeError(
    `gather: argument ${index} must be a coroutine, a future, a promise or a function, ` +
      `got ${show(value)}`,
  );
}

function gatherChildren(awaitables: Gatherable[], returnExceptions: boolean): GatheringFuture {
  const loop = loopOf(awaitables);
  const options = { loop };
  const children: Future<unknown>[] = new Array(awaitables.length);
  for (let i = 0; i < awaitables.length; i++) {
    const earlier = indexOfEarlier(awaitables, i);
    children[i] = earlier < 0 ? ensureFuture(awaitables[i]!, options) : children[earlier]!;
  }
  return new GatheringFuture(children, returnExceptions, loop);
}

/**
 * Where the same coroutine stands twice. Looking it up in a Set would cost as much as running a
 * task, so in long lists only neighbours are compared; a coroutine that is run twice all the same
 * gets a RuntimeError where it waits.
 */
function indexOfEarlier(awaitables: Gatherable[], index: number): number {
  const awaitable = awaitables[index];
  if (awaitables.length > EXHAUSTIVE_MAX) {
    return index > 0 && awaitables[index - 1] === awaitable ? index - 1 : -1;
  }
  const earlier = awaitables.indexOf(awaitable!);
  return earlier < index ? earlier : -1;
}

/** Where no loop is running, the first future says which one is meant. */
function loopOf(awaitables: Gatherable[]): EventLoop {
  const first = awaitables[0];
  return runningLoop() ?? (isFuture(first) ? (first.loop as EventLoop) : currentLoop());
}
