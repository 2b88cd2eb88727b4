/**
 * Timers as JavaScript sees them: which object stands for which slot of the heap in C++.
 *
 * Facts. Most timers are armed and cancelled within a few turns. A direct call into C++ for each
 * costs more than the heap's own work.
 * Decision. Arming and cancelling append a record to the submission ring; C++ applies the ring, in
 * order, at the start of the next turn or when it is full. Order makes slots safe to use again at
 * once: a cancel stands before the next arming of the same slot.
 * Cost. A cancelled timer keeps its place in the heap until the next turn. A timer that fires
 * touches its slot here and its handle, no more: with many timers every touch is a cache miss.
 * Invariants. entries[slot] is set exactly while the slot is armed; armed counts them.
 *
 *   arm(t, 5)   cancel(s)                       turn()
 *      |            |                              |
 *   +--v---------+--v---------+---            C++: Insert(7, 5), Remove(3) ...
 *   | 5.0  | 7   | NaN  | 3   |   (f64 deadline in ns, u32 slot)
 *   +------------+------------+---
 */
import type { Core } from '../core/core.js';
import { layout } from '../core/native.js';

/** What a timer is to the loop: something that goes to the ready queue when it is due. */
export interface TimerEntry {
  /** Its slot while armed, else -1. Only the table writes it. */
  slot: number;
  /** KIND_HANDLE or KIND_STEP. */
  readonly kind: number;
}

const NS_PER_MS = 1e6;
const WORDS_PER_RECORD = layout.submissionBytes / 4;
const DOUBLES_PER_RECORD = layout.submissionBytes / 8;
const { referenceCount, submissionCapacity, submissionCount } = layout;
const { submissionDeadline, submissionSlot } = layout;

export class TimerTable {
  /** How many are armed. */
  armed = 0;
  /** The earliest deadline armed since the last turn, in milliseconds. */
  earliest = Infinity;
  readonly buffer = new ArrayBuffer(layout.submissionBytes * submissionCapacity);
  private readonly submittedDeadlines = new Float64Array(this.buffer);
  private readonly submittedSlots = new Uint32Array(this.buffer);
  private readonly entries: (TimerEntry | null)[] = [];
  private readonly free: number[] = [];
  /** Slots of timers that do not keep the process alive. */
  private readonly unreferenced = new Set<number>();
  private core: Core | null = null;

  constructor(private readonly header: Uint32Array) {}

  attach(core: Core): void {
    this.core = core;
  }

  /** Arms an entry that is not armed. A deadline of Infinity never comes: nothing is armed. */
  arm(entry: TimerEntry, deadlineMs: number, referenced: boolean): void {
    if (deadlineMs === Infinity) return;
    const slot = this.free.length > 0 ? this.free.pop()! : this.entries.length;
    entry.slot = slot;
    this.entries[slot] = entry;
    this.armed++;
    this.header[referenceCount]!++;
    if (!referenced) this.setReferenced(entry, false);
    if (deadlineMs < this.earliest) this.earliest = deadlineMs;
    this.submit(slot, deadlineMs * NS_PER_MS);
  }

  /** Disarms an entry; one that is not armed stays as it is. */
  cancel(entry: TimerEntry): void {
    if (entry.slot < 0) return;
    this.submit(entry.slot, NaN);
    this.release(entry);
  }

  /** The entry of a slot that is due. */
  adopt(slot: number): TimerEntry {
    const entry = this.entries[slot]!;
    this.release(entry);
    return entry;
  }

  setReferenced(entry: TimerEntry, referenced: boolean): void {
    const { slot } = entry;
    if (slot < 0 || this.unreferenced.has(slot) === !referenced) return;
    if (referenced) this.unreferenced.delete(slot);
    else this.unreferenced.add(slot);
    this.header[referenceCount]! += referenced ? 1 : -1;
  }

  private release(entry: TimerEntry): void {
    if (this.unreferenced.size > 0) this.setReferenced(entry, true);
    const { slot } = entry;
    this.entries[slot] = null;
    this.free.push(slot);
    entry.slot = -1;
    this.armed--;
    this.header[referenceCount]!--;
  }

  private submit(slot: number, deadlineNs: number): void {
    let count = this.header[submissionCount]!;
    if (count === submissionCapacity) {
      this.core!.submit();
      count = 0;
    }
    this.submittedDeadlines[count * DOUBLES_PER_RECORD + submissionDeadline] = deadlineNs;
    this.submittedSlots[count * WORDS_PER_RECORD + submissionSlot] = slot;
    this.header[submissionCount] = count + 1;
  }
}
