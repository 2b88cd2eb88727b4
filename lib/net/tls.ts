/**
 * TLS: what connections and servers can be told about it, and startTls.
 *
 * Facts. asyncio drives OpenSSL itself, with bytes that its transports receive. Node has TLS with
 * everything around it (certificates, names, sessions, ALPN), on sockets of its own.
 * Decision. No cryptography of ours: names are resolved, addresses raced and connections accepted
 * by us; then the fd is Node's (tls-handshake.ts), and what comes back is a transport like others
 * (node-transport.ts). The options are Node's own.
 */
import { isIP } from 'node:net';
import type { ConnectionOptions, TLSSocket, TlsOptions, Server as TlsServer } from 'node:tls';

import { isCancelledError, show } from '../errors.js';
import { Coroutine } from '../tasks/coroutine.js';
import type { EventLoop } from '../tasks/event-loop.js';
import type { Future } from '../tasks/future.js';
import { type PackedAddress, packPeer } from './address.js';
import type { StreamProtocol } from './protocol.js';
import type { Server } from './server.js';
import { sockets } from './slab.js';
import { SocketTransport } from './socket-transport.js';
import { Handshake, tlsAcceptor } from './tls-handshake.js';
import { type TlsOrigin, TlsTransport } from './tls-transport.js';
import { checkProtocol, started, type Transport } from './transport.js';

/** What TLS can be told by a client: the options of `tls.connect`, but for the socket's. */
export interface ClientSslOptions
  extends Omit<
    ConnectionOptions,
    'host' | 'port' | 'path' | 'socket' | 'allowHalfOpen' | 'timeout' | 'lookup'
  > {}

/** What TLS can be told by a server: the options of `tls.createServer`, but for the sockets'. */
export interface ServerSslOptions
  extends Omit<TlsOptions, 'handshakeTimeout' | 'allowHalfOpen' | 'pauseOnConnect' | 'noDelay'> {}

/** Either side's. */
export type SslOptions = ClientSslOptions | ServerSslOptions;

/** How long TLS may take. */
export interface SslTimeouts {
  /** Milliseconds for the handshake; default 60,000. */
  sslHandshakeTimeout?: number;
  /** Milliseconds in which the other side has to answer a `close()`; default 30,000. */
  sslShutdownTimeout?: number;
}

/** What a connection can be told about TLS. */
export interface ClientSsl extends SslTimeouts {
  /** true, or options of `tls.connect`: the connection is encrypted. */
  ssl?: boolean | ClientSslOptions;
  /** Whose certificate is expected; default: the host. */
  serverHostname?: string;
}

/** What a server can be told about TLS. */
export interface ServerSsl extends SslTimeouts {
  /** Options of `tls.createServer` (`cert` and `key`, ...): connections are encrypted. */
  ssl?: ServerSslOptions;
}

/** What `startTls` can be told. */
export interface StartTlsOptions extends SslTimeouts {
  /** true: this is the server's side. For streams: as the connection was made. */
  serverSide?: boolean;
  /** Whose certificate is expected; a client must say so, unless `ssl` has a `servername`. */
  serverHostname?: string;
}

const HANDSHAKE_TIMEOUT_MS = 60_000;
const SHUTDOWN_TIMEOUT_MS = 30_000;

/** @internal How the handshake begins, and what comes after. */
export interface TlsPlan {
  readonly handshakeTimeout: number;
  readonly shutdownTimeout: number;
  begin(handshake: Handshake): Handshake;
}

function checkTimeout(name: string, what: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value !== 'number') {
    throw new TypeError(`${name}: ${what} must be milliseconds, got ${show(value)}`);
  }
  if (value > 0) return value;
  throw new RangeError(`${name}: ${what} should be a positive number, got ${value}`);
}

function planOf(name: string, times: SslTimeouts, begin: TlsPlan['begin']): TlsPlan {
  const { sslHandshakeTimeout: handshake, sslShutdownTimeout: shutdown } = times;
  return {
    handshakeTimeout: checkTimeout(name, 'sslHandshakeTimeout', handshake, HANDSHAKE_TIMEOUT_MS),
    shutdownTimeout: checkTimeout(name, 'sslShutdownTimeout', shutdown, SHUTDOWN_TIMEOUT_MS),
    begin,
  };
}

/** What says something about TLS where there is none is a mistake. */
function noTls(name: string, options: SslTimeouts & { serverHostname?: string }): null {
  for (const word of ['serverHostname', 'sslHandshakeTimeout', 'sslShutdownTimeout'] as const) {
    if (options[word] === undefined) continue;
    throw new RangeError(`${name}: ${word} is only meaningful with ssl`);
  }
  return null;
}

/** @internal null: no TLS. @throws TypeError, RangeError */
export function clientPlan(name: string, options: ClientSsl, host: string): TlsPlan | null {
  const { ssl = false, serverHostname } = options;
  if (ssl === false) return noTls(name, options);
  if (ssl !== true && (typeof ssl !== 'object' || ssl === null)) {
    throw new TypeError(`${name}: ssl must be true or an object of options, got ${show(ssl)}`);
  }
  if (serverHostname !== undefined && typeof serverHostname !== 'string') {
    throw new TypeError(`${name}: serverHostname must be a string, got ${show(serverHostname)}`);
  }
  const given: ClientSslOptions = ssl === true ? {} : ssl;
  const hostname = serverHostname ?? given.servername ?? host;
  const { servername: _, ...rest } = given;
  // An address is no name to ask for (RFC 6066), but a certificate may have it.
  const names = isIP(hostname) === 0 ? { servername: hostname } : {};
  const connect: ConnectionOptions = { ...rest, ...names, host: hostname };
  return planOf(name, options, (handshake) => handshake.connect(connect));
}

/** One for each object of options: sessions are resumed, and certificates read once. */
const acceptors = new WeakMap<object, TlsServer>();

/** @internal null: no TLS. @throws TypeError, RangeError, the error of node:tls */
export function serverPlan(name: string, options: ServerSsl): TlsPlan | null {
  const { ssl } = options;
  if (ssl === undefined) return noTls(name, options);
  if (typeof ssl !== 'object' || ssl === null) {
    throw new TypeError(`${name}: ssl must be an object with cert and key, got ${show(ssl)}`);
  }
  let acceptor = acceptors.get(ssl);
  if (acceptor === undefined) {
    acceptor = tlsAcceptor(ssl);
    acceptors.set(ssl, acceptor);
  }
  const ready = acceptor;
  return planOf(name, options, (handshake) => handshake.accept(ready));
}

/** The handshake on a connected socket, which is closed if anything fails. */
function shake(
  loop: EventLoop,
  fd: number,
  plan: TlsPlan,
  received: Buffer | null = null,
): Handshake {
  return plan.begin(new Handshake(loop, fd, plan.handshakeTimeout, received));
}

/** @internal Takes over a connected socket, whatever happens. */
export function* makeTlsTransport<P extends StreamProtocol>(
  loop: EventLoop,
  fd: number,
  factory: () => P,
  plan: TlsPlan,
): Generator<unknown, [Transport, P], any> {
  const peer = packPeer(fd);
  let protocol: P;
  try {
    protocol = factory();
    checkProtocol('protocolFactory', protocol);
  } catch (error) {
    sockets.close(fd);
    throw error;
  }
  const handshake = shake(loop, fd, plan);
  let transport: TlsTransport;
  try {
    const socket: TLSSocket = yield* handshake.done;
    transport = new TlsTransport(loop, socket, protocol, { fd, peer, owner: null }, plan);
  } catch (error) {
    handshake.abort();
    throw error;
  }
  yield* started(transport, 'abort');
  return [transport, protocol];
}

/** @internal The same for a socket that a server has accepted. */
export function acceptTls(
  server: Server,
  fd: number,
  peer: PackedAddress,
  protocol: StreamProtocol,
  plan: TlsPlan,
): void {
  const { loop } = server;
  let handshake: Handshake;
  try {
    handshake = shake(loop, fd, plan);
  } catch (exception) {
    loop.callExceptionHandler({ message: 'the TLS handshake cannot begin', exception, protocol });
    return;
  }
  server.attach(handshake);
  handshake.done.addDoneCallback((done: Future<TLSSocket>) => {
    const exception = done.cancelled() ? null : done.exception();
    if (exception === null) {
      new TlsTransport(loop, done.result(), protocol, { fd, peer, owner: server }, plan).start();
    } else if (loop.debug) {
      loop.callExceptionHandler({ message: 'SSL handshake failed', exception, protocol });
    }
    server.detach(handshake);
  });
}

/** @internal What `startTls` does: the old transport's connection goes on in a new one. */
export function* startTlsSteps(
  transport: SocketTransport,
  protocol: StreamProtocol,
  plan: TlsPlan,
  takeUnread: () => Buffer | null,
): Generator<unknown, Transport, any> {
  const { loop, owner, peer } = transport;
  const fd = yield* transport.handOver();
  const lost = (error: unknown): void => {
    const reason = isCancelledError(error) ? null : (error as Error);
    loop.callSoon(() => protocol.connectionLost(reason));
  };
  let handshake: Handshake;
  try {
    handshake = shake(loop, fd, plan, takeUnread());
  } catch (error) {
    lost(error);
    owner?.detach(transport);
    throw error;
  }
  owner?.attach(handshake);
  owner?.detach(transport);
  try {
    const socket: TLSSocket = yield* handshake.done;
    const origin: TlsOrigin = { fd, peer, owner };
    return new TlsTransport(loop, socket, protocol, origin, plan).continueReading();
  } catch (error) {
    handshake.abort();
    lost(error);
    throw error;
  } finally {
    owner?.detach(handshake);
  }
}

/** @internal @throws TypeError, RangeError */
export function startTlsPlan(ssl: unknown, options: StartTlsOptions): TlsPlan {
  const { serverSide = false, serverHostname, ...times } = options;
  if (typeof ssl !== 'object' && ssl !== true) {
    throw new TypeError(`startTls: ssl must be true or an object of options, got ${show(ssl)}`);
  }
  if (serverSide) return serverPlan('startTls', { ssl: ssl as ServerSslOptions, ...times })!;
  const client = ssl as true | ClientSslOptions;
  const checked = client === true || (client.rejectUnauthorized !== false && !client.servername);
  if (checked && !serverHostname) {
    throw new RangeError('startTls: serverHostname is needed to check the certificate');
  }
  const named = serverHostname === undefined ? {} : { serverHostname };
  return clientPlan('startTls', { ssl: client, ...named, ...times }, '')!;
}

/** @internal @throws TypeError */
export function checkStartable(transport: unknown): SocketTransport {
  if (transport instanceof SocketTransport) return transport;
  const text = transport instanceof TlsTransport ? String(transport) : show(transport);
  throw new TypeError(`transport ${text} is not supported by startTls()`);
}

/**
 * Encrypts a connection that is already there. What was written before is sent first; the old
 * transport must not be used from then on.
 *
 * @param transport - of a TCP or unix connection
 * @param protocol - what the new transport calls, usually the old one's; `connectionMade` is not
 *   called again
 * @param ssl - as for `createConnection`, or with `serverSide` as for `createServer`
 * @param options - see `StartTlsOptions`
 * @returns when awaited, the new transport
 * @throws TypeError or RangeError if an argument is wrong; when awaited: RuntimeError if the
 *   connection is closing, the error of the handshake, as `createConnection`, CancelledError. The
 *   connection is closed then, and the protocol is told
 *
 * Counterpart: `loop.start_tls`.
 */
export function startTls(
  transport: Transport,
  protocol: StreamProtocol,
  ssl: true | SslOptions,
  options: StartTlsOptions = {},
): Coroutine<Transport> {
  const socket = checkStartable(transport);
  checkProtocol('startTls', protocol);
  const plan = startTlsPlan(ssl, options);
  return new Coroutine(startTlsSteps(socket, protocol, plan, () => null));
}
