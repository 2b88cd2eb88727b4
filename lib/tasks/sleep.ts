/**
 * sleep: the wait that needs nothing else.
 *
 * Facts. A million sleeping tasks are ordinary, so what a sleep weighs is what a task weighs.
 * Decision. One object is the coroutine, the future it waits for and the entry in the timer table.
 * It begins when it is awaited. A delay of zero or less is one bare yield, as in asyncio: exactly
 * one iteration, and no future that somebody could cancel.
 */
import { show } from '../errors.js';
import type { Steppable } from '../loop/dispatcher.js';
import { KIND_STEP } from '../loop/ready-queue.js';
import type { TimerEntry } from '../loop/timer-table.js';
import type { Yieldable } from '../types.js';
import { ignoreAbort, listenToAbort } from './abort-signal.js';
import { checkSignal } from './check-signal.js';
import { Coroutine, markStateless } from './coroutine.js';
import { Future } from './future.js';
import { FINISHED, FUTURE_BRAND, RESUMED } from './future-status.js';
import { located } from './swallowed-cancel.js';

/** What `sleep` can be told. */
export interface SleepOptions {
  /** Ends the sleep early: it throws the signal's reason. */
  signal?: AbortSignal;
  /** false: this sleep alone does not keep the process alive. */
  ref?: boolean;
}

/** @internal A sleep that has begun or not. */
export class Sleep<T> extends Future<T> implements TimerEntry, Steppable {
  /** @internal */
  slot = -1;
  /** @internal KIND_STEP, on the prototype: it weighs nothing. */
  declare readonly kind: number;
  /** Milliseconds before it begins, -1 afterwards. */
  private delayMs: number;

  constructor(delayMs: number, result: T) {
    super();
    this.delayMs = delayMs;
    this.value = result;
  }

  override next(received?: unknown): IteratorResult<unknown, T> {
    if (this.delayMs >= 0) this.begin();
    return super.next(received);
  }

  override throw(error: unknown): never {
    this.loop.cancelTimer(this);
    throw located(error);
  }

  override cancel(reason?: unknown): boolean {
    this.loop.cancelTimer(this);
    return super.cancel(reason);
  }

  /** The timer is due. */
  step(): void {
    if (!this.done()) this.settle(FINISHED, this.value);
  }

  // biome-ignore lint/suspicious/noThenProperty: being awaitable is the purpose
  override then<A = T, B = never>(
    onResult?: ((value: T) => A | PromiseLike<A>) | null,
    onError?: ((error: any) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    if (this.delayMs >= 0) this.begin();
    return super.then(onResult, onError);
  }

  /** @internal For whoever waits for it in other ways than `yield*`. */
  beginOnce(): void {
    if (this.delayMs >= 0) this.begin();
  }

  /** @internal */
  begin(referenced = true): void {
    const { delayMs } = this;
    this.delayMs = -1;
    this.loop.armTimer(this, this.loop.time() + delayMs, referenced);
  }
}
Object.defineProperty(Sleep.prototype, 'kind', { value: KIND_STEP });
Object.defineProperty(Sleep.prototype, FUTURE_BRAND, { value: 'coroutine' });

/**
 * One bare yield, and then nothing. Whoever drives it sends RESUMED when it goes on, so it needs no
 * state, and one object serves all.
 */
class YieldOnce extends Coroutine<void> {
  private static readonly yields: IteratorResult<unknown, void> = { value: undefined, done: false };
  private static readonly returns: IteratorResult<unknown, void> = { value: undefined, done: true };

  constructor() {
    super(null as never);
    this.steps = this as unknown as Iterator<unknown, void, any>;
  }

  next(received?: unknown): IteratorResult<unknown, void> {
    return received === RESUMED ? YieldOnce.returns : YieldOnce.yields;
  }

  throw(error: unknown): never {
    throw located(error);
  }

  return(): IteratorResult<unknown, void> {
    return YieldOnce.returns;
  }
}

/** @internal `sleep(0)` */
export const YIELD_ONCE = new YieldOnce();
markStateless(YIELD_ONCE);

/**
 * Waits for some time: `yield* sleep(100)` or `await sleep(100)`.
 *
 * @param delayMs - milliseconds, fractions allowed; zero or less: exactly one iteration of the
 *   loop; `Infinity`: until it is cancelled
 * @param result - what it returns
 * @param options - `signal` ends it early, `ref: false` lets the process end meanwhile
 * @throws TypeError if `delayMs` is not a number or NaN; when awaited: CancelledError, or the
 *   reason of the signal
 *
 * Order: never early; sleeps with equal deadlines end in the order in which they began. Nothing
 * happens before it is awaited. Counterpart: `asyncio.sleep`, in seconds.
 */
export function sleep(delayMs: number): Coroutine<void>;
export function sleep<T>(delayMs: number, result: T, options?: SleepOptions): Coroutine<T>;
export function sleep<T>(delayMs: number, result?: T, options?: SleepOptions): Yieldable<T> {
  if (typeof delayMs !== 'number' || Number.isNaN(delayMs)) {
    throw new TypeError(`sleep: delay must be a number of milliseconds, got ${show(delayMs)}`);
  }
  checkSignal('sleep', options?.signal);
  if (delayMs <= 0 && result === undefined && options === undefined) {
    return YIELD_ONCE as Yieldable<T>;
  }
  if (options === undefined && delayMs > 0) return new Sleep(delayMs, result as T);
  return new Coroutine(sleepSteps(delayMs, result as T, options ?? {}));
}

function* sleepSteps<T>(
  delayMs: number,
  result: T,
  { signal, ref }: SleepOptions,
): Generator<unknown, T, any> {
  signal?.throwIfAborted();
  if (delayMs <= 0) {
    yield* YIELD_ONCE;
    return result;
  }
  const waiting = new Sleep(delayMs, result);
  const abort = (): void => {
    if (!waiting.done()) waiting.fail(signal!.reason);
  };
  listenToAbort(signal, abort);
  waiting.begin(ref !== false);
  try {
    return yield* waiting;
  } finally {
    ignoreAbort(signal, abort);
    waiting.loop.cancelTimer(waiting);
  }
}
