/** An option that must be an AbortSignal, or left out. */
import { show } from '../errors.js';

/** @internal @throws TypeError if `signal` is given and cannot be listened to */
export function checkSignal(name: string, signal: AbortSignal | undefined): void {
  if (signal === undefined) return;
  const { aborted, addEventListener } = (signal ?? {}) as AbortSignal;
  if (typeof aborted === 'boolean' && typeof addEventListener === 'function') return;
  throw new TypeError(`${name}: signal must be an AbortSignal, got ${show(signal)}`);
}
