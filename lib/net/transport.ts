/**
 * Transports: what every connection can do, and flow control.
 *
 * Facts. asyncio calls `pause_writing` when more than `high` bytes wait, synchronously from
 * `write`, and `resume_writing` when no more than `low` do; always in pairs.
 * Decision. asyncio's rules. One number holds all flags, so that an idle connection is small. The
 * protocol is called in the context of the code that made the transport, not of what writes to it.
 */
// The global is a getter of Node's: 30 ns each time.
import { Buffer } from 'node:buffer';

import { isExit, RuntimeError, show } from '../errors.js';
import { type Context, captureContext } from '../loop/context.js';
import type { EventLoop } from '../tasks/event-loop.js';
import { Future } from '../tasks/future.js';
import type { BaseProtocol, BufferedProtocol } from './protocol.js';

/** What can be written: text is sent as UTF-8. */
export type WriteData = string | ArrayBufferView | ArrayBuffer | SharedArrayBuffer;

/** Marks of a write buffer, in bytes. */
export interface WriteBufferLimits {
  /** Writing is paused when more than this waits. */
  high?: number;
  /** Writing is resumed when no more than this waits. */
  low?: number;
}

interface Limits {
  readonly high: number;
  readonly low: number;
}

const DEFAULT_LIMITS: Limits = { high: 64 * 1024, low: 16 * 1024 };

/** @internal `close()` was called, or the end has come. */
export const CLOSING = 1;
/** @internal `pauseReading()` was called. */
export const PAUSED = 2;
/** @internal `pauseWriting()` was called. */
export const PROTOCOL_PAUSED = 4;
/** @internal `writeEof()` was called. */
export const EOF_WRITTEN = 8;
/** @internal `connectionLost()` is on its way, or has been called. */
export const LOST = 16;
/** @internal `connectionMade()` has been called. */
export const CONNECTED = 32;
/** @internal The protocol has buffers of its own. */
export const BUFFERED = 64;
/** @internal The other side has sent its last byte. */
export const EOF_RECEIVED = 128;
/** @internal The last read was a large one. */
export const READS_LARGE = 256;
/** @internal A read may leave something behind. */
export const LEVEL = 512;

/** @internal What a server keeps account of: a transport, or what is about to become one. */
export interface OpenConnection {
  close(): void;
  abort(): void;
}

/** @internal Where a transport came from. */
export interface TransportOwner {
  attach(connection: OpenConnection): void;
  detach(connection: OpenConnection): void;
}

/** A part of a transport's work; in messages it is the transport. */
class Part {
  constructor(
    private readonly transport: object,
    readonly run: () => void,
  ) {}

  toString(): string {
    return String(this.transport);
  }
}

/** What all connections have. Counterpart: `asyncio.BaseTransport`, `WriteTransport`. */
export abstract class BaseTransport<P extends BaseProtocol = BaseProtocol> {
  /** @internal */
  protected flags = 0;
  /** @internal Of whoever made it: what its protocol is called in. */
  protected readonly context: Context | null = captureContext();
  private limits: Limits = DEFAULT_LIMITS;

  /** @internal */
  constructor(
    /** The loop this connection belongs to. */
    readonly loop: EventLoop,
    /** @internal */
    protected protocol: P,
  ) {
    this.lookAtProtocol();
  }

  /** @internal As asyncio: three handles, and so all in this order in the next iteration. */
  start(connected?: () => void): this {
    this.later(() => this.callConnectionMade());
    this.later(() => this.startReading());
    if (connected !== undefined) this.loop.callSoon(connected);
    return this;
  }

  /** Whether it is closed, or about to be. */
  isClosing(): boolean {
    return (this.flags & CLOSING) !== 0;
  }

  /** What is called about this connection. */
  getProtocol(): P {
    return this.protocol;
  }

  /** Something else is called from now on; it does not get `connectionMade`. */
  setProtocol(protocol: P): void {
    checkProtocol('setProtocol', protocol);
    this.protocol = protocol;
    this.lookAtProtocol();
  }

  /**
   * Closes the connection when everything that was written has been sent. Then `connectionLost` is
   * called with null. Nothing more is received.
   */
  abstract close(): void;

  /** Closes the connection at once; what was not sent yet is dropped. */
  abstract abort(): void;

  /** Bytes that were written and not sent yet. */
  abstract getWriteBufferSize(): number;

  /**
   * Something else that is known about the connection.
   *
   * @param name - `peername`, `sockname`, `fd`; for TLS also `cipher`, `peercert`, `alpnProtocol`,
   *   `tlsSocket`
   * @param fallback - what to return if it is not known
   */
  abstract getExtraInfo(name: string, fallback?: unknown): any;

  /** For messages. */
  abstract toString(): string;

  /** The marks of the write buffer. */
  getWriteBufferLimits(): { low: number; high: number } {
    return { ...this.limits };
  }

  /**
   * Sets the marks of the write buffer.
   *
   * @param limits - `high` (default 64 KiB, or four times `low`), `low` (default a quarter of
   *   `high`); `high: 0`: writing is paused whenever something waits
   * @throws TypeError if they are not numbers; RangeError unless high >= low >= 0
   */
  setWriteBufferLimits(limits: WriteBufferLimits = {}): void {
    let { high, low } = limits;
    high ??= low === undefined ? DEFAULT_LIMITS.high : 4 * low;
    low ??= Math.floor(high / 4);
    for (const [name, value] of Object.entries({ high, low })) {
      if (typeof value !== 'number' || Number.isNaN(value)) {
        throw new TypeError(`setWriteBufferLimits: ${name} must be a number, got ${show(value)}`);
      }
    }
    if (!(high >= low && low >= 0)) {
      throw new RangeError(`high (${high}) must be >= low (${low}) must be >= 0`);
    }
    this.limits = { high, low };
    this.pauseProtocolIfFull();
  }

  /** @internal Runs a part of our work as a handle would run. */
  notify(run: () => void): void {
    this.loop.runBody(this.context, new Part(this, run));
  }

  /** @internal The same, in the next iteration. */
  protected later(run: () => void): void {
    this.loop.callSoonCaptured(this.context, run);
  }

  /** @internal Whether the protocol was told to write no more for now. */
  isProtocolPaused(): boolean {
    return (this.flags & PROTOCOL_PAUSED) !== 0;
  }

  /** @internal The protocol has been told of the connection. */
  protected abstract startReading(): void;

  /** @internal */
  protected pauseProtocolIfFull(): void {
    if ((this.flags & PROTOCOL_PAUSED) !== 0) return;
    if (this.getWriteBufferSize() <= this.limits.high) return;
    this.flags |= PROTOCOL_PAUSED;
    this.notify(() => this.callPauseWriting());
  }

  private callPauseWriting(): void {
    try {
      this.protocol.pauseWriting();
    } catch (error) {
      this.report('protocol.pauseWriting() failed', error);
    }
  }

  /** @internal */
  protected resumeProtocolIfDrained(): void {
    if ((this.flags & PROTOCOL_PAUSED) === 0) return;
    if (this.getWriteBufferSize() > this.limits.low) return;
    this.flags &= ~PROTOCOL_PAUSED;
    try {
      this.protocol.resumeWriting();
    } catch (error) {
      this.report('protocol.resumeWriting() failed', error);
    }
  }

  /** @internal To the exception handler; what leaves the loop goes on. */
  protected report(message: string, exception: unknown): void {
    if (isExit(exception)) throw exception;
    const { protocol } = this;
    this.loop.callExceptionHandler({ message, exception, transport: this, protocol });
  }

  private callConnectionMade(): void {
    this.flags |= CONNECTED;
    this.protocol.connectionMade(this);
  }

  /** Once: not each time that something is received. */
  private lookAtProtocol(): void {
    const { getBuffer } = this.protocol as Partial<BufferedProtocol>;
    if (typeof getBuffer === 'function') this.flags |= BUFFERED;
    else this.flags &= ~BUFFERED;
  }
}

/** What receives streams of bytes. Counterpart: `asyncio.ReadTransport`. */
export abstract class ReadTransport<P extends BaseProtocol> extends BaseTransport<P> {
  /** Whether bytes are being received. */
  isReading(): boolean {
    return (this.flags & (CLOSING | PAUSED)) === 0;
  }

  /** Stops receiving, until `resumeReading()`. Pausing twice is no error. */
  pauseReading(): void {
    if (!this.isReading()) return;
    this.flags |= PAUSED;
    this.stopReading();
  }

  /** Goes on receiving. */
  resumeReading(): void {
    if ((this.flags & (CLOSING | PAUSED)) !== PAUSED) return;
    this.flags &= ~PAUSED;
    this.goOnReading();
  }

  /** @internal */
  protected abstract stopReading(): void;

  /** @internal */
  protected goOnReading(): void {
    this.startReading();
  }
}

/**
 * @internal Starts a transport, and waits until `connectionMade` has been called. Nobody else could
 * close the transport of a task that was cancelled meanwhile.
 */
export function* started(
  transport: BaseTransport<any>,
  giveUp: 'close' | 'abort' = 'close',
): Generator<unknown, void, any> {
  const made = new Future<void>(transport.loop);
  transport.start(() => {
    if (!made.done()) made.setResult();
  });
  try {
    yield* made;
  } catch (error) {
    transport[giveUp]();
    throw error;
  }
}

/** @internal */
export function checkProtocol(name: string, protocol: unknown): void {
  const { connectionMade, connectionLost } = Object(protocol);
  if (typeof connectionMade === 'function' && typeof connectionLost === 'function') return;
  throw new TypeError(`${name}: expected a protocol, got ${show(protocol)}`);
}

/** @internal */
export function checkBuffer(buffer: unknown): Uint8Array {
  if (!(buffer instanceof Uint8Array)) {
    throw new TypeError(`getBuffer() must return a Uint8Array, got ${show(buffer)}`);
  }
  const bytes = plainView(buffer);
  if (bytes.length === 0) throw new RuntimeError('getBuffer() returned an empty buffer');
  return bytes;
}

type Getter<T> = (bytes: Uint8Array) => T;
const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array;

function getterOf<T>(name: keyof Uint8Array): Getter<T> {
  const { get } = Object.getOwnPropertyDescriptor(typedArray, name)!;
  return Function.prototype.call.bind(get!) as Getter<T>;
}

const bufferOf = getterOf<ArrayBuffer>('buffer');
const byteOffsetOf = getterOf<number>('byteOffset');
/** @internal How many bytes there are now; a property of that name may say anything. */
export const byteLengthOf = getterOf<number>('byteLength');

const BUFFER: unknown = Buffer.prototype;
const UINT8_ARRAY: unknown = Uint8Array.prototype;

/** A subclass, or a property of its own, could claim memory that belongs to somebody else. */
function plainView(bytes: Uint8Array): Uint8Array {
  const prototype: unknown = Object.getPrototypeOf(bytes);
  const plain = prototype === BUFFER || prototype === UINT8_ARRAY;
  if (plain && !Object.hasOwn(bytes, 'length')) return bytes;
  return new Uint8Array(bufferOf(bytes), byteOffsetOf(bytes), byteLengthOf(bytes));
}

/** @internal The bytes of what was written, not copied. */
export function bytesOf(name: string, data: unknown): Uint8Array {
  if (data instanceof Uint8Array) return plainView(data);
  if (typeof data === 'string') return Buffer.from(data);
  if (ArrayBuffer.isView(data)) {
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return new Uint8Array(data);
  throw new TypeError(
    `${name}: data must be a string, a Buffer, a typed array or an ArrayBuffer, got ${show(data)}`,
  );
}

/** A connection for streams of bytes. Counterpart: `asyncio.Transport`. */
export interface Transport extends ReadTransport<any> {
  /**
   * Sends some bytes, at once if nothing waits; never blocks. The bytes must not change until they
   * have been sent: whoever transfers or resizes their buffer before that ends the connection with
   * EFAULT. Those of a SharedArrayBuffer are sent as they are when the kernel takes them.
   *
   * @throws TypeError if `data` is none; RuntimeError after `writeEof()`
   */
  write(data: WriteData): void;
  /** Sends several pieces, with one system call where that is possible. */
  writelines(list: Iterable<WriteData>): void;
  /** Says that nothing more will be sent, when everything has been; the other direction goes on. */
  writeEof(): void;
  /** Whether `writeEof()` is possible. */
  canWriteEof(): boolean;
}
