/**
 * Protocols: what a transport calls.
 *
 * Decision. asyncio's classes with empty methods, to be extended. Callbacks are called from the
 * loop, never from inside a call that the protocol makes (`pauseWriting` and `resumeWriting`
 * excepted, as in asyncio).
 *
 *   connectionMade (dataReceived* eofReceived?)? connectionLost
 */
import type { SocketAddress } from './address.js';
import type { DatagramTransport } from './datagram-transport.js';
import { received } from './slab.js';
import type { Transport } from './transport.js';

/** What every transport calls. Counterpart: `asyncio.BaseProtocol`. */
export class BaseProtocol {
  /** The connection is there. Called once, before everything else. */
  connectionMade(_transport: any): void {}

  /**
   * The connection is over. Called once, after everything else.
   *
   * @param _error - null: closed by one of the two sides; otherwise what went wrong
   */
  connectionLost(_error: Error | null): void {}

  /** The write buffer is above its high-water mark: write no more for now. */
  pauseWriting(): void {}

  /** The write buffer is at its low-water mark again. */
  resumeWriting(): void {}
}

/** For streams of bytes. Counterpart: `asyncio.Protocol`. */
export class Protocol extends BaseProtocol {
  override connectionMade(_transport: Transport): void {}

  /** Some bytes, in memory that belongs to the protocol. */
  dataReceived(_data: Buffer): void {}

  /**
   * The other side will send nothing more.
   *
   * @returns true to keep the connection open for writing; otherwise it is closed
   */
  eofReceived(): unknown {
    return false;
  }
}

/**
 * For streams of bytes that are received straight into the protocol's own memory: nothing is
 * allocated or copied. Counterpart: `asyncio.BufferedProtocol`.
 */
export class BufferedProtocol extends BaseProtocol {
  override connectionMade(_transport: Transport): void {}

  /**
   * Where the next bytes go. By default it is memory of the thread's own, which all its connections
   * share, and which never leaves the processor's cache.
   *
   * @param _sizeHint - how much may come; -1: unknown
   */
  getBuffer(_sizeHint: number): Uint8Array {
    return received;
  }

  /**
   * So many bytes are at the beginning of the buffer.
   *
   * @param _count - how many
   * @param _data - these bytes, as a view of the buffer. In the thread's own memory they are there
   *   until this returns, and no longer
   */
  bufferUpdated(_count: number, _data: Uint8Array): void {}

  /** As of `Protocol`. */
  eofReceived(): unknown {
    return false;
  }
}

/** For datagrams. Counterpart: `asyncio.DatagramProtocol`. */
export class DatagramProtocol extends BaseProtocol {
  override connectionMade(_transport: DatagramTransport): void {}

  /** One datagram, in memory that belongs to the protocol. */
  datagramReceived(_data: Buffer, _address: SocketAddress | string): void {}

  /** An earlier datagram could not be sent or was refused. The transport goes on. */
  errorReceived(_error: Error): void {}
}

/** What a stream transport can have. */
export type StreamProtocol = Protocol | BufferedProtocol;
