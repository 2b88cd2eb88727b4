/** BoundedSemaphore: a semaphore that notices a release too many. */
import { Semaphore } from './semaphore.js';

/** A semaphore that never has more permits than in the beginning. */
export class BoundedSemaphore extends Semaphore {
  private readonly bound: number;

  /**
   * @param value - permits in the beginning, and at most
   * @throws TypeError if it is not an integer; RangeError if it is negative
   */
  constructor(value = 1) {
    super(value);
    this.bound = value;
  }

  /**
   * Gives a permit back, and wakes whoever waited longest.
   *
   * @throws RangeError if no permit is out
   */
  override release(): void {
    if (this.value >= this.bound) {
      throw new RangeError('BoundedSemaphore released too many times');
    }
    super.release();
  }
}
