/** failAfter: a block with a time limit that is an error. */
import { TimeoutError } from '../errors.js';
import {
  type CancelScope,
  type CancelScopeOptions,
  checkBody,
  type ScopeBody,
  scopeSteps,
} from './cancel-scope.js';
import { Coroutine } from './coroutine.js';
import { scopeFor } from './move-on-after.js';

function* failAfterSteps<T>(scope: CancelScope, body: ScopeBody<T>): Generator<unknown, T, any> {
  const result = yield* scopeSteps(scope, body);
  if (scope.cancelledCaught) throw new TimeoutError('', { cause: scope.reason });
  return result as T;
}

/**
 * Runs a block for some time at most; then it is cancelled, and throws a TimeoutError. Unlike
 * `timeout`, the block stays cancelled until it is left.
 *
 * @param delayMs - milliseconds from now; `Infinity`: no limit (yet: set `scope.deadline`)
 * @param body - a generator function or an async function; it gets the scope
 * @param options - `shield`, `reason`, `signal`
 * @returns when awaited, what `body` returns
 * @throws TypeError if an argument has the wrong type; when awaited: TimeoutError, also if somebody
 *   else cancelled the scope; what `body` throws
 *
 * Order: as `cancelScope`. Counterpart: `trio.fail_after`.
 */
export function failAfter<T>(
  delayMs: number,
  body: ScopeBody<T>,
  options?: Omit<CancelScopeOptions, 'deadline'>,
): Coroutine<T> {
  checkBody('failAfter', body);
  return new Coroutine(failAfterSteps(scopeFor('failAfter', delayMs, options), body));
}
