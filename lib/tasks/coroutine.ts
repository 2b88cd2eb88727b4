/**
 * Coroutines: telling what can be run, and the object that ringloop's own waiting functions return.
 *
 * Facts. `yield*` wants an iterator, `await` wants `then`. A generator object has the first only, a
 * promise the second only, and a promise has started already.
 * Decision. A `Coroutine` wraps a generator and has both; it is inert until it is awaited. A
 * function is called when its task takes its first step, so a task that is cancelled before never
 * calls it.
 */
import { guarded, isMarked, nameOf, show } from '../errors.js';
import { runInTask } from '../loop/async-context.js';
import type { Awaitable, GeneratorCoroutine, Runnable, Yieldable } from '../types.js';
import { NativeAwait } from './driver.js';
import { GeneratorObject, isGeneratorFunction } from './generator.js';
import { awaitSteps } from './promise-bridge.js';
import type { Task } from './task.js';

/**
 * What ringloop's waiting functions return: something that begins when it is awaited, with `yield*`
 * in a generator coroutine or with `await` in an async function. Once only.
 */
export class Coroutine<T> implements PromiseLike<T>, Yieldable<T> {
  protected steps: Iterator<unknown, T, any>;

  /** @param steps - a generator that has not started */
  constructor(steps: Iterator<unknown, T, any>) {
    this.steps = steps;
  }

  /** `yield* coroutine` runs it as part of the current task. */
  [Symbol.iterator](): Iterator<unknown, T, any> {
    return this.steps;
  }

  /** `await coroutine` runs it as part of the current task, or of a new one where there is none. */
  // biome-ignore lint/suspicious/noThenProperty: being awaitable is the purpose
  then<A = T, B = never>(
    onResult?: ((value: T) => A | PromiseLike<A>) | null,
    onError?: ((error: any) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return awaitSteps(this, this.steps, onResult, onError);
  }
}

const FINISHED = Object.freeze({ value: undefined, done: true });

/**
 * @internal Nothing to wait for. It keeps no state, so all can share it. Behind a coroutine's
 * prototype it is a promise, for which `await` needs one microtask; for anything else that has a
 * `then` it needs three, and two functions.
 */
export const DONE: Coroutine<void> = Object.setPrototypeOf(
  Promise.resolve(),
  Object.create(Coroutine.prototype, {
    constructor: { value: Promise },
    steps: {
      value: {
        next: () => FINISHED,
        throw(error: unknown) {
          throw error; // a task that is cancelled before its first step
        },
      },
    },
  }),
);

/** How another copy of ringloop recognises it. */
const COROUTINE = Symbol.for('ringloop.Coroutine');
Object.defineProperty(Coroutine.prototype, COROUTINE, { value: true });

/** An object that all callers share, because it keeps no state. */
const STATELESS = Symbol.for('ringloop.stateless');

/** @internal From now on each mention of `coroutine` is a run of its own. */
export function markStateless(coroutine: Coroutine<void>): void {
  Object.defineProperty(coroutine, STATELESS, { value: true });
}
markStateless(DONE);

/**
 * @internal Whether giving it twice means running it twice: a function is called each time. A
 * coroutine, a future and a promise run but once, however often they are given.
 */
export function runsEachTime(runnable: unknown): boolean {
  return typeof runnable === 'function' || isMarked(runnable, STATELESS);
}

/** @internal Whether `yield*` can run it as a coroutine: it has `next` and `throw`. */
export function isYieldable(value: unknown): value is Yieldable<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  if (value instanceof GeneratorObject || isMarked(value, COROUTINE)) return true;
  const { next, throw: throwIn } = value as { next?: unknown; throw?: unknown };
  return (
    typeof next === 'function' &&
    typeof throwIn === 'function' &&
    typeof (value as Yieldable<unknown>)[Symbol.iterator] === 'function'
  );
}

/** @internal Whether `await` can wait for it. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as { then?: unknown }).then === 'function'
  );
}

const { then: nativeThen } = Promise.prototype;

/**
 * @internal What `await` makes of a thenable: a promise that settles once. The `then` of others may
 * throw, call back twice, or at once.
 */
export function promiseOf<T>(thenable: PromiseLike<T>): Promise<T> {
  if (thenable instanceof Promise && guarded(() => thenable.then, null) === nativeThen) {
    return thenable;
  }
  return new Promise((resolve) => resolve(thenable));
}

/**
 * @internal What a task drives: a generator, or a function still to be called.
 * @throws TypeError if `runnable` cannot be run
 */
export function coroutineOf<T>(
  runnable: Runnable<T>,
): GeneratorCoroutine<T> | (() => Awaitable<T>) {
  if (runnable instanceof GeneratorObject) return runnable as GeneratorCoroutine<T>;
  if (typeof runnable === 'function') {
    return isGeneratorFunction(runnable) ? (runnable() as GeneratorCoroutine<T>) : runnable;
  }
  if (isYieldable(runnable)) return generatorOf(runnable as Yieldable<T>);
  throw new TypeError(notRunnable(runnable));
}

/** @internal Drivers always send RESUMED, which of all iterators only a new generator ignores. */
export function generatorOf<T>(yieldable: Yieldable<T>): GeneratorCoroutine<T> {
  const iterator = yieldable[Symbol.iterator]();
  return iterator instanceof GeneratorObject
    ? (iterator as GeneratorCoroutine<T>)
    : delegate(yieldable);
}

function* delegate<T>(yieldable: Yieldable<T>): Generator<unknown, T, any> {
  return yield* yieldable;
}

/** @internal */
export function notRunnable(value: unknown): string {
  const hint = isThenable(value)
    ? ' (a promise has started already: pass the function, or wrap it with until())'
    : '';
  return `a coroutine or a function that returns one was expected, got ${show(value)}${hint}`;
}

/**
 * @internal Calls a body, a generator function or an async function, and waits for it as part of
 * `task`.
 */
export function* callBody<T, A extends unknown[]>(
  body: (...args: A) => Awaitable<T>,
  task: Task<unknown>,
  ...args: A
): Generator<unknown, T, any> {
  const call = (): unknown => body(...args);
  const started = isGeneratorFunction(body) ? call() : runInTask(task, call);
  if (isYieldable(started)) return (yield* started as Yieldable<T>) as T;
  if (isThenable(started)) return yield new NativeAwait(promiseOf(started));
  throw new TypeError(notAwaitable(body, started));
}

/** @internal */
export function notAwaitable(body: Function, started: unknown): string {
  return `${nameOf(body)} must return a coroutine or a promise, got ${show(started)}`;
}
