/**
 * TaskGroup: tasks that live and fail together.
 *
 * Facts. asyncio's `async with TaskGroup()` sees how its block ended; JavaScript's `await using`
 * does not.
 * Decision. The block is a function: `taskGroup(body)`. The object form has `enter()` and
 * `exit(error)`. asyncio's rules, line for line.
 */
import { ExceptionGroup, isCancelledError, isExit, RuntimeError, show } from '../errors.js';
import type { Awaitable, Awaited, Runnable } from '../types.js';
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
  private exiting = false;
  private aborting = false;
  private parentCancelRequested = false;
  private allDone: Future<void> | null = null;
  private exitError: { value: unknown } | null = null;

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
    const task = getRunningLoop().createTask(runnable, options);
    this.tasks.add(task);
    task.addListener({ settled: (done: Task<any>) => this.taskDone(done) });
    return task;
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
    if (error !== undefined && !this.aborting) this.abort();
    while (this.tasks.size > 0) {
      this.allDone ??= new Future<void>(this.parent!.loop);
      try {
        yield* this.allDone;
      } catch (problem) {
        if (!isCancelledError(problem)) throw problem;
        if (!this.aborting) {
          propagate = { value: problem };
          this.abort();
        }
      }
      this.allDone = null;
    }
    if (this.exitError !== null) throw this.exitError.value;
    if (this.parentCancelRequested && this.parent!.uncancel() === 0) propagate = null;
    if (propagate !== null && this.errors.length === 0) throw propagate.value;
    if (error !== undefined && !cancelled) this.errors.push(error.value);
    if (this.errors.length > 0) this.raiseErrors();
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

  private taskDone(task: Task<any>): void {
    this.tasks.delete(task);
    if (this.allDone !== null && this.tasks.size === 0 && !this.allDone.done()) {
      this.allDone.settle(FINISHED, undefined);
    }
    if (task.cancelled()) return;
    const error = task.exception();
    if (error === null) return;
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
    this.parentCancelRequested = true;
    this.parent!.cancel();
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
