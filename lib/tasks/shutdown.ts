/** Ending the tasks of a scope: cancel them, wait for them, report what went wrong. */
import type { EventLoop } from './event-loop.js';
import { gather } from './gather.js';
import type { Scope } from './scope.js';
import type { Task } from './task.js';

/** Cancels tasks in their order and returns what waits until all of them have ended. */
export function cancelAll(tasks: Task<unknown>[]) {
  for (const task of tasks) cancelOrReport(task);
  return gather(tasks, { returnExceptions: true });
}

/** A task whose `cancel` throws, as only somebody else's can, must not keep the others from it. */
function cancelOrReport(task: Task<unknown>): void {
  try {
    task.cancel();
  } catch (exception) {
    task.loop.callExceptionHandler({ message: `${task} cannot be cancelled`, exception, task });
  }
}

/** Tells the exception handler about tasks that did not end quietly. */
export function reportFailures(loop: EventLoop, tasks: Task<unknown>[]): void {
  for (const task of tasks) {
    if (task.cancelled() || !task.failed()) continue;
    loop.callExceptionHandler({
      message: 'unhandled exception during run() shutdown',
      exception: task.exception(),
      task,
    });
  }
}

/** Reports the errors of a scope's tasks that nobody looked at. */
export function reportUnretrieved(scope: Scope): void {
  for (const entry of scope.unretrieved) entry.report();
  scope.unretrieved.clear();
}
