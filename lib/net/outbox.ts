/**
 * Outbox: datagrams that leave together.
 *
 * Facts. asyncio sends each datagram at once. On loopback that costs 3 us in the kernel, with
 * sendmmsg a sixth less, and as a run of the same length for the same address, which crosses the
 * kernel as one (UDP_SEGMENT), a sixth: 0.5 us.
 * Decision. The first datagram of an iteration leaves at once, so that a lone one never waits. What
 * is sent behind it, or while a batch is being received, is collected; it leaves with a step that
 * the first one has queued, when the batch is over, or when somebody could see the difference:
 * another transport sends, the outbox is full, an option is set, the transport is closed, the
 * process ends.
 * Cost. A copy of each small datagram, which asyncio makes for those that have to wait, and one
 * step for the first.
 * Invariants. The outbox has datagrams of one transport at a time, in the order of the calls. It is
 * empty when the step has run.
 */
import type { EventLoop } from '../tasks/event-loop.js';
import type { PackedAddress } from './address.js';
import { BATCH, COLLECT_MAX, fits, putDatagram } from './datagram-slab.js';
import { sockets } from './slab.js';

/** Whose datagrams they are. */
export interface OutboxOwner {
  readonly loop: EventLoop;
  readonly fd: number;
  /** Whether runs of datagrams may cross the kernel as one. */
  readonly segmented: boolean;
  /** Runs something as a handle of the owner would run: the protocol may be told to pause. */
  notify(run: () => void): void;
  /** Of `count` datagrams in the slab, so many were sent or failed; the rest has to wait. */
  sent(done: number, count: number): void;
}

/** The thread's datagrams that are about to leave. */
class Outbox {
  private owner: OutboxOwner | null = null;
  private count = 0;
  private used = 0;
  /** A batch is being received. */
  private receiving = false;
  /** Where the step is queued. It does not come while that loop stands still. */
  private stepOn: EventLoop | null = null;
  private prepared = false;
  private readonly leave = (): void => this.flush();

  /** There is somebody to collect for. */
  prepare(): void {
    if (this.prepared) return;
    this.prepared = true;
    process.on('exit', () => this.flush());
  }

  /** A batch is being received from now on. */
  hold(): void {
    this.receiving = true;
  }

  /** The batch is over. */
  release(): void {
    this.receiving = false;
    if (this.owner !== null) this.flush();
  }

  /** A small one. */
  add(owner: OutboxOwner, data: Uint8Array, target: PackedAddress): void {
    if (this.owner !== null && (this.owner !== owner || !fits(this.used, data.length))) {
      this.flush();
    }
    this.owner = owner;
    putDatagram(this.count++, this.used, data, target);
    this.used += data.length;
    if (this.count === BATCH || !this.collects(owner.loop)) this.flush();
  }

  /** Those of `owner` leave. */
  flushOf(owner: OutboxOwner): void {
    if (this.owner === owner) this.flush();
  }

  /** All of them leave. */
  flush(): void {
    const { owner, count } = this;
    if (owner === null) return;
    this.owner = null;
    this.count = this.used = 0;
    owner.sent(sockets.sendBatch(owner.fd, count, owner.segmented), count);
  }

  /** @internal The iteration of the first one is over. */
  step(): void {
    this.stepOn = null;
    this.owner?.notify(this.leave);
  }

  /** False: it is the first, and the next ones are collected. */
  private collects(loop: EventLoop): boolean {
    if (this.receiving || this.stepOn?.isRunning() === true) return true;
    this.stepOn = loop;
    if (loop.isRunning()) loop.scheduleStep(this);
    return false;
  }
}

/** The thread's. */
export const outbox = new Outbox();

/** Fills the slab with small ones of a list: how many fit. The outbox must be empty. */
export function load(
  list: readonly { data: Uint8Array; target: PackedAddress }[],
  from: number,
): number {
  let used = 0;
  let count = 0;
  while (count < BATCH && from + count < list.length) {
    const { data, target } = list[from + count]!;
    if (data.length > COLLECT_MAX || !fits(used, data.length)) break;
    putDatagram(count++, used, data, target);
    used += data.length;
  }
  return count;
}
