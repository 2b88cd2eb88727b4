/**
 * Deque: items in order, taken from the front.
 *
 * Facts. `Array.prototype.shift` moves everything once an array is large.
 * Decision. A ring of a power of two, doubled when it is full.
 *
 *        head              tail
 *          v                v
 *   [ . . | a | b | c | d | . . ]      index & mask
 */
export class Deque<T> {
  private items: (T | undefined)[] = new Array(8);
  private head = 0;
  private count = 0;

  /** How many items there are. */
  get size(): number {
    return this.count;
  }

  /** Adds at the end. */
  push(item: T): void {
    if (this.count === this.items.length) this.grow();
    this.items[(this.head + this.count++) & (this.items.length - 1)] = item;
  }

  /** Adds in front. */
  unshift(item: T): void {
    if (this.count === this.items.length) this.grow();
    this.head = (this.head - 1) & (this.items.length - 1);
    this.items[this.head] = item;
    this.count++;
  }

  /** Takes from the front; undefined: there is nothing. */
  shift(): T | undefined {
    if (this.count === 0) return undefined;
    const item = this.items[this.head];
    this.items[this.head] = undefined;
    this.head = (this.head + 1) & (this.items.length - 1);
    this.count--;
    return item;
  }

  private grow(): void {
    const { items, head } = this;
    this.items = items.slice(head).concat(items.slice(0, head), new Array(items.length));
    this.head = 0;
  }
}
