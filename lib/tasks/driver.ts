/**
 * What a coroutine may yield, and what its driver then waits for.
 *
 * Facts. Two things drive coroutines: a Task, and an `await` inside an async-function task (see
 * promise-bridge.ts). Both must treat a yielded value alike, and as asyncio's Task.__step does.
 * Decision. One function for both. A future: wait. Nothing: the next iteration. A native promise
 * in a `NativeAwait`: go on when it settles, within the same step if it can. Anything else is
 * a mistake, and the coroutine gets asyncio's error in the next iteration.
 */
import { guarded, isMarked, makeCancelledError, RuntimeError, show } from '../errors.js';
import type { Steppable } from '../loop/dispatcher.js';
import type { Future } from './future.js';
import { BLOCKING, FUTURE_BRAND, IN_CANCEL_SCOPE } from './future-status.js';
import type { Task } from './task.js';

/** What can be waited for: cancelling it wakes whoever waits. */
export interface Cancellable {
  /** Returns false if it was done already. */
  cancel(reason?: unknown): boolean;
}

/** Something that drives a coroutine on behalf of a task. */
export interface Driver extends Steppable {
  readonly task: Task<unknown>;
  /** What it waits for: a future or, in a task, the awaits of its async functions. */
  waiter: Cancellable | null;
  /** Goes on with a value or an error, as one step of the task; a pending cancel comes first. */
  resume(throwing: boolean, value: unknown): void;
  /** Goes on with the outcome of a promise, as part of the step that settled it. */
  resumeInStep(throwing: boolean, value: unknown): void;
}

/**
 * @internal Yielded to wait for a promise of code that runs inside this very task, such as the body
 * of `timeout(ms, async () => ...)`. It takes no iteration, and what cancels the task reaches the
 * awaits in there.
 */
export class NativeAwait {
  constructor(readonly promise: PromiseLike<unknown>) {}
}
const NATIVE_AWAIT = Symbol.for('ringloop.NativeAwait');
Object.defineProperty(NativeAwait.prototype, NATIVE_AWAIT, { value: true });

/** Arranges for `driver` to go on when what its coroutine yielded allows it. */
export function waitForYielded(driver: Driver, yielded: unknown): void {
  if (yielded === undefined || yielded === null) yieldOnce(driver);
  else if (isMarked(yielded, FUTURE_BRAND)) waitForFuture(driver, yielded as Future<unknown>);
  else if (isMarked(yielded, NATIVE_AWAIT)) waitForNative(driver, yielded as NativeAwait);
  else throwLater(driver, badYield(driver.task, yielded));
}

/** A bare yield: there is no future that a cancelled scope could cancel. */
function yieldOnce(driver: Driver): void {
  const { task } = driver;
  const cancellation = (task.status & IN_CANCEL_SCOPE) === 0 ? null : task.scopeCancellation();
  if (cancellation === null) task.loop.scheduleStep(driver);
  else throwLater(driver, makeCancelledError(cancellation));
}

/** The most common case of `waitForYielded`, for callers that have checked. */
export function waitForFuture(driver: Driver, future: Future<unknown>): void {
  const { task } = driver;
  try {
    const mistake = mistakeIn(task, future);
    future.status &= ~BLOCKING;
    if (mistake !== null) throw new RuntimeError(mistake);
    future.addStepper(driver);
  } catch (error) {
    throwLater(driver, error); // the mistake, or what a Proxy around a future throws
    return;
  }
  driver.waiter = future;
  task.deliverPendingCancel(future);
}

/** Why a task cannot wait for this future, or null. */
function mistakeIn(task: Task<unknown>, future: Future<unknown>): string | null {
  if (future.loop !== task.loop) {
    return `Task ${task} got Future ${show(future)} attached to a different loop`;
  }
  if ((future.status & BLOCKING) === 0) {
    return `yield was used instead of yield* in task ${task} with ${show(future)}`;
  }
  return (future as unknown) === task ? `Task cannot await on itself: ${task}` : null;
}

function badYield(task: Task<unknown>, yielded: unknown): RuntimeError {
  const has = (name: 'next' | 'then'): boolean =>
    guarded(() => typeof (yielded as Record<string, unknown>)[name] === 'function', false);
  if (has('next')) {
    return new RuntimeError(`yield was used instead of yield* for generator in task ${task}`);
  }
  const hint = has('then') ? '; use yield* until(promise)' : '';
  return new RuntimeError(`Task got bad yield: ${show(yielded)}${hint}`);
}

/** Throws an error into the coroutine, in the next iteration. */
function throwLater(driver: Driver, error: unknown): void {
  driver.task.loop.scheduleStep({ step: () => driver.resume(true, error) });
}

function waitForNative(driver: Driver, { promise }: NativeAwait): void {
  const { loop } = driver.task;
  loop.requestDrain();
  const settled = (throwing: boolean, value: unknown): void => {
    // Between two parts of an iteration this is still the step that caused it. Otherwise something
    // outside the loop did, and the loop goes on by itself.
    if (!loop.inDrain) {
      loop.scheduleStep({ step: () => driver.resumeInStep(throwing, value) });
      return;
    }
    try {
      driver.resumeInStep(throwing, value);
    } catch (error) {
      loop.leaveWith(error);
    }
  };
  promise.then(
    (value) => settled(false, value),
    (error) => settled(true, error),
  );
}
