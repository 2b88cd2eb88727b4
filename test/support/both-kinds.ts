/** The two kinds of coroutines, and what one throws. */
import { createTask, type Task, type Yieldable } from 'ringloop';

type Operation<T> = () => Yieldable<T> & PromiseLike<T>;

/** Makes a task of either kind of one operation. */
export type Start = <T>(operation: Operation<T>) => Task<T>;

/** For tests of everything that waits. */
export const BOTH_KINDS: [kind: string, start: Start][] = [
  [
    'a generator coroutine',
    <T>(operation: Operation<T>) =>
      createTask(function* () {
        return yield* operation();
      }) as Task<T>,
  ],
  [
    'an async function',
    <T>(operation: Operation<T>) => createTask(async () => await operation()) as Task<T>,
  ],
];

/** What a coroutine throws; undefined if it throws nothing. */
export function* errorOf(coroutine: Iterable<unknown>): Generator<unknown, any, any> {
  try {
    yield* coroutine as Generator<unknown, unknown, any>;
  } catch (error) {
    return error;
  }
}

/** mulberry32: the same numbers for the same seed. */
export function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
