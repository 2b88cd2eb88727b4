/**
 * DeadlockError: a `run()` that nothing can wake any more.
 *
 * Facts. A pending run() holds nothing open by itself: what it waits for does (a timer, a socket, a
 * request). Node emits `beforeExit` when nothing is left; a program would then just end, silently.
 * Other listeners of `beforeExit` may still begin something. Signals of the system and AbortSignals
 * hold nothing open either, and may come: asyncio waits for them.
 * Decision. When all listeners have had their say twice, and still nothing is left, the youngest
 * run() is ended, and says who waited for whom. The others may go on now: what cleans up frees
 * locks, and who awaits another run() hears of its end. Its tasks are cancelled as often as the
 * process runs dry again, for a `finally` may wait, too. Where a signal may come, the process is
 * kept alive.
 * Cost. What cannot be cancelled (it waits again and again, or for a foreign promise) is given up
 * after a while, and may go on one day.
 */
import { constants } from 'node:os';
import { isMainThread } from 'node:worker_threads';

import { DeadlockError } from '../errors.js';
import { abortIsAwaited } from './abort-signal.js';
import { threadLoop } from './current-loop.js';
import type { Future } from './future.js';
import { isFuture } from './future.js';
import { keepAlive } from './keep-alive.js';
import type { Scope } from './scope.js';
import { Task } from './task.js';

/** @internal What is waited for by somebody outside: a `run()`. */
export interface Stuck {
  readonly scope: Scope;
  /**
   * Cancels its tasks; called again if they wait again. In the end it rejects with an error.
   *
   * @param refuses - whether it was called so often that some task seems to refuse
   */
  cancelForDeadlock(error: DeadlockError, refuses: boolean): void;
  /** That was of no use: rejects at once. */
  giveUp(): void;
}

/** What was cancelled so often without coming to an end never will. */
const CANCELS_MAX = 100;
/** Work of others may come up in a tick of a tick of a promise: after that many it has shown. */
const QUIET_ROUNDS = 2;

/** How often each was cancelled, the youngest last. */
const pending = new Map<Stuck, number>();
/** How often in a row there was nothing left. */
let quietRounds = 0;

function onBeforeExit(): void {
  process.nextTick(() => queueMicrotask(() => process.nextTick(() => queueMicrotask(lookAround))));
}

function lookAround(): void {
  if (threadLoop().processIsAlive()) {
    quietRounds = 0;
    return;
  }
  if (++quietRounds === QUIET_ROUNDS) {
    quietRounds = 0;
    if (abortIsAwaited() || systemSignalIsAwaited()) keepAlive.take();
    else endYoungest();
  }
  // One turn more, and `beforeExit` comes again.
  threadLoop().callSoon(() => {});
}

function endYoungest(): void {
  const youngest = [...pending].at(-1);
  if (youngest === undefined) return;
  const [run, cancels] = youngest;
  pending.set(run, cancels + 1);
  if (cancels === CANCELS_MAX) run.giveUp();
  else run.cancelForDeadlock(deadlockOf(run), cancels >= CANCELS_MAX / 2);
}

function deadlockOf(run: Stuck): DeadlockError {
  const waits = describeWaits(run.scope);
  return new DeadlockError(
    `nothing is left that could wake this run(); who waits for whom:\n${waits}`,
  );
}

/** Workers hear of no signals. */
function systemSignalIsAwaited(): boolean {
  return isMainThread && process.eventNames().some(isSystemSignal);
}

function isSystemSignal(name: string | symbol): boolean {
  return typeof name === 'string' && Object.hasOwn(constants.signals, name);
}

function onListenerRemoved(name: string | symbol): void {
  if (isSystemSignal(name)) keepAlive.release();
}

/** @internal From now on `run` is told if the process runs dry. */
export function expectProgress(run: Stuck): void {
  if (pending.size === 0) {
    process.on('beforeExit', onBeforeExit);
    if (isMainThread) process.on('removeListener', onListenerRemoved);
  }
  pending.set(run, 0);
}

/** @internal It has come to its end. */
export function noLongerPending(run: Stuck): void {
  pending.delete(run);
  keepAlive.release();
  if (pending.size > 0) return;
  process.off('beforeExit', onBeforeExit);
  process.off('removeListener', onListenerRemoved);
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
