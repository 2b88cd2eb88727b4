/**
 * WritePipeTransport: the end of a pipe that is written; also of a socket, a terminal, a FIFO.
 *
 * Facts. A pipe whose reader has gone becomes "readable" at the end that is written.
 * Decision. asyncio's: bytes are written at once if nothing waits, the rest when the fd is
 * writable; when the reader goes, the transport closes, with EPIPE if something was still to be
 * written.
 */
import { constants } from 'node:os';

import { KIND_STEP } from '../loop/ready-queue.js';
import type { WatchEntry } from '../loop/watchers.js';
import type { EventLoop } from '../tasks/event-loop.js';
import type { BaseProtocol } from './protocol.js';
import { netLayout, sockets } from './slab.js';
import { isSystemError, systemError } from './system-error.js';
import { BaseTransport, bytesOf, CLOSING, LOST, type WriteData } from './transport.js';
import { PIPE, WriteQueue } from './write-queue.js';

/** One direction of the fd. */
class Direction implements WatchEntry {
  declare readonly kind: number;
  referenced = true;

  constructor(readonly step: () => void) {}
}
Object.defineProperty(Direction.prototype, 'kind', { value: KIND_STEP });

/** What is written to a pipe. Counterpart: `asyncio.WriteTransport`. */
export class WritePipeTransport extends BaseTransport<BaseProtocol> {
  private queue: WriteQueue | null = null;
  private readonly hangUp = new Direction(() => this.notify(() => this.readerHasGone()));

  /** @internal @param watchHangUp - whether the fd says that its reader has gone */
  constructor(
    loop: EventLoop,
    private fd: number,
    protocol: BaseProtocol,
    private readonly watchHangUp: boolean,
  ) {
    super(loop, protocol);
    loop.watchers.own(fd, this);
  }

  /** As of a socket's transport. */
  write(data: WriteData): void {
    const bytes = bytesOf('write', data);
    if (bytes.length === 0 || (this.flags & CLOSING) !== 0) return;
    if (this.queue !== null) this.queue.push(bytes);
    else {
      const sent = sockets.writeBytes(this.fd, bytes, 0);
      if (sent === bytes.length) return;
      if (sent < 0 && sent !== -netLayout.EAGAIN) {
        this.fail('write error', systemError(sent, 'write'));
        return;
      }
      this.queue = new WriteQueue(new Direction(() => this.notify(() => this.writeReady())), PIPE);
      this.queue.push(bytes.subarray(Math.max(sent, 0)));
      this.loop.watchers.watch(this.fd, 'writer', this.queue.writer);
    }
    this.pauseProtocolIfFull();
  }

  /** Sends several pieces. */
  writelines(list: Iterable<WriteData>): void {
    for (const data of list) this.write(data);
  }

  /** As `close()`: a pipe has one direction. */
  writeEof(): void {
    this.close();
  }

  /** true. */
  canWriteEof(): boolean {
    return true;
  }

  override close(): void {
    if ((this.flags & CLOSING) !== 0) return;
    this.flags |= CLOSING;
    if (this.queue === null) this.lose(null);
  }

  override abort(): void {
    this.forceClose(null);
  }

  override getWriteBufferSize(): number {
    return this.queue === null ? 0 : this.queue.size;
  }

  override getExtraInfo(name: string, fallback?: unknown): any {
    return name === 'fd' && this.fd >= 0 ? this.fd : fallback;
  }

  override toString(): string {
    const what = this.fd < 0 ? 'closed' : this.isClosing() ? 'closing' : 'open';
    return `<WritePipeTransport ${what} fd=${this.fd}>`;
  }

  /** @internal */
  loopClosed(): void {
    this.flags |= CLOSING | LOST;
    this.closeFd();
  }

  /** @internal All there is to read is that the reader has gone. */
  protected override startReading(): void {
    if (!this.watchHangUp || this.isClosing()) return;
    this.hangUp.referenced = false;
    this.loop.watchers.watch(this.fd, 'reader', this.hangUp);
  }

  private writeReady(): void {
    const { queue } = this;
    if (queue === null) return;
    const sent = queue.send(this.fd);
    if (sent < 0 && sent !== -netLayout.EAGAIN) {
      this.fail('write error', systemError(sent, 'write'));
      return;
    }
    if (queue.size === 0) this.dropQueue();
    this.resumeProtocolIfDrained();
    if (this.queue === null && (this.flags & (CLOSING | LOST)) === CLOSING) this.lose(null);
  }

  private readerHasGone(): void {
    if (this.queue === null) this.close();
    else this.forceClose(systemError(-constants.errno.EPIPE, 'write'));
  }

  private fail(what: string, error: unknown): void {
    if (!isSystemError(error)) this.report(`Fatal error: ${what}`, error);
    this.forceClose(error as Error);
  }

  private forceClose(error: Error | null): void {
    if ((this.flags & LOST) !== 0) return;
    if (this.queue !== null) this.dropQueue();
    this.lose(error);
  }

  private dropQueue(): void {
    this.loop.watchers.unwatch(this.fd, 'writer', this.queue!.writer);
    this.queue = null;
  }

  private lose(error: Error | null): void {
    this.flags |= CLOSING | LOST;
    this.loop.watchers.unwatch(this.fd, 'reader', this.hangUp);
    this.later(() => {
      try {
        this.protocol.connectionLost(error);
      } finally {
        this.closeFd();
      }
    });
  }

  private closeFd(): void {
    const { fd } = this;
    this.fd = -1;
    this.loop.watchers.disown(fd);
    sockets.close(fd);
  }
}
