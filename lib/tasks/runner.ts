/**
 * Runner: several main coroutines, one after the other, on a loop of their own.
 *
 * Decision. asyncio's Runner, with promises where it blocks. Tasks that a main coroutine leaves
 * behind stay, and go on while the next one runs; `close()` cancels them.
 */
import { RuntimeError } from '../errors.js';
import { type Context, copyContext } from '../loop/context.js';
import type { Clock, Runnable } from '../types.js';
import { isYieldable, notRunnable } from './coroutine.js';
import { allTasks } from './current-task.js';
import { EventLoop } from './event-loop.js';
import { cancelAll, reportFailures, reportUnretrieved } from './shutdown.js';

/** What a `Runner` can be told. */
export interface RunnerOptions {
  debug?: boolean;
  /** Time for tests. */
  clock?: Clock;
  /** Makes the loop; else `new EventLoop({ debug, clock })`. */
  loopFactory?: () => EventLoop;
}

/** Runs coroutines one after the other on an isolated loop. Counterpart: `asyncio.Runner`. */
export class Runner {
  private state: 'created' | 'initialized' | 'closed' = 'created';
  private loop: EventLoop | null = null;
  private context: Context | null = null;

  constructor(private readonly options: RunnerOptions = {}) {}

  /** The runner's loop, made on first use. @throws RuntimeError if the runner is closed */
  getLoop(): EventLoop {
    this.initialize();
    return this.loop!;
  }

  /**
   * Runs a coroutine to its end. Every `run()` of a runner has the same context.
   *
   * @param main - a `function*`, a generator object or an async function
   * @param options - `context`: another context; `name`: of the main task
   * @returns a promise of what `main` returns; it rejects with what `main` throws, or with what
   *   left the loop, or with a RuntimeError if the loop was stopped before
   */
  async run<T>(main: Runnable<T>, options: { context?: Context; name?: string } = {}): Promise<T> {
    if (typeof main !== 'function' && !isYieldable(main)) {
      throw new TypeError(`Runner.run: ${notRunnable(main)}`);
    }
    if (this.loop?.isRunning()) {
      throw new RuntimeError('Runner.run() cannot be called from a running event loop');
    }
    const loop = this.getLoop();
    const { name, context = this.context! } = options;
    const task = loop.createTask(main, name === undefined ? { context } : { context, name });
    return loop.runUntilComplete<T>(task as never);
  }

  /**
   * Cancels what is still running, waits for it, and closes the loop. Closing twice is no error.
   */
  async close(): Promise<void> {
    if (this.state !== 'initialized') return;
    const loop = this.loop!;
    try {
      await this.cancelTasks(loop);
      // Where asyncio shuts asynchronous generators and the default executor down: callbacks that
      // are left over get the iterations they get there.
      await loop.runUntilComplete(loop.createTask(nothing, { name: 'shutdown_asyncgens' }));
      await loop.runUntilComplete(loop.createTask(nothing, { name: 'shutdown_default_executor' }));
    } finally {
      for (const scope of loop.scopes) reportUnretrieved(scope);
      loop.close();
      this.loop = null;
      this.state = 'closed';
    }
  }

  /** `await using runner = new Runner()` */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private async cancelTasks(loop: EventLoop): Promise<void> {
    const tasks = [...allTasks(loop)];
    if (tasks.length === 0) return;
    await loop.runUntilComplete(cancelAll(tasks));
    reportFailures(loop, tasks);
  }

  private initialize(): void {
    if (this.state === 'closed') throw new RuntimeError('Runner is closed');
    if (this.state === 'initialized') return;
    const { debug, clock, loopFactory } = this.options;
    this.loop =
      loopFactory?.() ??
      new EventLoop({
        ...(debug === undefined ? {} : { debug }),
        ...(clock === undefined ? {} : { clock }),
      });
    this.context = copyContext();
    this.state = 'initialized';
  }
}

function* nothing(): Generator<unknown, void, any> {}
