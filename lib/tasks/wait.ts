/** wait: until some of several futures are done, without cancelling anything. */
import { show } from '../errors.js';
import type { Listener } from '../loop/dispatcher.js';
import { ignoreAbort, listenToAbort } from './abort-signal.js';
import { checkSignal } from './check-signal.js';
import { Coroutine } from './coroutine.js';
import { currentLoop } from './current-loop.js';
import { Future, isFuture } from './future.js';
import { FINISHED } from './future-status.js';
import { checkTimeout } from './timeout.js';

/** When `wait` returns: after the first that is done. */
export const FIRST_COMPLETED = 'FIRST_COMPLETED';
/** When `wait` returns: after the first that failed, else after all. */
export const FIRST_EXCEPTION = 'FIRST_EXCEPTION';
/** When `wait` returns: after all. */
export const ALL_COMPLETED = 'ALL_COMPLETED';

/** What `wait` can be told. */
export interface WaitOptions {
  /** Milliseconds; null or left out: no limit. */
  timeout?: number | null;
  returnWhen?: typeof FIRST_COMPLETED | typeof FIRST_EXCEPTION | typeof ALL_COMPLETED;
  /** Ends the waiting early: `wait` throws the signal's reason. */
  signal?: AbortSignal;
}

class Counter implements Listener<Future<unknown>> {
  constructor(
    private left: number,
    private readonly returnWhen: string,
    private readonly waiter: Future<void>,
  ) {}

  settled(future: Future<unknown>): void {
    this.left--;
    if (this.left > 0 && !this.endsEarly(future)) return;
    if (!this.waiter.done()) this.waiter.settle(FINISHED, undefined);
  }

  private endsEarly(future: Future<unknown>): boolean {
    if (this.returnWhen === FIRST_COMPLETED) return true;
    if (this.returnWhen !== FIRST_EXCEPTION || future.cancelled()) return false;
    future.retrieve();
    return future.failed();
  }
}

/**
 * Waits until some of several futures are done. It cancels nothing and throws no error of theirs.
 *
 * @param futures - futures and tasks; each counts once
 * @param options - `timeout` in milliseconds, `returnWhen`, `signal`
 * @returns when awaited, two sets: those that are done and those that are pending, each in the
 *   order of `futures`
 * @throws TypeError if something in there is no future; RangeError if there is none, or if
 *   `returnWhen` is unknown
 *
 * Order: two iterations after the one that decides. Counterpart: `asyncio.wait`, whose sets have no
 * order.
 */
export function wait<F extends Future<any>>(
  futures: Iterable<F>,
  options: WaitOptions = {},
): Coroutine<[done: Set<F>, pending: Set<F>]> {
  if (isFuture(futures) || typeof (futures as Iterable<F>)?.[Symbol.iterator] !== 'function') {
    throw new TypeError(`wait: expected an iterable of futures, got ${show(futures)}`);
  }
  const distinct = new Set(futures);
  for (const future of distinct) {
    if (isFuture(future)) continue;
    throw new TypeError(`wait: expected futures and tasks, got ${show(future)}; use createTask`);
  }
  if (distinct.size === 0) throw new RangeError('Set of Tasks/Futures is empty.');
  const { returnWhen = ALL_COMPLETED, timeout = null } = options;
  if (![FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED].includes(returnWhen)) {
    throw new RangeError(`Invalid returnWhen value: ${show(returnWhen)}`);
  }
  checkTimeout('wait', timeout);
  checkSignal('wait', options.signal);
  return new Coroutine(waitSteps(distinct, timeout, returnWhen, options.signal));
}

function* waitSteps<F extends Future<any>>(
  futures: Set<F>,
  timeout: number | null,
  returnWhen: string,
  signal: AbortSignal | undefined,
): Generator<unknown, [Set<F>, Set<F>], any> {
  signal?.throwIfAborted();
  const loop = currentLoop();
  const waiter = new Future<void>(loop);
  const release = (): void => {
    if (!waiter.done()) waiter.settle(FINISHED, undefined);
  };
  const abort = (): void => {
    if (!waiter.done()) waiter.fail(signal!.reason);
  };
  const timer = timeout === null ? null : loop.callLater(timeout, release);
  const counter = new Counter(futures.size, returnWhen, waiter);
  for (const future of futures) future.addListener(counter);
  listenToAbort(signal, abort);
  try {
    yield* waiter;
  } finally {
    timer?.cancel();
    ignoreAbort(signal, abort);
    for (const future of futures) future.removeWaiters((each) => each === counter);
  }
  const all = [...futures];
  return [
    new Set(all.filter((future) => future.done())),
    new Set(all.filter((future) => !future.done())),
  ];
}
