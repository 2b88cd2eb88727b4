/**
 * SocketTransport: a connected stream socket.
 *
 * Facts. A system call on loopback costs some microseconds, crossing into C++ 50 ns, allocating and
 * filling 64 KiB as much as receiving it.
 * Decision. asyncio's selector transport: the fd is watched, one `recv` for each time it is ready,
 * in the handle itself, so that what an earlier handle of the iteration paused or closed receives
 * nothing. `write` sends at once when nothing waits; the rest is queued and leaves with one
 * `sendmsg` each time the fd is writable. The transport itself stands in the watchers' table.
 * Cost. 50 ns more than `recv` or `send` by themselves; no allocation but the bytes received.
 * Invariants. I1 connectionMade and connectionLost are called exactly once, in this order.
 * I2 the fd is closed once, after connectionLost. I3 the writer is watched while `queue` has bytes.
 *
 *   open -- close(), queue empty ------------------> lost -- next iteration --> closed
 *     |  \- close() --> closing -- abort(), error ----^                            ^
 *     |                   \----- queue sent, in the handle that sends the last -----+
 *     +------------------ abort(), error -------------^
 */
// The global is a getter of Node's: 30 ns each time.
import { Buffer } from 'node:buffer';

import { RuntimeError, show } from '../errors.js';
import { KIND_STEP } from '../loop/ready-queue.js';
import type { WatchEntry } from '../loop/watchers.js';
import type { EventLoop } from '../tasks/event-loop.js';
import { Future } from '../tasks/future.js';
import { isInternet, localName, type PackedAddress, unpackAddress, whereOf } from './address.js';
import { memoryFor } from './memory.js';
import type { BufferedProtocol, Protocol, StreamProtocol } from './protocol.js';
import {
  COPY_MAX,
  isReceivedView,
  kept,
  netLayout,
  outgoing,
  received,
  receivedView,
  receivingInto,
  slabCopy,
  sockets,
} from './slab.js';
import { isSystemError, type SystemError, systemError } from './system-error.js';
import {
  BUFFERED,
  byteLengthOf,
  bytesOf,
  CLOSING,
  CONNECTED,
  checkBuffer,
  EOF_RECEIVED,
  EOF_WRITTEN,
  LEVEL,
  LOST,
  PAUSED,
  READS_LARGE,
  ReadTransport,
  type TransportOwner,
  type WriteData,
} from './transport.js';
import { WriteQueue } from './write-queue.js';

/** V8 keeps objects that C++ has made as hash tables, which are slow to look into. */
const { receive, receiveInto, send, sendBytes } = sockets;
const RECEIVE_BYTES = netLayout.receiveBytes;
const SEND_AT = RECEIVE_BYTES;
const AGAIN = -netLayout.EAGAIN;
/** Bytes of a file in one call: so long the loop stands still. */
const SENDFILE_MAX = 1024 * 1024;

/** From here on a copy costs more than memory that is up to twice as large as what it holds. */
const LARGE_READ = 64 * 1024;
const LARGE_BUFFER = 128 * 1024;
/** Memory for the next large read of the thread. */
let spare: Buffer | null = null;

/** The direction of writing, watched only while something waits. */
class Writer implements WatchEntry {
  declare readonly kind: number;
  referenced = true;

  constructor(private readonly transport: { writeReady(): void }) {}

  step(): void {
    this.transport.writeReady();
  }
}
Object.defineProperty(Writer.prototype, 'kind', { value: KIND_STEP });

/** @internal A connected stream socket. */
export class SocketTransport extends ReadTransport<StreamProtocol> {
  /** @internal KIND_STEP, on the prototype. */
  declare readonly kind: number;
  /** @internal */
  referenced = true;
  private queue: WriteQueue | null = null;
  private lostError: Error | null = null;
  /** Who waits until everything has been sent. */
  private whenEmpty: (() => void) | null = null;
  /** Waits to send more of a file. */
  private fileWriter: Writer | null = null;

  /** @internal */
  constructor(
    loop: EventLoop,
    private fd: number,
    protocol: StreamProtocol,
    /** @internal */
    readonly owner: TransportOwner | null,
    /** @internal */
    readonly peer: PackedAddress,
    foreign = false,
  ) {
    super(loop, protocol);
    // Of a unix socket a read ends before passed fds; of what somebody has opened, nobody knows.
    if (foreign || !isInternet(peer)) this.flags |= LEVEL;
    loop.watchers.own(fd, this);
    owner?.attach(this);
  }

  write(data: WriteData): void {
    if ((this.flags & (EOF_WRITTEN | LOST)) !== 0 || this.whenEmpty !== null) {
      if (this.refusesWrite(data)) return;
    }
    if (this.queue !== null) {
      const bytes = bytesOf('write', data);
      if (bytes.length === 0) return;
      this.queue.push(kept(bytes));
      this.pauseProtocolIfFull();
      return;
    }
    if (isReceivedView(data)) {
      this.sendSlab(0, byteLengthOf(data));
      return;
    }
    if (typeof data === 'string' && data.length * 3 <= COPY_MAX) {
      this.sendSlab(SEND_AT, outgoing.write(data, 0, 'utf8'));
      return;
    }
    const bytes = bytesOf('write', data);
    if (bytes.length > COPY_MAX) this.sendInPlace(bytes);
    else {
      outgoing.set(bytes, 0);
      this.sendSlab(SEND_AT, bytes.length);
    }
  }

  writelines(list: Iterable<WriteData>): void {
    const parts = partsOf(list);
    if (parts.length === 0) return;
    if ((this.flags & (EOF_WRITTEN | LOST)) !== 0 || this.whenEmpty !== null) {
      if (this.refusesWrite(parts[0]!)) return;
    }
    const wasEmpty = this.queue === null;
    this.queue ??= new WriteQueue(new Writer(this));
    for (const bytes of parts) this.queue.push(kept(bytes));
    if (wasEmpty) {
      this.flush();
      if (this.queue === null) return;
      this.watchWriter();
    }
    this.pauseProtocolIfFull();
  }

  writeEof(): void {
    if ((this.flags & (CLOSING | EOF_WRITTEN)) !== 0) return;
    this.flags |= EOF_WRITTEN;
    if (this.queue === null) this.shutDown();
  }

  canWriteEof(): boolean {
    return true;
  }

  override close(): void {
    if ((this.flags & CLOSING) !== 0) return;
    this.flags |= CLOSING;
    this.stopReading();
    if (this.queue === null) this.lose(null);
  }

  override abort(): void {
    this.forceClose(null);
  }

  override getWriteBufferSize(): number {
    return this.queue === null ? 0 : this.queue.size;
  }

  override getExtraInfo(name: string, fallback?: unknown): any {
    switch (name) {
      case 'peername':
        return unpackAddress(this.peer) ?? fallback;
      case 'sockname':
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
    return `<SocketTransport ${what} fd=${this.fd} write buffer: ${this.getWriteBufferSize()}>`;
  }

  // ---- reading ----------------------------------------------------------------------------------

  /** @internal Whether a read empties the socket. */
  get edge(): boolean {
    return (this.flags & LEVEL) === 0;
  }

  /** @internal The fd is readable. */
  step(): void {
    this.loop.runBody(this.context, this);
  }

  /** @internal */
  run(): void {
    if ((this.flags & (CLOSING | PAUSED | LOST)) !== 0) return;
    if ((this.flags & BUFFERED) !== 0) {
      this.readIntoProtocol();
      return;
    }
    if ((this.flags & READS_LARGE) !== 0) {
      this.readLarge();
      return;
    }
    const count = receive(this.fd);
    if (count <= 0) {
      this.readNothing(count);
      return;
    }
    if (count >= LARGE_READ) {
      this.flags |= READS_LARGE;
      if (count === RECEIVE_BYTES) this.leftBehind();
    }
    this.callDataReceived(copyOf(received, count));
  }

  /** A read has filled its memory: from now on the selector is asked as long as there is more. */
  private leftBehind(): void {
    if ((this.flags & LEVEL) !== 0) return;
    this.flags |= LEVEL;
    this.startReading();
  }

  /** Where much comes, it is received into the memory that is handed out. */
  private readLarge(): void {
    spare ??= Buffer.allocUnsafeSlow(LARGE_BUFFER);
    const target = spare;
    const count = receiveInto(this.fd, target, 0);
    if (count <= 0) {
      this.readNothing(count);
    } else if (count >= LARGE_READ) {
      spare = null;
      if (count === LARGE_BUFFER) this.leftBehind();
      this.callDataReceived(target.subarray(0, count));
    } else {
      this.flags &= ~READS_LARGE;
      this.callDataReceived(copyOf(target, count));
    }
  }

  private callDataReceived(data: Buffer): void {
    try {
      (this.protocol as Protocol).dataReceived(data);
    } catch (error) {
      this.fail('protocol.dataReceived() call failed', error);
    }
  }

  private readIntoProtocol(): void {
    const protocol = this.protocol as BufferedProtocol;
    let buffer: Uint8Array;
    try {
      const given = protocol.getBuffer(-1);
      buffer = given === received ? received : checkBuffer(given);
    } catch (error) {
      this.fail('protocol.getBuffer() call failed', error);
      return;
    }
    const ours = buffer === received;
    const count = ours ? receive(this.fd) : receiveInto(this.fd, buffer, 0);
    if (count <= 0) {
      this.readNothing(count);
      return;
    }
    if (count === buffer.length) this.leftBehind();
    receivingInto(buffer);
    try {
      protocol.bufferUpdated(count, ours ? receivedView(count) : buffer.subarray(0, count));
    } catch (error) {
      this.fail('protocol.bufferUpdated() call failed', error);
    } finally {
      receivingInto(null);
    }
  }

  private readNothing(result: number): void {
    if (result === 0) this.endReceived();
    else if (result !== AGAIN) this.fail('read error', this.errorOf(result, 'read'));
  }

  private endReceived(): void {
    this.flags |= EOF_RECEIVED;
    let keepOpen: unknown;
    try {
      keepOpen = this.protocol.eofReceived();
    } catch (error) {
      this.fail('protocol.eofReceived() call failed', error);
      return;
    }
    if (keepOpen) this.stopReading();
    else this.close();
  }

  // ---- writing ----------------------------------------------------------------------------------

  /** Bytes that stand in the slab: what has to wait is copied. */
  private sendSlab(offset: number, count: number): void {
    if (count === 0) return;
    const sent = send(this.fd, offset, count);
    if (sent === count) return;
    if (sent < 0 && sent !== AGAIN) this.fail('write error', this.errorOf(sent, 'write'));
    else this.enqueue(slabCopy(offset + Math.max(sent, 0), offset + count));
  }

  private sendInPlace(bytes: Uint8Array): void {
    const sent = sendBytes(this.fd, bytes, 0);
    if (sent === bytes.length) return;
    if (sent < 0 && sent !== AGAIN) this.fail('write error', this.errorOf(sent, 'write'));
    else this.enqueue(kept(bytes.subarray(Math.max(sent, 0))));
  }

  private enqueue(bytes: Uint8Array): void {
    this.queue = new WriteQueue(new Writer(this));
    this.queue.push(bytes);
    this.watchWriter();
    this.pauseProtocolIfFull();
  }

  /** The cases in which nothing is sent. */
  private refusesWrite(data: WriteData): boolean {
    bytesOf('write', data);
    if ((this.flags & EOF_WRITTEN) !== 0) {
      throw new RuntimeError('Cannot call write() after writeEof()');
    }
    if (this.whenEmpty !== null) {
      const what = this.fd < 0 ? 'TLS has been started' : 'sendfile is in progress';
      throw new RuntimeError(`unable to write; ${what}`);
    }
    return (this.flags & LOST) !== 0;
  }

  /** @internal The fd is writable. */
  writeReady(): void {
    if ((this.flags & LOST) !== 0 || this.queue === null) return;
    this.notify(() => this.sendWaiting());
  }

  private sendWaiting(): void {
    this.flush();
    if ((this.flags & LOST) !== 0) return;
    this.resumeProtocolIfDrained();
    // The protocol may have written more, or closed or aborted the connection.
    if (this.queue === null && (this.flags & LOST) === 0) this.sentEverything();
  }

  /** Sends as much as the kernel takes. */
  private flush(): void {
    const queue = this.queue!;
    const sent = queue.send(this.fd);
    if (sent < 0 && sent !== AGAIN) {
      this.fail('write error', this.errorOf(sent, 'write'));
    } else if (queue.size === 0) {
      this.loop.watchers.unwatch(this.fd, 'writer', queue.writer);
      this.queue = null;
    }
  }

  private sentEverything(): void {
    this.whenEmpty?.();
    if ((this.flags & CLOSING) !== 0) {
      // As in asyncio, here and now: nothing is left to come first.
      this.flags |= LOST;
      this.callConnectionLostHere();
    } else if ((this.flags & EOF_WRITTEN) !== 0) this.shutDown();
  }

  private shutDown(): void {
    // If the other side has reset the connection meanwhile, reading will tell.
    sockets.shutdown(this.fd);
  }

  /** @internal Sends a part of a file, from the kernel to the kernel. */
  *sendFile(file: number, offset: number, count: number): Generator<unknown, number, any> {
    if (this.isClosing()) throw new RuntimeError('Transport is closing');
    if (this.whenEmpty !== null) throw new RuntimeError('sendfile is in progress');
    const wasReading = this.isReading();
    this.pauseReading();
    try {
      yield* this.emptied();
      return yield* this.sendFileParts(file, offset, count);
    } finally {
      this.whenEmpty = null;
      if (wasReading) this.resumeReading();
    }
  }

  /** From now on nobody may write. */
  private *emptied(): Generator<unknown, void, any> {
    const empty = new Future<void>(this.loop);
    this.whenEmpty = () => {
      if (!empty.done()) empty.setResult();
    };
    if (this.queue !== null) yield* empty;
  }

  private *sendFileParts(
    file: number,
    offset: number,
    count: number,
  ): Generator<unknown, number, any> {
    let total = 0;
    while (total < count) {
      if ((this.flags & LOST) !== 0)
        throw this.lostError ?? new RuntimeError('Transport is closed');
      const part = Math.min(count - total, SENDFILE_MAX);
      const sent = sockets.sendFile(this.fd, file, offset + total, part);
      if (sent === 0) break;
      if (sent > 0) total += sent;
      else if (sent === AGAIN) yield* this.writable();
      else throw this.errorOf(sent, 'sendfile');
    }
    return total;
  }

  private *writable(): Generator<unknown, void, any> {
    const writable = new Future<void>(this.loop);
    const entry = new Writer({ writeReady: () => void (writable.done() || writable.setResult()) });
    this.loop.watchers.watch(this.fd, 'writer', entry);
    this.fileWriter = entry;
    try {
      yield* writable;
    } finally {
      this.fileWriter = null;
      this.loop.watchers.unwatch(this.fd, 'writer', entry);
    }
  }

  // ---- somebody else's fd -----------------------------------------------------------------------

  /** @internal As `detach`, when everything has been sent. What goes wrong ends the connection. */
  *handOver(): Generator<unknown, number, any> {
    if ((this.flags & (CLOSING | EOF_WRITTEN)) !== 0) {
      throw new RuntimeError('Transport is closing');
    }
    if (this.whenEmpty !== null) throw new RuntimeError('sendfile is in progress');
    this.pauseReading();
    try {
      yield* this.emptied();
    } catch (error) {
      this.whenEmpty = null;
      this.abort();
      throw error;
    }
    if (!this.isClosing()) return this.detach();
    this.whenEmpty = null;
    throw this.lostError ?? new RuntimeError('Transport is closing');
  }

  /** @internal The fd belongs to the caller from now on. The protocol is told nothing. */
  detach(): number {
    const { fd } = this;
    this.stopReading();
    this.flags |= CLOSING | LOST;
    this.fd = -1;
    this.loop.watchers.disown(fd);
    return fd;
  }

  // ---- the end ----------------------------------------------------------------------------------

  private errorOf(result: number, syscall: string): SystemError {
    return systemError(result, syscall, whereOf(this.peer));
  }

  /** @internal Something went wrong: the world's fault closes silently, ours is reported. */
  fail(what: string, error: unknown): void {
    if (!isSystemError(error)) this.report(`Fatal error: ${what}`, error);
    else if (this.loop.debug) console.warn(`ringloop: ${this}: ${what}: ${error.message}`);
    this.forceClose(error instanceof Error ? error : new Error(String(error)));
  }

  private forceClose(error: Error | null): void {
    if ((this.flags & LOST) !== 0) return;
    if (this.queue !== null) {
      this.loop.watchers.unwatch(this.fd, 'writer', this.queue.writer);
      this.queue = null;
    }
    if ((this.flags & CLOSING) === 0) {
      this.flags |= CLOSING;
      this.stopReading();
    }
    this.lose(error);
  }

  private lose(error: Error | null): void {
    this.flags |= LOST;
    this.lostError = error;
    this.whenEmpty?.();
    this.fileWriter?.step();
    this.later(() => this.callConnectionLost());
  }

  private callConnectionLostHere(): void {
    try {
      this.callConnectionLost();
    } catch (error) {
      this.report('protocol.connectionLost() failed', error);
    }
  }

  private callConnectionLost(): void {
    const { protocol, lostError } = this;
    try {
      if ((this.flags & CONNECTED) !== 0) protocol.connectionLost(lostError);
    } finally {
      this.closeFd();
      this.owner?.detach(this);
    }
  }

  /** @internal */
  loopClosed(): void {
    this.flags |= CLOSING | LOST;
    this.closeFd();
  }

  private closeFd(): void {
    const { fd } = this;
    this.fd = -1;
    this.loop.watchers.disown(fd);
    sockets.close(fd);
  }

  // ---- inside -----------------------------------------------------------------------------------

  /** @internal */
  protected override startReading(): void {
    if ((this.flags & (CLOSING | PAUSED | EOF_RECEIVED)) !== 0) return;
    this.loop.watchers.watch(this.fd, 'reader', this);
  }

  /** @internal */
  protected override stopReading(): void {
    this.loop.watchers.unwatch(this.fd, 'reader', this);
  }

  private watchWriter(): void {
    this.loop.watchers.watch(this.fd, 'writer', this.queue!.writer);
  }
}
Object.defineProperty(SocketTransport.prototype, 'kind', { value: KIND_STEP });

function partsOf(list: Iterable<WriteData>): Uint8Array[] {
  if (typeof Object(list)[Symbol.iterator] !== 'function') {
    throw new TypeError(`writelines: expected an iterable of data, got ${show(list)}`);
  }
  const parts = Array.from(list, (data) => bytesOf('writelines', data));
  return parts.filter((bytes) => bytes.length > 0);
}

function copyOf(memory: Buffer, count: number): Buffer {
  const data = memoryFor(count);
  data.set(memory === received ? receivedView(count) : memory.subarray(0, count));
  return data;
}
