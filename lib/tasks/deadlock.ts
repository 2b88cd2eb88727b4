/**
 * DeadlockError: a `run()` that nothing can wake any more.
 *
 * Facts. A pending run() holds nothing open by itself: what it waits for does (a timer, a socket, a
 * request). Node emits `beforeExit` when nothing is left; a program would then just end, silently.
 * Other listeners of `beforeExit` may still begin something. Signals of the system and AbortSignals
 * hold nothing open either, and may come: asyncio waits for them.
 * Decision. On `beforeExit`, when all listeners have had their say and still nothing is left, every
 * run() that is pending is ended, and says who waits for whom. Where a signal may come, the process
 * is kept alive until the loop has something to do; then it is asked again.
 */
import { isMainThread } from 'node:worker_threads';

import { DeadlockError } from '../errors.js';
import { abortIsAwaited } from './abort-signal.js';
import { threadLoop } from './current-loop.js';
import type { Future } from './future.js';
import { isFuture } from './future.js';
import type { Scope } from './scope.js';
import { Task } from './task.js';

/** @internal A `run()` that is pending. */
export interface Stuck {
  readonly scope: Scope;
  /** Ends its tasks, and rejects; if it was told before, it rejects at once. */
  nothingCanWakeIt(error: DeadlockError): void;
}

const pending = new Set<Stuck>();

function onBeforeExit(): void {
  if (abortIsAwaited() || systemSignalIsAwaited()) threadLoop().keepProcessAlive();
  else afterOtherListeners(endThoseWhoWait);
}

/** What the others do may go through ticks and promises. */
function afterOtherListeners(then: () => void): void {
  process.nextTick(() => queueMicrotask(() => process.nextTick(() => queueMicrotask(then))));
}

function endThoseWhoWait(): void {
  if (threadLoop().processIsAlive()) return;
  for (const run of [...pending]) {
    const waits = describeWaits(run.scope);
    run.nothingCanWakeIt(
      new DeadlockError(
        `nothing is left that could wake this run(); who waits for whom:\n${waits}`,
      ),
    );
  }
  // Who waits for a foreign promise cannot be cancelled: in that case the question comes again.
  threadLoop().callSoon(() => {});
}

/** Workers hear of no signals. */
function systemSignalIsAwaited(): boolean {
  return isMainThread && process.eventNames().some((name) => /^SIG[A-Z]/.test(String(name)));
}

/** @internal From now on `run` is told if the process runs dry. */
export function expectProgress(run: Stuck): void {
  if (pending.size === 0) process.on('beforeExit', onBeforeExit);
  pending.add(run);
}

/** @internal It has come to its end. */
export function noLongerPending(run: Stuck): void {
  pending.delete(run);
  if (pending.size === 0) process.off('beforeExit', onBeforeExit);
}

/** @internal One line for each task: what it waits for. */
export function describeWaits(scope: Scope): string {
  return scope.tasks().map(describeTask).join('\n');
}

function describeTask(task: Task<unknown>): string {
  const futures = task.awaiting();
  if (futures.length === 0) return `  ${task.name} waits for a promise outside of ringloop`;
  const what = futures.map((future) => describeFuture(future));
  return `  ${task.name} waits for ${what.join(' and ')}`;
}

/** Gathers of gathers are shown so deep. */
const DEPTH_MAX = 5;

function describeFuture(future: Future<unknown>, depth = 0): string {
  if (future instanceof Task) return `task ${future.name}`;
  const { children } = future as { children?: Future<unknown>[] };
  if (children === undefined || !children.every(isFuture)) return 'a future that nobody settles';
  const left = children
    .filter((child) => !child.done())
    .map((child) => (depth === DEPTH_MAX ? '...' : describeFuture(child, depth + 1)));
  return `gather(${left.join(', ')})`;
}
