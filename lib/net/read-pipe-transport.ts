/**
 * ReadPipeTransport: the end of a pipe that is read; also of a socket, a terminal, a FIFO.
 *
 * Decision. asyncio's: one `read` for each time the fd is readable; at the end `eofReceived` and
 * then `connectionLost`. The fd belongs to the transport, which closes it.
 */
import { KIND_STEP } from '../loop/ready-queue.js';
import type { EventLoop } from '../tasks/event-loop.js';
import { memoryFor } from './memory.js';
import type { Protocol } from './protocol.js';
import { netLayout, received, sockets } from './slab.js';
import { isSystemError, systemError } from './system-error.js';
import { CLOSING, LOST, PAUSED, ReadTransport } from './transport.js';

/** What is read from a pipe. Counterpart: `asyncio.ReadTransport`. */
export class ReadPipeTransport extends ReadTransport<Protocol> {
  /** @internal KIND_STEP, on the prototype. */
  declare readonly kind: number;
  /** @internal */
  referenced = true;

  /** @internal */
  constructor(
    loop: EventLoop,
    private fd: number,
    protocol: Protocol,
  ) {
    super(loop, protocol);
    loop.watchers.own(fd, this);
  }

  override close(): void {
    this.end(null);
  }

  override abort(): void {
    this.end(null);
  }

  override getWriteBufferSize(): number {
    return 0;
  }

  override getExtraInfo(name: string, fallback?: unknown): any {
    return name === 'fd' && this.fd >= 0 ? this.fd : fallback;
  }

  override toString(): string {
    const what = this.fd < 0 ? 'closed' : this.isClosing() ? 'closing' : 'open';
    return `<ReadPipeTransport ${what} fd=${this.fd}>`;
  }

  /** @internal The fd is readable. */
  step(): void {
    this.loop.runBody(this.context, this);
  }

  /** @internal */
  run(): void {
    if ((this.flags & (CLOSING | PAUSED)) !== 0) return;
    const count = sockets.read(this.fd);
    if (count > 0) {
      const data = memoryFor(count);
      data.set(received.subarray(0, count));
      this.call('dataReceived', () => this.protocol.dataReceived(data));
    } else if (count === 0) {
      this.call('eofReceived', () => this.protocol.eofReceived());
      this.end(null);
    } else if (count !== -netLayout.EAGAIN) this.fail('read error', systemError(count, 'read'));
  }

  /** @internal */
  loopClosed(): void {
    this.flags |= CLOSING | LOST;
    this.closeFd();
  }

  private call(name: string, callback: () => unknown): void {
    try {
      callback();
    } catch (error) {
      this.fail(`protocol.${name}() call failed`, error);
    }
  }

  private fail(what: string, error: unknown): void {
    if (!isSystemError(error)) this.report(`Fatal error: ${what}`, error);
    this.end(error instanceof Error ? error : new Error(String(error)));
  }

  private end(error: Error | null): void {
    if ((this.flags & CLOSING) !== 0) return;
    this.flags |= CLOSING | LOST;
    this.stopReading();
    this.later(() => {
      try {
        this.protocol.connectionLost(error);
      } finally {
        this.closeFd();
      }
    });
  }

  /** @internal */
  protected override startReading(): void {
    if (!this.isReading()) return;
    try {
      this.loop.watchers.watch(this.fd, 'reader', this);
    } catch (error) {
      // Of what nobody can wait for, connectReadPipe has taken only what is at its end.
      if (isSystemError(error) && error.code === 'EPERM') this.loop.scheduleStep(this);
      else this.fail('the file descriptor cannot be watched', error);
    }
  }

  /** @internal */
  protected override stopReading(): void {
    this.loop.watchers.unwatch(this.fd, 'reader', this);
  }

  private closeFd(): void {
    const { fd } = this;
    this.fd = -1;
    this.loop.watchers.disown(fd);
    sockets.close(fd);
  }
}
Object.defineProperty(ReadPipeTransport.prototype, 'kind', { value: KIND_STEP });
