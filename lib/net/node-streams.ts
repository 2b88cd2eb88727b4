/**
 * toNodeStream and fromNodeStream: our streams as Node's, and Node's as ours.
 *
 * Facts. A Duplex has a buffer for each direction, and so have a StreamReader and a transport. Node
 * calls a write done when the kernel has the bytes, and its owner may use the memory again then.
 * Decision. One way, a Duplex that reads when Node asks, and whose write is done when nothing waits
 * in the transport any more: Node's buffer is the one that counts. The other way, a `NodeTransport`
 * under a `StreamConnection`, as if the stream were a socket.
 * Cost. A task for each read, and for each write that has to wait.
 * Invariants. I1 The Duplex emits `close` when the connection is closed. I2 Nothing of it belongs
 * to a `run()`: the stream lives as long as its connection.
 */
import { Duplex, PassThrough, type Readable, type Writable } from 'node:stream';

import { isCancelledError, show } from '../errors.js';
import { currentLoop } from '../tasks/current-loop.js';
import type { EventLoop } from '../tasks/event-loop.js';
import { detached } from './detached.js';
import { NodeTransport } from './node-transport.js';
import { StreamConnection } from './stream-connection.js';
import { StreamReader } from './stream-reader.js';
import { StreamWriter } from './stream-writer.js';
import type { StreamOptions, Streams } from './streams.js';

/** What `toNodeStream` can be told. */
export interface NodeStreamOptions {
  /** false: when the other side ends, this one ends, too. Default true, as for every Duplex. */
  allowHalfOpen?: boolean;
  /** Bytes that Node holds in each direction before it asks for no more; Node's default. */
  highWaterMark?: number;
}

type Done = (error?: Error | null) => void;

/** Our streams as a Duplex. */
class NodeStream extends Duplex {
  private readonly loop: EventLoop;
  /** The connection is closed. */
  private over = false;
  private whenOver: (() => void) | null = null;

  constructor(
    private readonly source: StreamReader,
    private readonly sink: StreamWriter,
    options: NodeStreamOptions,
  ) {
    const { allowHalfOpen = true, highWaterMark } = options;
    super({ allowHalfOpen, ...(highWaterMark === undefined ? {} : { highWaterMark }) });
    const { transport } = sink;
    this.loop = transport.loop;
    // Whatever waits, waits: drain() returns when everything has been sent.
    transport.setWriteBufferLimits({ high: 0 });
    detached(this.loop, sink.waitClosed(), (failed, _, error) => {
      this.connectionOver(failed ? error : null);
    });
  }

  override _read(): void {
    // As much as there is, as it is.
    detached(this.loop, this.source.read(Number.POSITIVE_INFINITY), (failed, data, error) => {
      if (this.destroyed) return;
      if (failed) this.fail(error);
      else this.push(data.length === 0 ? null : data);
    });
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.send(() => this.sink.write(chunk), done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    this.send(() => this.sink.writelines(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: Done): void {
    // Where one direction cannot end alone, both do: the other side must hear of the end.
    if (this.sink.canWriteEof()) this.sink.writeEof();
    else this.sink.close();
    if (this.sink.transport.getWriteBufferSize() === 0) done();
    else this.whenSent(done);
  }

  override _destroy(error: Error | null, done: Done): void {
    const { transport } = this.sink;
    if (error === null && this.readableEnded && this.writableFinished) transport.close();
    else transport.abort();
    if (this.over || this.loop.isClosed()) done(error);
    else this.whenOver = () => done(error);
  }

  private send(write: () => void, done: Done): void {
    const { transport } = this.sink;
    try {
      write();
    } catch (error) {
      done(error as Error);
      return;
    }
    // It closes where a write fails; drain() says why.
    if (transport.getWriteBufferSize() === 0 && !transport.isClosing()) done();
    else this.whenSent(done);
  }

  private whenSent(done: Done): void {
    detached(this.loop, this.sink.drain(), (failed, _, error) => {
      done(failed ? this.causeOf(error) : null);
    });
  }

  /** Null: it was closed, by us or underneath. */
  private connectionOver(error: Error | null): void {
    this.over = true;
    if (this.destroyed) this.whenOver?.();
    else if (error !== null) this.fail(error);
    else if (this.readableEnded) this.end();
    else this.once('end', () => this.end());
  }

  private fail(error: Error): void {
    // The loop is being closed: that is nobody's error.
    if (isCancelledError(error)) this.destroy();
    else this.destroy(this.causeOf(error));
  }

  /** Why the connection was lost, rather than that it was. */
  private causeOf(error: Error): Error {
    return this.source.exception() ?? error;
  }
}

/**
 * Makes a Duplex of Node's over a reader and its writer: for `pipeline`, `http`, and whatever else
 * takes one. From now on only the Duplex reads and writes.
 *
 * @param reader - what is read from it
 * @param writer - what is written to it; both of one connection
 * @param options - `allowHalfOpen`, `highWaterMark`
 * @returns the Duplex. `end()` sends the end when everything has been sent, and closes the
 *   connection where one direction cannot end alone (TLS); `destroy()` aborts it; when both
 *   directions have ended it is closed. It belongs to no `run()`: it lives until then
 * @throws TypeError if they are no reader and writer
 *
 * The Duplex is destroyed with the connection's error, such as ECONNRESET, with its `code`.
 *
 * Order: reads when Node asks; a write is done, and the next one begins, when the kernel has all of
 * it; `finish` comes after the last byte, `close` after the connection is closed. Events are
 * emitted outside of every task.
 */
export function toNodeStream(
  reader: StreamReader,
  writer: StreamWriter,
  options: NodeStreamOptions = {},
): Duplex {
  checkStreams('toNodeStream', reader, writer);
  return new NodeStream(reader, writer, options);
}

/** @internal @throws TypeError */
export function checkStreams(name: string, reader: unknown, writer: unknown): void {
  if (!(reader instanceof StreamReader)) {
    throw new TypeError(`${name}: reader must be a StreamReader, got ${show(reader)}`);
  }
  if (!(writer instanceof StreamWriter)) {
    throw new TypeError(`${name}: writer must be a StreamWriter, got ${show(writer)}`);
  }
}

/** @internal Streams over a Duplex that nobody else listens to. */
export function streamsOver(stream: Duplex, options: StreamOptions): Streams {
  const loop = currentLoop();
  const connection = new StreamConnection(loop, options.limit, null);
  const transport = new NodeTransport(loop, stream, connection);
  connection.connectionMade(transport);
  transport.continueReading();
  // It does not say so twice.
  if (stream.readableEnded) connection.reader.feedEof();
  return [connection.reader, connection.writer];
}

/** What `fromNodeStream` can be told. */
export interface FromNodeStreamOptions extends StreamOptions {
  /**
   * What is asked for. Left out: a reader of what can be read, a writer of what can only be
   * written. Of a Duplex `'streams'` gives both.
   */
  as?: 'reader' | 'writer' | 'streams';
}

/**
 * Makes a reader, a writer, or both over a stream of Node's: a socket, a child process's pipe, a
 * response. From now on only they use the stream.
 *
 * What comes back is what was asked for, and does not depend on what else the stream could do: the
 * `stdout` of a child process is a Duplex in truth, and a Readable to everybody.
 *
 * @param stream - a Duplex, or something that can only be read or only be written
 * @param options - `as`: `'reader'`, `'writer'`, or `'streams'` for `[reader, writer]`; `limit`:
 *   beyond twice this many bytes that nobody has read, the stream is paused
 * @returns what `as` says; else a reader, or a writer of what can only be written
 * @throws TypeError if it is no stream, or cannot do what is asked for; RangeError if `limit` is
 *   none
 *
 * Reading and `drain()` throw the stream's error; one that is destroyed before its end without one
 * throws ERR_STREAM_PREMATURE_CLOSE. `writer.close()` ends the stream, and destroys it when
 * everything has been written; `writer.transport.abort()` destroys it at once.
 *
 * Order: `drain()` waits until the stream has written what was too much for its buffer.
 */
export function fromNodeStream(
  stream: Duplex,
  options: FromNodeStreamOptions & { as: 'streams' },
): Streams;
export function fromNodeStream(
  stream: Writable,
  options: FromNodeStreamOptions & { as: 'writer' },
): StreamWriter;
export function fromNodeStream(
  stream: Readable,
  options?: FromNodeStreamOptions & { as?: 'reader' },
): StreamReader;
export function fromNodeStream(
  stream: Writable,
  options?: FromNodeStreamOptions & { as?: 'writer' },
): StreamWriter;
export function fromNodeStream(
  stream: Readable | Writable,
  options: FromNodeStreamOptions = {},
): Streams | StreamReader | StreamWriter {
  const { read, write, on, destroy } = Object(stream);
  const reads = typeof read === 'function';
  const writes = typeof write === 'function';
  if (!(reads || writes) || typeof on !== 'function' || typeof destroy !== 'function') {
    throw new TypeError(`fromNodeStream: a stream was expected, got ${show(stream)}`);
  }
  const { as = onlyWrites(stream) ? 'writer' : 'reader' } = options;
  const possible = { reader: reads, writer: writes, streams: reads && writes }[as];
  if (possible !== true) {
    throw new TypeError(`fromNodeStream: ${show(stream)} cannot be had as ${show(as)}`);
  }
  const duplex = reads && writes ? (stream as Duplex) : duplexOver(stream);
  const [reader, writer] = streamsOver(duplex, options);
  if (as === 'streams') return [reader, writer];
  return as === 'reader' ? reader : writer;
}

/** `Duplex.from` takes what is destroyed for what has ended. */
function duplexOver(stream: Readable | Writable): Duplex {
  const ended = 'read' in stream ? stream.readableEnded : stream.writableFinished;
  if (!stream.destroyed || ended) return Duplex.from(stream as Readable);
  return new PassThrough().destroy(stream.errored ?? undefined);
}

/** The `stdin` of a child process is a Duplex whose readable half was never there. */
function onlyWrites(stream: Readable | Writable): boolean {
  if (!('read' in stream)) return true;
  return !stream.readable && (stream as Partial<Duplex>).writable === true;
}
