/**
 * Errors that nobody looked at: reported once, when their future can no longer be reached.
 *
 * Facts. asyncio reports from the destructor. JavaScript has FinalizationRegistry, which runs some
 * time after a garbage collection, or never before the process ends.
 * Decision. What is to be reported is kept apart from the future, so that it does not keep it
 * alive. The report comes when the future is collected, when the `run()` it belonged to is over, or
 * when the process exits, whichever is first.
 * Cost. Only futures that fail without a waiter pay.
 */
import type { Scheduler } from '../loop/scheduler.js';

/** One error to report. */
export class Unretrieved {
  constructor(
    private readonly loop: Scheduler,
    private readonly message: string,
    private readonly error: unknown,
    private readonly createdAt?: string,
  ) {}

  /** @internal Whoever owned the future looked at the error: there is nothing to report. */
  static retrieved(future: object): void {
    const entry = entries.get(future);
    if (entry !== undefined) waiting.delete(entry);
    registry.unregister(future);
  }

  /** Reports it, unless it was looked at or reported before. */
  report(): void {
    if (!waiting.delete(this)) return;
    const { message, error, createdAt } = this;
    this.loop.callExceptionHandler({
      message,
      exception: error,
      ...(createdAt === undefined ? {} : { createdAt }),
    });
  }
}

const waiting = new Set<Unretrieved>();
const entries = new WeakMap<object, Unretrieved>();
const registry = new FinalizationRegistry<Unretrieved>((entry) => entry.report());
let reportsAtExit = false;

/** Has `entry` reported once `future` is gone. */
export function watchUnretrieved(future: object, entry: Unretrieved): void {
  if (!reportsAtExit) {
    reportsAtExit = true;
    process.once('exit', () => {
      for (const left of waiting) left.report();
    });
  }
  waiting.add(entry);
  entries.set(future, entry);
  registry.register(future, entry, future);
}

/** @internal The entry of a future, if its error was never looked at. */
export function unretrievedOf(future: object): Unretrieved | undefined {
  return entries.get(future);
}
