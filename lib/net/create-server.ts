/** createServer, createUnixServer: servers for protocols. */
import { isExit, show } from '../errors.js';
import { Coroutine } from '../tasks/coroutine.js';
import { currentLoop } from '../tasks/current-loop.js';
import { isInternet, localName, packAddress } from './address.js';
import {
  checkBacklog,
  type ListenOptions,
  type ListenSocket,
  listenOn,
  listenOnPath,
} from './listen.js';
import type { StreamProtocol } from './protocol.js';
import {
  type AddressFamily,
  checkFamily,
  checkHost,
  checkPort,
  type Endpoint,
  resolve,
} from './resolve.js';
import { type Accepted, Server } from './server.js';
import { netLayout, sockets } from './slab.js';
import { SocketTransport } from './socket-transport.js';
import { isSystemError } from './system-error.js';
import { acceptTls, type ServerSsl, serverPlan, type TlsPlan } from './tls.js';
import { checkProtocol } from './transport.js';
import { checkPath } from './unix-path.js';

/** What every server can be told. */
export interface ServerOptions extends ListenOptions {
  /** false: it accepts connections after `startServing()` or `serveForever()`. */
  startServing?: boolean;
}

/** What a TCP server can be told. */
export interface TcpServerOptions extends ServerOptions, ServerSsl {
  /** 4 or 6: addresses of this family only. */
  family?: AddressFamily;
  /** Connections are probed when nothing happens for long. */
  keepAlive?: boolean;
  /** false: small writes are collected (Nagle's algorithm). */
  noDelay?: boolean;
}

/** Makes the protocol of a new connection. */
export type ProtocolFactory = () => StreamProtocol;

/** What a server does with a connection. */
function acceptWith(
  factory: ProtocolFactory,
  options: TcpServerOptions,
  tls: TlsPlan | null = null,
): Accepted {
  const { keepAlive = false, noDelay = true } = options;
  return (fd, server) => {
    const peer = packAddress();
    if (isInternet(peer)) {
      if (noDelay) sockets.setOption(fd, netLayout.noDelay, 4, 1);
      if (keepAlive) sockets.setOption(fd, netLayout.keepAlive, 4, 1);
    }
    let protocol: StreamProtocol;
    try {
      protocol = factory();
      checkProtocol('protocolFactory', protocol);
    } catch (exception) {
      sockets.close(fd);
      if (isExit(exception)) throw exception;
      server.loop.callExceptionHandler({ message: 'protocolFactory failed', exception });
      return;
    }
    if (tls !== null) acceptTls(server, fd, peer, protocol, tls);
    else new SocketTransport(server.loop, fd, protocol, server, peer).start();
  };
}

/** Where to listen: each address once, though several hosts may have it. */
function* endpointsOf(
  hosts: readonly string[],
  port: number,
  family: AddressFamily,
): Generator<unknown, Iterable<Endpoint>, any> {
  const endpoints = new Map<string, Endpoint>();
  for (const host of hosts) {
    for (const endpoint of yield* resolve(host, port, family)) {
      endpoints.set(endpoint.address, endpoint);
    }
  }
  return endpoints.values();
}

/** What the system says of a family that is turned off, or of an address that is not its own. */
const NOT_HERE = new Set(['EAFNOSUPPORT', 'EADDRNOTAVAIL']);

function listenAll(endpoints: Iterable<Endpoint>, options: TcpServerOptions): ListenSocket[] {
  const opened: ListenSocket[] = [];
  let notHere: unknown;
  try {
    for (const endpoint of endpoints) {
      // All of them on one port, also where the kernel chooses it.
      const { port: wanted } = endpoint;
      const port = wanted === 0 && opened.length > 0 ? portOf(opened[0]!) : wanted;
      try {
        opened.push(listenOn({ ...endpoint, port }, options));
      } catch (error) {
        if (!isSystemError(error) || !NOT_HERE.has(error.code)) throw error;
        notHere ??= error;
      }
    }
    if (opened.length === 0) throw notHere;
  } catch (error) {
    for (const socket of opened) socket.close();
    throw error;
  }
  return opened;
}

function portOf(socket: ListenSocket): number {
  const name = localName(socket.fd);
  return typeof name === 'object' ? name.port : 0;
}

/** No host: every address of this machine. */
function hostsOf(name: string, host: unknown, family: AddressFamily): string[] {
  if (host === null || host === undefined || host === '') {
    return family === 4 ? ['0.0.0.0'] : family === 6 ? ['::'] : ['0.0.0.0', '::'];
  }
  const hosts = (Array.isArray(host) ? host : [host]).map((each) => checkHost(name, each));
  if (hosts.length === 0) throw new RangeError(`${name}: the list of hosts is empty`);
  return hosts;
}

function* serverSteps(
  hosts: readonly string[],
  port: number,
  options: TcpServerOptions,
  accepted: Accepted,
): Generator<unknown, Server, any> {
  const loop = currentLoop();
  const endpoints = yield* endpointsOf(hosts, port, options.family ?? 0);
  const listening = listenAll(endpoints, options);
  const server = new Server(loop, listening, options.backlog ?? 100, accepted);
  if (options.startServing !== false) yield* begin(server);
  return server;
}

/** Nobody could close a server whose maker was cancelled. */
function* begin(server: Server): Generator<unknown, void, any> {
  try {
    yield* server.startServing();
  } catch (error) {
    server.close();
    throw error;
  }
}

/** @internal */
export function checkFactory(name: string, factory: unknown): void {
  if (typeof factory === 'function') return;
  throw new TypeError(`${name}: protocolFactory must be a function, got ${show(factory)}`);
}

/**
 * Makes a TCP server: a new protocol for every connection.
 *
 * @param protocolFactory - called for each connection, returns its protocol
 * @param host - a name or an address, or several; null: every address of this machine. Addresses
 *   that it does not have are left out, as long as there are others
 * @param port - 0: the kernel chooses, see `server.port`
 * @param options - see `TcpServerOptions`
 * @returns when awaited, the server
 * @throws TypeError or RangeError if an argument is wrong, the error of node:tls if a certificate
 *   cannot be used; when awaited: the system's error, such as EADDRINUSE, with `address` and
 *   `port`; CancelledError
 *
 * Order: connections are made in the order in which they came. Counterpart: `loop.create_server`.
 */
export function createServer(
  protocolFactory: ProtocolFactory,
  host: string | readonly string[] | null,
  port: number,
  options: TcpServerOptions = {},
): Coroutine<Server> {
  checkFactory('createServer', protocolFactory);
  checkPort('createServer', port);
  checkBacklog('createServer', options.backlog);
  const hosts = hostsOf('createServer', host, checkFamily('createServer', options.family));
  const tls = serverPlan('createServer', options);
  const accepted = acceptWith(protocolFactory, options, tls);
  return new Coroutine(serverSteps(hosts, port, options, accepted));
}

function* unixServerSteps(
  path: string,
  options: ServerOptions,
  accepted: Accepted,
): Generator<unknown, Server, any> {
  const unixPath = checkPath('createUnixServer', path);
  unixPath.removeStale();
  const listening = [listenOnPath(unixPath, options)];
  const server = new Server(currentLoop(), listening, options.backlog ?? 100, accepted);
  if (options.startServing !== false) yield* begin(server);
  return server;
}

/**
 * Makes a server on a unix socket. Otherwise as `createServer`.
 *
 * @param path - of the socket; one that is left from before is replaced. A leading `\0`: a name in
 *   Linux's abstract space
 */
export function createUnixServer(
  protocolFactory: ProtocolFactory,
  path: string,
  options: ServerOptions = {},
): Coroutine<Server> {
  checkFactory('createUnixServer', protocolFactory);
  checkBacklog('createUnixServer', options.backlog);
  checkPath('createUnixServer', path);
  return new Coroutine(unixServerSteps(path, options, acceptWith(protocolFactory, options)));
}
