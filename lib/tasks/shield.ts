/** shield: what is inside is not cancelled together with whoever waits for it. */
import { guarded, InvalidStateError } from '../errors.js';
import { type Context, captureContext } from '../loop/context.js';
import type { Listener } from '../loop/dispatcher.js';
import type { Awaitable, Awaited, Runnable } from '../types.js';
import { type Abortable, failOnAbort } from './abortable.js';
import { checkSignal } from './check-signal.js';
import { ensureFuture } from './ensure-future.js';
import { Future } from './future.js';
import { FINISHED } from './future-status.js';

/** Hands the outcome of the inner future to the outer one. */
class InnerDone implements Listener<Future<unknown>> {
  constructor(
    private readonly outer: Future<unknown>,
    private readonly signal: AbortSignal | undefined,
  ) {}

  settled(inner: Future<unknown>): void {
    const { outer } = this;
    if (outer.cancelled() || (outer.done() && this.signal?.aborted)) return;
    if (inner.cancelled()) outer.cancel();
    else if (outer.done()) reportSettledTwice(outer);
    else if (inner.failed()) outer.fail(inner.takeError());
    else outer.settle(FINISHED, inner.value);
  }
}

/** The outcome comes when somebody else has settled the outer future: it has nowhere to go. */
function reportSettledTwice(outer: Future<unknown>): void {
  outer.loop.callExceptionHandler({
    message: 'Exception in callback of shield',
    exception: new InvalidStateError('invalid state'),
    future: outer,
  });
}

/** Nobody waits for the inner future any more: its error, if one comes, is reported. */
class ReportError implements Listener<Future<unknown>> {
  constructor(private readonly context: Context | null) {}

  settled(inner: Future<unknown>): void {
    if (inner.cancelled() || !inner.failed()) return;
    const error = inner.takeError();
    const name = guarded<unknown>(() => (error as object).constructor.name, undefined);
    const report = {
      message: `${typeof name === 'string' ? name : typeof error} exception in shielded future`,
      exception: error,
      future: inner,
    };
    inner.loop.runBody(this.context, { run: () => inner.loop.callExceptionHandler(report) });
  }
}

/** The outer future ended first. */
class OuterDone implements Listener {
  constructor(
    private readonly inner: Future<unknown>,
    private readonly innerDone: InnerDone,
  ) {}

  private readonly context = captureContext();

  settled(): void {
    const { inner, innerDone } = this;
    if (inner.done()) return;
    inner.removeWaiters((waiter) => waiter === innerDone || waiter instanceof ReportError);
    inner.addListener(new ReportError(this.context));
  }
}

/**
 * Waits for something that goes on when the waiting is cancelled.
 *
 * @param awaitable - a future, a coroutine (it becomes a task), a promise or a function
 * @param options - `signal` ends the waiting: it throws the signal's reason
 * @returns a future with the same outcome; cancelling it leaves the inner one running. If that one
 *   is cancelled by somebody else, this one is too.
 * @throws TypeError if it cannot be awaited, or the signal is none
 *
 * Order: one iteration after the inner one. If the inner one fails when nobody waits any more, the
 * exception handler is told. Counterpart: `asyncio.shield`.
 */
export function shield<A extends Awaitable<any> | Runnable<any>>(
  awaitable: A,
  options?: Abortable,
): Future<Awaited<A>> {
  const signal = options?.signal;
  checkSignal('shield', signal);
  const inner = ensureFuture(awaitable) as Future<Awaited<A>>;
  if (inner.done() && !signal?.aborted) return inner;
  const outer = new Future<Awaited<A>>(inner.loop);
  const innerDone = new InnerDone(outer, signal);
  inner.addListener(innerDone);
  outer.addListener(new OuterDone(inner, innerDone));
  if (signal !== undefined) failOnAbort(outer, signal);
  return outer;
}
