/**
 * select: the first of several operations, and only that one.
 *
 * Facts. Racing tasks and cancelling the losers loses what a loser had just received.
 * Decision. The operations themselves stand in their lists, as candidates. The first that is woken
 * takes the others out of theirs at once, in the very call that woke it, so no second one can be
 * given anything. The select is one wait like any other: a candidate waits exactly as long as it
 * does, so what comes after a cancellation goes to whoever is behind.
 * Invariants. At most one candidate is woken; when `select` ends, none is in a list.
 *
 *     task --> [ the select: a Waiting ] --+-- Candidate --> [ receivers of a channel ]
 *                                          +-- Candidate --> [ waiters of a lock ]
 *                                          +-- listener  --> future, task, sleep
 */
import { RuntimeError, show } from '../errors.js';
import type { Handle } from '../loop/handle.js';
import { type Abortable, abortable } from '../tasks/abortable.js';
import type { Coroutine } from '../tasks/coroutine.js';
import { currentLoop } from '../tasks/current-loop.js';
import type { EventLoop } from '../tasks/event-loop.js';
import { Future } from '../tasks/future.js';
import { FAILED, FUTURE_BRAND } from '../tasks/future-status.js';
import { Sleep, YIELD_ONCE } from '../tasks/sleep.js';
import { type Operation, Waiting } from '../tasks/waiting.js';
import type { Awaited, Yieldable } from '../types.js';

/** What `select` returns: the name of the case that was first, and its result. */
export type Selected<C> = {
  [K in keyof C]: { key: K; value: Awaited<C[K]> };
}[keyof C];

/** One case. */
interface Case {
  readonly key: string;
  /** true: it is done already. Otherwise it calls `race.won` when it is, as long as it is asked. */
  begin(race: Race): boolean;
  /** Another one was first, or the select ended: out of the list. */
  leave(): void;
  /** It was the first. null: somebody else has taken it meanwhile. */
  take(): { value: unknown } | null;
  /** It was the first, but an error is thrown at the select. null: the error goes on. */
  abandoned(): { value: unknown } | null;
  /** The select is over. */
  end?(): void;
}

/** Who is told which case was first. */
interface Race {
  readonly loop: EventLoop;
  /** Nobody was first yet, and the select was not cancelled. */
  isOpen(): boolean;
  won(first: Case): void;
}

/** A wait that is part of a select, and tells it the moment it is woken. */
class Candidate extends Waiting<any> {
  constructor(
    operation: Operation,
    result: unknown,
    private readonly race: Race,
    private readonly ofCase: Case,
  ) {
    super(operation, result);
  }

  override waits(): boolean {
    return super.waits() && this.race.isOpen();
  }

  override settle(how: number, value: unknown): void {
    super.settle(how, value);
    this.race.won(this.ofCase);
  }

  /** The select takes the error, or throws another. */
  override fail(error: unknown): void {
    this.settle(FAILED, error);
  }
}

class OperationCase implements Case {
  private candidate: Candidate | null = null;
  private immediate = false;
  private readonly argument: unknown;

  constructor(
    readonly key: string,
    private readonly waiting: Waiting<any>,
  ) {
    this.argument = waiting.value;
  }

  begin(race: Race): boolean {
    const { operation } = this.waiting;
    this.candidate = new Candidate(operation, this.argument, race, this);
    this.immediate = operation.begin(this.candidate);
    return this.immediate;
  }

  leave(): void {
    const { candidate } = this;
    this.candidate = null;
    if (candidate !== null && !candidate.done()) this.waiting.operation.abandoned(candidate);
  }

  take(): { value: unknown } | null {
    const candidate = this.candidate!;
    if (this.immediate) return candidate;
    if (candidate.failed()) throw candidate.takeError();
    if (this.waiting.operation.woken(candidate)) return candidate;
    candidate.list?.remove(candidate);
    return null;
  }

  abandoned(): { value: unknown } | null {
    return this.waiting.operation.abandoned(this.candidate!) ? this.candidate : null;
  }
}

/** A future is only looked at; a sleep begins, and ends, with the select. */
class FutureCase implements Case {
  private race: Race | null = null;

  constructor(
    readonly key: string,
    private readonly future: Future<unknown>,
  ) {}

  begin(race: Race): boolean {
    if (this.future instanceof Sleep) this.future.beginOnce();
    if (this.future.done()) return true;
    this.race = race;
    this.future.addListener(this);
    return false;
  }

  /** From the future. */
  settled(): void {
    this.race?.won(this);
  }

  leave(): void {
    this.race = null;
    this.future.removeWaiters((waiter) => waiter === this);
  }

  take(): { value: unknown } {
    return { value: this.future.result() };
  }

  abandoned(): null {
    return null;
  }

  end(): void {
    if (this.future instanceof Sleep) this.future.cancel();
  }
}

/** `sleep(0)`: one iteration. */
class YieldCase implements Case {
  private handle: Handle | null = null;

  constructor(readonly key: string) {}

  begin(race: Race): boolean {
    this.handle = race.loop.callSoon(() => race.won(this));
    return false;
  }

  leave(): void {
    this.handle?.cancel();
  }

  take(): { value: unknown } {
    return { value: undefined };
  }

  abandoned(): null {
    return null;
  }
}

function caseOf(key: string, source: unknown): Case {
  if (source instanceof Waiting) return new OperationCase(key, source);
  if (source === YIELD_ONCE) return new YieldCase(key);
  const isFuture =
    source instanceof Sleep ||
    (source instanceof Future && source[FUTURE_BRAND as never] === 'future');
  if (isFuture) return new FutureCase(key, source as Future<unknown>);
  throw new TypeError(
    `select: case ${key} must be an operation (receive, get, acquire, ...), a sleep, a future or ` +
      `a task, got ${show(source)}`,
  );
}

class Selecting implements Operation, Race {
  private select: Waiting<any> | null = null;
  private first: Case | null = null;

  constructor(
    readonly loop: EventLoop,
    private readonly cases: readonly Case[],
  ) {}

  begin(select: Waiting<any>): boolean {
    this.select = select;
    return this.race();
  }

  woken(): boolean {
    return this.finish() || this.race();
  }

  abandoned(): boolean {
    this.leaveAll();
    const result = this.first?.abandoned() ?? null;
    this.end();
    if (result === null) return false;
    this.setResult(result.value);
    return true;
  }

  isOpen(): boolean {
    const select = this.select!;
    return this.first === null && (select.waits() || select.wasWoken());
  }

  won(first: Case): void {
    if (!this.isOpen()) return;
    this.first = first;
    this.leaveAll();
    this.select!.wake(undefined);
  }

  private race(): boolean {
    this.first = null;
    try {
      const immediate = this.cases.find((each) => each.begin(this));
      if (immediate === undefined) return false;
      if (this.first !== null)
        throw new RuntimeError('select: two cases are the ends of a channel');
      this.first = immediate;
      this.leaveAll();
    } catch (error) {
      this.leaveAll();
      this.end();
      throw error;
    }
    return this.finish();
  }

  /** false: somebody else was faster. */
  private finish(): boolean {
    let over = true;
    try {
      const taken = this.first!.take();
      if (taken === null) over = false;
      else this.setResult(taken.value);
    } finally {
      if (over) this.end();
    }
    return over;
  }

  private setResult(value: unknown): void {
    this.select!.value = { key: this.first!.key, value };
  }

  /** Out of every list; not the first, which has its result. */
  private leaveAll(): void {
    for (const each of this.cases) if (each !== this.first) each.leave();
  }

  private end(): void {
    for (const each of this.cases) each.end?.();
  }
}

/**
 * Waits for the first of several operations, and does only that one: no item, permit or lock goes
 * to the others.
 *
 *     const first = yield* select({ job: jobs.receive(), tick: sleep(1000) });
 *     if (first.key === 'job') work(first.value);
 *
 * @param cases - operations that have not begun (`receive`, `send`, `get`, `put`, `acquire`,
 *   `hold`, `wait` of an event), sleeps, futures and tasks, by name. Futures and tasks are not
 *   cancelled. Not both ends of one channel.
 * @param options - `signal` ends the wait
 * @returns when awaited, the `key` and the `value` of the first
 * @throws TypeError if a case is something else; when awaited: what the first one throws,
 *   CancelledError, the reason of the signal
 *
 * Order: if several could be done at once, the one that is named first. Counterpart: none in
 * asyncio; Go's `select`.
 */
export function select<C extends Readonly<Record<string, Yieldable<any>>>>(
  cases: C,
  options?: Abortable,
): Coroutine<Selected<C>> {
  if (typeof cases !== 'object' || cases === null) {
    throw new TypeError(`select: cases must be an object, got ${show(cases)}`);
  }
  const list = Object.entries(cases).map(([key, source]) => caseOf(key, source));
  if (list.length === 0) throw new TypeError('select: at least one case is needed');
  const loop = currentLoop();
  return abortable(
    'select',
    options,
    new Waiting<Selected<C>>(new Selecting(loop, list), undefined),
  );
}
