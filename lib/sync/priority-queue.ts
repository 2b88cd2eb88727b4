/**
 * PriorityQueue: the smallest item first.
 *
 * Facts. Python compares tuples item by item, so that `(priority, data)` is the usual entry. In
 * JavaScript `<` compares arrays as strings.
 * Decision. `compare` decides; without it numbers, strings, dates and arrays of them are compared
 * as in Python, and anything else is refused when it is put. Equal items keep their order. A binary
 * heap in an array. `compare` may throw: a place is found before anything is moved, so that no item
 * is lost or doubled.
 */
import { show } from '../errors.js';
import { Queue, type Store } from './queue.js';

/** Less than zero: `a` comes first. */
export type Compare<T> = (a: T, b: T) => number;

/** What a PriorityQueue can be told. */
export interface PriorityQueueOptions<T> {
  /** Which of two items comes first; else the smaller one. */
  compare?: Compare<T>;
}

interface Entry<T> {
  item: T;
  order: number;
}

class Heap<T> implements Store<T> {
  compare: Compare<T> = compareNaturally;
  private readonly entries: Entry<T>[] = [];
  private pushed = 0;

  get size(): number {
    return this.entries.length;
  }

  push(item: T): void {
    const { entries } = this;
    // Whatever compare throws, it throws before anything is moved.
    if (entries.length > 0) this.compare(item, entries[0]!.item);
    else this.compare(item, item);
    const entry = { item, order: this.pushed++ };
    let place = entries.length;
    while (place > 0 && this.before(entry, entries[(place - 1) >> 1]!)) place = (place - 1) >> 1;
    let at = entries.length;
    for (; at > place; at = (at - 1) >> 1) entries[at] = entries[(at - 1) >> 1]!;
    entries[place] = entry;
  }

  shift(): T | undefined {
    const { entries } = this;
    let moved = entries[entries.length - 1]!;
    let at = this.placeFromTop(moved);
    entries.pop();
    if (entries.length === 0) return moved.item;
    // The last one takes that place, and those above move up, the topmost one out.
    for (; ; at = (at - 1) >> 1) {
      const next = entries[at]!;
      entries[at] = moved;
      moved = next;
      if (at === 0) return moved.item;
    }
  }

  /** Where the last entry belongs when the first one is gone. */
  private placeFromTop(last: Entry<T>): number {
    const { entries } = this;
    const size = entries.length - 1;
    let at = 0;
    for (let child = 1; child < size; child = 2 * at + 1) {
      const right = child + 1;
      if (right < size && this.before(entries[right]!, entries[child]!)) child = right;
      if (!this.before(entries[child]!, last)) break;
      at = child;
    }
    return at;
  }

  private before(a: Entry<T>, b: Entry<T>): boolean {
    const order = this.compare(a.item, b.item);
    return order < 0 || (order === 0 && a.order < b.order);
  }
}

/** Numbers, strings, bigints, dates, and arrays of them. */
function compareNaturally(a: unknown, b: unknown): number {
  if (Array.isArray(a) && Array.isArray(b)) return compareArrays(a, b);
  const [x, y] = [a, b].map((each) => (each instanceof Date ? each.getTime() : each)) as any[];
  const numbers = isNumeric(x) && isNumeric(y);
  if (!numbers && !(typeof x === 'string' && typeof y === 'string')) {
    throw new TypeError(`PriorityQueue: ${show(a)} and ${show(b)} have no order; pass compare`);
  }
  return x < y ? -1 : x > y ? 1 : 0;
}

function isNumeric(value: unknown): boolean {
  return (
    (typeof value === 'number' && !Number.isNaN(value)) ||
    typeof value === 'bigint' ||
    typeof value === 'boolean'
  );
}

function compareArrays(a: readonly unknown[], b: readonly unknown[]): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    if (a[i] === b[i]) continue;
    const order = compareNaturally(a[i], b[i]);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** A queue that returns the smallest item first. Counterpart: `asyncio.PriorityQueue`. */
export class PriorityQueue<T = unknown> extends Queue<T> {
  /**
   * @param maxsize - how many items fit; zero or less: any number
   * @param options - `compare` says which item comes first
   * @throws TypeError if an argument has the wrong type
   */
  constructor(maxsize = 0, options: PriorityQueueOptions<T> = {}) {
    super(maxsize);
    const { compare } = options;
    if (compare === undefined) return;
    if (typeof compare !== 'function') {
      throw new TypeError(`PriorityQueue: compare must be a function, got ${show(compare)}`);
    }
    (this.store as Heap<T>).compare = compare;
  }

  /** @internal */
  protected override makeStore(): Store<T> {
    return new Heap<T>();
  }
}
