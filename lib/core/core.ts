/**
 * What the loop asks of a core. The floors above know this interface and nothing of C++.
 *
 * Facts. Crossing into C++ costs 7-15 ns with numbers and 140 ns with a buffer, so buffers are
 * handed over once and numbers go through them.
 * Decision. A core owns the timer heap, the selector and the wake-up, writes records to the ready
 * ring, and calls `dispatch` when libuv has something for us. Everything else is JavaScript's.
 */

import type { Sockets } from './sockets.js';

/** Indices and constants of the shared memory, as the core itself states them (layout.h). */
export interface Layout {
  readonly headerBytes: number;
  readonly readyHead: number;
  readonly readyTail: number;
  readonly submissionCount: number;
  readonly referenceCount: number;
  readonly nowNs: number;
  readonly nextDeadlineNs: number;
  readonly statistics: Readonly<Record<string, number>>;
  readonly submissionBytes: number;
  readonly submissionCapacity: number;
  readonly submissionDeadline: number;
  readonly submissionSlot: number;
  readonly readyCapacityMin: number;
  readonly readyTagBits: number;
  /** The largest slot, fd or remote id that a record of the ready ring can carry. */
  readonly readyPayloadMax: number;
  readonly tagTimer: number;
  readonly tagReadable: number;
  readonly tagWritable: number;
  readonly tagRemote: number;
  readonly tagFirstLocal: number;
  readonly readable: number;
  readonly edge: number;
  readonly writable: number;
  readonly verdictIdle: number;
  readonly verdictBusy: number;
  readonly verdictDrain: number;
  readonly verdictRenewContext: number;
}

export interface CoreOptions {
  header: ArrayBuffer;
  ready: ArrayBuffer;
  submissions: ArrayBuffer;
  /** Called under libuv, never from inside JavaScript. Returns one of the layout's verdicts. */
  dispatch: () => number;
  /** `performance.now()`, read just before: both sides then speak of the same time. */
  nowMs: number;
}

export interface Core {
  /**
   * Applies submissions, asks for ready fds without waiting, expires timers. NaN: the clock's time.
   */
  turn(nowNs: number): void;
  /** Applies submissions only: the submission ring is full. */
  submit(): void;
  /** Makes libuv call `dispatch` soon. */
  wake(): void;
  /** Whether libuv has anything left to wait for. */
  hostIsAlive(): boolean;
  /** Watches exactly `interest` of an fd, 0 for none. Throws the system's error. */
  watch(fd: number, interest: number): void;
  /** The ready ring moved to a larger buffer. */
  attachReady(ready: ArrayBuffer): void;
  /** The number by which other threads reach this core. */
  remoteKey(): number;
  close(): void;
}

export interface CoreModule {
  readonly layout: Layout;
  readonly selector: string;
  readonly sockets: Sockets;
  readonly NativeLoop: new (options: CoreOptions) => Core;
  /** From any thread; false when that loop is gone. */
  postRemote(key: number, id: number): boolean;
}
