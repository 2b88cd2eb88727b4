/**
 * EventLoop: the scheduler with futures, tasks, and a beginning and an end.
 *
 * Facts. asyncio's `run_forever` blocks; in Node nothing may. The thread's own loop is a guest that
 * the whole program shares.
 * Decision. `runForever()` returns a promise. The thread's loop runs from the start and cannot be
 * stopped; a `new EventLoop()` runs when it is told to, as in asyncio.
 */
import { type DeadlockError, isExit, RuntimeError, show } from '../errors.js';
import type { SchedulerOptions } from '../loop/dispatcher.js';
import { Scheduler } from '../loop/scheduler.js';
import { state } from '../loop/state.js';
import type { Awaited, Runnable } from '../types.js';
import type { Coroutine } from './coroutine.js';
import { currentLoop, setThreadLoopFactory } from './current-loop.js';
import { currentTask } from './current-task.js';
import { expectProgress, noLongerPending, type Stuck } from './deadlock.js';
import { ensureFuture } from './ensure-future.js';
import { Future, isFuture } from './future.js';
import { resultForPromise, setTaskWrapper } from './promise-bridge.js';
import { pendingResult } from './promised-result.js';
import { Scope } from './scope.js';
import { Task, type TaskOptions } from './task.js';

/** Makes the tasks of a loop. Counterpart: what `loop.set_task_factory` takes. */
export type TaskFactory = (
  loop: EventLoop,
  runnable: Runnable<any>,
  options: TaskOptions,
) => Task<any>;

/** A `runForever()` that is under way. */
interface Running {
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** What `runUntilComplete` waits for. Other tasks of the loop stay, as in every end of it. */
class StuckFuture implements Stuck {
  deadlock: DeadlockError | null = null;
  readonly scope: Scope;

  constructor(
    private readonly loop: EventLoop,
    private readonly awaited: () => Future<unknown>,
  ) {
    this.scope = loop.ambient;
  }

  cancelForDeadlock(error: DeadlockError): void {
    this.deadlock ??= error;
    this.awaited().cancel(this.deadlock);
  }

  giveUp(): void {
    this.loop.interrupt();
  }
}

/**
 * An event loop. Most programs never make one: `run()` uses the thread's. Counterpart:
 * `asyncio.AbstractEventLoop`.
 */
export class EventLoop extends Scheduler {
  /** @internal Tasks that no run() owns. */
  readonly ambient = new Scope();
  /** @internal */
  readonly scopes = new Set<Scope>([this.ambient]);
  private taskFactory: TaskFactory | null = null;
  private current: Running | null = null;

  /**
   * @param options - `clock`: time for tests; `debug`: as RINGLOOP_DEBUG=1 for this loop
   * @throws the system's error (EMFILE) if the kernel has no file descriptors left
   */
  constructor(options?: SchedulerOptions) {
    super(options);
  }

  /** A future of this loop. Counterpart: `loop.create_future`. */
  createFuture<T = unknown>(): Future<T> {
    return new Future<T>(this);
  }

  /**
   * Makes a task: its coroutine takes its first step in the next iteration.
   *
   * @param runnable - a generator object, or a function that returns a coroutine or a promise
   * @param options - `name`, `context`, `eagerStart`
   * @throws TypeError if it cannot be run; RuntimeError if the loop is closed
   *
   * Order: tasks start in the order in which they were made. Counterpart: `loop.create_task`.
   */
  createTask<R extends Runnable<any>>(runnable: R, options?: TaskOptions): Task<Awaited<R>> {
    if (this.isClosed()) this.checkOpen();
    if (this.taskFactory !== null) {
      return this.taskFactory(this, runnable, options ?? {}) as Task<Awaited<R>>;
    }
    return new Task<Awaited<R>>(runnable, this, this.currentScope(), options);
  }

  /**
   * Replaces how tasks are made.
   *
   * @param factory - called for each task, or null for the default; `eagerTaskFactory` is one
   */
  setTaskFactory(factory: TaskFactory | null): void {
    if (factory !== null && typeof factory !== 'function') {
      throw new TypeError(`setTaskFactory: expected a function or null, got ${show(factory)}`);
    }
    this.taskFactory = factory;
  }

  /** The factory that was set, or null. */
  getTaskFactory(): TaskFactory | null {
    return this.taskFactory;
  }

  /** @internal The scope a task joins that is made now. */
  currentScope(): Scope {
    const task = currentTask();
    return task === null || task.loop !== this || task.done() ? this.ambient : task.scope;
  }

  /**
   * Runs callbacks until `stop()`.
   *
   * @returns a promise that resolves when the loop has stopped; it rejects with what left the loop
   *   (SystemExit, KeyboardInterrupt)
   * @throws RuntimeError if it is running already, or closed
   */
  runForever(): Promise<void> {
    this.checkIdle();
    const stopped = new Promise<void>((resolve, reject) => {
      this.current = { resolve, reject };
    });
    this.startRunning();
    return stopped;
  }

  /**
   * Runs callbacks until a future is done.
   *
   * @param awaitable - a future, or what can be made a task
   * @returns a promise of its result; it rejects with a RuntimeError if the loop was stopped
   *   before, and with a DeadlockError, after the future was cancelled, if nothing is left that
   *   could settle it
   */
  async runUntilComplete<T>(awaitable: Future<T> | Runnable<T>): Promise<T> {
    this.checkIdle();
    if (isFuture(awaitable) && awaitable.loop !== this) {
      throw new RangeError('runUntilComplete: the future belongs to a different loop');
    }
    const future = isFuture(awaitable)
      ? (awaitable as Future<T>)
      : (this.createTask(awaitable) as Task<T>);
    let last: Future<unknown> = future;
    const stop = (): void => {
      // What leaves the loop has stopped it already.
      if (!last.cancelled() && isExit(last.exception())) return;
      const next = pendingResult(last);
      if (next === null) {
        this.requestStop();
        return;
      }
      last = ensureFuture(next, { loop: this });
      last.addDoneCallback(stop);
    };
    future.addDoneCallback(stop);
    const stuck = new StuckFuture(this, () => last);
    expectProgress(stuck);
    try {
      await this.runForever();
    } catch (error) {
      if (future.done() && !future.cancelled()) future.exception();
      throw error;
    } finally {
      noLongerPending(stuck);
      last.removeDoneCallback(stop);
    }
    if (stuck.deadlock !== null) throw stuck.deadlock;
    if (!last.done()) throw new RuntimeError('Event loop stopped before Future completed.');
    return resultForPromise(last) as T;
  }

  /** @internal Stops it, whatever it waits for. */
  interrupt(): void {
    this.requestStop();
  }

  private checkIdle(): void {
    this.checkOpen();
    if (this.isRunning()) throw new RuntimeError('This event loop is already running');
  }

  /**
   * Ends `runForever()` after the current iteration. What is queued by then stays queued.
   *
   * @throws RuntimeError on the thread's own loop, which belongs to everybody
   */
  stop(): void {
    if (state.threadLoop === this) {
      throw new RuntimeError("the thread's event loop is shared and cannot be stopped");
    }
    this.requestStop();
  }

  /**
   * Drops what is queued and gives the file descriptors back. Closing twice is no error.
   *
   * @throws RuntimeError if the loop is running, or is the thread's own
   */
  close(): void {
    if (this.isClosed()) return;
    if (this.isRunning()) throw new RuntimeError('Cannot close a running event loop');
    this.closeCore();
  }

  /** `using loop = new EventLoop()` */
  [Symbol.dispose](): void {
    this.close();
  }

  protected override stopped(error?: { value: unknown }): void {
    const { current } = this;
    this.current = null;
    if (state.threadLoop === this) {
      // Nobody waits for the end of the thread's loop. It goes on, and what left it ends the
      // process unless the process says otherwise.
      this.startRunning();
      if (error !== undefined) throw error.value;
      return;
    }
    if (error === undefined) current?.resolve();
    else current?.reject(error.value);
  }

  /** Its state, for messages. Counterpart: `repr(loop)`. */
  override toString(): string {
    return `<EventLoop running=${this.isRunning()} closed=${this.isClosed()} debug=${this.debug}>`;
  }

  /** @internal */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return String(this);
  }

  /** @internal The thread's loop runs from the start. */
  static forThread(): EventLoop {
    const loop = new EventLoop();
    loop.startRunning();
    return loop;
  }
}

setThreadLoopFactory(() => EventLoop.forThread());
setTaskWrapper(<T>(coroutine: Coroutine<T>) => currentLoop().createTask(coroutine) as Task<T>);
