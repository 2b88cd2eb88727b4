/** Which task is running, and which tasks there are. */
import { taskOfFlow } from '../loop/async-context.js';
import { state } from '../loop/state.js';
import { currentLoop } from './current-loop.js';
import type { EventLoop } from './event-loop.js';
import type { Task } from './task.js';

/**
 * The task whose code is running: in a generator coroutine the one that drives it, in an async
 * function the one it belongs to, also after awaits of foreign promises.
 *
 * @returns null in a callback, and outside any task. Counterpart: `asyncio.current_task`.
 */
export function currentTask(): Task<unknown> | null {
  const task = state.loop === null ? taskOfFlow() : state.task;
  return (task as Task<unknown> | undefined) ?? null;
}

/**
 * Every task of a loop that is not done.
 *
 * @param loop - the current one if left out
 * @returns in the order of creation, one `run()` after the other. Counterpart: `asyncio.all_tasks`.
 */
export function allTasks(loop: EventLoop = currentLoop()): Set<Task<unknown>> {
  return new Set([...loop.scopes].flatMap((scope) => scope.tasks()));
}
