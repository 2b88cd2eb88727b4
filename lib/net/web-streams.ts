/**
 * toWebStreams and fromWebStreams: our streams as the web's, and the web's as ours.
 *
 * Facts. The two directions of the web's streams know nothing of each other. A stream of bytes
 * takes the memory of what it is given away from everybody else. Aborting waits for the write that
 * is under way, but its controller's signal does not.
 * Decision. One way, a pair over one connection: either may be over while the other goes on, but an
 * error, or an abort, is the end of both. What was received is copied once, since its memory may
 * be somebody's. The other way, a Duplex over the pair, and streams over the Duplex.
 * Cost. A task for each read, and for each write that has to wait.
 * Invariants. The connection is closed when both directions are over.
 */
import { constants } from 'node:os';
import { Duplex, type DuplexOptions } from 'node:stream';
import {
  type ReadableByteStreamController,
  ReadableStream,
  type ReadableStreamDefaultReader,
  WritableStream,
  type WritableStreamDefaultController,
  type WritableStreamDefaultWriter,
} from 'node:stream/web';

import { isCancelledError, RuntimeError, show } from '../errors.js';
import type { EventLoop } from '../tasks/event-loop.js';
import type { Task } from '../tasks/task.js';
import { detached, promised } from './detached.js';
import { checkStreams, streamsOver } from './node-streams.js';
import type { StreamReader } from './stream-reader.js';
import type { StreamWriter } from './stream-writer.js';
import type { StreamOptions, Streams } from './streams.js';
import { systemError } from './system-error.js';

/** Two directions of one connection. */
export interface WebStreams {
  readable: ReadableStream<Uint8Array>;
  writable: WritableStream<Uint8Array | string>;
}

/** Bytes that may be written before `ready` waits. */
const WRITE_AHEAD = 64 * 1024;

/** Our streams as a pair. */
class WebPair implements WebStreams {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array | string>;
  private readonly loop: EventLoop;
  private source!: ReadableByteStreamController;
  private sink!: WritableStreamDefaultController;
  private reading: Task<unknown> | null = null;
  private readOver = false;
  private writeOver = false;

  constructor(
    private readonly reader: StreamReader,
    private readonly writer: StreamWriter,
  ) {
    const { transport } = writer;
    this.loop = transport.loop;
    // Whatever waits, waits: drain() returns when everything has been sent.
    transport.setWriteBufferLimits({ high: 0 });
    this.readable = new ReadableStream({
      type: 'bytes',
      start: (controller) => {
        this.source = controller;
      },
      pull: () => this.pull(),
      cancel: () => this.cancel(),
    });
    this.writable = new WritableStream<Uint8Array | string>(
      {
        start: (controller) => this.listen(controller),
        write: (chunk) => this.write(chunk),
        close: () => this.end(),
      },
      { highWaterMark: WRITE_AHEAD, size: sizeOf },
    );
    detached(this.loop, writer.waitClosed(), (failed, _, error) => {
      this.connectionOver(failed ? error : null);
    });
  }

  // ---- reading ----------------------------------------------------------------------------------

  private pull(): Promise<void> {
    return new Promise((resolve) => {
      const reading = this.reader.read(Number.POSITIVE_INFINITY);
      this.reading = detached(this.loop, reading, (failed, data, error) => {
        this.reading = null;
        if (!this.readOver) this.received(failed, data, error);
        resolve();
      });
    });
  }

  private received(failed: boolean, data: Buffer, error: unknown): void {
    if (failed) this.fail(this.causeOf(error));
    else if (data.length > 0) this.source.enqueue(new Uint8Array(data));
    else {
      this.source.close();
      // Whoever brought memory of his own gets it back.
      this.source.byobRequest?.respond(0);
      this.readOver = true;
      this.closeIfOver();
    }
  }

  private cancel(): void {
    this.readOver = true;
    this.reading?.cancel();
    this.writer.transport.pauseReading();
    this.closeIfOver();
  }

  // ---- writing ----------------------------------------------------------------------------------

  private listen(controller: WritableStreamDefaultController): void {
    this.sink = controller;
    const { signal } = controller as WritableStreamDefaultController & { signal: AbortSignal };
    const aborted = () => {
      this.writeOver = true;
      this.fail(signal.reason);
    };
    signal.addEventListener('abort', aborted, { once: true });
  }

  private async write(chunk: Uint8Array | string): Promise<void> {
    try {
      this.writer.write(chunk);
      await promised(this.loop, this.writer.drain());
    } catch (error) {
      const cause = this.causeOf(error);
      this.writeOver = true;
      this.fail(cause);
      throw cause;
    }
  }

  private end(): void {
    this.writeOver = true;
    // Where one direction cannot end alone, both do: the other side must hear of the end.
    if (this.writer.canWriteEof()) this.writer.writeEof();
    else this.writer.close();
    this.closeIfOver();
  }

  // ---- the end ----------------------------------------------------------------------------------

  private closeIfOver(): void {
    if (this.readOver && this.writeOver) this.writer.close();
  }

  /** Both directions are over. */
  private fail(error: unknown): void {
    if (!this.readOver) this.source.error(error);
    if (!this.writeOver) this.sink.error(error);
    this.readOver = this.writeOver = true;
    this.reading?.cancel();
    this.writer.transport.abort();
  }

  /** Why the connection was lost, rather than that it was. */
  private causeOf(error: unknown): unknown {
    // What belongs to no run() is cancelled only with the whole loop.
    if (isCancelledError(error)) return new RuntimeError('The event loop is being closed');
    return this.reader.exception() ?? error;
  }

  /** Null: it was closed, by us or underneath. What has come can still be read. */
  private connectionOver(error: unknown): void {
    if (error !== null) this.fail(this.causeOf(error));
    else if (!this.writeOver) {
      this.writeOver = true;
      this.sink.error(systemError(-constants.errno.ECONNRESET, 'write'));
    }
  }
}

function sizeOf(chunk: unknown): number {
  const { length, byteLength } = Object(chunk);
  return byteLength ?? length ?? 1;
}

/**
 * Makes a pair of the web's streams over a reader and its writer: for `Response`, `pipeTo`,
 * `CompressionStream` and whatever else takes one. From now on only the pair reads and writes.
 *
 * @param reader - what is read from `readable`
 * @param writer - what is written to `writable`; both of one connection
 * @returns `readable`, a stream of bytes (it takes memory of the caller's own, too), and
 *   `writable`, which takes bytes and text. Closing `writable` sends the end, and closes the
 *   connection where one direction cannot end alone (TLS); cancelling `readable` ends that
 *   direction only; when both are over the connection is closed. Aborting `writable` aborts the
 *   connection, and `readable` fails with the same reason. The pair belongs to no `run()`
 * @throws TypeError if they are no reader and writer
 *
 * Both directions fail with the connection's error, such as ECONNRESET, with its `code`.
 *
 * Order: reads when somebody asks; a write is done, and the next one begins, when the kernel has
 * all of it.
 */
export function toWebStreams(reader: StreamReader, writer: StreamWriter): WebStreams {
  checkStreams('toWebStreams', reader, writer);
  const { readable, writable } = new WebPair(reader, writer);
  return { readable, writable };
}

/** Reads from a stream that always has something, before libuv gets a turn. */
const READS_MAX = 32;

/** One or two of the web's streams as a Duplex. */
class WebDuplex extends Duplex {
  private reads = 0;
  private readonly source: ReadableStreamDefaultReader<unknown> | null;
  private readonly sink: WritableStreamDefaultWriter<unknown> | null;

  constructor(readable: ReadableStream | undefined, writable: WritableStream | undefined) {
    const sides = { readable: readable !== undefined, writable: writable !== undefined };
    super(sides as DuplexOptions);
    this.source = readable?.getReader() ?? null;
    try {
      this.sink = writable?.getWriter() ?? null;
    } catch (error) {
      this.source?.releaseLock();
      throw error;
    }
    // An end that nobody asked for.
    this.source?.closed.catch((error) => this.destroy(errorOf(error)));
    this.sink?.closed.catch((error) => this.destroy(errorOf(error)));
  }

  override _read(): void {
    this.source!.read().then(
      ({ done, value }) => {
        if (done) this.push(null);
        else if (typeof value === 'string' || value instanceof Uint8Array) this.received(value);
        else this.destroy(new TypeError(`readable: bytes were expected, got ${show(value)}`));
      },
      (error) => void this.destroy(errorOf(error)),
    );
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    const sink = this.sink!;
    // `ready` rejects with what write() rejects with.
    const written = sink.ready.then(() => sink.write(chunk));
    written.then(() => process.nextTick(done), afterwards(done));
  }

  override _final(done: (error?: Error | null) => void): void {
    this.sink!.close().then(() => process.nextTick(done), afterwards(done));
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.readableEnded) this.source?.cancel(error ?? undefined).catch(ignore);
    if (!this.writableFinished) this.sink?.abort(error ?? undefined).catch(ignore);
    done(error);
  }

  private received(value: string | Uint8Array): void {
    this.reads++;
    if (this.reads % READS_MAX !== 0) this.pushBytes(value);
    else setImmediate(() => this.pushBytes(value));
  }

  private pushBytes(value: string | Uint8Array): void {
    // Nothing to push would mean that nothing is asked for again.
    if (value.length === 0 && !this.destroyed) this._read();
    else this.push(value);
  }
}

/** Node's listeners run outside of promises, where their errors are seen. */
function afterwards(done: (error: Error) => void): (error: unknown) => void {
  return (error) => process.nextTick(done, errorOf(error));
}

function ignore(): void {}

function errorOf(error: unknown): Error {
  if (error instanceof Error) return error;
  return Object.assign(new RuntimeError(`The stream failed: ${show(error)}`), { cause: error });
}

/**
 * Makes a reader and a writer over a pair of the web's streams, or over one of them: the body of a
 * `fetch`, a `CompressionStream`. Both are locked from now on.
 *
 * @param streams - `readable`, of bytes or text, and `writable`, which gets bytes
 * @param options - `limit`: beyond twice this many bytes that nobody has read, no more are asked
 *   for
 * @returns `[reader, writer]`; a reader for `{ readable }`, a writer for `{ writable }`
 * @throws TypeError if a stream is none, or is locked; RangeError if `limit` is none
 *
 * Reading and `drain()` throw the streams' error; a reason that is no Error is the `cause` of one.
 * `writer.close()` closes `writable` when everything has been written, and cancels `readable`;
 * `writer.transport.abort()` aborts both at once.
 *
 * Order: one write after the other, when `writable` is ready.
 */
export function fromWebStreams(
  streams: { readable: ReadableStream; writable: WritableStream },
  options?: StreamOptions,
): Streams;
export function fromWebStreams(
  streams: { readable: ReadableStream; writable?: undefined },
  options?: StreamOptions,
): StreamReader;
export function fromWebStreams(
  streams: { readable?: undefined; writable: WritableStream },
  options?: StreamOptions,
): StreamWriter;
export function fromWebStreams(
  streams: { readable?: ReadableStream | undefined; writable?: WritableStream | undefined },
  options: StreamOptions = {},
): Streams | StreamReader | StreamWriter {
  const { readable, writable } = Object(streams);
  const reads = typeof readable?.getReader === 'function';
  const writes = typeof writable?.getWriter === 'function';
  if (!(reads || writes) || reads === (readable == null) || writes === (writable == null)) {
    throw new TypeError(
      `fromWebStreams: { readable, writable } was expected, got ${show(streams)}`,
    );
  }
  const [reader, writer] = streamsOver(new WebDuplex(readable, writable), options);
  if (reads && writes) return [reader, writer];
  return reads ? reader : writer;
}
