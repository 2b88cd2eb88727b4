/**
 * StreamConnection: the protocol between a transport and a StreamReader and StreamWriter.
 *
 * Decision. asyncio's StreamReaderProtocol. What a connection may need and mostly does not, futures
 * and sets of those who wait, is made when somebody asks.
 */
import { constants } from 'node:os';

import type { EventLoop } from '../tasks/event-loop.js';
import { Future } from '../tasks/future.js';
import type { Task } from '../tasks/task.js';
import { Protocol } from './protocol.js';
import { StreamReader } from './stream-reader.js';
import { StreamWriter } from './stream-writer.js';
import { isSystemError, systemError } from './system-error.js';
import type { Transport } from './transport.js';

/** Whoever has something to do when a connection is there. */
export interface ConnectionHandler {
  serve(connection: StreamConnection): void;
  /** The task that serves it is done. */
  over(task: Task<unknown>): void;
}

/** @internal One connection with streams. */
export class StreamConnection extends Protocol {
  /** Set by `connectionMade`. */
  transport!: Transport;
  readonly reader: StreamReader;
  readonly writer: StreamWriter;
  /** Whether the connection is closed when the task that serves it ends. */
  closedByTask = true;
  private paused = false;
  /** undefined: not lost; null: closed by one of the two sides. */
  private lost: Error | null | undefined = undefined;
  private closing: Set<Future<void>> | null = null;
  private draining: Set<Future<void>> | null = null;

  constructor(
    readonly loop: EventLoop,
    limit: number | undefined,
    private readonly handler: ConnectionHandler | null,
  ) {
    super();
    this.reader = new StreamReader(limit);
    this.writer = new StreamWriter(this);
  }

  // ---- Protocol ---------------------------------------------------------------------------------

  override connectionMade(transport: Transport): void {
    this.transport = transport;
    this.reader.setTransport(transport);
    this.handler?.serve(this);
  }

  override dataReceived(data: Buffer): void {
    this.reader.feedData(data);
  }

  override eofReceived(): boolean {
    this.reader.feedEof();
    // Our side may still write; with TLS there is no such thing.
    return this.transport.canWriteEof();
  }

  override pauseWriting(): void {
    this.paused = true;
  }

  override resumeWriting(): void {
    this.paused = false;
    settle(this.draining, null);
  }

  override connectionLost(error: Error | null): void {
    this.lost = error;
    if (error === null) this.reader.feedEof();
    else this.reader.setException(error);
    settle(this.closing, error);
    settle(this.draining, error);
  }

  /** TLS was started: the same connection, another transport. */
  replaceTransport(transport: Transport): void {
    this.transport = transport;
    this.reader.setTransport(transport);
  }

  /** Whether it came from a server. */
  isServerSide(): boolean {
    return this.handler !== null;
  }

  // ---- Listener: the task that serves it --------------------------------------------------------

  settled(task: Task<unknown>): void {
    const { loop, transport } = this;
    this.handler?.over(task);
    const exception = task.cancelled() ? null : task.exception();
    // A task that was cancelled with its connection hears of that, too.
    const cut = task.cancelling() > 0 && isSystemError(exception);
    if (exception !== null && !cut) {
      const message = 'Unhandled exception in clientConnected';
      loop.callExceptionHandler({ message, exception, task, transport });
    }
    if (this.closedByTask || exception !== null || task.cancelled()) transport.close();
  }

  // ---- for the writer ---------------------------------------------------------------------------

  /** Nothing to wait for, and nothing to throw. */
  isDrained(): boolean {
    return !this.paused && this.reader.exception() === null && !this.transport.isClosing();
  }

  throwReadError(): void {
    const error = this.reader.exception();
    if (error !== null) throw error;
  }

  throwIfLost(): void {
    if (this.lost === undefined) return;
    throw systemError(-constants.errno.ECONNRESET, 'write');
  }

  *whenClosed(): Generator<unknown, void, any> {
    if (this.lost instanceof Error) throw this.lost;
    if (this.lost === undefined) yield* this.waitIn((this.closing ??= new Set()));
  }

  *whenDrained(): Generator<unknown, void, any> {
    if (this.paused) yield* this.waitIn((this.draining ??= new Set()));
  }

  private *waitIn(waiters: Set<Future<void>>): Generator<unknown, void, any> {
    const waiter = new Future<void>(this.loop);
    waiters.add(waiter);
    try {
      yield* waiter;
    } finally {
      waiters.delete(waiter);
    }
  }
}

function settle(waiters: Set<Future<void>> | null, error: Error | null): void {
  for (const waiter of waiters ?? []) {
    if (waiter.done()) continue;
    if (error === null) waiter.setResult();
    else waiter.setException(error);
  }
}
