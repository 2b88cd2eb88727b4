/**
 * Waiting: one wait for a lock, a permit, an item.
 *
 * Facts. asyncio's `acquire`, `get` and `wait` are coroutines that wait for a future of their own:
 * two objects, and a generator's frame to step through.
 * Decision. One object is the coroutine, the future it waits for and the entry in the list of those
 * who wait. What it waits for is an `Operation`, asked three times: when the wait begins, when it
 * was woken, and when it ended by an error. The class is the same for all, so that whatever handles
 * futures sees one shape.
 * Invariants. It is in a list from `begin()` until it is woken, fails or is cancelled, and has been
 * told; `woken()` and `abandoned()` are called at most once each time it was settled.
 *
 *   next() -> begin() --- true ----------------------------------------> done, `value`
 *                |  false: in a list
 *                v
 *            [ waiting ] -- settled --> step -- woken() --- true -------> done, `value`
 *                ^                               |  false: in a list again
 *                +-------------------------------+
 *            [ waiting ] -- cancelled, failed --> throw() -- abandoned() -> the error goes on
 */
import { RuntimeError } from '../errors.js';
import type { Coroutine } from './coroutine.js';
import { Future } from './future.js';
import {
  BEGUN,
  BLOCKING,
  DONE_MASK,
  FINISHED,
  FUTURE_BRAND,
  PENDING,
  RESUMED,
} from './future-status.js';
import { awaitSteps } from './promise-bridge.js';
import { located } from './swallowed-cancel.js';
import type { WaitList } from './wait-list.js';

/** Something that can be waited for. */
export interface Operation {
  /** true: no need to wait, and `value` is the result. Otherwise `waiting` is in a list. */
  begin(waiting: Waiting<any>): boolean;
  /** Somebody settled `waiting`. true: `value` is the result. Otherwise it is in a list again. */
  woken(waiting: Waiting<any>): boolean;
  /**
   * An error is thrown where `waiting` is awaited: a cancellation, or the reason of a signal.
   * Returns true if the wait had come to its end before: then its result stands, and the error is
   * put off until the next wait.
   */
  abandoned(waiting: Waiting<any>): boolean;
}

/** A wait, and what `yield*` and `await` take. */
export class Waiting<T> extends Future<T> {
  /** The list it is in. */
  list: WaitList | null = null;
  /** The one before it in the list. */
  previous: Waiting<any> | null = null;
  /** The one behind it in the list. */
  following: Waiting<any> | null = null;

  /** @param result - `value` before the operation sets it: what `begin` takes, or the result */
  constructor(
    readonly operation: Operation,
    result: unknown,
  ) {
    super();
    this.value = result;
  }

  override next(received?: unknown): IteratorResult<unknown, T> {
    if (received !== RESUMED) {
      if ((this.status & BEGUN) !== 0) {
        throw new RuntimeError('cannot reuse already awaited coroutine');
      }
      this.status |= BEGUN;
      if (this.operation.begin(this)) return { value: this.value as T, done: true };
    } else if ((this.status & DONE_MASK) === FINISHED) {
      if (this.operation.woken(this)) return { value: this.value as T, done: true };
    }
    this.status = (this.status & ~DONE_MASK) | PENDING | BLOCKING;
    return { value: this, done: false };
  }

  override throw(error: unknown): never {
    if (this.operation.abandoned(this)) {
      putOff(error);
      return { value: this.value, done: true } as never;
    }
    throw located(error);
  }

  override return(value: T): IteratorResult<unknown, T> {
    if ((this.status & BEGUN) !== 0) this.operation.abandoned(this);
    return { value, done: true };
  }

  // biome-ignore lint/suspicious/noThenProperty: being awaitable is the purpose
  override then<A = T, B = never>(
    onResult?: ((value: T) => A | PromiseLike<A>) | null,
    onError?: ((error: any) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return awaitSteps(this as unknown as Coroutine<T>, this as never, onResult, onError);
  }

  /** Whether it still waits for its turn: not woken, not cancelled. */
  waits(): boolean {
    return (this.status & DONE_MASK) === PENDING;
  }

  /** Whether it was woken, and its task has not run since. */
  wasWoken(): boolean {
    return (this.status & DONE_MASK) === FINISHED;
  }

  /** Wakes it: its task goes on in the next iteration. */
  wake(value: unknown): void {
    this.settle(FINISHED, value);
  }
}
Object.defineProperty(Waiting.prototype, FUTURE_BRAND, { value: 'coroutine' });

let putOffInTask: (error: unknown) => void;

/** A cancellation that came too late for one wait is thrown at the task's next one. */
export function putOff(error: unknown): void {
  putOffInTask(error);
}

/** Set by task.ts, which stands above this file. */
export function setPutOff(how: (error: unknown) => void): void {
  putOffInTask = how;
}
