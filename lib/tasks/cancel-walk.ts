/**
 * Cancelling what a task waits for, which may be another task, and so on.
 *
 * Facts. Ten thousand tasks can wait for one another in a chain, and two of them in a circle.
 * Passing a cancellation on by calling would need a stack as deep as the chain.
 * Decision. A walk, depth first: a task that is told while one is under way is visited later. Where
 * the walk comes to a task whose own wait it is in the middle of cancelling, there is a circle, and
 * nothing that could be cancelled: the task that closes it is thrown the error itself.
 * Invariants. Nothing is left when the outermost call returns. A wait whose `cancel` throws keeps
 * nothing else from being cancelled.
 *
 *   cancel A -> visit A -> B.cancel -> visit B -> A.cancel: a circle -> B leaves its wait for A
 */
import type { Driver } from './driver.js';
import type { Future } from './future.js';
import type { Task } from './task.js';

/** A task whose wait is to be cancelled; or, on the way back, one that has been visited. */
interface Visit {
  readonly task: Task<unknown>;
  readonly request: unknown;
  readonly leaving: boolean;
}

const stack: Visit[] = [];
/** What the visit under way has found, in order. */
const found: Visit[] = [];
/** Tasks from the first one to the one that is being visited. */
const path = new Set<Task<unknown>>();
let walking = false;
let circle = false;
/** Code of users runs in the middle of a walk: what it cancels is a request of its own. */
let aside = false;

/** @internal Whether cancelling `task` would go round; the driver that asks leaves its wait. */
export function closesCircle(task: Task<unknown>): boolean {
  if (path.size === 0 || aside || !path.has(task)) return false;
  circle = true;
  return true;
}

/** @internal Aborts a task's signal, whose listeners may cancel anything, the walk's tasks too. */
export function abortAside(controller: AbortController, reason: unknown): void {
  const before = aside;
  aside = true;
  controller.abort(reason);
  aside = before;
}

/** @internal Cancels what `task` waits for, now or later in the walk that is under way. */
export function cancelWaitOf(task: Task<unknown>, request: unknown): void {
  found.push({ task, request, leaving: false });
  if (walking) return;
  walking = true;
  let failure: { error: unknown } | null = null;
  while (stack.length > 0 || found.length > 0) {
    while (found.length > 0) stack.push(found.pop()!);
    try {
      visit(stack.pop()!);
    } catch (error) {
      circle = false;
      failure ??= { error };
    }
  }
  walking = false;
  if (failure !== null) throw failure.error;
}

function visit({ task, request, leaving }: Visit): void {
  if (leaving) {
    path.delete(task);
    return;
  }
  path.add(task);
  stack.push({ task, request, leaving: true });
  task.cancelWait(request);
}

/** @internal Cancels what a driver waits for; out of a circle, it is taken out of it. */
export function cancelWaiter(driver: Driver, request: unknown, error: () => unknown): boolean {
  const waiter = driver.waiter as Future<unknown> | null;
  if (waiter === null) return false;
  const cancelled = waiter.cancel(request);
  if (!circle) return cancelled;
  circle = false;
  leaveWait(driver);
  driver.task.loop.scheduleStep({ step: () => driver.resume(true, error()) });
  return true;
}

/** @internal From now on the driver waits for nothing; the outcome may have no other waiter. */
export function leaveWait(driver: Driver): void {
  const waiter = driver.waiter as Future<unknown> | null;
  driver.waiter = null;
  waiter?.release(driver);
}
