/**
 * run: from ordinary Node code into a coroutine, and back with a promise.
 *
 * Facts. A blocking run cannot exist in Node: promises would not drain. One program has many
 * entries (every HTTP request is one) and one thread.
 * Decision. Any number of `run()`s share the thread's loop. Each is a root scope: the tasks it
 * made, directly or through other tasks, are cancelled and awaited before its promise settles. A
 * run that nothing can wake is ended in the same way, and rejects.
 * Invariants. When the promise settles, the scope has no task left, unless nothing can wake one,
 * nor any cancellation end it.
 *
 *   run(main) -- task "main" -- child -- grandchild
 *      ^             | ends: cancel child, grandchild; wait for them
 *      +-------------+ settle
 */
import type { DeadlockError } from '../errors.js';
import type { Awaited, Runnable } from '../types.js';
import { ignoreAbort, listenToAbort } from './abort-signal.js';
import { checkSignal } from './check-signal.js';
import { isYieldable, notRunnable } from './coroutine.js';
import { threadLoop } from './current-loop.js';
import { expectProgress, noLongerPending, type Stuck } from './deadlock.js';
import { ensureFuture } from './ensure-future.js';
import type { EventLoop } from './event-loop.js';
import { resultForPromise } from './promise-bridge.js';
import { pendingResult } from './promised-result.js';
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

/**
 * Runs a coroutine on the thread's event loop.
 *
 * @param main - a `function*`, a generator object, or an async function
 * @param options - `signal`, `name`, `debug`
 * @returns a promise of what `main` returns. It settles when `main` and every task made in it have
 *   ended; those still running when `main` ends are cancelled.
 *
 * It rejects with what `main` throws; TypeError if `main` cannot be run; CancelledError if it was
 * cancelled; DeadlockError, after its tasks were cancelled, if the process has nothing left that
 * could wake it. A result that can itself be awaited is awaited, as part of `main`: a promise
 * cannot hold it.
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
  const run = new Run<Awaited<R>>(loop, main as Runnable<Awaited<R>>, name);
  const abort = (): void => run.cancel(signal!.reason);
  if (signal?.aborted) abort();
  else listenToAbort(signal, abort);
  try {
    return await run.outcome;
  } finally {
    ignoreAbort(signal, abort);
    if (debug) loop.leaveDebug();
  }
}

/** One `run()`, from its first task to its last. */
class Run<T> implements Stuck {
  readonly scope = new Scope();
  readonly outcome: Promise<T>;
  private main!: Task<any>;
  private deadlock: DeadlockError | null = null;
  private resolve!: (result: T) => void;
  private reject!: (error: unknown) => void;

  constructor(
    private readonly loop: EventLoop,
    main: Runnable<T>,
    private readonly name: string,
  ) {
    this.outcome = new Promise<T>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    loop.scopes.add(this.scope);
    this.follow(main);
    expectProgress(this);
  }

  cancel(reason: unknown): void {
    this.main.cancel(reason);
  }

  /** As at every end, main first: a second cancellation would cut short what cleans up. */
  cancelForDeadlock(error: DeadlockError, refuses: boolean): void {
    this.deadlock ??= error;
    const { main } = this;
    const mainHears = !main.done() && main.awaiting().length > 0 && !refuses;
    for (const task of mainHears ? [main] : this.scope.tasks()) task.cancel(this.deadlock);
  }

  giveUp(): void {
    this.settle();
  }

  private follow(main: Runnable<any>): void {
    this.main = new Task(main, this.loop, this.scope, { name: this.name });
    this.main.addDoneCallback(() => this.mainDone());
  }

  private mainDone(): void {
    const { main, scope, loop } = this;
    // A deadlock is what is told; what went wrong in cleaning up is reported.
    if (this.deadlock !== null) reportFailures(loop, [main]);
    else if (!main.cancelled()) main.retrieve();
    const next = pendingResult(main);
    if (next !== null) {
      this.follow(awaited(next));
    } else if (scope.size === 0) {
      reportUnretrieved(scope);
      this.settle();
    } else {
      // Not a task of the scope itself: it has to outlive all of them.
      const closing = new Task<void>(closeScope(loop, scope), loop, loop.ambient);
      closing.addDoneCallback(() => this.settle());
    }
  }

  private settle(): void {
    noLongerPending(this);
    this.loop.scopes.delete(this.scope);
    this.loop.requestDrain();
    if (this.deadlock !== null) this.reject(this.deadlock);
    else if (this.main.failed()) this.reject(this.main.takeError());
    else this.resolveWith(this.main);
  }

  private resolveWith(main: Task<T>): void {
    try {
      this.resolve(resultForPromise(main));
    } catch (error) {
      this.reject(error);
    }
  }
}

function* awaited(result: PromiseLike<unknown>): Generator<unknown, unknown, any> {
  return yield* ensureFuture(result);
}

/** Waits until the scope is empty; tasks that are made meanwhile are cancelled, too. */
function* closeScope(loop: EventLoop, scope: Scope): Generator<unknown, void, any> {
  for (let tasks = scope.tasks(); tasks.length > 0; tasks = scope.tasks()) {
    yield* cancelAll(tasks);
    reportFailures(loop, tasks);
  }
  reportUnretrieved(scope);
}
