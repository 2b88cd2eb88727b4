/**
 * Cancel scopes: blocks of code that stay cancelled until they are left.
 *
 * Facts. `task.cancel()` is an edge: one CancelledError, once. In JavaScript `catch` catches
 * everything, so one `catch (e) {}` in a library makes the task unstoppable.
 * Decision. As in trio, a scope is a level: from `cancel()` on, every wait inside is cancelled
 * again, until the block is left, which swallows the error. `task.cancel()` remains what it is, and
 * passes through scopes: a scope swallows no CancelledError while its task has more requests to
 * cancel than when the scope was entered.
 * Cost. A task in no scope pays one bit of a test it makes anyway.
 * Invariants. Scopes of one task are nested. A scope is in `children` of its parent from `enter()`
 * to `exit()`. Only a wait is cancelled: a value on its way to the task arrives.
 *
 *   task A:  [ outer ------- [ inner ---- ] ---- ]      parent: outer
 *                 \
 *   task B, of a    [ inherited by B ------- ]          parent: outer; not of A's `inner`
 *   group in outer
 */
import {
  Cancellation,
  isCancelledError,
  makeCancelledError,
  RuntimeError,
  show,
} from '../errors.js';
import type { Handle } from '../loop/handle.js';
import type { Awaitable } from '../types.js';
import { checkSignal } from './check-signal.js';
import { Coroutine, callBody } from './coroutine.js';
import { currentTask } from './current-task.js';
import type { Task } from './task.js';

/** What `cancelScope` can be told. */
export interface CancelScopeOptions {
  /** Milliseconds of `loop.time()` at which it is cancelled. */
  deadline?: number;
  /** true: scopes around it do not reach inside. `task.cancel()` does. */
  shield?: boolean;
  /** Why, when the deadline passes: the error's `reason`. */
  reason?: unknown;
  /** Cancels it, with the signal's reason. */
  signal?: AbortSignal;
}

/** A block that can be cancelled as a whole. `cancelScope()` makes one for a function. */
export class CancelScope {
  /** Whether scopes around it do not reach inside. */
  readonly shield: boolean;
  /** Whether the block was left by the scope's own cancellation. */
  cancelledCaught = false;
  private readonly options: CancelScopeOptions;
  private deadlineMs: number;
  private cancellation: Cancellation | null = null;
  private controller: AbortController | null = null;
  private handle: Handle | null = null;
  private parent: CancelScope | null = null;
  private children: Set<CancelScope> | null = null;
  private task: Task<unknown> | null = null;
  private cancellingBefore = 0;
  private readonly onAbort = (): void => this.cancel(this.options.signal!.reason);

  /** @throws TypeError if an option has the wrong type */
  constructor(options: CancelScopeOptions = {}) {
    const { deadline = Infinity, signal } = options;
    checkDeadline('cancelScope', deadline);
    checkSignal('cancelScope', signal);
    this.options = options;
    this.deadlineMs = deadline;
    this.shield = options.shield ?? false;
  }

  /** @internal The scope of a group reaches its tasks. */
  static inherit(task: Task<unknown>, parent: CancelScope): void {
    const scope = new CancelScope();
    scope.attach(task, parent);
  }

  // ---- what it is -------------------------------------------------------------------------------

  /** Whether `cancel()` was called, or the deadline has passed. */
  get cancelCalled(): boolean {
    return this.cancellation !== null;
  }

  /** Why it was cancelled; undefined before. */
  get reason(): unknown {
    return this.cancellation?.reason;
  }

  /** The deadline, in milliseconds of `loop.time()`; `Infinity`: none. */
  get deadline(): number {
    return this.deadlineMs;
  }

  set deadline(whenMs: number) {
    checkDeadline('deadline', whenMs);
    this.deadlineMs = whenMs;
    if (this.task !== null) this.arm();
  }

  /**
   * The deadline that counts: the earliest of this scope and those around it, up to a shield.
   * `-Infinity` once one of them is cancelled.
   */
  effectiveDeadline(): number {
    if (this.effective() !== null) return -Infinity;
    const around = this.shield ? null : this.parent;
    return Math.min(this.deadlineMs, around?.effectiveDeadline() ?? Infinity);
  }

  /** Aborted when the block is cancelled: for `fetch` and whatever else takes a signal. */
  get signal(): AbortSignal {
    if (this.controller === null) {
      this.controller = new AbortController();
      const cancellation = this.effective();
      if (cancellation !== null) this.controller.abort(makeCancelledError(cancellation));
    }
    return this.controller.signal;
  }

  // ---- what it does -----------------------------------------------------------------------------

  /**
   * Cancels every wait inside, now and from now on, until the block is left. Once only: the first
   * reason stands.
   *
   * @param reason - in the errors' `reason`; their `origin` is this scope
   *
   * Order: tasks that wait get the error in the next iteration, others at their next wait.
   */
  cancel(reason?: unknown): void {
    if (this.cancellation !== null) return;
    this.cancellation = new Cancellation(reason ?? this.options.reason, this);
    this.handle?.cancel();
    this.handle = null;
    this.deliver(this.cancellation);
  }

  /**
   * Begins the block.
   *
   * @throws RuntimeError if it was entered before, or there is no current task
   */
  enter(): this {
    if (this.task !== null) throw new RuntimeError('CancelScope has already been entered');
    const task = currentTask();
    if (task === null) throw new RuntimeError('CancelScope should be used inside a task');
    this.attach(task, task.cancelScope);
    this.cancellingBefore = task.cancelling();
    const { signal } = this.options;
    if (signal?.aborted) this.onAbort();
    else signal?.addEventListener('abort', this.onAbort);
    this.arm();
    return this;
  }

  /**
   * Ends the block.
   *
   * @param error - what left it, if anything
   * @returns true if that was the scope's own cancellation, which goes no further
   * @throws RuntimeError if a scope inside is still open
   */
  exit(error?: unknown): boolean {
    const task = this.task!;
    if (task?.cancelScope !== this) {
      throw new RuntimeError('cancel scopes must be left in the reverse order of entering them');
    }
    this.close();
    this.cancelledCaught =
      this.cancellation !== null &&
      isCancelledError(error) &&
      task.cancelling() <= this.cancellingBefore &&
      (this.shield || this.parent === null || this.parent.effective() === null);
    return this.cancelledCaught;
  }

  // ---- for tasks --------------------------------------------------------------------------------

  /** @internal The cancellation that counts here: that of the outermost scope. */
  effective(): Cancellation | null {
    let found: Cancellation | null = null;
    for (let scope: CancelScope | null = this; scope !== null; scope = scope.around()) {
      found = scope.cancellation ?? found;
    }
    return found;
  }

  /** @internal The task has ended, or the block has. */
  close(): void {
    this.handle?.cancel();
    this.handle = null;
    this.options.signal?.removeEventListener('abort', this.onAbort);
    const { parent } = this;
    parent?.children?.delete(this);
    this.task!.cancelScope = parent !== null && parent.task === this.task ? parent : null;
  }

  /** For messages. */
  toString(): string {
    return `<CancelScope${this.cancelCalled ? ' cancelled' : ''}${this.shield ? ' shield' : ''}>`;
  }

  private around(): CancelScope | null {
    return this.shield ? null : this.parent;
  }

  private attach(task: Task<unknown>, parent: CancelScope | null): void {
    this.task = task;
    this.parent = parent;
    if (parent !== null) (parent.children ??= new Set()).add(this);
    task.cancelScope = this;
  }

  private arm(): void {
    this.handle?.cancel();
    this.handle = null;
    if (this.deadlineMs === Infinity || this.cancelCalled) return;
    const { loop } = this.task!;
    const expire = (): void => this.cancel(this.options.reason ?? 'deadline passed');
    this.handle =
      this.deadlineMs <= loop.time() ? loop.callSoon(expire) : loop.callAt(this.deadlineMs, expire);
  }

  private deliver(cancellation: Cancellation): void {
    this.controller?.abort(makeCancelledError(cancellation));
    if (this.task?.cancelScope === this) this.task.waiter?.cancel(cancellation);
    for (const child of [...(this.children ?? [])]) {
      if (!child.shield) child.deliver(cancellation);
    }
  }
}

function checkDeadline(name: string, value: unknown): void {
  if (typeof value === 'number' && !Number.isNaN(value)) return;
  throw new TypeError(`${name}: deadline must be a number of milliseconds, got ${show(value)}`);
}

/** A block of a scope. */
export type ScopeBody<T> = (scope: CancelScope) => Awaitable<T>;

/** @internal */
export function* scopeSteps<T>(
  scope: CancelScope,
  body: ScopeBody<T>,
): Generator<unknown, T | undefined, any> {
  scope.enter();
  let result: T;
  try {
    result = yield* callBody(body, currentTask()!, scope);
  } catch (error) {
    if (scope.exit(error)) return undefined;
    throw error;
  }
  scope.exit();
  return result;
}

/** @internal */
export function checkBody(name: string, body: unknown): void {
  if (typeof body === 'function') return;
  throw new TypeError(`${name}: body must be a function, got ${show(body)}`);
}

/**
 * @internal Runs steps with user code in them until a signal is aborted: then they are cancelled,
 * and the signal's reason is thrown.
 * @throws TypeError if the signal is none
 */
export function underSignal<T>(
  name: string,
  signal: AbortSignal | undefined,
  steps: Generator<unknown, T, any>,
): Generator<unknown, T, any> {
  if (signal === undefined) return steps;
  checkSignal(name, signal);
  return stepsUnderSignal(signal, steps);
}

function* stepsUnderSignal<T>(
  signal: AbortSignal,
  steps: Generator<unknown, T, any>,
): Generator<unknown, T, any> {
  signal.throwIfAborted();
  const scope = new CancelScope({ signal }).enter();
  let result: T;
  try {
    result = yield* steps;
  } catch (error) {
    throw scope.exit(error) ? signal.reason : error;
  }
  scope.exit();
  return result;
}

/** @internal Runs steps that scopes around them do not reach: what must be finished. */
export function* outsideScopes<T>(steps: Generator<unknown, T, any>): Generator<unknown, T, any> {
  if (!currentTask()?.cancelScope) return yield* steps;
  const shield = new CancelScope({ shield: true }).enter();
  try {
    return yield* steps;
  } finally {
    shield.exit();
  }
}

/**
 * Runs a block that can be cancelled as a whole: `scope.cancel()`, from inside or from any other
 * task, cancels every wait in it until it is left.
 *
 * @param body - a generator function or an async function; it gets the scope
 * @param options - `deadline`, `shield`, `reason`, `signal`
 * @returns when awaited, what `body` returns; undefined if the scope was cancelled
 * @throws TypeError if an argument has the wrong type; when awaited: what `body` throws,
 *   RuntimeError outside a task
 *
 * Order: see `CancelScope.cancel`. Counterpart: none in asyncio; `trio.CancelScope`.
 */
export function cancelScope<T>(
  body: ScopeBody<T>,
  options?: CancelScopeOptions,
): Coroutine<T | undefined> {
  checkBody('cancelScope', body);
  return new Coroutine(scopeSteps(new CancelScope(options), body));
}

/** The innermost scope the current task is in; null: none. */
export function currentScope(): CancelScope | null {
  return currentTask()?.cancelScope ?? null;
}
