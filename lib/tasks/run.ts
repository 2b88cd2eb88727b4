/**
 * run: from ordinary Node code into a coroutine, and back with a promise.
 *
 * Facts. A blocking run cannot exist in Node: promises would not drain. One program has many
 * entries (every HTTP request is one) and one thread.
 * Decision. Any number of `run()`s share the thread's loop. Each is a root scope: the tasks it
 * made,
 * directly or through other tasks, are cancelled and awaited before its promise settles.
 * Invariants. When the promise settles, the scope has no task left.
 *
 *   run(main) -- task "main" -- child -- grandchild
 *      ^             | ends: cancel child, grandchild; wait for them
 *      +-------------+ settle
 */
import type { DeadlockError } from '../errors.js';
import type { Awaited, Runnable } from '../types.js';
import { checkSignal } from './check-signal.js';
import { isYieldable, notRunnable } from './coroutine.js';
import { threadLoop } from './current-loop.js';
import { expectProgress } from './deadlock.js';
import type { EventLoop } from './event-loop.js';
import { Scope } from './scope.js';
import { cancelAll, reportFailures, reportUnretrieved } from './shutdown.js';
import { Task } from './task.js';

/** What `run` can be told. */
export interface RunOptions {
  /** Cancels the main task; the promise rejects with a CancelledError that has the reason. */
  signal?: AbortSignal;
  /** The name of the main task. */
  name?: string;
  /** Turns the loop's debug mode on for as long as this runs. */
  debug?: boolean;
}

/** Waits until the scope is empty; tasks that are made meanwhile are cancelled, too. */
function* closeScope(loop: EventLoop, scope: Scope): Generator<unknown, void, any> {
  for (let tasks = scope.tasks(); tasks.length > 0; tasks = scope.tasks()) {
    yield* cancelAll(tasks);
    reportFailures(loop, tasks);
  }
  reportUnretrieved(scope);
}

/**
 * Runs a coroutine on the thread's event loop.
 *
 * @param main - a `function*`, a generator object, or an async function
 * @param options - `signal`, `name`, `debug`
 * @returns a promise of what `main` returns. It settles when `main` and every task made in it have
 *   ended; those still running when `main` ends are cancelled.
 *
 * It rejects with what `main` throws; TypeError if `main` cannot be run; CancelledError if it was
 * cancelled; DeadlockError if the process has nothing left that could wake it.
 *
 * Order: `main` starts in the next iteration of the loop, after the calling code. Counterpart:
 * `asyncio.run`, which blocks, and makes a loop of its own each time.
 */
export async function run<R extends Runnable<any>>(
  main: R,
  options: RunOptions = {},
): Promise<Awaited<R>> {
  if (typeof main !== 'function' && !isYieldable(main)) {
    throw new TypeError(`run: ${notRunnable(main)}`);
  }
  const { signal, name = 'main', debug = false } = options;
  checkSignal('run', signal);
  const loop = threadLoop();
  if (debug) loop.enterDebug();
  const scope = new Scope();
  loop.scopes.add(scope);
  const task = new Task<Awaited<R>>(main as Runnable<Awaited<R>>, loop, scope, { name });
  const abort = (): void => void task.cancel(signal!.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort);
  try {
    return await settled(task, loop, scope);
  } finally {
    signal?.removeEventListener('abort', abort);
    loop.scopes.delete(scope);
    if (debug) loop.leaveDebug();
  }
}

/** The outcome of the main task, once its scope is empty. */
function settled<T>(task: Task<T>, loop: EventLoop, scope: Scope): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const progress = expectProgress(scope, reject as (error: DeadlockError) => void);
    const settle = (): void => {
      progress.over();
      loop.requestDrain();
      if (task.failed()) reject(task.takeError());
      else resolve(task.value as T);
    };
    task.addDoneCallback(() => {
      if (!task.cancelled()) task.retrieve();
      if (scope.size === 0) {
        reportUnretrieved(scope);
        settle();
        return;
      }
      // Not a task of the scope itself: it has to outlive all of them.
      const closing = new Task<void>(closeScope(loop, scope), loop, loop.ambient);
      closing.addDoneCallback(settle);
    });
  });
}
