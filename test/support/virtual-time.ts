/**
 * Tests without waiting: a clock that jumps straight to the next timer.
 *
 * Facts. A loop with a clock never waits; when nothing is ready and no timer is armed it asks
 * `select(Infinity)` again and again, because promises and sockets may still wake it.
 * Decision. Such a loop may spin for a while, then the test fails instead of hanging.
 */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';

import { type Clock, type ExceptionContext, type Runnable, Runner } from 'ringloop';

/** How long nothing may happen, in real milliseconds. */
const PATIENCE_MS = 5000;

export class JumpingClock implements Clock {
  private timeMs = 0;
  private idleSinceMs = 0;

  now(): number {
    return this.timeMs;
  }

  select(timeout: number): void {
    if (timeout !== Infinity) {
      this.timeMs += timeout;
      this.idleSinceMs = 0;
      return;
    }
    const now = performance.now();
    this.idleSinceMs ||= now;
    if (now - this.idleSinceMs > PATIENCE_MS) throw new Error('the test waits for nothing');
  }
}

/**
 * Runs a test on a loop of its own, in virtual time. It fails if the loop has errors to report that
 * the test did not ask for.
 */
export async function withVirtualTime<T>(main: Runnable<T>): Promise<T> {
  const runner = new Runner({ clock: new JumpingClock() });
  const reports: ExceptionContext[] = [];
  runner.getLoop().setExceptionHandler((report) => void reports.push(report));
  let result: T;
  try {
    result = await runner.run(main);
  } finally {
    await runner.close();
  }
  assert.deepEqual(reports, []);
  return result;
}
