/** TlsTransport: a TLSSocket of Node's whose handshake is done, with what is known about it. */
import type { TLSSocket } from 'node:tls';

import type { EventLoop } from '../tasks/event-loop.js';
import { localName, type PackedAddress, unpackAddress } from './address.js';
import { NodeTransport } from './node-transport.js';
import type { StreamProtocol } from './protocol.js';
import type { TransportOwner } from './transport.js';

/** asyncio's: a record is up to 16 KiB, and encrypting several at once is cheaper. */
const WRITE_HIGH = 512 * 1024;

/** @internal Where a connection came from, and what is known of it. */
export interface TlsOrigin {
  readonly fd: number;
  readonly peer: PackedAddress;
  readonly owner: TransportOwner | null;
}

/** @internal An encrypted connection. */
export class TlsTransport extends NodeTransport {
  private readonly peer: PackedAddress;

  /** @internal */
  constructor(
    loop: EventLoop,
    private readonly socket: TLSSocket,
    protocol: StreamProtocol,
    { fd, peer, owner }: TlsOrigin,
    { shutdownTimeout }: { readonly shutdownTimeout: number },
  ) {
    super(loop, socket, protocol, { fd, owner, shutdownTimeout });
    this.peer = peer;
    this.setWriteBufferLimits({ high: WRITE_HIGH });
  }

  /** TLS has no half of a connection. */
  override canWriteEof(): boolean {
    return false;
  }

  override getExtraInfo(name: string, fallback?: unknown): any {
    const { socket } = this;
    switch (name) {
      case 'peername':
        return unpackAddress(this.peer) ?? fallback;
      case 'sockname':
        return localName(this.fd) ?? fallback;
      case 'tlsSocket':
        return socket;
      case 'cipher':
        return socket.getCipher() ?? fallback;
      case 'peercert': {
        const certificate = socket.getPeerCertificate() as object | null;
        return certificate === null || Object.keys(certificate).length === 0
          ? fallback
          : certificate;
      }
      case 'alpnProtocol':
        return socket.alpnProtocol || fallback;
      case 'servername':
        // A server is told false when the client has named none.
        return (socket as { servername?: string | false | null }).servername || fallback;
      default:
        return super.getExtraInfo(name, fallback);
    }
  }
}
