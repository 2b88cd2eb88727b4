/** The two factories: tasks that start in the next iteration, and tasks that start at once. */
import type { Runnable } from '../types.js';
import type { EventLoop } from './event-loop.js';
import { Task, type TaskOptions } from './task.js';

/**
 * What makes tasks when no factory is set: for factories that add to it. Counterpart: calling
 * `asyncio.Task`.
 */
export function defaultTaskFactory(
  loop: EventLoop,
  runnable: Runnable<any>,
  options: TaskOptions,
): Task<any> {
  return new Task(runnable, loop, loop.currentScope(), options);
}

/**
 * For `loop.setTaskFactory`: every task takes its first step inside `createTask`, if the loop is
 * running. One that never waits is done when `createTask` returns, and costs no iteration; the
 * order of effects changes. Counterpart: `asyncio.eager_task_factory`.
 */
export function eagerTaskFactory(
  loop: EventLoop,
  runnable: Runnable<any>,
  options: TaskOptions,
): Task<any> {
  return defaultTaskFactory(loop, runnable, { eagerStart: true, ...options });
}
