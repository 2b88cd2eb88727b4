/** createTask: the everyday way to make a task. */
import type { Awaited, Runnable } from '../types.js';
import { currentLoop } from './current-loop.js';
import type { Task, TaskOptions } from './task.js';

/**
 * Runs a coroutine concurrently, as a task of the current loop.
 *
 * @param runnable - a generator object, a `function*`, or a function that returns a promise; a
 *   function is called when the task takes its first step
 * @param options - `name`, `context`, `eagerStart`
 * @throws TypeError if it cannot be run
 *
 * Order: tasks start in the next iteration, in the order in which they were made. The task lives
 * on without being referenced; inside a `run()` it is cancelled when that ends. Counterpart:
 * `asyncio.create_task`.
 */
export function createTask<R extends Runnable<any>>(
  runnable: R,
  options?: TaskOptions,
): Task<Awaited<R>> {
  return currentLoop().createTask(runnable, options);
}
