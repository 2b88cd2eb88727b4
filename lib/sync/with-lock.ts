/** withLock: a block that holds something. */
import { show } from '../errors.js';
import { Coroutine, callBody } from '../tasks/coroutine.js';
import { currentTask } from '../tasks/current-task.js';
import type { Awaitable, Yieldable } from '../types.js';

/** What has `acquire` and `release`: Lock, Condition, Semaphore, BoundedSemaphore. */
export interface Acquirable {
  acquire(): Yieldable<unknown>;
  release(): void;
}

function* withLockSteps<T>(lock: Acquirable, body: () => Awaitable<T>): Generator<unknown, T, any> {
  yield* lock.acquire();
  try {
    return yield* callBody(body, currentTask()!);
  } finally {
    lock.release();
  }
}

/**
 * Acquires a lock (or a condition, or a permit of a semaphore), runs a block, and releases it,
 * however the block ends.
 *
 * @param lock - anything with `acquire()` and `release()`
 * @param body - a generator function or an async function
 * @returns when awaited, what `body` returns
 * @throws TypeError if an argument has the wrong type; when awaited: what `body` throws
 *
 * Order: as `acquire`. Counterpart: `async with lock:`.
 */
export function withLock<T>(lock: Acquirable, body: () => Awaitable<T>): Coroutine<T> {
  if (typeof lock?.acquire !== 'function' || typeof lock.release !== 'function') {
    throw new TypeError(`withLock: expected a lock, got ${show(lock)}`);
  }
  if (typeof body !== 'function') {
    throw new TypeError(`withLock: body must be a function, got ${show(body)}`);
  }
  return new Coroutine(withLockSteps(lock, body));
}
