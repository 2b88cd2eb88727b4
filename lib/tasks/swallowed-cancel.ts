/**
 * Debug mode: a cancelled task that swallowed its CancelledError and waits again.
 *
 * Facts. `catch (e) {}` catches a cancellation, too. Waiting once more is right in a `finally`, and
 * nothing tells the two apart at that moment; how the task ends does.
 * Decision. A task that waits again after its cancellation is watched. It is reported when it ends
 * with a result, or is still running a second later; not when it ends cancelled or failed, or takes
 * the cancellation back with `uncancel()`. In debug mode a CancelledError has a stack, made where
 * it is thrown in, so that the report names the line of the await.
 */
import { guarded, isCancelledError } from '../errors.js';
import type { Handle } from '../loop/handle.js';
import { state } from '../loop/state.js';
import type { Task } from './task.js';

const PATIENCE_MS = 1000;
const OWN_FRAMES = __dirname.replace(/tasks$/, '');

/** Called where an error is thrown into a coroutine: says so in the stack, in debug mode. */
export function located(error: unknown): unknown {
  if (!state.loop?.debug || !isCancelledError(error)) return error;
  guarded(() => Error.captureStackTrace(error, located), undefined); // it may be frozen
  return error;
}

function lineOf(error: unknown): string | undefined {
  const stack = guarded(() => String((error as Error).stack), '');
  const frames = stack.split('\n').slice(1);
  return frames.find((frame) => !frame.includes(OWN_FRAMES) && !frame.includes('node:'))?.trim();
}

/** Watches one task from its first wait after a cancellation to its end. */
export class SwallowedCancel {
  private readonly line: string | undefined;
  private readonly patience: Handle;

  constructor(
    private readonly task: Task<unknown>,
    error: unknown,
  ) {
    this.line = lineOf(error);
    this.patience = task.loop.callLater(PATIENCE_MS, () => this.report('is still running'));
    this.patience.unref();
  }

  /** The task has ended with a result. */
  swallowed(): void {
    if (!this.patience.cancelled()) this.report('has ended with a result');
  }

  /** The task has ended otherwise, or `uncancel()` was called. */
  over(): void {
    this.patience.cancel();
  }

  private report(what: string): void {
    this.patience.cancel();
    const where = this.line === undefined ? '' : ` ${this.line}`;
    console.warn(
      `ringloop: task ${JSON.stringify(this.task.name)} was cancelled${where}, swallowed the ` +
        `CancelledError and waited again without uncancel(); it ${what}`,
    );
  }
}
