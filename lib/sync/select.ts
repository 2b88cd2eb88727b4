/**
 * select: the first of several operations, and only that one.
 *
 * Facts. Racing tasks and cancelling the losers loses what a loser had just received.
 * Decision. The operations themselves stand in their lists, as candidates. The first that is woken
 * takes the others out of theirs at once, in the very call that woke it, so no second one can be
 * given anything.
 * Invariants. At most one candidate is woken; when `select` ends, none is in a list.
 */
import { show } from '../errors.js';
import { type Abortable, abortable } from '../tasks/abortable.js';
import { Coroutine } from '../tasks/coroutine.js';
import { Future } from '../tasks/future.js';
import { FINISHED, FUTURE_BRAND } from '../tasks/future-status.js';
import { Sleep } from '../tasks/sleep.js';
import { type Operation, putOff, Waiting } from '../tasks/waiting.js';
import type { Awaited, Yieldable } from '../types.js';

/** What `select` returns: the name of the case that was first, and its result. */
export type Selected<C> = {
  [K in keyof C]: { key: K; value: Awaited<C[K]> };
}[keyof C];

/** One case. */
interface Case {
  readonly key: string;
  /** true: it is done already. */
  begin(won: () => void): boolean;
  /** Another one was first: out of the list. */
  lose(): void;
  /** The select is over. */
  close(): void;
  /** It was first, but an error is thrown at the `select`. true: its result stands. */
  abandoned(): boolean;
  /** Its result; null: it was taken by somebody else meanwhile. */
  take(): { value: unknown } | null;
}

/** A wait of which somebody is told the moment it is woken. */
class Candidate extends Waiting<any> {
  constructor(
    operation: Operation,
    result: unknown,
    private readonly won: () => void,
  ) {
    super(operation, result);
  }

  override settle(how: number, value: unknown): void {
    super.settle(how, value);
    this.won();
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

  begin(won: () => void): boolean {
    this.candidate = new Candidate(this.waiting.operation, this.argument, won);
    this.immediate = this.waiting.operation.begin(this.candidate);
    return this.immediate;
  }

  lose(): void {
    if (this.candidate !== null && this.candidate.list !== null) this.abandoned();
  }

  close(): void {}

  abandoned(): boolean {
    return this.waiting.operation.abandoned(this.candidate!);
  }

  take(): { value: unknown } | null {
    const candidate = this.candidate!;
    if (this.immediate) return { value: candidate.value };
    if (candidate.failed()) throw candidate.takeError();
    if (this.waiting.operation.woken(candidate)) return { value: candidate.value };
    candidate.list?.remove(candidate);
    return null;
  }
}

/** A future is only looked at; a sleep begins, and ends, with the select. */
class FutureCase implements Case {
  private readonly listener = { settled: (): void => this.won() };
  private won: () => void = () => {};

  constructor(
    readonly key: string,
    private readonly future: Future<unknown>,
  ) {}

  begin(won: () => void): boolean {
    if (this.future instanceof Sleep) this.future.beginOnce();
    if (this.future.done()) return true;
    this.won = won;
    this.future.addListener(this.listener);
    return false;
  }

  lose(): void {
    this.future.removeWaiters((waiter) => waiter === this.listener);
  }

  close(): void {
    if (this.future instanceof Sleep) this.future.cancel();
  }

  abandoned(): boolean {
    return false;
  }

  take(): { value: unknown } {
    return { value: this.future.result() };
  }
}

function caseOf(key: string, source: unknown): Case {
  if (source instanceof Waiting) return new OperationCase(key, source);
  const isFuture =
    source instanceof Sleep ||
    (source instanceof Future && source[FUTURE_BRAND as never] === 'future');
  if (isFuture) return new FutureCase(key, source as Future<unknown>);
  throw new TypeError(
    `select: case ${key} must be an operation (receive, get, acquire, ...), a sleep, a future or ` +
      `a task, got ${show(source)}`,
  );
}

/** One race: the case that was first. */
function* race(cases: readonly Case[]): Generator<unknown, Case, any> {
  const first = new Future<void>();
  let winner: Case | null = null;
  const loseOthers = (): void => {
    for (const each of cases) if (each !== winner) each.lose();
  };
  const won = (each: Case): void => {
    if (winner !== null) return;
    winner = each;
    loseOthers();
    if (!first.done()) first.settle(FINISHED, undefined);
  };
  try {
    const immediate = cases.find((each) => each.begin(() => won(each)));
    if (immediate !== undefined) winner = immediate;
    else yield* first;
  } catch (error) {
    if (winner === null || !(winner as Case).abandoned()) throw error;
    putOff(error);
  } finally {
    loseOthers();
  }
  return winner!;
}

function* selectSteps(cases: readonly Case[]): Generator<unknown, any, any> {
  try {
    for (;;) {
      const winner: Case = yield* race(cases);
      const taken = winner.take();
      if (taken !== null) return { key: winner.key, value: taken.value };
    }
  } finally {
    for (const each of cases) each.close();
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
  return abortable('select', options, new Coroutine(selectSteps(list)));
}
