/**
 * Barrier: a number of tasks that meet.
 *
 * Decision. asyncio's algorithm: a condition and four states.
 *
 *                 last party arrives                  last party leaves
 *   [ filling ] ---------------------> [ draining ] --------------------> [ filling ]
 *       | reset() with parties waiting                  last of them leaves
 *       +------------------------------> [ resetting ] ------------------> [ filling ]
 *       | abort()
 *       +------------------------------> [ broken ] --- reset(), nobody waiting ---> [ filling ]
 */
import { BrokenBarrierError, show } from '../errors.js';
import { type Abortable, abortable } from '../tasks/abortable.js';
import { Coroutine } from '../tasks/coroutine.js';
import { Condition } from './condition.js';

type State = 'filling' | 'draining' | 'resetting' | 'broken';

/** What `barrier.statistics()` tells. */
export interface BarrierStatistics {
  parties: number;
  /** Tasks that wait for the others. */
  waiters: number;
  state: State;
}

/**
 * A place where a number of tasks wait until all of them are there. Counterpart: `asyncio.Barrier`.
 */
export class Barrier {
  /** How many must come. */
  readonly parties: number;
  private readonly condition = new Condition();
  private state: State = 'filling';
  private count = 0;

  /**
   * @param parties - how many must come
   * @throws TypeError if it is not an integer; RangeError if it is less than 1
   */
  constructor(parties: number) {
    if (!Number.isSafeInteger(parties)) {
      throw new TypeError(`Barrier: parties must be an integer, got ${show(parties)}`);
    }
    if (parties < 1) throw new RangeError('parties must be >= 1');
    this.parties = parties;
  }

  /** How many wait for the others. */
  get nWaiting(): number {
    return this.state === 'filling' ? this.count : 0;
  }

  /** Whether it was aborted. */
  get broken(): boolean {
    return this.state === 'broken';
  }

  /**
   * Waits until all parties are there.
   *
   * @param options - `signal` ends the wait
   * @returns when awaited, the number of those who came before
   * @throws TypeError if an option has the wrong type; when awaited: BrokenBarrierError if it was
   *   aborted or reset, CancelledError, the reason of the signal
   *
   * Order: the last to come goes on at once, the others in the order in which they came.
   * Counterpart: `Barrier.wait`.
   */
  wait(options?: Abortable): Coroutine<number> {
    return abortable('wait', options, new Coroutine(this.waitSteps()));
  }

  /** Empties it: whoever waits gets a BrokenBarrierError. */
  reset(): Coroutine<void> {
    return new Coroutine(this.resetSteps());
  }

  /** Breaks it: whoever waits, or comes before a `reset()`, gets a BrokenBarrierError. */
  abort(): Coroutine<void> {
    return new Coroutine(this.abortSteps());
  }

  /** Begins a block when all are there: as `wait`. */
  enter(options?: Abortable): Coroutine<number> {
    return this.wait(options);
  }

  /** Ends a block: does nothing. */
  exit(): void {}

  /** How many parties there are, and how many wait. */
  statistics(): BarrierStatistics {
    return { parties: this.parties, waiters: this.nWaiting, state: this.state };
  }

  /** For messages. */
  toString(): string {
    return `<Barrier ${this.state}, waiters: ${this.nWaiting}/${this.parties}>`;
  }

  private *waitSteps(): Generator<unknown, number, any> {
    yield* this.condition.enter();
    try {
      yield* this.condition.waitFor(() => this.state !== 'draining' && this.state !== 'resetting');
      if (this.state === 'broken') throw new BrokenBarrierError('Barrier aborted');
      const index = this.count++;
      try {
        if (index + 1 === this.parties) this.drain();
        else yield* this.waitForOthers();
        return index;
      } finally {
        this.count--;
        this.leave();
      }
    } finally {
      this.condition.exit();
    }
  }

  private drain(): void {
    this.state = 'draining';
    this.condition.notifyAll();
  }

  private *waitForOthers(): Generator<unknown, void, any> {
    yield* this.condition.waitFor(() => this.state !== 'filling');
    if (this.state === 'broken' || this.state === 'resetting') {
      throw new BrokenBarrierError('Abort or reset of barrier');
    }
  }

  private leave(): void {
    if (this.count > 0) return;
    if (this.state === 'resetting' || this.state === 'draining') this.state = 'filling';
    this.condition.notifyAll();
  }

  private *resetSteps(): Generator<unknown, void, any> {
    yield* this.condition.enter();
    this.state = this.count > 0 ? 'resetting' : 'filling';
    this.condition.notifyAll();
    this.condition.exit();
  }

  private *abortSteps(): Generator<unknown, void, any> {
    yield* this.condition.enter();
    this.state = 'broken';
    this.condition.notifyAll();
    this.condition.exit();
  }
}
