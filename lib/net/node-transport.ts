/**
 * NodeTransport: a transport over a Duplex of Node's, such as a TLSSocket.
 *
 * Facts. A stream calls back from libuv, outside a turn of ours: no loop, no task, no context is
 * current. It says `end`, `finish`, `error` and `close` in an order of its own, some of them never.
 * Decision. The stream's events only write down what has happened and queue the transport itself;
 * `run`, which runs as a handle does, then tells the protocol in asyncio's order. What came in
 * several pieces meanwhile is delivered as one, as asyncio does with TLS. `write` is a plain call.
 * Cost. One place in the ready queue for each burst of events.
 * Invariants. I1 connectionMade and connectionLost are called exactly once, in this order. I2 the
 * stream is destroyed before connectionLost. I3 what was received is delivered before the end.
 *
 *   open -- close() --> closing -- finish (and close, where the other side has to answer) --> lost
 *     \---------------- abort(), error, close ----------------------------------------------^
 */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import { RuntimeError, show, TimeoutError } from '../errors.js';
import type { TimerHandle } from '../loop/handle.js';
import { KIND_STEP } from '../loop/ready-queue.js';
import type { WatchOwner } from '../loop/watchers.js';
import type { EventLoop } from '../tasks/event-loop.js';
import type { SocketAddress } from './address.js';
import { compact } from './memory.js';
import type { BufferedProtocol, Protocol, StreamProtocol } from './protocol.js';
import { kept, receivingInto } from './slab.js';
import {
  BUFFERED,
  bytesOf,
  CLOSING,
  CONNECTED,
  checkBuffer,
  EOF_RECEIVED,
  EOF_WRITTEN,
  LOST,
  PAUSED,
  PROTOCOL_PAUSED,
  ReadTransport,
  type Transport,
  type TransportOwner,
  type WriteData,
} from './transport.js';

/** What a NodeTransport can be told. */
export interface NodeTransportOptions {
  /** Where it came from. */
  owner?: TransportOwner | null;
  /** The file descriptor underneath: nobody else may watch it. */
  fd?: number;
  /**
   * Milliseconds from `close()` on in which the other side has to close, too; left out: the stream
   * is destroyed as soon as everything has been sent.
   */
  shutdownTimeout?: number;
}

/** What has been received and cannot be delivered yet: beyond this the stream is paused. */
const READ_AHEAD = 256 * 1024;

/** @internal A connection over a Duplex. */
export class NodeTransport extends ReadTransport<StreamProtocol> implements Transport, WatchOwner {
  /** @internal KIND_STEP, on the prototype. */
  declare readonly kind: number;
  private readonly owner: TransportOwner | null;
  /** -1: unknown, or no longer ours. */
  protected fd: number;
  private readonly shutdownTimeout: number | null;
  private shutdownTimer: TimerHandle | null = null;
  private received: Buffer[] = [];
  private receivedSize = 0;
  private queued = false;
  /** Nothing more will be received. */
  private ended = false;
  /** Everything has been sent. */
  private finished = false;
  /** The stream is destroyed. */
  private gone = false;
  /** There is something to read in it: without an end of that it was cut short. */
  private readonly reads: boolean;
  private error: Error | null = null;
  private lostError: Error | null = null;
  private readonly onWritten = (): void => {
    if ((this.flags & PROTOCOL_PAUSED) !== 0) this.enqueue();
  };

  /** @internal */
  constructor(
    loop: EventLoop,
    protected readonly stream: Duplex,
    protocol: StreamProtocol,
    options: NodeTransportOptions = {},
  ) {
    super(loop, protocol);
    this.owner = options.owner ?? null;
    this.fd = options.fd ?? -1;
    this.shutdownTimeout = options.shutdownTimeout ?? null;
    this.reads = stream.destroyed ? !stream.readableEnded : stream.readable;
    if (this.fd >= 0) loop.watchers.own(this.fd, this);
    this.listen();
    this.owner?.attach(this);
  }

  /** @internal For a protocol that is connected already. */
  continueReading(): this {
    this.flags |= CONNECTED;
    this.later(() => this.startReading());
    return this;
  }

  write(data: WriteData): void {
    const bytes = bytesOf('write', data);
    if (this.refusesWrite() || bytes.length === 0) return;
    this.stream.write(kept(bytes), this.onWritten);
    this.pauseProtocolIfFull();
  }

  writelines(list: Iterable<WriteData>): void {
    const parts = Array.from(list, (data) => bytesOf('writelines', data));
    if (this.refusesWrite()) return;
    this.stream.cork();
    for (const bytes of parts) {
      if (bytes.length > 0) this.stream.write(kept(bytes), this.onWritten);
    }
    this.stream.uncork();
    this.pauseProtocolIfFull();
  }

  writeEof(): void {
    if (!this.canWriteEof()) throw new RuntimeError(`${this}: writeEof() is not possible`);
    if ((this.flags & (CLOSING | EOF_WRITTEN)) !== 0) return;
    this.flags |= EOF_WRITTEN;
    this.stream.end();
  }

  canWriteEof(): boolean {
    return this.stream.allowHalfOpen;
  }

  override close(): void {
    if ((this.flags & CLOSING) !== 0) return;
    this.flags |= CLOSING;
    this.dropReceived();
    if (this.gone || this.finished) this.enqueue();
    const { shutdownTimeout } = this;
    if (shutdownTimeout !== null) {
      this.shutdownTimer = this.loop.callLater(shutdownTimeout, () =>
        this.lose(new TimeoutError('SSL shutdown timed out')),
      );
    }
    this.stream.end();
    // What still comes is dropped, or the end behind it would never be seen.
    this.stream.resume();
  }

  override abort(): void {
    this.lose(null);
  }

  override getWriteBufferSize(): number {
    return (this.flags & LOST) === 0 ? this.stream.writableLength : 0;
  }

  override getExtraInfo(name: string, fallback?: unknown): any {
    const socket = this.stream as Partial<Socket>;
    switch (name) {
      case 'peername':
        return addressOf(socket.remoteAddress, socket.remotePort) ?? fallback;
      case 'sockname':
        return addressOf(socket.localAddress, socket.localPort) ?? fallback;
      case 'fd':
        return this.fd < 0 ? fallback : this.fd;
      case 'stream':
        return this.stream;
      default:
        return fallback;
    }
  }

  /** For messages. */
  override toString(): string {
    const { flags } = this;
    const what = (flags & LOST) !== 0 ? 'closed' : (flags & CLOSING) !== 0 ? 'closing' : 'open';
    const size = this.getWriteBufferSize();
    return `<${this.constructor.name} ${what} fd=${this.fd} write buffer: ${size}>`;
  }

  // ---- what the stream says ---------------------------------------------------------------------

  private listen(): void {
    const { stream } = this;
    stream.on('end', () => {
      this.ended = true;
      this.enqueue();
    });
    stream.on('finish', () => {
      this.finished = true;
      if ((this.flags & CLOSING) !== 0) this.enqueue();
    });
    stream.on('error', (error: Error) => {
      this.error ??= error;
      this.enqueue();
    });
    stream.on('close', () => {
      this.gone = true;
      this.enqueue();
    });
  }

  /** @internal */
  protected override startReading(): void {
    if ((this.flags & LOST) !== 0) return;
    this.stream.on('data', (data: unknown) => this.noteReceived(data));
    if ((this.flags & PAUSED) !== 0) this.stream.pause();
    if (!this.stream.destroyed) return;
    this.gone = true;
    this.enqueue();
  }

  /** @internal */
  protected override stopReading(): void {
    this.stream.pause();
  }

  /** @internal */
  protected override goOnReading(): void {
    this.stream.resume();
    if (this.receivedSize > 0 || this.ended || this.gone) this.enqueue();
  }

  private noteReceived(data: unknown): void {
    if ((this.flags & CLOSING) !== 0) return;
    if (typeof data !== 'string' && !(data instanceof Uint8Array)) {
      const wanted = 'the stream must give bytes or text';
      this.stream.destroy(new TypeError(`fromNodeStream: ${wanted}, got ${show(data)}`));
      return;
    }
    const bytes = data instanceof Buffer ? data : Buffer.from(data as string | Uint8Array);
    this.received.push(compact(bytes));
    this.receivedSize += bytes.length;
    if (this.receivedSize > READ_AHEAD) this.stream.pause();
    this.enqueue();
  }

  private enqueue(): void {
    if (this.queued || (this.flags & LOST) !== 0) return;
    if (this.loop.isClosed()) {
      this.loopClosed();
      return;
    }
    this.queued = true;
    this.loop.scheduleStep(this);
  }

  // ---- what the protocol is told ----------------------------------------------------------------

  /** @internal Something has happened. */
  step(): void {
    this.loop.runBody(this.context, this);
  }

  /** @internal */
  run(): void {
    this.queued = false;
    if ((this.flags & LOST) !== 0) return;
    this.resumeProtocolIfDrained();
    if (this.isReading() && this.receivedSize > 0) this.deliver();
    if (this.isReading() && this.ended && this.receivedSize === 0) this.endReceived();
    if (this.isOver()) this.lose(this.outcome());
  }

  private isOver(): boolean {
    const { flags } = this;
    if ((flags & LOST) !== 0) return false;
    if ((flags & CLOSING) !== 0) {
      return this.gone || this.error !== null || (this.finished && this.shutdownTimeout === null);
    }
    if (this.error !== null) return this.receivedSize === 0 || (flags & PAUSED) !== 0;
    const toldAll = this.receivedSize === 0 && (!this.ended || (flags & EOF_RECEIVED) !== 0);
    return this.gone && toldAll;
  }

  /** Once we have closed and everything is sent, a reset is no more than a rude answer. */
  private outcome(): Error | null {
    const error = this.error ?? (this.cutShort() ? prematureClose() : null);
    if (error === null || ((this.flags & CLOSING) !== 0 && this.finished)) return null;
    if (this.loop.debug) console.warn(`ringloop: ${this}: ${error.message}`);
    return error;
  }

  /** Somebody has destroyed the stream, and said nothing: what comes next is not its end. */
  private cutShort(): boolean {
    if ((this.flags & CLOSING) !== 0) return false;
    const { stream } = this;
    return this.reads ? !(this.ended || stream.readableEnded) : !stream.writableFinished;
  }

  private deliver(): void {
    if ((this.flags & BUFFERED) !== 0) {
      this.deliverBuffered(this.takeReceived());
      return;
    }
    try {
      (this.protocol as Protocol).dataReceived(this.takeReceived());
    } catch (error) {
      this.fail('protocol.dataReceived() call failed', error);
    }
  }

  private deliverBuffered(data: Buffer): void {
    const protocol = this.protocol as BufferedProtocol;
    let buffer: Uint8Array;
    try {
      buffer = checkBuffer(protocol.getBuffer(data.length));
    } catch (error) {
      this.fail('protocol.getBuffer() call failed', error);
      return;
    }
    const count = Math.min(buffer.length, data.length);
    buffer.set(count === data.length ? data : data.subarray(0, count));
    if (count < data.length) this.putBack(data.subarray(count));
    receivingInto(buffer);
    try {
      protocol.bufferUpdated(count, buffer.subarray(0, count));
    } catch (error) {
      this.fail('protocol.bufferUpdated() call failed', error);
    } finally {
      receivingInto(null);
    }
  }

  private endReceived(): void {
    if ((this.flags & EOF_RECEIVED) !== 0) return;
    this.flags |= EOF_RECEIVED;
    let keepOpen: unknown;
    try {
      keepOpen = this.protocol.eofReceived();
    } catch (error) {
      this.fail('protocol.eofReceived() call failed', error);
      return;
    }
    if (!keepOpen || !this.canWriteEof()) this.close();
  }

  private takeReceived(): Buffer {
    const { received, receivedSize } = this;
    const data = received.length === 1 ? received[0]! : Buffer.concat(received, receivedSize);
    this.dropReceived();
    if (receivedSize > READ_AHEAD) this.stream.resume();
    return data;
  }

  private putBack(data: Buffer): void {
    this.received.unshift(data);
    this.receivedSize += data.length;
    this.enqueue();
  }

  private dropReceived(): void {
    this.received = [];
    this.receivedSize = 0;
  }

  // ---- the end ----------------------------------------------------------------------------------

  /** Nothing is sent any more. */
  private refusesWrite(): boolean {
    if ((this.flags & EOF_WRITTEN) !== 0) {
      throw new RuntimeError('Cannot call write() after writeEof()');
    }
    return (this.flags & CLOSING) !== 0 || this.stream.destroyed;
  }

  /** The protocol has thrown. */
  private fail(what: string, error: unknown): void {
    this.report(`Fatal error: ${what}`, error);
    this.lose(error instanceof Error ? error : new Error(String(error)));
  }

  private lose(error: Error | null): void {
    if ((this.flags & LOST) !== 0) return;
    this.flags |= CLOSING | LOST;
    this.lostError = error;
    this.release();
    this.later(() => this.callConnectionLost());
  }

  private callConnectionLost(): void {
    const { protocol, lostError } = this;
    try {
      if ((this.flags & CONNECTED) !== 0) protocol.connectionLost(lostError);
    } finally {
      this.owner?.detach(this);
    }
  }

  /** @internal */
  loopClosed(): void {
    this.flags |= CLOSING | LOST;
    this.release();
  }

  private release(): void {
    this.dropReceived();
    this.shutdownTimer?.cancel();
    const { fd } = this;
    this.fd = -1;
    if (fd >= 0) this.loop.watchers.disown(fd, this);
    this.stream.destroy();
  }
}
Object.defineProperty(NodeTransport.prototype, 'kind', { value: KIND_STEP });

/** As Node's own `finished`. */
function prematureClose(): Error {
  return Object.assign(new Error('Premature close'), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
}

function addressOf(address: unknown, port: unknown): SocketAddress | undefined {
  if (typeof address !== 'string' || typeof port !== 'number') return undefined;
  return { address, port, family: address.includes(':') ? 'IPv6' : 'IPv4' };
}
