/**
 * retry: again, after a while, if it may help.
 *
 * Decision. Exponential backoff with full jitter: the delay is a random part of what it would be,
 * so that those who failed together do not come back together. Cancellation is no failure: it ends
 * the retrying, also in the middle of a delay, and also if what the block throws then is another
 * error: `fetch` and the like have their own.
 */
import { isCancelledError, isExit, show } from '../errors.js';
import type { Abortable } from '../tasks/abortable.js';
import { checkOptions, underSignal } from '../tasks/cancel-scope.js';
import { Coroutine, callBody } from '../tasks/coroutine.js';
import { currentTask } from '../tasks/current-task.js';
import { sleep } from '../tasks/sleep.js';
import type { Awaitable } from '../types.js';

/** What `retry` can be told. */
export interface RetryOptions extends Abortable {
  /** How often it is tried at most; default 5. */
  attempts?: number;
  /** Milliseconds before the second try; default 100. */
  delayMs?: number;
  /** By how much the delay grows each time; default 2. */
  factor?: number;
  /** Milliseconds of a delay at most; default 30,000. */
  delayMaxMs?: number;
  /** Which part of the delay is random: 0: none, 1 (the default): all of it. */
  jitter?: number;
  /** Whether an error is worth another try; default: every error is. */
  retryIf?: (error: unknown, attempt: number) => boolean;
  /** Chance, from 0 to 1; for tests. */
  random?: () => number;
}

type Settings = Required<Omit<RetryOptions, 'signal'>>;

const DEFAULTS: Settings = {
  attempts: 5,
  delayMs: 100,
  factor: 2,
  delayMaxMs: 30_000,
  jitter: 1,
  retryIf: () => true,
  random: Math.random,
};

function delayAfter(attempt: number, settings: Settings): number {
  const { delayMs, factor, delayMaxMs, jitter, random } = settings;
  // Zero times infinity is no number.
  const fullMs = delayMs === 0 ? 0 : Math.min(delayMaxMs, delayMs * factor ** (attempt - 1));
  const part = 1 - jitter * random();
  return part === 0 ? 0 : fullMs * part;
}

function* retrySteps<T>(
  body: (attempt: number) => Awaitable<T>,
  settings: Settings,
): Generator<unknown, T, any> {
  const task = currentTask()!;
  const cancellingBefore = task.cancelling();
  for (let attempt = 1; ; attempt++) {
    try {
      return yield* callBody(body, task, attempt);
    } catch (error) {
      const cancelled = isCancelledError(error) || task.cancelling() > cancellingBefore;
      const final = cancelled || isExit(error) || attempt >= settings.attempts;
      if (final || !settings.retryIf(error, attempt)) throw error;
    }
    yield* sleep(delayAfter(attempt, settings));
  }
}

/**
 * Runs a block until it succeeds, a number of times at most.
 *
 * @param body - a generator function or an async function; it gets the number of the try, from 1
 * @param options - see `RetryOptions`; `signal` ends it, whatever it is doing
 * @returns when awaited, what `body` returns
 * @throws TypeError or RangeError if an argument is wrong; when awaited: the error of the last try,
 *   one that `retryIf` refuses, CancelledError, the reason of the signal
 */
export function retry<T>(
  body: (attempt: number) => Awaitable<T>,
  options: RetryOptions = {},
): Coroutine<T> {
  if (typeof body !== 'function') {
    throw new TypeError(`retry: body must be a function, got ${show(body)}`);
  }
  checkOptions('retry', options);
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const settings: Settings = { ...DEFAULTS, ...Object.fromEntries(given) };
  checkSettings(settings);
  return new Coroutine(underSignal('retry', options.signal, retrySteps(body, settings)));
}

function checkSettings(settings: Settings): void {
  for (const name of ['attempts', 'delayMs', 'factor', 'delayMaxMs', 'jitter'] as const) {
    const value = settings[name];
    if (typeof value !== 'number' || Number.isNaN(value)) {
      throw new TypeError(`retry: ${name} must be a number, got ${show(value)}`);
    }
    const whole = name !== 'attempts' || value === Infinity || Number.isInteger(value);
    const min = name === 'attempts' ? 1 : 0;
    const max = name === 'jitter' ? 1 : Infinity;
    if (value < min || value > max || !whole) {
      throw new RangeError(`retry: ${name} is out of range: ${value}`);
    }
  }
  for (const name of ['retryIf', 'random'] as const) {
    if (typeof settings[name] === 'function') continue;
    throw new TypeError(`retry: ${name} must be a function, got ${show(settings[name])}`);
  }
}
