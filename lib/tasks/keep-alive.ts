/**
 * keepAlive: holds the process although nothing that is referenced is left.
 *
 * Decision. A timer of the thread's loop, too far away to fire. It is released when a reason to
 * hold the process may be gone. If there is another one, `beforeExit` comes again, and so does it.
 */
import type { Handle } from '../loop/handle.js';
import { threadLoop } from './current-loop.js';

/** Some thousand years. */
const FAR_MS = 2 ** 45;

class KeepAlive {
  private handle: Handle | null = null;

  take(): void {
    this.handle ??= threadLoop().callLater(FAR_MS, () => {});
  }

  release(): void {
    this.handle?.cancel();
    this.handle = null;
  }
}

/** @internal The thread's. */
export const keepAlive = new KeepAlive();
