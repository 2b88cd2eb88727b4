/**
 * DatagramTransport: a socket for datagrams, of UDP or of unix.
 *
 * Facts. The kernel takes 0.5 us to hand a datagram over and 2.5 us to send one on loopback. On a
 * connected socket it tells that an earlier datagram was refused, as the error of a later call.
 * Decision. asyncio's datagram transport, receiving a batch each time the fd is ready, with one
 * `recvmmsg`. Sends leave together (outbox.ts); what the kernel has no room for is queued, and
 * leaves when the fd is writable. Errors go to `errorReceived` from the loop, in the order of the
 * sends, and what was sent behind them is sent all the same.
 * Cost. One copy of each datagram in either direction; its Buffer and its address.
 * Invariants. I1 connectionMade and connectionLost are called exactly once, in this order.
 * I2 the fd is closed once, after connectionLost. I3 the writer is watched while `queue` is there.
 * I4 no datagram is delivered after close(), nothing at all after connectionLost.
 */
import { constants } from 'node:os';

import type { FamilyNumber } from '../core/sockets.js';
import { RuntimeError, show } from '../errors.js';
import { KIND_STEP } from '../loop/ready-queue.js';
import type { WatchEntry } from '../loop/watchers.js';
import type { EventLoop } from '../tasks/event-loop.js';
import { localName, type PackedAddress, unpackAddress, whereOf } from './address.js';
import { checkTarget, type DatagramAddress, sameAddress } from './datagram-address.js';
import { DatagramQueue } from './datagram-queue.js';
import {
  attachDatagrams,
  COLLECT_MAX,
  lengthOf,
  outcomeOf,
  putTarget,
  receiveDatagrams,
  receivedData,
  receivedFrom,
  takeDatagram,
  targetOf,
} from './datagram-slab.js';
import { outbox } from './outbox.js';
import type { DatagramProtocol } from './protocol.js';
import { checkText } from './resolve.js';
import { netLayout, sockets } from './slab.js';
import { checked, systemError } from './system-error.js';
import {
  BaseTransport,
  bytesOf,
  CLOSING,
  CONNECTED,
  checkProtocol,
  LOST,
  type WriteData,
} from './transport.js';

const AGAIN = -netLayout.EAGAIN;
const TOO_LONG = -constants.errno.EMSGSIZE;

/** The direction of writing, watched only while something waits. */
class Writer implements WatchEntry {
  declare readonly kind: number;
  referenced = true;

  constructor(private readonly transport: DatagramTransport) {}

  step(): void {
    this.transport.notify(() => this.transport.writeReady());
  }
}
Object.defineProperty(Writer.prototype, 'kind', { value: KIND_STEP });

/** A datagram could not be sent: the protocol hears of it in the next iteration. */
class SendFailure {
  constructor(
    private readonly transport: DatagramTransport,
    private readonly error: Error,
  ) {}

  step(): void {
    this.transport.notify(() => this.transport.callErrorReceived(this.error));
  }
}

/** @internal An open socket. */
export interface DatagramSocket {
  readonly fd: number;
  readonly family: FamilyNumber;
  /** Where datagrams go to that have no address. null: they must have one. */
  readonly remote: PackedAddress;
  /** The kernel knows the remote address, and receives from it only. */
  readonly connected: boolean;
}

/**
 * A socket for datagrams; `createDatagramEndpoint` makes one. Counterpart:
 * `asyncio.DatagramTransport`.
 */
export class DatagramTransport extends BaseTransport<DatagramProtocol> {
  /** @internal KIND_STEP, on the prototype. */
  declare readonly kind: number;
  /** @internal */
  referenced = true;
  /** @internal */
  fd: number;
  /** @internal */
  readonly segmented: boolean;
  private readonly family: FamilyNumber;
  private readonly remote: PackedAddress;
  private readonly connected: boolean;
  private queue: DatagramQueue | null = null;

  /** @internal */
  constructor(loop: EventLoop, protocol: DatagramProtocol, socket: DatagramSocket) {
    super(loop, protocol);
    this.fd = socket.fd;
    this.segmented = sockets.canSegment(socket.fd);
    this.family = socket.family;
    this.remote = socket.remote;
    this.connected = socket.connected;
    attachDatagrams();
    outbox.prepare();
    loop.watchers.own(this.fd, this);
  }

  override setProtocol(protocol: DatagramProtocol): void {
    checkDatagramProtocol('setProtocol', protocol);
    super.setProtocol(protocol);
  }

  /**
   * Sends one datagram; never blocks. If it cannot be sent, the protocol's `errorReceived` is told,
   * and the transport goes on. After the end it does nothing.
   *
   * @param data - may be empty; the bytes can be changed afterwards
   * @param address - `{ address, port }` or `[address, port]`, or a path; no name. It may be left
   *   out if the endpoint has a remote address, and must be that one then
   * @throws TypeError if an argument has the wrong type, or the address is missing; RangeError if
   *   it is no address of the socket's family, or not the remote one
   *
   * Order: datagrams leave in the order of the calls. The first of an iteration leaves at once, the
   * next ones together when the iteration is over; those sent from `datagramReceived` when what was
   * received together has been delivered. Counterpart: `sendto`.
   */
  sendTo(data: WriteData, address?: DatagramAddress | string | null): void {
    const bytes = bytesOf('sendTo', data);
    const target = this.target(address);
    if ((this.flags & LOST) !== 0) return;
    if (this.queue !== null) {
      this.queue.push(Buffer.from(bytes), target);
      this.pauseProtocolIfFull();
    } else if (bytes.length <= COLLECT_MAX) {
      outbox.add(this, bytes, target);
    } else {
      this.sendInPlace(bytes, target);
    }
  }

  override close(): void {
    if ((this.flags & CLOSING) !== 0) return;
    outbox.flushOf(this);
    this.flags |= CLOSING;
    this.stopReading();
    if (this.queue === null) this.lose();
  }

  override abort(): void {
    if ((this.flags & LOST) !== 0) return;
    outbox.flushOf(this);
    if (this.queue !== null) {
      this.loop.watchers.unwatch(this.fd, 'writer', this.queue.writer);
      this.queue = null;
    }
    this.flags |= CLOSING;
    this.stopReading();
    this.lose();
  }

  override getWriteBufferSize(): number {
    outbox.flushOf(this);
    return this.queue === null ? 0 : this.queue.size;
  }

  override getExtraInfo(name: string, fallback?: unknown): any {
    switch (name) {
      case 'peername':
        return this.connected ? unpackAddress(this.remote) : fallback;
      case 'sockname':
        outbox.flushOf(this); // the first one gives the socket its port
        return localName(this.fd) ?? fallback;
      case 'fd':
        return this.fd < 0 ? fallback : this.fd;
      default:
        return fallback;
    }
  }

  /** For messages. */
  override toString(): string {
    const what = this.fd < 0 ? 'closed' : (this.flags & CLOSING) !== 0 ? 'closing' : 'open';
    return `<DatagramTransport ${what} fd=${this.fd} write buffer: ${this.queue?.size ?? 0}>`;
  }

  // ---- options ----------------------------------------------------------------------------------

  /**
   * Receives what is sent to a group.
   *
   * @param group - the group's address
   * @param interfaceName - IPv4: the address of an interface; IPv6: its name or number. Left out:
   *   the kernel chooses
   * @throws TypeError; RuntimeError if the transport is closed; the system's error
   */
  addMembership(group: string, interfaceName = ''): void {
    this.setMembership('addMembership', true, group, interfaceName);
  }

  /** Receives it no more. As `addMembership`. */
  dropMembership(group: string, interfaceName = ''): void {
    this.setMembership('dropMembership', false, group, interfaceName);
  }

  /** Through which interface datagrams to groups leave. As `addMembership`. */
  setMulticastInterface(interfaceName: string): void {
    this.checkOption('setMulticastInterface', 'string', interfaceName);
    checked(sockets.multicastInterface(this.fd, this.family, interfaceName), 'setsockopt');
  }

  /** How many routers a datagram to a group may pass: 0 to 255; 1: it stays in the network. */
  setMulticastTtl(ttl: number): void {
    this.setOption('setMulticastTtl', 'number', netLayout.multicastTtl, ttl);
  }

  /** Whether this machine receives what it sends to groups itself; the default is true. */
  setMulticastLoopback(on: boolean): void {
    this.setOption('setMulticastLoopback', 'boolean', netLayout.multicastLoopback, on);
  }

  /** Whether datagrams may be sent to broadcast addresses. */
  setBroadcast(on: boolean): void {
    this.setOption('setBroadcast', 'boolean', netLayout.broadcast, on);
  }

  /** How many routers a datagram may pass: 1 to 255. */
  setTtl(ttl: number): void {
    this.setOption('setTtl', 'number', netLayout.ttl, ttl);
  }

  private setMembership(name: string, join: boolean, group: string, interfaceName: string): void {
    this.checkOption(name, 'string', group);
    this.checkOption(name, 'string', interfaceName);
    const result = sockets.membership(this.fd, join, this.family, group, interfaceName);
    checked(result, 'setsockopt', { address: group });
  }

  private setOption(name: string, type: string, option: number, value: number | boolean): void {
    this.checkOption(name, type, value);
    checked(sockets.setOption(this.fd, option, this.family, Number(value)), 'setsockopt');
  }

  /** What was sent before is sent without the option. */
  private checkOption(name: string, type: string, value: unknown): void {
    if (typeof value !== type || (type === 'number' && !Number.isInteger(value))) {
      throw new TypeError(`${name}: expected a ${type}, got ${show(value)}`);
    }
    if (typeof value === 'string') checkText(name, 'a name', value);
    if (this.fd < 0) throw new RuntimeError(`${name}: the transport is closed`);
    outbox.flushOf(this);
  }

  // ---- receiving --------------------------------------------------------------------------------

  /** @internal The fd is readable. */
  step(): void {
    this.loop.runBody(this.context, this);
  }

  /** @internal */
  run(): void {
    if ((this.flags & CLOSING) !== 0) return;
    const count = receiveDatagrams(this.fd, this.family);
    if (count < 0) {
      if (count === AGAIN) return;
      this.callErrorReceived(systemError(count, 'recvmsg', whereOf(this.remote)));
      return;
    }
    outbox.hold();
    try {
      for (let i = 0; i < count && (this.flags & CLOSING) === 0; i++) this.callDatagramReceived(i);
    } finally {
      outbox.release();
    }
  }

  private callDatagramReceived(index: number): void {
    const address = receivedFrom(index);
    const data = receivedData(index);
    if (data === null) {
      const where = typeof address === 'string' ? { address } : address;
      this.callErrorReceived(systemError(TOO_LONG, 'recvmsg', where));
      return;
    }
    try {
      this.protocol.datagramReceived(data, address);
    } catch (error) {
      this.report('protocol.datagramReceived() call failed', error);
    }
  }

  /** @internal */
  callErrorReceived(error: Error): void {
    if (this.fd < 0) return;
    try {
      this.protocol.errorReceived(error);
    } catch (thrown) {
      this.report('protocol.errorReceived() call failed', thrown);
    }
  }

  // ---- sending ----------------------------------------------------------------------------------

  /** null: the connected peer. */
  private target(address: DatagramAddress | string | null | undefined): PackedAddress {
    const { remote, connected } = this;
    if (address === undefined || address === null) {
      if (remote === null) {
        throw new TypeError('sendTo: an address is needed, for the endpoint has no remote one');
      }
      return connected ? null : remote;
    }
    const target = checkTarget(this.family, address);
    if (remote === null) return target;
    if (!sameAddress(target, remote)) {
      const only = show(unpackAddress(remote));
      throw new RangeError(`sendTo: the address must be left out or ${only}`);
    }
    return connected ? null : remote;
  }

  private sendInPlace(bytes: Uint8Array, target: PackedAddress): void {
    outbox.flush();
    // It may have been the one that filled the kernel's buffer.
    if (this.queue === null) {
      putTarget(0, target);
      const result = sockets.sendDatagram(this.fd, bytes);
      if (result === 0) return;
      if (result !== AGAIN) {
        this.sendFailed(result, target);
        return;
      }
    }
    const queue = this.queue ?? new DatagramQueue(new Writer(this));
    queue.push(Buffer.from(bytes), target);
    this.waitWith(queue);
  }

  /** @internal The outbox has sent `done` of `count`. */
  sent(done: number, count: number): void {
    for (let i = 0; i < done; i++) {
      const outcome = outcomeOf(i);
      if (outcome !== 0) this.sendFailed(outcome, targetOf(i));
    }
    if (done === count || (this.flags & LOST) !== 0) return;
    const queue = new DatagramQueue(new Writer(this));
    for (let i = 0, offset = 0; i < count; offset += lengthOf(i++)) {
      if (i >= done) queue.push(takeDatagram(i, offset), targetOf(i));
    }
    this.waitWith(queue);
  }

  private waitWith(queue: DatagramQueue): void {
    if (this.queue === null) this.loop.watchers.watch(this.fd, 'writer', queue.writer);
    this.queue = queue;
    this.pauseProtocolIfFull();
  }

  /** @internal The fd is writable. */
  writeReady(): void {
    const { queue } = this;
    if ((this.flags & LOST) !== 0 || queue === null) return;
    queue.send(this, (outcome, target) => this.sendFailed(outcome, target));
    if (queue.empty) {
      this.loop.watchers.unwatch(this.fd, 'writer', queue.writer);
      this.queue = null;
    }
    this.resumeProtocolIfDrained();
    if (this.queue === null && (this.flags & (CLOSING | LOST)) === CLOSING) this.lose();
  }

  private sendFailed(outcome: number, target: PackedAddress): void {
    if (this.loop.isClosed()) return;
    const error = systemError(outcome, 'send', whereOf(target ?? this.remote));
    this.loop.scheduleStep(new SendFailure(this, error));
  }

  // ---- the end ----------------------------------------------------------------------------------

  private lose(): void {
    this.flags |= LOST;
    this.later(() => this.callConnectionLost());
  }

  private callConnectionLost(): void {
    try {
      if ((this.flags & CONNECTED) !== 0) this.protocol.connectionLost(null);
    } finally {
      this.closeFd();
    }
  }

  /** @internal */
  loopClosed(): void {
    this.flags |= CLOSING | LOST;
    outbox.flushOf(this);
    this.closeFd();
  }

  private closeFd(): void {
    const { fd } = this;
    if (fd < 0) return;
    this.fd = -1;
    this.loop.watchers.disown(fd);
    sockets.close(fd);
  }

  /** @internal */
  protected override startReading(): void {
    if ((this.flags & CLOSING) !== 0) return;
    this.loop.watchers.watch(this.fd, 'reader', this);
  }

  private stopReading(): void {
    this.loop.watchers.unwatch(this.fd, 'reader', this);
  }
}
Object.defineProperty(DatagramTransport.prototype, 'kind', { value: KIND_STEP });

/** @internal */
export function checkDatagramProtocol(name: string, protocol: unknown): void {
  checkProtocol(name, protocol);
  const { datagramReceived, errorReceived } = Object(protocol);
  if (typeof datagramReceived === 'function' && typeof errorReceived === 'function') return;
  throw new TypeError(`${name}: expected a protocol for datagrams, got ${show(protocol)}`);
}
