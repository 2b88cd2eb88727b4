/**
 * DatagramQueue: what the kernel has no room for. Made when a datagram has to wait, then dropped.
 *
 * Decision. As in asyncio, a datagram counts 8 bytes more than it has, so that empty ones count.
 */
import type { WatchEntry } from '../loop/watchers.js';
import type { PackedAddress } from './address.js';
import { COLLECT_MAX, outcomeOf, putTarget } from './datagram-slab.js';
import { load, type OutboxOwner } from './outbox.js';
import { netLayout, sockets } from './slab.js';

/** One that waits. */
interface Waiting {
  readonly data: Uint8Array;
  /** null: the connected peer. */
  readonly target: PackedAddress;
}

const HEADER_BYTES = 8;
const AGAIN = -netLayout.EAGAIN;

/** Datagrams that wait, in order. */
export class DatagramQueue {
  /** Bytes that wait. */
  size = 0;
  private waiting: Waiting[] = [];

  constructor(readonly writer: WatchEntry) {}

  get empty(): boolean {
    return this.waiting.length === 0;
  }

  /** @param data - memory that nobody changes */
  push(data: Uint8Array, target: PackedAddress): void {
    this.waiting.push({ data, target });
    this.size += data.length + HEADER_BYTES;
  }

  /** As many as the kernel takes. `failed` hears of those it refuses for good. */
  send(owner: OutboxOwner, failed: (errno: number, target: PackedAddress) => void): void {
    const list = this.waiting;
    let gone = 0;
    while (gone < list.length) {
      const outcomes = sendSome(owner, list, gone);
      for (const [i, outcome] of outcomes.entries()) {
        if (outcome !== 0) failed(outcome, list[gone + i]!.target);
        this.size -= list[gone + i]!.data.length + HEADER_BYTES;
      }
      gone += outcomes.length;
      if (outcomes.length === 0) break;
    }
    this.waiting = list.slice(gone);
  }
}

/** What has become of some of them, zero or a negative errno; empty: there is no room. */
function sendSome(owner: OutboxOwner, list: readonly Waiting[], from: number): number[] {
  const { data, target } = list[from]!;
  if (data.length > COLLECT_MAX) {
    putTarget(0, target);
    const result = sockets.sendDatagram(owner.fd, data);
    return result === AGAIN ? [] : [result];
  }
  const done = sockets.sendBatch(owner.fd, load(list, from), owner.segmented);
  return Array.from({ length: done }, (_, i) => outcomeOf(i));
}
