/**
 * The interpreter of scenario programs over ringloop, written to SPEC.md.
 *
 * Facts. A program must run as generator coroutines and as async functions, with one set of rules.
 * Decision. Ops are generators that `yield` what is to be awaited. In generator mode a `function*`
 * passes it on with `yield*`, in async mode an async function with `await`: the coroutines that
 * ringloop sees are of the one kind or the other, the rules are the same lines.
 */
import type * as ringloop from 'ringloop';
import {
  allTasks,
  type Context,
  ContextVar,
  currentTask,
  defaultTaskFactory,
  type EventLoop,
  ExceptionGroup,
  eagerTaskFactory,
  type Future,
  isFuture,
  Runner,
  Task,
} from 'ringloop';

import { makeError, matches, NameError, plainMessage, pythonName } from './exceptions.js';
import type { Body, ExceptionSpec, Expression, Item, Op, Program, Record_ } from './program.js';
import { Deadlock, Fatal, LimitReached, VirtualClock } from './virtual-clock.js';

const DEFAULT_LIMIT = 20_000;

/** Thrown through bodies once the trace is closed. */
class Unwind extends Error {}

export type Signal = undefined | 'break' | 'continue' | { value: unknown };
/** Yields what is to be awaited, and is resumed with its outcome. */
export type Steps<T = Signal> = Generator<unknown, T, any>;

export type SyncOp = (m: Machine, op: Op, handled: unknown) => Signal;
export type AsyncOp = (m: Machine, op: Op, handled: unknown) => Steps;

/** Filled by ops.ts. */
export const SYNC_OPS: Record<string, SyncOp> = Object.create(null);
export const SYNC_FLOW: Record<string, SyncOp> = Object.create(null);
export const ASYNC_OPS: Record<string, AsyncOp> = Object.create(null);
export const QUERIES: Record<string, (target: any) => unknown> = Object.create(null);
/** The method that tells whether a query makes sense, where it is not the query's own name. */
export const QUERY_MEMBER: Record<string, string> = Object.create(null);

function* asGenerator(steps: Steps<unknown>): Generator<unknown, unknown, any> {
  let result = steps.next();
  while (!result.done) {
    try {
      const value: unknown = yield* result.value as Iterable<unknown>;
      result = steps.next(value);
    } catch (error) {
      result = steps.throw(error);
    }
  }
  return result.value;
}

async function asAsync(steps: Steps<unknown>): Promise<unknown> {
  let result = steps.next();
  while (!result.done) {
    let value: unknown;
    try {
      value = await result.value;
    } catch (error) {
      result = steps.throw(error);
      continue;
    }
    result = steps.next(value);
  }
  return result.value;
}

export class Machine {
  readonly trace: unknown[][] = [];
  readonly ticks: number[] = [];
  readonly clock: VirtualClock;
  readonly runner: Runner;
  readonly loop: EventLoop;
  readonly env = new Map<string, any>();
  readonly callbacks = new Map<string, (...args: any[]) => void>();
  fatal: string | null = null;
  private closed = false;
  private callback: string | null = null;
  private readonly labels = new Map<object, string>();
  private readonly contextVars = new Map<string, ContextVar<unknown>>();
  private readonly names = new WeakMap<object, string>();

  constructor(
    private readonly program: Program,
    private readonly async: boolean,
  ) {
    for (const [name, value] of Object.entries(program.vars ?? {})) this.env.set(name, value);
    this.clock = new VirtualClock(program.limit ?? DEFAULT_LIMIT, () => this.fatal !== null);
    this.runner = new Runner({ clock: this.clock });
    this.loop = this.runner.getLoop();
    this.loop.setExceptionHandler((context) => this.handle(context));
    const factory = program.eager ? eagerTaskFactory : defaultTaskFactory;
    this.loop.setTaskFactory((loop, runnable, options) =>
      factory(loop, runnable, { name: this.names.get(runnable) ?? 'task', ...options }),
    );
  }

  // ---- trace ------------------------------------------------------------------------------------

  log(event: string, ...detail: unknown[]): void {
    if (this.closed) return;
    this.trace.push([this.clock.now(), this.who(), event, ...detail]);
    this.ticks.push(this.loop.isRunning() ? this.clock.tick : 0);
  }

  exception(error: unknown): unknown[] {
    const name = pythonName(error);
    if (name === undefined && !this.closed) this.die(`unexpected ${String(error)}`);
    const message = plainMessage((error as Error).message ?? '');
    if (!(error instanceof ExceptionGroup)) return [name, message];
    return [name, message, error.errors.map((each) => this.exception(each))];
  }

  label(future: Future<any>): string {
    return future instanceof Task ? future.name : (this.labels.get(future) ?? '?');
  }

  value(value: unknown): unknown {
    if (value === undefined || value === null) return null;
    if (typeof value !== 'object') return value;
    if (Array.isArray(value)) return value.map((each) => this.value(each));
    if (value instanceof Error) return { '!': this.exception(value) };
    if (isFuture(value)) return { f: this.label(value) };
    return { o: value.constructor.name };
  }

  die(why: string): void {
    this.fatal ??= why;
  }

  bad(why: string): never {
    this.die(why);
    throw new Fatal(why);
  }

  private who(): string {
    return currentTask()?.name ?? this.callback ?? '-';
  }

  private handle(context: ringloop.ExceptionContext): void {
    const { exception } = context;
    let { message } = context;
    if (this.closed || message.includes('was never retrieved')) return;
    if (exception instanceof Fatal || exception instanceof Unwind) return;
    if (message.startsWith('Exception in callback')) message = 'Exception in callback';
    if (message.endsWith('during run() shutdown'))
      message = message.replace('run()', 'asyncio.run()');
    if (message.endsWith('exception in shielded future')) {
      message = message.replace(/^\S+/, pythonName(exception) ?? '?');
    }
    const error = exception === undefined ? null : this.exception(exception);
    this.log('handler', plainMessage(message), error);
  }

  // ---- variables and expressions ----------------------------------------------------------------

  get(name: string, member?: string): any {
    if (!this.env.has(name)) throw new NameError(name);
    const value = this.env.get(name);
    if (member !== undefined && !(Object(value) === value && member in value)) {
      this.bad(`variable ${name} has no ${member}`);
    }
    return value;
  }

  store(op: Op, field: string, value: unknown): void {
    if (op[field] !== undefined && op[field] !== null) this.env.set(op[field], value);
  }

  /** Stores a future under a variable, which becomes its label. */
  adopt(name: string, future: Future<any>): void {
    this.env.set(name, future);
    if (!(future instanceof Task) && !this.labels.has(future)) this.labels.set(future, name);
  }

  /** The task, future or handle that an op means: a variable, or the current task. */
  target(op: Op, member: string): any {
    if (op['var'] !== undefined && op['var'] !== null) return this.get(op['var'], member);
    return currentTask() ?? this.bad('no current task here');
  }

  contextVar(name: string): ContextVar<any> {
    let variable = this.contextVars.get(name);
    if (variable === undefined) {
      variable = new ContextVar<unknown>(name, { defaultValue: null });
      this.contextVars.set(name, variable);
    }
    return variable;
  }

  context(op: Op): Context | undefined {
    return op['context'] === undefined ? undefined : this.get(op['context'], 'run');
  }

  query(what: string, target: any): unknown {
    const ask = QUERIES[what];
    if (ask === undefined || !((QUERY_MEMBER[what] ?? what) in Object(target))) {
      this.bad(`cannot query ${what}`);
    }
    return ask(target);
  }

  evaluate(e: Expression): any {
    if (Array.isArray(e)) return e.map((each) => this.evaluate(each));
    if (typeof e !== 'object' || e === null) return e;
    const [[key, argument]] = Object.entries(e) as [[string, any]];
    const simple: Record<string, () => unknown> = {
      v: () => this.get(argument),
      q: () => this.query(argument[0], this.get(argument[1])),
      defined: () => this.env.has(argument),
      time: () => this.loop.time(),
      cv: () => this.contextVar(argument).get(),
      not: () => !this.evaluate(argument),
      and: () => argument.every((each: Expression) => this.evaluate(each)),
      or: () => argument.some((each: Expression) => this.evaluate(each)),
    };
    if (simple[key] !== undefined) return simple[key]();
    return this.compute(key, this.evaluate(argument[0]), this.evaluate(argument[1]));
  }

  private compute(key: string, a: any, b: any): unknown {
    const binary: Record<string, () => unknown> = {
      eq: () => JSON.stringify(a) === JSON.stringify(b),
      ne: () => JSON.stringify(a) !== JSON.stringify(b),
      lt: () => a < b,
      le: () => a <= b,
      gt: () => a > b,
      ge: () => a >= b,
      add: () => a + b,
      sub: () => a - b,
      mod: () => a % b,
    };
    return binary[key] === undefined ? this.bad(`unknown expression ${key}`) : binary[key]();
  }

  makeException(spec: ExceptionSpec): unknown {
    if (spec.exc !== undefined) return this.get(spec.exc);
    if (spec.excs === undefined) return makeError(spec.type, spec.msg);
    return new ExceptionGroup(
      spec.msg ?? '',
      spec.excs.map((each) => this.makeException(each)),
    );
  }

  // ---- coroutines -------------------------------------------------------------------------------

  /** A coroutine of this mode's kind, not started. */
  coroutine(name: string, body: Body): any {
    const steps = this.body(name, body);
    const coroutine = this.async ? () => asAsync(steps) : asGenerator(steps);
    this.names.set(coroutine, name);
    return coroutine;
  }

  /** Variables first (they may be missing), then coroutines. */
  items(items: Item[]): any[] {
    const found = items.map((item) =>
      typeof item === 'string' ? this.get(item, 'addDoneCallback') : null,
    );
    return items.map((item, i) =>
      typeof item === 'string' ? found[i] : this.coroutine(item.name, item.body),
    );
  }

  private *body(name: string, body: Body): Steps<unknown> {
    this.log('start', name);
    let signal: Signal;
    try {
      signal = yield* this.run(body, undefined);
    } catch (error) {
      this.log('end', name, '!', this.exception(error));
      throw error;
    }
    const value = typeof signal === 'object' ? signal.value : null;
    this.log('end', name, '=', this.value(value));
    return value;
  }

  // ---- execution --------------------------------------------------------------------------------

  *run(body: Body, handled: unknown): Steps {
    for (const op of body) {
      if (this.closed) throw new Unwind();
      let signal: Signal;
      if (ASYNC_OPS[op.op] !== undefined) signal = yield* ASYNC_OPS[op.op]!(this, op, handled);
      else if (SYNC_OPS[op.op] !== undefined) signal = SYNC_OPS[op.op]!(this, op, handled);
      else this.bad(`unknown op ${op.op}`);
      if (signal !== undefined) return signal;
    }
    return undefined;
  }

  runSync(body: Body, handled: unknown): Signal {
    for (const op of body) {
      if (this.closed) throw new Unwind();
      const execute = SYNC_FLOW[op.op] ?? SYNC_OPS[op.op] ?? this.bad(`op ${op.op} in a callback`);
      const signal = execute(this, op, handled);
      if (signal !== undefined) return signal;
    }
    return undefined;
  }

  /** A sync op: the outcome is recorded, an error goes no further unless the op says so. */
  sync(op: Op, label: unknown, action: () => unknown): void {
    let value: unknown;
    try {
      value = action();
    } catch (error) {
      if (error instanceof Fatal || error instanceof Unwind) throw error;
      this.log(op.op, label, '!', this.exception(error));
      if (op['raise']) throw error;
      return;
    }
    this.log(op.op, label, '=', this.value(value));
    this.store(op, 'into', value);
  }

  /** An async op: awaits what `start` returns, records the outcome, lets errors pass. */
  *wait(op: Op, label: unknown, start: () => unknown): Steps<void> {
    let value: unknown;
    try {
      value = yield start();
    } catch (error) {
      this.log(op.op, label, '!', this.exception(error));
      throw error;
    }
    this.log(op.op, label, '=', this.value(value));
    this.store(op, 'into', value);
  }

  matching(clause: { types: string[] }, error: unknown): string | undefined {
    return clause.types.find((type) => matches(type, error));
  }

  makeCallback(name: string, body: Body): (...args: any[]) => void {
    return (...args) => {
      const outer = this.callback;
      this.callback = name;
      try {
        this.log('call', ...args.map((future) => this.label(future)));
        this.runSync(body, undefined);
      } finally {
        this.callback = outer;
      }
    };
  }

  isInternal(error: unknown): boolean {
    return error instanceof Fatal || error instanceof Unwind;
  }

  // ---- a whole program --------------------------------------------------------------------------

  async execute(): Promise<Record_> {
    let status: Record_['status'] = 'ok';
    try {
      await this.runMains();
      await this.outcome('close', () => this.runner.close().then(() => undefined));
    } catch (error) {
      status = this.statusOf(error);
    }
    this.closed = true;
    return { name: this.program.name, status, trace: this.trace, ticks: this.ticks };
  }

  private async runMains(): Promise<void> {
    const mains = this.program.mains ?? [this.program.main!];
    for (const [i, body] of mains.entries()) {
      const name = i === 0 ? 'main' : `main${i + 1}`;
      await this.outcome('run', () => this.runner.run(this.coroutine(name, body), { name }));
    }
  }

  private async outcome(event: string, action: () => Promise<unknown>): Promise<void> {
    let value: unknown;
    try {
      value = await action();
    } catch (error) {
      if (error instanceof Deadlock || error instanceof LimitReached || error instanceof Fatal) {
        throw error;
      }
      this.log(event, '!', this.exception(error));
      if (this.fatal !== null) throw new Fatal();
      return;
    }
    if (event === 'close') this.log('close', '=');
    else this.log(event, '=', this.value(value));
    if (this.fatal !== null) throw new Fatal();
  }

  private statusOf(error: unknown): Record_['status'] {
    if (error instanceof Deadlock) {
      this.log(
        'deadlock',
        [...allTasks(this.loop)].map((task) => task.name),
      );
      return 'deadlock';
    }
    if (error instanceof LimitReached) {
      this.log('limit');
      return 'limit';
    }
    this.log('error', this.fatal ?? String((error as Error).stack ?? error));
    return 'error';
  }
}
