/**
 * Context variables, and the snapshot of them that every callback and task carries.
 *
 * Facts. asyncio copies the context for each callback and task. Almost always it is empty.
 * Decision. A context is an immutable Map that is copied when it is written to, so a snapshot is
 * one pointer; an empty one is `null` and costs nothing. The snapshot carries the
 * AsyncLocalStorage stores along.
 * Invariants. `null` means a context of its own in which nothing is set, never a shared one.
 */
import type { AsyncResource } from 'node:async_hooks';

import { RuntimeError, show } from '../errors.js';
import {
  asyncContext,
  captureStores,
  hasFrames,
  probeStores,
  runWithStores,
  taskOfFlow,
} from './async-context.js';
import { state } from './state.js';

type Variables = ReadonlyMap<ContextVar<unknown>, unknown>;

/**
 * Values of context variables. `copyContext()` makes one. Counterpart: `contextvars.Context`.
 */
export class Context {
  /** @internal */
  variables: Variables | null;
  /** @internal */
  stores: AsyncResource | null;
  private entered = false;

  /** @internal */
  constructor(variables: Variables | null, stores: AsyncResource | null) {
    this.variables = variables;
    this.stores = stores;
  }

  /**
   * Calls `body` in this context: it sees these values, and what it sets stays here.
   *
   * @param body - called at once
   * @returns what `body` returns
   * @throws RuntimeError if the context is entered already
   */
  run<T>(body: () => T): T {
    if (this.entered) throw new RuntimeError('cannot enter context: it is already entered');
    // Inside an async function the context of its task is what is current.
    const holder = holderOfFlow() ?? state;
    const outer = holder.context;
    this.entered = true;
    holder.context = this;
    try {
      if (this.stores === null) return body();
      return runWithStores(this.stores, state.loop === null ? taskOfFlow() : state.task, body);
    } finally {
      holder.context = outer;
      this.entered = false;
    }
  }
}

interface ContextHolder {
  context: Context | null;
}

/** The task whose async function runs, when no callback of the loop is on the stack. */
function holderOfFlow(): ContextHolder | undefined {
  if (state.loop !== null) return undefined;
  return (taskOfFlow() as ContextHolder | null | undefined) ?? undefined;
}

function currentContext(): Context | null {
  const holder = holderOfFlow();
  return holder === undefined ? state.context : holder.context;
}

function enterableContext(): Context {
  const holder = holderOfFlow() ?? state;
  return (holder.context ??= new Context(null, null));
}

/** @internal The snapshot for a callback or task that is scheduled now. */
export function captureContext(): Context | null {
  // By far the most common case, kept small so that it becomes part of the caller.
  if (state.loop !== null && state.context === null && !asyncContext.inUse) return null;
  return captureSomething();
}

function captureSomething(): Context | null {
  if (state.loop === null && !asyncContext.inUse) probeStores();
  const current = currentContext();
  const variables = current === null ? null : current.variables;
  const stores = asyncContext.inUse ? captureStores() : null;
  return variables === null && stores === null ? null : new Context(variables, stores);
}

/**
 * @internal The stores to run in. On Node 20 and 22 everything runs in a resource of its own once
 * stores are in use, because enterWith() writes into whichever runs.
 */
export function storesOf(context: Context | null): AsyncResource | null {
  if (context !== null && context.stores !== null) return context.stores;
  return asyncContext.inUse && !hasFrames ? captureStores() : null;
}

const CONTEXT = Symbol.for('ringloop.Context');
Object.defineProperty(Context.prototype, CONTEXT, { value: true });

/** @internal @throws TypeError if `value` is no Context, of this or another copy of ringloop */
export function checkContext(name: string, value: unknown): void {
  if (typeof value === 'object' && value !== null && CONTEXT in value) return;
  throw new TypeError(`${name}: context must be a Context, got ${show(value)}`);
}

/**
 * A snapshot of the current context. What is set later does not show in it.
 *
 * @returns a context of its own. Counterpart: `contextvars.copy_context()`.
 */
export function copyContext(): Context {
  return captureContext() ?? new Context(null, null);
}

/** What `ContextVar.set` returns, for `reset`. Counterpart: `contextvars.Token`. */
export class Token<T> {
  /** @internal */
  used = false;
  /** @internal */
  constructor(
    readonly variable: ContextVar<T>,
    /** @internal */ readonly context: Context,
    /** @internal */ readonly wasSet: boolean,
    /** The value before, `undefined` if there was none. */
    readonly oldValue: T | undefined,
  ) {}
}

/**
 * A variable whose value follows tasks and callbacks: each sees what was set where it was created,
 * and what it sets itself does not leak out. Counterpart: `contextvars.ContextVar`.
 *
 * @typeParam T - the type of its value
 */
export class ContextVar<T> {
  readonly name: string;
  private readonly fallback: { value: T } | null;

  /**
   * @param name - for messages
   * @param options - `defaultValue`: what `get()` returns where nothing is set
   * @throws TypeError if the name is not a string
   */
  constructor(name: string, options?: { defaultValue: T }) {
    if (typeof name !== 'string') {
      throw new TypeError(`ContextVar: name must be a string, got ${show(name)}`);
    }
    this.name = name;
    this.fallback = options === undefined ? null : { value: options.defaultValue };
  }

  /**
   * @returns the value in the current context, else the default
   * @throws ReferenceError if there is neither. Counterpart: Python's `LookupError`.
   */
  get(): T {
    const variables = currentContext()?.variables;
    if (variables?.has(this as ContextVar<unknown>)) {
      return variables.get(this as ContextVar<unknown>) as T;
    }
    if (this.fallback === null) {
      throw new ReferenceError(`context variable ${this.name} is not set and has no default`);
    }
    return this.fallback.value;
  }

  /**
   * Sets the value for the current task or callback and for what it creates from now on.
   *
   * @returns what `reset()` takes to undo it
   */
  set(value: T): Token<T> {
    const context = enterableContext();
    const key = this as ContextVar<unknown>;
    const wasSet = context.variables?.has(key) ?? false;
    const token = new Token<T>(this, context, wasSet, context.variables?.get(key) as T | undefined);
    context.variables = new Map(context.variables ?? []).set(key, value);
    return token;
  }

  /**
   * Undoes one `set()`.
   *
   * @throws RuntimeError if the token was used before
   * @throws RangeError if it belongs to another variable or another context
   */
  reset(token: Token<T>): void {
    if (!(token instanceof Token)) {
      throw new TypeError(`ContextVar.reset: expected a Token, got ${show(token)}`);
    }
    if (token.used) throw new RuntimeError('<Token> has already been used once');
    if (token.variable !== this) {
      throw new RangeError('<Token> was created by a different ContextVar');
    }
    if (token.context !== currentContext()) {
      throw new RangeError('<Token> was created in a different Context');
    }
    token.used = true;
    const variables = new Map(token.context.variables ?? []);
    const key = this as ContextVar<unknown>;
    if (token.wasSet) variables.set(key, token.oldValue);
    else variables.delete(key);
    token.context.variables = variables;
  }
}
