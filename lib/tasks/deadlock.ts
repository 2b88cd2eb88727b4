/**
 * DeadlockError: a `run()` that nothing can wake any more.
 *
 * Facts. A pending run() holds nothing open by itself: what it waits for does (a timer, a socket, a
 * request). Node emits `beforeExit` when nothing is left; a program would then just end, silently.
 * Decision. On `beforeExit` every run() that is still pending rejects, and says who waits for whom.
 */
import { DeadlockError } from '../errors.js';
import type { Future } from './future.js';
import { isFuture } from './future.js';
import type { Scope } from './scope.js';
import { Task } from './task.js';

interface Pending {
  scope: Scope;
  reject: (error: DeadlockError) => void;
}

const pending = new Set<Pending>();

function onBeforeExit(): void {
  for (const { scope, reject } of [...pending]) {
    reject(
      new DeadlockError(
        `nothing is left that could wake this run(); who waits for whom:\n${describeWaits(scope)}`,
      ),
    );
  }
  pending.clear();
  process.off('beforeExit', onBeforeExit);
}

/** @internal From now on `reject` is called if the process runs dry, until `over()`. */
export function expectProgress(
  scope: Scope,
  reject: (error: DeadlockError) => void,
): { over: () => void } {
  const entry = { scope, reject };
  if (pending.size === 0) process.on('beforeExit', onBeforeExit);
  pending.add(entry);
  return {
    over(): void {
      pending.delete(entry);
      if (pending.size === 0) process.off('beforeExit', onBeforeExit);
    },
  };
}

/** @internal One line for each task: what it waits for. */
export function describeWaits(scope: Scope): string {
  return scope.tasks().map(describeTask).join('\n');
}

function describeTask(task: Task<unknown>): string {
  const futures = task.awaiting();
  if (futures.length === 0) return `  ${task.name} waits for a promise outside of ringloop`;
  return `  ${task.name} waits for ${futures.map(describeFuture).join(' and ')}`;
}

function describeFuture(future: Future<unknown>): string {
  if (future instanceof Task) return `task ${future.name}`;
  const { children } = future as { children?: Future<unknown>[] };
  if (children === undefined || !children.every(isFuture)) return 'a future that nobody settles';
  const left = children.filter((child) => !child.done()).map((child) => describeFuture(child));
  return `gather(${left.join(', ')})`;
}
