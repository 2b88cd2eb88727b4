/**
 * StreamWriter: the writing side of a stream.
 *
 * Facts. `drain()` stands behind every write, and mostly has nothing to wait for.
 * Decision. One object that is done already serves all those; only who must wait gets one of their
 * own.
 */
import { isCancelledError } from '../errors.js';
import { type Abortable, abortable } from '../tasks/abortable.js';
import { Coroutine, DONE } from '../tasks/coroutine.js';
import { sleep } from '../tasks/sleep.js';
import type { StreamConnection } from './stream-connection.js';
import {
  checkStartable,
  type SslOptions,
  type StartTlsOptions,
  startTlsPlan,
  startTlsSteps,
  type TlsPlan,
} from './tls.js';
import type { Transport, WriteData } from './transport.js';

/** The writing side of a stream. Counterpart: `asyncio.StreamWriter`. */
export class StreamWriter {
  /** @internal */
  constructor(private readonly connection: StreamConnection) {}

  /** The connection underneath. */
  get transport(): Transport {
    return this.connection.transport;
  }

  /**
   * Sends some bytes, at once if nothing waits; never blocks. `drain()` should follow.
   *
   * @param data - text (sent as UTF-8) or bytes, which must not change until they have been sent
   * @throws TypeError if it is neither; RuntimeError after `writeEof()`
   */
  write(data: WriteData): void {
    this.connection.transport.write(data);
  }

  /** Sends several pieces, with one system call where that is possible. */
  writelines(list: Iterable<WriteData>): void {
    this.connection.transport.writelines(list);
  }

  /** Says that nothing more will be sent; reading goes on. */
  writeEof(): void {
    this.connection.transport.writeEof();
  }

  /** Whether `writeEof()` is possible: not with TLS. */
  canWriteEof(): boolean {
    return this.connection.transport.canWriteEof();
  }

  /**
   * Waits until the write buffer is small enough to write on.
   *
   * @param options - `signal` ends the wait
   * @throws TypeError if an option has the wrong type; when awaited: the connection's error, such
   *   as ECONNRESET, CancelledError, the reason of the signal
   *
   * Order: it does not wait while the buffer is below its high-water mark. Counterpart:
   * `StreamWriter.drain`.
   */
  drain(options?: Abortable): Coroutine<void> {
    const { connection } = this;
    if (options === undefined && connection.isDrained()) return DONE;
    return abortable('drain', options, new Coroutine(this.drainSteps()));
  }

  /** Closes the connection when everything has been sent. `waitClosed()` should follow. */
  close(): void {
    this.connection.transport.close();
  }

  /** Whether the connection is closed, or about to be. */
  isClosing(): boolean {
    return this.connection.transport.isClosing();
  }

  /**
   * Waits until the connection is closed.
   *
   * @throws when awaited: the connection's error, CancelledError, the reason of the signal
   */
  waitClosed(options?: Abortable): Coroutine<void> {
    return abortable('waitClosed', options, new Coroutine(this.waitClosedSteps()));
  }

  /**
   * Encrypts the connection. What was written before is sent first; what has been received and not
   * read yet is taken for the beginning of the handshake.
   *
   * @param ssl - as for `openConnection`, or on the server's side as for `startServer`
   * @param options - `serverHostname`, `sslHandshakeTimeout`, `sslShutdownTimeout`; `serverSide`,
   *   if not as the connection was made
   * @throws TypeError or RangeError if an argument is wrong; when awaited: RuntimeError if the
   *   connection is closing, the error of the handshake, CancelledError. The connection is closed
   *   then
   *
   * Counterpart: `StreamWriter.start_tls`, which leaves what was not read in the reader.
   */
  startTls(ssl: true | SslOptions, options: StartTlsOptions = {}): Coroutine<void> {
    const serverSide = this.connection.isServerSide();
    checkStartable(this.transport);
    return new Coroutine(this.startTlsSteps(startTlsPlan(ssl, { serverSide, ...options })));
  }

  /** As of the transport: `peername`, `sockname`, ... */
  getExtraInfo(name: string, fallback?: unknown): any {
    return this.connection.transport.getExtraInfo(name, fallback);
  }

  /** `await using writer = ...`: closed at the end of the block, at once if it is cancelled. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    try {
      await this.waitClosed();
    } catch (error) {
      // It is closed: who wants to know why has waited. But a cancelled wait is no end of it.
      if (!isCancelledError(error)) return;
      this.connection.transport.abort();
      throw error;
    }
  }

  /** For messages. */
  toString(): string {
    return `<StreamWriter ${String(this.connection.transport)}>`;
  }

  private *drainSteps(): Generator<unknown, void, any> {
    const { connection } = this;
    connection.throwReadError();
    // connectionLost() may be on its way: it says what happened.
    if (this.isClosing()) yield* sleep(0);
    connection.throwIfLost();
    yield* connection.whenDrained();
  }

  private *startTlsSteps(plan: TlsPlan): Generator<unknown, void, any> {
    const { connection } = this;
    yield* this.drain();
    const transport = checkStartable(connection.transport);
    const takeUnread = (): Buffer => connection.reader.takeUnread();
    const encrypted = yield* startTlsSteps(transport, connection, plan, takeUnread);
    connection.replaceTransport(encrypted);
  }

  private *waitClosedSteps(): Generator<unknown, void, any> {
    yield* this.connection.whenClosed();
  }
}
