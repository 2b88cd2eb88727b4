/** The clock and the limits of SPEC.md: time moves only in `select`, straight to the next timer. */
import type { Clock } from 'ringloop';

export class Deadlock extends Error {}
export class LimitReached extends Error {}

export class VirtualClock implements Clock {
  /** Iterations at this time. */
  tick = 0;
  private time = 0;
  private iterations = 0;

  constructor(
    private readonly limit: number,
    private readonly invalid: () => boolean,
  ) {}

  now(): number {
    return this.time;
  }

  select(timeout: number): void {
    if (this.invalid()) throw new Fatal();
    this.iterations++;
    if (this.iterations > this.limit) throw new LimitReached();
    if (timeout === Infinity) throw new Deadlock();
    this.tick = timeout > 0 ? 1 : this.tick + 1;
    this.time += timeout;
  }
}

/** The program is not valid, or the interpreter is wrong. */
export class Fatal extends Error {}
