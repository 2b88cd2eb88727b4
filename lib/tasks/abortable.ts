/**
 * `{ signal }`: ending one wait from outside.
 *
 * Facts. `task.cancel()` ends whatever the task waits for; an AbortSignal means one operation.
 * Decision. An iterator around the operation's own, which remembers the future that is being waited
 * for. On abort that future fails with the signal's reason, so the operation cleans up as for any
 * other error, and a cancellation of the task still comes first.
 * Invariants. The futures are the operation's own: nobody else waits for them. The listener is gone
 * when the operation is over.
 */
import type { Yieldable } from '../types.js';
import { ignoreAbort, listenToAbort } from './abort-signal.js';
import { checkSignal } from './check-signal.js';
import { Coroutine } from './coroutine.js';
import { Future } from './future.js';
import { RESUMED } from './future-status.js';

/** What every waiting function can be told. */
export interface Abortable {
  /** Ends the wait early: it throws the signal's reason, and has taken nothing. */
  signal?: AbortSignal;
}

class AbortableSteps<T> implements Iterator<unknown, T, any> {
  private current: Future<unknown> | null = null;
  private delivered = false;
  private readonly onAbort = (): void => this.abort();

  constructor(
    private readonly signal: AbortSignal,
    private readonly steps: Iterator<unknown, T, any>,
  ) {}

  next(received?: unknown): IteratorResult<unknown, T> {
    if (received !== RESUMED) {
      this.signal.throwIfAborted();
      listenToAbort(this.signal, this.onAbort);
    }
    return this.follow(() => this.steps.next(received));
  }

  throw(error: unknown): IteratorResult<unknown, T> {
    return this.follow(() => this.steps.throw!(error));
  }

  return(value: T): IteratorResult<unknown, T> {
    ignoreAbort(this.signal, this.onAbort);
    return this.steps.return?.(value) ?? { value, done: true };
  }

  private follow(step: () => IteratorResult<unknown, T>): IteratorResult<unknown, T> {
    let result: IteratorResult<unknown, T> | null = null;
    try {
      result = step();
    } finally {
      if (result === null || result.done) {
        ignoreAbort(this.signal, this.onAbort);
      }
    }
    this.current = !result.done && result.value instanceof Future ? result.value : null;
    if (!result.done && this.signal.aborted) this.abort();
    return result;
  }

  private abort(): void {
    const { current, delivered } = this;
    if (delivered || current === null || current.done()) return;
    this.delivered = true;
    current.fail(this.signal.reason);
  }
}

/**
 * @internal An operation that a signal can end.
 * @throws TypeError if the signal is none
 */
export function abortable<T>(
  name: string,
  options: Abortable | undefined,
  operation: Yieldable<T>,
): Coroutine<T> {
  const signal = options?.signal;
  if (signal === undefined) return operation as Coroutine<T>;
  checkSignal(name, signal);
  return new Coroutine(new AbortableSteps(signal, operation[Symbol.iterator]()));
}

/** @internal Settles a future of our own with the reason of a signal, unless it is done before. */
export function failOnAbort(future: Future<any>, signal: AbortSignal): void {
  const abort = (): void => {
    if (!future.done()) future.fail(signal.reason);
  };
  if (signal.aborted) {
    abort();
    return;
  }
  listenToAbort(signal, abort);
  future.addListener({ settled: () => ignoreAbort(signal, abort) });
}
