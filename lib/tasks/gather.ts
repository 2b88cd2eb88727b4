/**
 * gather: run awaitables concurrently, wait for all of them, results in the order of the arguments.
 *
 * Facts. A gather of 200,000 is ordinary: what it costs for each child must be next to nothing.
 * Decision. The future that is returned is itself the listener of every child, so a child costs
 * one entry in an array.
 */
import { isCancelledError, makeCancelledError, show } from '../errors.js';
import type { Listener } from '../loop/dispatcher.js';
import type { Awaitable, Awaited, Runnable } from '../types.js';
import { ignoreAbort, listenToAbort } from './abort-signal.js';
import type { Abortable } from './abortable.js';
import { checkSignal } from './check-signal.js';
import { isThenable, isYieldable, runsEachTime } from './coroutine.js';
import { currentLoop, runningLoop } from './current-loop.js';
import { ensureFuture } from './ensure-future.js';
import type { EventLoop } from './event-loop.js';
import { Future, isFuture } from './future.js';
import { FINISHED } from './future-status.js';
import { GeneratorObject } from './generator.js';

/** What `gather` can be told. */
export interface GatherOptions extends Abortable {
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
  readonly children: Future<unknown>[] = [];
  private readonly returnExceptions: boolean;
  private unfinished = 0;
  protected cancelRequested = false;

  constructor(returnExceptions: boolean, loop: EventLoop) {
    super(loop);
    this.returnExceptions = returnExceptions;
  }

  /** Each one as soon as it is there: those that follow may start, and cancel it, at once. */
  add(child: Future<unknown>): void {
    this.children.push(child);
    this.unfinished++;
    if (!child.done()) child.addListener(this);
  }

  /** The same child once more: one more result, nothing more to wait for. */
  addAgain(child: Future<unknown>): void {
    this.children.push(child);
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
      // They may live for long, and would keep this and all its results.
      for (const each of this.children) each.release(this);
      return;
    }
    if (this.unfinished > 0) return;
    const { children } = this;
    const results: unknown[] = new Array(children.length);
    for (let i = 0; i < children.length; i++) results[i] = outcomeOf(children[i]!);
    // As in asyncio, the message is that of the last argument, whoever ended last.
    if (this.cancelRequested) this.fail(children.at(-1)!.makeCancelledError());
    else this.settle(FINISHED, results);
  }
}

/** A gather that a signal can cancel: then its CancelledError is the signal's reason. */
class AbortableGathering extends GatheringFuture {
  private aborted = false;
  private readonly onAbort = (): void => this.abort();

  constructor(
    returnExceptions: boolean,
    loop: EventLoop,
    private readonly signal: AbortSignal,
  ) {
    super(returnExceptions, loop);
  }

  /** All children are there. A signal that was aborted before counts, also if they are done. */
  listen(): void {
    if (!this.signal.aborted) {
      listenToAbort(this.signal, this.onAbort);
      return;
    }
    this.abort();
    this.aborted = this.cancelRequested = true;
  }

  /** A cancellation comes before the signal: whoever waits must be told of it. */
  override cancel(reason?: unknown): boolean {
    if (!super.cancel(reason)) return false;
    this.aborted = false;
    return true;
  }

  /** @internal */
  override settle(how: number, value: unknown): void {
    ignoreAbort(this.signal, this.onAbort);
    super.settle(how, value);
  }

  /** @internal */
  override fail(error: unknown): void {
    super.fail(this.aborted && isCancelledError(error) ? this.signal.reason : error);
  }

  private abort(): void {
    if (!this.cancelRequested && super.cancel(this.signal.reason)) this.aborted = true;
  }
}

function outcomeOf(child: Future<unknown>): unknown {
  if (!child.failed()) return child.value;
  return child.cancelled() ? makeCancelledError(child.cancelReason) : child.takeError();
}

/**
 * Runs awaitables concurrently.
 *
 * @param awaitables - coroutines, futures, tasks, promises or functions, one by one or as an array.
 *   The same object twice is run once; a function is called as often as it is mentioned
 * @param options - `returnExceptions`: errors become results; `signal` cancels the gather, which
 *   then throws the signal's reason
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
  checkSignal('gather', options?.signal);
  for (let i = 0; i < awaitables.length; i++) checkAwaitable(awaitables[i], i);
  if (awaitables.length === 0) {
    const empty = new Future<unknown[]>();
    if (options?.signal?.aborted) empty.fail(options.signal.reason);
    else empty.setResult([]);
    return empty;
  }
  return gatherChildren(awaitables, options?.returnExceptions === true, options?.signal);
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

function gatherChildren(
  awaitables: Gatherable[],
  returnExceptions: boolean,
  signal: AbortSignal | undefined,
): GatheringFuture {
  const loop = loopOf(awaitables);
  const options = { loop };
  const outer =
    signal === undefined
      ? new GatheringFuture(returnExceptions, loop)
      : new AbortableGathering(returnExceptions, loop, signal);
  const done: Future<unknown>[] = [];
  for (let i = 0; i < awaitables.length; i++) {
    const earlier = indexOfEarlier(awaitables, i);
    if (earlier >= 0) {
      outer.addAgain(outer.children[earlier]!);
      continue;
    }
    const child = ensureFuture(awaitables[i]!, options);
    if (child.done()) done.push(child);
    outer.add(child);
  }
  if (outer instanceof AbortableGathering) outer.listen();
  // If all are done already (they ran eagerly), so is the outer future.
  for (const child of done) outer.settled(child);
  return outer;
}

/**
 * Where the same coroutine stands before, or -1. Looking it up in a Set would cost as much as
 * running a task, so in long lists only neighbours are compared; a coroutine that is run twice all
 * the same gets a RuntimeError where it waits.
 */
function indexOfEarlier(awaitables: Gatherable[], index: number): number {
  const awaitable = awaitables[index]!;
  let earlier = index - 1;
  if (awaitables.length <= EXHAUSTIVE_MAX) earlier = awaitables.indexOf(awaitable);
  else if (earlier >= 0 && awaitables[earlier] !== awaitable) return -1;
  return earlier < index && !runsEachTime(awaitable) ? earlier : -1;
}

/** Where no loop is running, the first future says which one is meant. */
function loopOf(awaitables: Gatherable[]): EventLoop {
  const first = awaitables[0];
  return runningLoop() ?? (isFuture(first) ? first.loop : currentLoop());
}
