/** eagerTaskFactory: tasks that take their first step at once. */
import type { Runnable } from '../types.js';
import type { EventLoop } from './event-loop.js';
import { Task, type TaskOptions } from './task.js';

/**
 * For `loop.setTaskFactory`: every task takes its first step inside `createTask`, if the loop is
 * running. One that never waits is done when `createTask` returns, and costs no iteration; the order
 * of effects changes. Counterpart: `asyncio.eager_task_factory`.
 */
export function eagerTaskFactory(
  loop: EventLoop,
  runnable: Runnable<any>,
  options: TaskOptions,
): Task<any> {
  return new Task(runnable, loop, loop.currentScope(), { eagerStart: true, ...options });
}
