/**
 * Handshakes: a connected socket is handed over to Node, and comes back as a TLSSocket.
 *
 * Facts. Node encrypts in C++, on its own handle of the fd. `tls.Server` takes connections that it
 * has not accepted (its `connection` event), and verifies clients, chooses certificates and keeps
 * sessions as it does with its own; it never has to listen.
 * Decision. The fd leaves our selector and becomes a `net.Socket`. A client is `tls.connect`; a
 * server is one `tls.Server` for each set of options. Bytes that were received before, behind the
 * command that started TLS, are handed over, too: they are the beginning of the handshake, and
 * where they are not (somebody has put words into the plaintext) the handshake fails.
 * Cost. `node:tls` takes 3 ms to load: it is loaded with the first handshake.
 * Invariants. Whatever happens, `done` settles, and unless it has a socket the fd is closed.
 */
import { Socket } from 'node:net';
import { constants } from 'node:os';
import type { ConnectionOptions, TLSSocket, TlsOptions, Server as TlsServer } from 'node:tls';

import type { TimerHandle } from '../loop/handle.js';
import type { WatchOwner } from '../loop/watchers.js';
import type { EventLoop } from '../tasks/event-loop.js';
import { Future } from '../tasks/future.js';
import { sockets } from './slab.js';
import { systemError } from './system-error.js';
import type { OpenConnection } from './transport.js';

const { ECONNABORTED, ECONNRESET } = constants.errno;

/** The longest timer of Node's: handshakes are timed by the loop. */
const NEVER_MS = 2 ** 31 - 1;

function nodeTls(): typeof import('node:tls') {
  return require('node:tls') as typeof import('node:tls');
}

/** @internal A handshake that is under way. */
export class Handshake implements OpenConnection, WatchOwner {
  /** Settles when it is over. */
  readonly done: Future<TLSSocket>;
  private readonly socket: Socket;
  private readonly timer: TimerHandle;

  /** @internal */
  constructor(
    private readonly loop: EventLoop,
    readonly fd: number,
    private readonly timeoutMs: number,
    received: Buffer | null,
  ) {
    sockets.release(fd);
    try {
      this.socket = new Socket({ fd, readable: true, writable: true });
    } catch (error) {
      sockets.close(fd);
      throw error;
    }
    if (received !== null && received.length > 0) this.socket.unshift(received);
    loop.watchers.own(fd, this);
    this.done = new Future<TLSSocket>(loop);
    this.timer = loop.callLater(timeoutMs, () => this.fail(this.timeoutError()));
  }

  /** @param options - as `tls.connect` takes them */
  connect(options: ConnectionOptions): this {
    this.begin(() => {
      const socket = nodeTls().connect({ ...options, socket: this.socket });
      socket.on('secureConnect', () => this.succeed(socket));
      socket.on('error', (error) => this.fail(error));
      socket.on('close', () => this.fail(systemError(-ECONNRESET, 'handshake')));
    });
    return this;
  }

  /** @param acceptor - see `tlsAcceptor` */
  accept(acceptor: TlsServer): this {
    accepting.set(this.socket, this);
    this.begin(() => acceptor.emit('connection', this.socket));
    return this;
  }

  /** The handshake is complete. */
  succeed(socket: TLSSocket): void {
    this.timer.cancel();
    if (this.done.done() || this.loop.isClosed()) {
      this.socket.destroy();
      return;
    }
    // A protocol may answer when the other side has sent its last. Before, Node has to see the end.
    socket.allowHalfOpen = true;
    this.done.setResult(socket);
  }

  /** It has failed; of no account once the socket belongs to a transport. */
  fail(error: Error): void {
    if (this.isTaken()) return;
    this.timer.cancel();
    if (!this.done.done() && !this.loop.isClosed()) this.done.setException(error);
    this.destroy();
  }

  /** Nobody waits for it any more. */
  abort(): void {
    this.timer.cancel();
    if (!this.done.done()) this.done.setException(systemError(-ECONNABORTED, 'handshake'));
    this.destroy();
  }

  close(): void {
    this.abort();
  }

  loopClosed(): void {
    this.socket.destroy();
  }

  toString(): string {
    return `<a TLS handshake fd=${this.fd}>`;
  }

  private begin(start: () => void): void {
    try {
      start();
    } catch (error) {
      this.timer.cancel();
      this.destroy();
      throw error;
    }
  }

  /** Whether the socket belongs to a transport, or is about to. */
  private isTaken(): boolean {
    return this.done.done() && !this.done.cancelled() && !this.done.failed();
  }

  private destroy(): void {
    this.loop.watchers.disown(this.fd, this);
    this.socket.destroy();
  }

  private timeoutError(): Error {
    const error = systemError(-ECONNABORTED, 'handshake');
    error.message =
      `SSL handshake is taking longer than ${this.timeoutMs / 1000} seconds: ` +
      'aborting the connection';
    return error;
  }
}

/** By the socket underneath: Node says which TLSSocket is secure, not whose it is. */
const accepting = new WeakMap<Socket, Handshake>();

function handshakeOf(socket: TLSSocket): Handshake | undefined {
  return accepting.get((socket as unknown as { _parent: Socket })._parent);
}

/** @internal What makes the server's side of handshakes. @throws the error of node:tls */
export function tlsAcceptor(options: TlsOptions): TlsServer {
  const acceptor = nodeTls().createServer({ ...options, handshakeTimeout: NEVER_MS });
  acceptor.on('secureConnection', (socket) => handshakeOf(socket)?.succeed(socket));
  acceptor.on('tlsClientError', (error, socket) =>
    handshakeOf(socket)?.fail(reasonOf(error, socket)),
  );
  return acceptor;
}

/** Node closes the connection of a client that it does not trust, without a word. */
function reasonOf(error: Error, socket: TLSSocket): Error {
  const code = socket.authorizationError as unknown as string | null;
  if (code === null || code === undefined) return error;
  return Object.assign(new Error(`the client's certificate was refused: ${code}`), { code });
}
