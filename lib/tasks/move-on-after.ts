/** moveOnAfter: a block with a time limit that is no error. */
import { show } from '../errors.js';
import {
  CancelScope,
  type CancelScopeOptions,
  checkBody,
  checkOptions,
  type ScopeBody,
  scopeSteps,
} from './cancel-scope.js';
import { Coroutine } from './coroutine.js';
import { currentLoop } from './current-loop.js';

/** @internal A scope with a deadline. */
export function scopeFor(name: string, delayMs: number, options?: CancelScopeOptions): CancelScope {
  if (typeof delayMs !== 'number' || Number.isNaN(delayMs)) {
    throw new TypeError(`${name}: time must be a number of milliseconds, got ${show(delayMs)}`);
  }
  if (options !== undefined) checkOptions(name, options);
  return new CancelScope({ ...options, deadline: currentLoop().time() + delayMs });
}

/**
 * Runs a block for some time at most; then it is cancelled, and what follows goes on.
 *
 * @param delayMs - milliseconds from now; `Infinity`: no limit (yet: set `scope.deadline`)
 * @param body - a generator function or an async function; it gets the scope
 * @param options - `shield`, `reason`, `signal`
 * @returns when awaited, what `body` returns; undefined if time was up: see `scope.cancelledCaught`
 * @throws TypeError if an argument has the wrong type; when awaited: what `body` throws
 *
 * Order: as `cancelScope`; nothing inside runs on afterwards. Counterpart: `trio.move_on_after`.
 */
export function moveOnAfter<T>(
  delayMs: number,
  body: ScopeBody<T>,
  options?: Omit<CancelScopeOptions, 'deadline'>,
): Coroutine<T | undefined> {
  checkBody('moveOnAfter', body);
  return new Coroutine(scopeSteps(scopeFor('moveOnAfter', delayMs, options), body));
}
