/**
 * sendfile where the kernel cannot do it (TLS, a stream of Node's): the file is read and written
 * piece by piece.
 *
 * Facts. Only the protocol of a transport is told when the write buffer is full, when there is room
 * again, and when the connection is lost.
 * Decision. asyncio's: another protocol stands in while the file is sent, and waits for that.
 * Reading is paused; what comes all the same is passed on.
 * Invariants. The protocol that was there before is told of each pause and each end of a pause in
 * pairs, and of the loss of the connection once.
 */
import { read } from 'node:fs';
import { promisify } from 'node:util';

import { RuntimeError } from '../errors.js';
import { Future } from '../tasks/future.js';
import { until } from '../tasks/until.js';
import { type BufferedProtocol, Protocol, type StreamProtocol } from './protocol.js';
import type { ReadTransport, Transport } from './transport.js';

const readFile = promisify(read);
const PIECE_BYTES = 64 * 1024;

/** The protocol of a transport while a file is copied to it. */
class FileProtocol extends Protocol {
  private readonly before: StreamProtocol;
  private readonly wasReading: boolean;
  private readonly wasPaused: boolean;
  /** null: there is room. */
  private room: Future<void> | null = null;
  /** undefined: not lost; null: closed by one of the two sides. */
  private lost: Error | null | undefined = undefined;

  constructor(private readonly transport: ReadTransport<any>) {
    super();
    this.before = transport.getProtocol();
    if (this.before instanceof FileProtocol) throw new RuntimeError('sendfile is in progress');
    this.wasReading = transport.isReading();
    this.wasPaused = transport.isProtocolPaused();
    if (this.wasPaused) this.pauseWriting();
    this.passOnBuffers(this.before as Partial<BufferedProtocol>);
    transport.pauseReading();
    transport.setProtocol(this);
  }

  /** The protocol that was there before is told what it has missed. */
  restore(): void {
    const { transport, before } = this;
    transport.setProtocol(before);
    if (this.wasReading) transport.resumeReading();
    const isPaused = transport.isProtocolPaused();
    if (this.lost !== undefined || isPaused === this.wasPaused) return;
    if (isPaused) before.pauseWriting();
    else before.resumeWriting();
  }

  /** Waits until more can be written. @throws what has ended the connection */
  *whenWritable(): Generator<unknown, void, any> {
    if (this.room !== null) yield* this.room;
    if (this.lost instanceof Error) throw this.lost;
    if (this.transport.isClosing()) throw new RuntimeError('Transport is closing');
  }

  override pauseWriting(): void {
    this.room = new Future<void>(this.transport.loop);
  }

  override resumeWriting(): void {
    const { room } = this;
    this.room = null;
    if (room !== null && !room.done()) room.setResult();
  }

  override connectionLost(error: Error | null): void {
    this.lost = error;
    this.resumeWriting();
    this.before.connectionLost(error);
  }

  override dataReceived(data: Buffer): void {
    (this.before as Protocol).dataReceived(data);
  }

  override eofReceived(): unknown {
    return this.before.eofReceived();
  }

  /** A transport takes whoever has a `getBuffer` for a BufferedProtocol. */
  private passOnBuffers(before: Partial<BufferedProtocol>): void {
    if (typeof before.getBuffer !== 'function') return;
    const { getBuffer, bufferUpdated } = before;
    Object.assign(this, {
      getBuffer: getBuffer.bind(before),
      bufferUpdated: bufferUpdated!.bind(before),
    });
  }
}

/** @internal Returns how many bytes were written. */
export function* copyFile(
  transport: Transport,
  fd: number,
  offset: number,
  count: number,
): Generator<unknown, number, any> {
  if (transport.isClosing()) throw new RuntimeError('Transport is closing');
  const protocol = new FileProtocol(transport);
  let total = 0;
  try {
    while (total < count) {
      yield* protocol.whenWritable();
      const piece = Buffer.allocUnsafe(Math.min(count - total, PIECE_BYTES));
      const { bytesRead } = yield* until(readFile(fd, piece, 0, piece.length, offset + total));
      if (bytesRead === 0) break;
      yield* protocol.whenWritable();
      transport.write(piece.subarray(0, bytesRead));
      total += bytesRead;
    }
    yield* protocol.whenWritable();
  } finally {
    protocol.restore();
  }
  return total;
}
