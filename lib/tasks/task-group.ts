/**
 * TaskGroup: tasks that live and fail together.
 *
 * Facts. asyncio's `async with TaskGroup()` sees how its block ended; JavaScript's `await using`
 * does not.
 * Decision. The block is a function: `taskGroup(body)`. The object form has `enter()` and
 * `exit(error)`. asyncio's rules, line for line.
 */
import {
  type CancelledError,
  isCancelledError,
  isExit,
  makeCancelledError,
  RuntimeError,
  show,
} from '../errors.js';
import { ExceptionGroup } from '../exception-group.js';
import type { Awaitable, Awaited, Runnable } from '../types.js';
import { type CancelScope, outsideScopes } from './cancel-scope.js';
import { Coroutine, callBody } from './coroutine.js';
import { getRunningLoop } from './current-loop.js';
import { currentTask } from './current-task.js';
import { Future } from './future.js';
import { FINISHED } from './future-status.js';
import type { Task, TaskOptions } from './task.js';

/** Tasks of which the first failure cancels the others. Counterpart: `asyncio.TaskGroup`. */
export class TaskGroup {
  private readonly tasks = new Set<Task<any>>();
  private readonly errors: unknown[] = [];
  private parent: Task<unknown> | null = null;
  /** What it was entered in: it reaches the tasks, too. */
  private cancelScope: CancelScope | null = null;
  private cancellingBefore = 0;
  private exiting = false;
  private aborting = false;
  private parentCancelRequested = false;
  private allDone: Future<void> | null = null;
  private exitError: { value: unknown } | null = null;
  private cancelRequested = false;
  /** The last cancellation that came while it waited for its tasks. */
  private interruption: CancelledError | null = null;
  /** Those whose `start()` still waits: their errors are its errors. */
  private readonly starting = new Map<Task<any>, Future<any>>();

  /**
   * Begins the block.
   *
   * @throws RuntimeError if it was entered before, or there is no current task
   */
  enter(): this {
    if (this.parent !== null) throw new RuntimeError(`TaskGroup ${this} has already been entered`);
    this.parent = currentTask();
    if (this.parent === null) {
      throw new RuntimeError(`TaskGroup ${this} cannot determine the parent task`);
    }
    this.cancelScope = this.parent.cancelScope;
    this.cancellingBefore = this.parent.cancelling();
    if (this.cancelRequested) this.cancelParent();
    return this;
  }

  /**
   * Makes a task of the group.
   *
   * @param runnable - as for `createTask`
   * @throws RuntimeError before the block, after it, or when the group is shutting down
   */
  createTask<R extends Runnable<any>>(runnable: R, options?: TaskOptions): Task<Awaited<R>> {
    if (this.parent === null) throw new RuntimeError(`TaskGroup ${this} has not been entered`);
    if (this.exiting && this.tasks.size === 0) {
      throw new RuntimeError(`TaskGroup ${this} is finished`);
    }
    if (this.aborting) throw new RuntimeError(`TaskGroup ${this} is shutting down`);
    const { cancelScope } = this;
    const how = cancelScope === null ? options : { ...options, cancelScope };
    const task = getRunningLoop().createTask(runnable, how);
    cancelScope?.adopt(task); // if a task factory has dropped the option
    this.tasks.add(task);
    task.addListener({ settled: (done: Task<any>) => this.taskDone(done) });
    // Its eager first step may have ended the group, which did not know of it yet.
    if (this.aborting) task.cancel();
    return task;
  }

  /**
   * Makes a task of the group, and waits until it says that it is ready.
   *
   * @param body - a generator function or an async function; it gets `started`, which it calls once
   *   with what `start()` shall return
   * @param options - as for `createTask`
   * @returns when awaited, what `started` was called with
   * @throws TypeError if `body` is not a function; when awaited: what `body` throws before it is
   *   ready, RuntimeError if it ends before. Later errors are the group's.
   *
   * Order: one iteration after `started()`. Cancelling the wait cancels the task, and waits for it;
   * an error of the task is the group's then.
   * Counterpart: none in asyncio; `trio.Nursery.start`.
   */
  start<T>(
    body: (started: (value: T) => void) => Awaitable<unknown>,
    options?: TaskOptions,
  ): Coroutine<T> {
    if (typeof body !== 'function') {
      throw new TypeError(`start: body must be a function, got ${show(body)}`);
    }
    return new Coroutine(this.startSteps(body, options));
  }

  /**
   * Cancels the tasks of the group and its block; the group then ends without an error. It may be
   * called again, before the block, and afterwards.
   *
   * Counterpart: `TaskGroup.cancel` of Python 3.15.
   */
  cancel(): void {
    if (this.exiting && this.tasks.size === 0) return;
    this.cancelRequested = true;
    if (!this.aborting) this.abort();
    if (this.parent !== null && !this.parentCancelRequested) this.cancelParent();
  }

  /** The tasks that are not done, in the order in which they were made. */
  children(): Task<unknown>[] {
    return [...this.tasks].filter((task) => !task.done());
  }

  /** @internal Whether its tasks are being cancelled: it takes no more. */
  isEnding(): boolean {
    return this.aborting;
  }

  /**
   * Ends the block: waits for every task.
   *
   * @param error - `{ value }`: what left the block
   * @throws when awaited: ExceptionGroup of what went wrong; CancelledError if the parent was
   *   cancelled; SystemExit and KeyboardInterrupt as they are
   */
  exit(error?: { value: unknown }): Coroutine<void> {
    return new Coroutine(this.exitSteps(error));
  }

  /** For messages. */
  toString(): string {
    return '<TaskGroup>';
  }

  private *exitSteps(error?: { value: unknown }): Generator<unknown, void, any> {
    this.exiting = true;
    const cancelled = error !== undefined && isCancelledError(error.value);
    if (error !== undefined && isExit(error.value)) this.exitError ??= error;
    let propagate: { value: unknown } | null = cancelled ? error : null;
    if (error !== undefined && !this.aborting && !(cancelled && this.toldByScope())) this.abort();
    const waited = this.tasks.size > 0;
    if (waited) propagate = (yield* outsideScopes(this.childrenDone())) ?? propagate;
    if (this.exitError !== null) throw this.exitError.value;
    if (this.parentCancelRequested) propagate = this.withoutOwnRequest(propagate);
    if (propagate !== null && this.errors.length === 0) throw propagate.value;
    if (error !== undefined && !cancelled) this.errors.push(error.value);
    if (this.errors.length > 0) this.raiseErrors();
    const cancellation = waited ? this.parent!.scopeCancellation() : null;
    if (cancellation !== null) throw makeCancelledError(cancellation);
  }

  /**
   * Waits for the tasks. Scopes do not reach in here: they reach the tasks, and what those do in
   * a shield must not keep the parent spinning.
   *
   * @returns the cancellation that came meanwhile
   */
  private *childrenDone(): Generator<unknown, { value: unknown } | null, any> {
    let interrupted: { value: unknown } | null = null;
    while (this.tasks.size > 0) {
      this.allDone ??= new Future<void>(this.parent!.loop);
      try {
        yield* this.allDone;
      } catch (problem) {
        if (!isCancelledError(problem)) throw problem;
        this.interruption = problem;
        if (!this.aborting) {
          interrupted = { value: problem };
          this.abort();
        }
      }
      this.allDone = null;
    }
    return interrupted;
  }

  /**
   * Takes the group's own request back. `cancel()` ends in silence, but others may have cancelled
   * the parent, too, when the group was ending already: that must not be lost with it.
   */
  private withoutOwnRequest(propagate: { value: unknown } | null): { value: unknown } | null {
    const left = this.parent!.uncancel();
    if (left === 0) return null;
    if (!this.cancelRequested) return propagate;
    if (left <= this.cancellingBefore) return null;
    if (propagate !== null || this.interruption === null) return propagate;
    const { reason } = this.interruption;
    return { value: reason === undefined ? this.parent!.makeCancelledError() : this.interruption };
  }

  /**
   * Whether it is a scope that cancels the block. Then the tasks know it from the same scope, which
   * respects their shields; `abort()` would not.
   */
  private toldByScope(): boolean {
    const { cancelScope, cancellingBefore } = this;
    return (
      cancelScope !== null &&
      cancelScope.effective() !== null &&
      this.parent!.cancelling() <= cancellingBefore
    );
  }

  private raiseErrors(): never {
    // A cancellation from outside must not be lost: the next wait throws it again.
    if (this.parent!.cancelling() > 0) {
      this.parent!.uncancel();
      this.parent!.cancel();
    }
    throw new ExceptionGroup('unhandled errors in a TaskGroup', this.errors);
  }

  private abort(): void {
    this.aborting = true;
    for (const task of this.tasks) {
      if (!task.done()) task.cancel();
    }
  }

  private cancelParent(): void {
    this.parentCancelRequested = true;
    this.parent!.cancel();
  }

  private *startSteps<T>(
    body: (started: (value: T) => void) => Awaitable<unknown>,
    options?: TaskOptions,
  ): Generator<unknown, T, any> {
    const ready = new Future<T>();
    let task: Task<unknown> | null = null; // while it starts eagerly
    let called = false;
    const started = (value: T): void => {
      if (called) throw new RuntimeError('started() was called before');
      called = true;
      if (task !== null) this.starting.delete(task);
      if (!ready.done()) ready.settle(FINISHED, value);
    };
    task = this.createTask(() => body(started), options);
    if (!called) this.starting.set(task, ready);
    try {
      return yield* ready;
    } catch (error) {
      if (!task.done()) yield* outsideScopes(this.cancelAndWait(task));
      else if (ready.failed() && isCancelledError(error)) this.childFailed(task, ready.exception());
      throw error;
    }
  }

  /** Nobody waits for its readiness any more. A second cancellation does not change that. */
  private *cancelAndWait(task: Task<unknown>): Generator<unknown, void, any> {
    if (!this.aborting && !this.toldByScope()) task.cancel();
    while (!task.done()) {
      const done = new Future<void>();
      task.addListener({ settled: () => done.done() || done.settle(FINISHED, undefined) });
      try {
        yield* done;
      } catch (error) {
        if (!isCancelledError(error)) throw error;
      }
    }
  }

  /** The end of a task whose `start()` still waits. */
  private startFailed(task: Task<any>, ready: Future<any>): void {
    const error = task.failed()
      ? task.takeError()
      : new RuntimeError(`${task} ended without calling started()`);
    ready.fail(error);
  }

  private taskDone(task: Task<any>): void {
    this.tasks.delete(task);
    const ready = this.starting.get(task);
    if (this.allDone !== null && this.tasks.size === 0 && !this.allDone.done()) {
      this.allDone.settle(FINISHED, undefined);
    }
    this.starting.delete(task);
    if (ready !== undefined && !ready.done()) {
      this.startFailed(task, ready);
      return;
    }
    // Not `exception() !== null`: null may have been thrown.
    if (task.failed() && !task.cancelled()) this.childFailed(task, task.takeError());
  }

  private childFailed(task: Task<any>, error: unknown): void {
    if (isCancelledError(error)) return;
    this.errors.push(error);
    if (isExit(error)) this.exitError ??= { value: error };
    if (this.parent!.done()) {
      task.loop.callExceptionHandler({
        message: `Task ${task} has errored out but its parent ${this.parent} is already completed`,
        exception: error,
        task,
      });
      return;
    }
    if (this.aborting || this.parentCancelRequested) return;
    this.abort();
    this.cancelParent();
  }
}

function* groupSteps<T>(body: (group: TaskGroup) => Awaitable<T>): Generator<unknown, T, any> {
  const group = new TaskGroup().enter();
  let result: T;
  try {
    result = yield* callBody(body, currentTask()!, group);
  } catch (error) {
    yield* group.exit({ value: error });
    return undefined as never; // the group swallowed its own cancellation
  }
  yield* group.exit();
  return result;
}

/**
 * Runs a block that can make tasks, and waits for all of them. The first one that fails cancels the
 * others and the block.
 *
 * @param body - a generator function or an async function; it gets the group
 * @returns when awaited, what `body` returns
 * @throws TypeError if `body` is not a function; when awaited: ExceptionGroup of all errors;
 *   CancelledError if the task is cancelled; RuntimeError outside a task
 *
 * Order: the block is left two iterations after its last task has ended. Counterpart:
 * `asyncio.TaskGroup`.
 */
export function taskGroup<T>(body: (group: TaskGroup) => Awaitable<T>): Coroutine<T> {
  if (typeof body !== 'function') {
    throw new TypeError(`taskGroup: body must be a function, got ${show(body)}`);
  }
  return new Coroutine(groupSteps(body));
}
