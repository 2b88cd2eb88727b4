/**
 * The tasks that belong together: those of one `run()`, or those of a loop that no `run()` owns.
 *
 * Facts. asyncio keeps weak references, so a task nobody holds may vanish in the middle.
 * Decision. A scope holds every pending task, in the order of creation, through links in the tasks
 * themselves: joining and leaving cost no allocation.
 * Invariants. A task is in exactly one scope while it is pending, in none afterwards.
 */
import type { Task } from './task.js';
import type { Unretrieved } from './unretrieved.js';

/** The pending tasks of one `run()`, or those that no `run()` owns. */
export class Scope {
  size = 0;
  /** Errors of tasks that ended without a waiter: looked through when the scope is over. */
  readonly unretrieved = new Set<Unretrieved>();
  private first: Task<unknown> | null = null;
  private last: Task<unknown> | null = null;

  add(task: Task<unknown>): void {
    task.previous = this.last;
    task.following = null;
    if (this.last === null) this.first = task;
    else this.last.following = task;
    this.last = task;
    this.size++;
  }

  remove(task: Task<unknown>): void {
    const { previous, following } = task;
    if (previous === null) this.first = following;
    else previous.following = following;
    if (following === null) this.last = previous;
    else following.previous = previous;
    task.previous = task.following = null;
    this.size--;
  }

  /** The pending tasks, in the order of creation. */
  tasks(): Task<unknown>[] {
    const tasks: Task<unknown>[] = [];
    for (let task = this.first; task !== null; task = task.following) tasks.push(task);
    return tasks;
  }
}
