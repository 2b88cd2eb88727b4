/**
 * The ready queue: one FIFO that both JavaScript and C++ append to.
 *
 * Facts. A JavaScript object cannot live in shared memory, and looking one up through a slot table
 * costs no less than having it stand beside. C++ appends only inside `turn()`.
 * Decision. Two arrays of one capacity, a power of two, and one pair of counters. `words` is shared
 * memory: a small kind for what JavaScript appended, a tagged payload for what C++ did. `items`
 * holds the objects of the former at the same index; `adopt()` looks up those of the latter right
 * after the turn, before any callback can run, so no record can be stale.
 * Cost. 12 bytes a place. It doubles, and never shrinks.
 *
 *              head                  tail
 *               v                     v
 *   words  |   |HND|STP|SET|ARG|TMR 7|   |      kinds and tagged records
 *   items  |   | h | t | l | f |     |   |      the objects, TMR 7's after adopt()
 *
 * Invariants. tail - head <= capacity; `items` outside head..tail is null.
 */
import type { Core } from '../core/core.js';
import { layout } from '../core/native.js';

/** A Handle: its callback runs. */
export const KIND_HANDLE = layout.tagFirstLocal;
/** Something with `step()`: a task, a sleep. */
export const KIND_STEP = layout.tagFirstLocal + 1;
/** A listener, and in the next place (KIND_ARGUMENT) the future that has settled. */
export const KIND_SETTLED = layout.tagFirstLocal + 2;
export const KIND_ARGUMENT = layout.tagFirstLocal + 3;
/** What C++ reported is gone: nothing to run, but the place counts. */
export const KIND_NOTHING = layout.tagFirstLocal + 4;
/** A future that has settled and has one listener, in one place instead of two. */
export const KIND_DELIVER = layout.tagFirstLocal + 5;

export class ReadyQueue {
  words: Uint32Array;
  items: unknown[];
  mask: number;
  /** Counters of 32 bits that wrap: differences are taken with `| 0`. */
  head = 0;
  tail = 0;
  private core: Core | null = null;

  constructor(capacity: number) {
    this.words = new Uint32Array(new ArrayBuffer(capacity * 4));
    this.items = new Array(capacity).fill(null);
    this.mask = capacity - 1;
  }

  get buffer(): ArrayBuffer {
    return this.words.buffer as ArrayBuffer;
  }

  get size(): number {
    return (this.tail - this.head) | 0;
  }

  /** From now on the core is told when the ring moves. */
  attach(core: Core): void {
    this.core = core;
  }

  push(kind: number, item: unknown): void {
    const tail = this.tail;
    if (((tail - this.head) | 0) > this.mask) this.grow();
    const index = tail & this.mask;
    this.words[index] = kind;
    this.items[index] = item;
    this.tail = (tail + 1) | 0;
  }

  /** Makes sure that `count` more records fit. */
  reserve(count: number): void {
    while (this.mask + 1 - this.size < count) this.grow();
  }

  clear(): void {
    this.items.fill(null);
    this.head = this.tail;
  }

  private grow(): void {
    const mask = this.mask * 2 + 1;
    const words = new Uint32Array(new ArrayBuffer((mask + 1) * 4));
    const items: unknown[] = new Array(mask + 1).fill(null);
    for (let at = this.head; at !== this.tail; at = (at + 1) | 0) {
      words[at & mask] = this.words[at & this.mask]!;
      items[at & mask] = this.items[at & this.mask];
    }
    this.words = words;
    this.items = items;
    this.mask = mask;
    this.core?.attachReady(this.buffer);
  }
}
