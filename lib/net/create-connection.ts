/** createConnection, createUnixConnection, connectAcceptedSocket: transports for protocols. */
import { RuntimeError, show } from '../errors.js';
import { checkFd } from '../loop/watchers.js';
import { Coroutine } from '../tasks/coroutine.js';
import { currentLoop } from '../tasks/current-loop.js';
import type { EventLoop } from '../tasks/event-loop.js';
import { packPeer } from './address.js';
import {
  alternate,
  connectToPath,
  HAPPY_EYEBALLS_DELAY_MS,
  type Prepare,
  race,
} from './connect.js';
import { checkFactory } from './create-server.js';
import type { StreamProtocol } from './protocol.js';
import { type AddressFamily, checkFamily, checkHost, checkPort, resolve } from './resolve.js';
import { netLayout, sockets } from './slab.js';
import { SocketTransport } from './socket-transport.js';
import { checked } from './system-error.js';
import { type ClientSsl, clientPlan, makeTlsTransport, type TlsPlan } from './tls.js';
import { checkProtocol, started, type Transport } from './transport.js';
import { checkPath } from './unix-path.js';

/** What a TCP connection can be told. */
export interface ConnectionOptions extends ClientSsl {
  /** 4 or 6: addresses of this family only. */
  family?: AddressFamily;
  /** The address, and the port, to connect from. */
  localAddr?: { host: string; port?: number };
  /** false: small writes are collected (Nagle's algorithm). */
  noDelay?: boolean;
  /** The connection is probed when nothing happens for long. */
  keepAlive?: boolean;
  /**
   * Milliseconds until the next address of the host is tried beside the one before; default 250,
   * `Infinity`: only when that has failed.
   */
  happyEyeballsDelay?: number;
}

/** A transport and its protocol. */
export type Connection<P> = [transport: Transport, protocol: P];

function checkOptions(name: string, options: ConnectionOptions): void {
  checkFamily(name, options.family);
  const { happyEyeballsDelay, localAddr } = options;
  if (happyEyeballsDelay !== undefined) {
    if (typeof happyEyeballsDelay !== 'number' || !(happyEyeballsDelay >= 0)) {
      throw new TypeError(
        `${name}: happyEyeballsDelay must be milliseconds, got ${show(happyEyeballsDelay)}`,
      );
    }
  }
  if (localAddr === undefined) return;
  checkHost(name, localAddr?.host);
  checkPort(name, localAddr.port ?? 0);
}

function* prepareWith(options: ConnectionOptions): Generator<unknown, Prepare, any> {
  const { localAddr, noDelay = true, keepAlive = false } = options;
  const local =
    localAddr === undefined
      ? []
      : yield* resolve(localAddr.host, localAddr.port ?? 0, options.family ?? 0);
  return (fd, family) => {
    if (noDelay) checked(sockets.setOption(fd, netLayout.noDelay, family, 1), 'setsockopt');
    if (keepAlive) checked(sockets.setOption(fd, netLayout.keepAlive, family, 1), 'setsockopt');
    if (localAddr === undefined) return;
    const from = local.find((each) => each.family === family);
    if (from === undefined) {
      throw new RuntimeError(`localAddr ${localAddr.host} is of another family`);
    }
    const { address, port } = from;
    checked(sockets.bind(fd, family, address, port), 'bind', { address, port });
  };
}

/** A socket connected to a host. */
function* connectSocket(
  loop: EventLoop,
  host: string,
  port: number,
  options: ConnectionOptions,
): Generator<unknown, number, any> {
  const { family = 0, happyEyeballsDelay = HAPPY_EYEBALLS_DELAY_MS } = options;
  const endpoints = yield* resolve(host, port, family);
  const prepare = yield* prepareWith(options);
  return yield* race(loop, alternate(endpoints), prepare, happyEyeballsDelay);
}

/** Takes over a connected socket, whatever happens. */
function* makeTransport<P extends StreamProtocol>(
  loop: EventLoop,
  fd: number,
  factory: () => P,
  foreign = false,
): Generator<unknown, Connection<P>, any> {
  let transport: SocketTransport;
  let protocol: P;
  try {
    protocol = factory();
    checkProtocol('protocolFactory', protocol);
    transport = new SocketTransport(loop, fd, protocol, null, packPeer(fd), foreign);
  } catch (error) {
    sockets.close(fd);
    throw error;
  }
  yield* started(transport);
  return [transport, protocol];
}

/**
 * Connects to a server.
 *
 * @param protocolFactory - called when the connection is there, returns its protocol
 * @param host - a name or an address
 * @param port - 1 to 65535
 * @param options - see `ConnectionOptions`
 * @returns when awaited, `[transport, protocol]`
 * @throws TypeError or RangeError if an argument is wrong; when awaited: the system's error, such
 *   as ECONNREFUSED, with `address` and `port`; if several addresses failed in different ways, an
 *   AggregateError with the `code` of the first; the resolver's error (ENOTFOUND); with `ssl` the
 *   error of the handshake, such as DEPTH_ZERO_SELF_SIGNED_CERT, or ECONNABORTED if it took too
 *   long; CancelledError
 *
 * Order: `connectionMade` is called one iteration before this returns. Counterpart:
 * `loop.create_connection`.
 */
export function createConnection<P extends StreamProtocol>(
  protocolFactory: () => P,
  host: string,
  port: number,
  options: ConnectionOptions = {},
): Coroutine<Connection<P>> {
  checkFactory('createConnection', protocolFactory);
  checkHost('createConnection', host);
  checkPort('createConnection', port);
  checkOptions('createConnection', options);
  const tls = clientPlan('createConnection', options, host);
  return new Coroutine(connectionSteps(protocolFactory, host, port, options, tls));
}

function* connectionSteps<P extends StreamProtocol>(
  factory: () => P,
  host: string,
  port: number,
  options: ConnectionOptions,
  tls: TlsPlan | null,
): Generator<unknown, Connection<P>, any> {
  const loop = currentLoop();
  const fd = yield* connectSocket(loop, host, port, options);
  if (tls !== null) return yield* makeTlsTransport(loop, fd, factory, tls);
  return yield* makeTransport(loop, fd, factory);
}

/**
 * Connects to a unix socket. Otherwise as `createConnection`.
 *
 * @param path - of the socket; a leading `\0`: a name in Linux's abstract space
 */
export function createUnixConnection<P extends StreamProtocol>(
  protocolFactory: () => P,
  path: string,
): Coroutine<Connection<P>> {
  checkFactory('createUnixConnection', protocolFactory);
  checkPath('createUnixConnection', path);
  return new Coroutine(unixConnectionSteps(protocolFactory, path));
}

function* unixConnectionSteps<P extends StreamProtocol>(
  factory: () => P,
  path: string,
): Generator<unknown, Connection<P>, any> {
  const loop = currentLoop();
  const fd = yield* connectToPath(loop, checkPath('createUnixConnection', path));
  return yield* makeTransport(loop, fd, factory);
}

/**
 * Makes a transport of a connected socket that somebody else has opened or accepted. From now on
 * the fd belongs to the transport, which closes it.
 *
 * @param protocolFactory - returns the protocol
 * @param fd - the file descriptor of a connected stream socket
 * @returns when awaited, `[transport, protocol]`
 * @throws TypeError if an argument is wrong; when awaited: the system's error if it is no socket
 *   that is connected
 *
 * Counterpart: `loop.connect_accepted_socket`.
 */
export function connectAcceptedSocket<P extends StreamProtocol>(
  protocolFactory: () => P,
  fd: number,
): Coroutine<Connection<P>> {
  checkFactory('connectAcceptedSocket', protocolFactory);
  checkFd('connectAcceptedSocket', fd);
  return new Coroutine(acceptedSocketSteps(protocolFactory, fd));
}

function* acceptedSocketSteps<P extends StreamProtocol>(
  factory: () => P,
  fd: number,
): Generator<unknown, Connection<P>, any> {
  currentLoop().watchers.checkFree('connectAcceptedSocket', fd);
  checked(sockets.peerName(fd), 'getpeername');
  checked(sockets.adopt(fd), 'fcntl');
  return yield* makeTransport(currentLoop(), fd, factory, true);
}
