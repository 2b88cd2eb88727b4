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
import { ignoreAbort, listenToAbort, makeAbortController } from './abort-signal.js';
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
  private open = false;
  private readonly onAbort = (): void => this.cancel(this.options.signal!.reason);

  /** @throws TypeError if an option has the wrong type */
  constructor(options: CancelScopeOptions = {}) {
    checkOptions('cancelScope', options);
    const { deadline = Infinity, shield = false, signal } = options;
    checkDeadline('cancelScope', deadline);
    checkSignal('cancelScope', signal);
    if (typeof shield !== 'boolean') {
      throw new TypeError(`cancelScope: shield must be true or false, got ${show(shield)}`);
    }
    this.options = options;
    this.deadlineMs = deadline;
    this.shield = shield;
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
    if (this.open) this.arm();
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
      this.controller = makeAbortController();
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
    else listenToAbort(signal, this.onAbort);
    this.arm();
    return this;
  }

  /**
   * Ends the block.
   *
   * @param error - what left it, if anything
   * @returns true if that was the scope's own cancellation, which goes no further
   * @throws RuntimeError if it is not open in the current task; if a scope inside is still open:
   *   then it is closed all the same, and the one inside goes on without it
   */
  exit(error?: unknown): boolean {
    const { task } = this;
    if (!this.open) throw new RuntimeError('CancelScope has not been entered, or was left before');
    if (task !== currentTask()) {
      throw new RuntimeError('CancelScope must be left by the task that entered it');
    }
    const innermost = task!.cancelScope === this;
    this.close();
    if (!innermost) {
      throw new RuntimeError(
        'CancelScopes must be left in the reverse order of entering them: blocks that run side ' +
          'by side need tasks of their own, of gather() or a group',
        { cause: error },
      );
    }
    this.cancelledCaught =
      this.cancellation !== null &&
      isCancelledError(error) &&
      task!.cancelling() <= this.cancellingBefore &&
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

  /** @internal Whether it is `scope`, or in it, be it behind a shield. */
  isInside(scope: object | null): boolean {
    if (scope === null) return false;
    let each: CancelScope | null = this;
    while (each !== null && each !== scope) each = each.parent;
    return each !== null;
  }

  /** @internal The scope of a group reaches its tasks. Each has an entry of its own to hang on. */
  adopt(task: Task<unknown>): void {
    if (task.done() || task.cancelScope !== null) return;
    const entry = new CancelScope();
    entry.attach(task, this);
    const cancellation = entry.effective();
    if (cancellation !== null) task.waiter?.cancel(cancellation);
  }

  /** @internal The task has ended, or the block has. */
  close(): void {
    const { parent } = this;
    const task = this.task!;
    const around = parent !== null && parent.task === task ? parent : null;
    this.open = false;
    this.handle?.cancel();
    this.handle = null;
    ignoreAbort(this.options.signal, this.onAbort);
    parent?.children?.delete(this);
    if (task.cancelScope === this) task.cancelScope = around;
    else this.handOver();
  }

  /** For messages. */
  toString(): string {
    return `<CancelScope${this.cancelCalled ? ' cancelled' : ''}${this.shield ? ' shield' : ''}>`;
  }

  private around(): CancelScope | null {
    return this.shield ? null : this.parent;
  }

  /** Left in the wrong order: what is inside is now inside of what is around. */
  private handOver(): void {
    const { parent } = this;
    for (const child of this.children ?? []) {
      child.parent = parent;
      if (parent !== null) (parent.children ??= new Set()).add(child);
    }
    this.children = null;
  }

  private attach(task: Task<unknown>, parent: CancelScope | null): void {
    this.open = true;
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
    if (this.deadlineMs <= loop.time()) expire();
    else this.handle = loop.callAt(this.deadlineMs, expire);
  }

  private deliver(cancellation: Cancellation): void {
    this.controller?.abort(makeCancelledError(cancellation));
    if (this.task?.cancelScope === this) this.task.waiter?.cancel(cancellation);
    for (const child of [...(this.children ?? [])]) {
      if (!child.shield) child.deliver(cancellation);
    }
  }
}

/** @internal */
export function checkOptions(name: string, options: unknown): void {
  if (typeof options === 'object' && options !== null) return;
  throw new TypeError(`${name}: options must be an object, got ${show(options)}`);
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
  let ended = false;
  try {
    result = yield* callBody(body, currentTask()!, scope);
    ended = true;
  } catch (error) {
    ended = true;
    if (scope.exit(error)) return undefined;
    throw error;
  } finally {
    if (!ended) scope.close(); // the generator was closed from outside
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
    shield.close();
  }
}

/**
 * Runs a block that can be cancelled as a whole: `scope.cancel()`, from inside or from any other
 * task, cancels every wait in it until it is left.
 *
 * @param body - a generator function or an async function; it gets the scope
 * @param options - `deadline`, `shield`, `reason`, `signal`
 * @returns when awaited, what `body` returns; undefined if the scope's cancellation ended it
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
