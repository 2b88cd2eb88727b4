/**
 * detached: an operation that no task of the program waits for.
 *
 * Facts. Streams of Node and of the web call from anywhere: from a tick, from a promise, or, when a
 * coroutine calls `stream.read()`, from the middle of somebody's task. What was awaited there would
 * join that task's `run()`, and be cancelled with it.
 * Decision. Every operation is a task of its own that belongs to the loop and to no `run()`. Its
 * outcome is told in a tick of Node's: outside of our tasks, so that an error in somebody's
 * listener is Node's, as everywhere in Node.
 * Invariants. `done` is called once, never before `detached` has returned. Nothing is reported.
 */
import { makeCancelledError, RuntimeError } from '../errors.js';
import type { EventLoop } from '../tasks/event-loop.js';
import { Task } from '../tasks/task.js';
import type { Yieldable } from '../types.js';

/** How an operation ended. */
type Outcome<T> = { value: T } | { error: unknown };

/** What is told: `failed` says which of the two. */
export type Told<T> = (failed: boolean, value: T, error: any) => void;

function* outcomeOf<T>(operation: Yieldable<T>): Generator<unknown, Outcome<T>, any> {
  try {
    return { value: yield* operation };
  } catch (error) {
    return { error };
  }
}

function tell<T>(told: Told<T>, outcome: Outcome<T>): void {
  if ('error' in outcome) process.nextTick(told, true, undefined, outcome.error);
  else process.nextTick(told, false, outcome.value, undefined);
}

/**
 * @internal Starts an operation at once.
 *
 * @returns what cancels it; null if the loop is closed
 */
export function detached<T>(
  loop: EventLoop,
  operation: Yieldable<T>,
  told: Told<T>,
): Task<unknown> | null {
  if (loop.isClosed()) {
    tell(told, { error: new RuntimeError('Event loop is closed') });
    return null;
  }
  const task = new Task(outcomeOf(operation), loop, loop.ambient, { eagerStart: true });
  if (task.done()) {
    tell(told, task.result());
    loop.requestDrain();
    return task as Task<unknown>;
  }
  task.addDoneCallback(() => {
    // Cancelled before it began, or with nobody left to tell.
    tell(told, task.cancelled() ? { error: makeCancelledError(undefined) } : task.result());
    loop.requestDrain();
  });
  return task as Task<unknown>;
}

/** @internal The same, as a promise. */
export function promised<T>(loop: EventLoop, operation: Yieldable<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    detached<T>(loop, operation, (failed, value, error) => {
      if (failed) reject(error);
      else resolve(value);
    });
  });
}
