/**
 * createDatagramEndpoint: a socket for datagrams, and the protocol that is told about it.
 *
 * Decision. As asyncio: the local and the remote address are looked up, and the first family that
 * both have and that works is taken. A socket with a remote address is connected, so that the
 * kernel drops what comes from elsewhere and tells when a datagram was refused; unless broadcasts
 * are allowed, which are answered from other addresses.
 */
import type { FamilyNumber } from '../core/sockets.js';
import { show } from '../errors.js';
import { Coroutine } from '../tasks/coroutine.js';
import { currentLoop } from '../tasks/current-loop.js';
import { checkFactory } from './create-server.js';
import { checkAddress, type DatagramAddress } from './datagram-address.js';
import { packTarget } from './datagram-slab.js';
import {
  checkDatagramProtocol,
  type DatagramSocket,
  DatagramTransport,
} from './datagram-transport.js';
import { openWith } from './listen.js';
import type { DatagramProtocol } from './protocol.js';
import { checkFamily, type Endpoint, resolve } from './resolve.js';
import { netLayout, sockets } from './slab.js';
import { checked } from './system-error.js';
import { started } from './transport.js';
import { checkPath, type UnixPath } from './unix-path.js';

/** What an endpoint for datagrams can be told. */
export interface DatagramEndpointOptions {
  /** Where datagrams are received: `[host, port]`, `{ host, port }`, or a path. */
  localAddr?: DatagramAddress | string | null;
  /** The only one datagrams are exchanged with. As `localAddr`. */
  remoteAddr?: DatagramAddress | string | null;
  /** 4 or 6: addresses of this family only; 1: paths. Needed if neither address is given. */
  family?: 0 | 4 | 6 | 1;
  /** Several sockets, of several processes or threads, may be bound to the same address. */
  reusePort?: boolean;
  /** The same, for groups, with programs that know SO_REUSEADDR only. */
  reuseAddress?: boolean;
  /** Datagrams may be sent to broadcast addresses; the socket is not connected then. */
  allowBroadcast?: boolean;
  /** IPv6: addresses of IPv4 are left to another socket. */
  ipv6Only?: boolean;
  /** Bytes that may wait in the kernel to be received. */
  receiveBufferSize?: number;
  /** Bytes that may wait in the kernel to be sent. */
  sendBufferSize?: number;
}

interface Address {
  host: string;
  port: number;
}

/** The arguments, checked. */
interface Request {
  readonly options: DatagramEndpointOptions;
  readonly family: 0 | 4 | 6;
  readonly local: Address | null;
  readonly remote: Address | null;
}

/** Both ends, of one family. */
interface Pair {
  readonly family: FamilyNumber;
  local: { address: string; port: number } | null;
  remote: { address: string; port: number } | null;
}

const WHAT = 'createDatagramEndpoint';

function prepare(fd: number, family: FamilyNumber, options: DatagramEndpointOptions): void {
  const set = (option: number, value: boolean | number | undefined): void => {
    if (value === undefined || value === false) return;
    checked(sockets.setOption(fd, option, family, Number(value)), 'setsockopt');
  };
  set(netLayout.reusePort, options.reusePort);
  set(netLayout.reuseAddress, options.reuseAddress);
  set(netLayout.broadcast, options.allowBroadcast);
  if (family === 6) set(netLayout.ipv6Only, options.ipv6Only);
  set(netLayout.receiveBuffer, options.receiveBufferSize);
  set(netLayout.sendBuffer, options.sendBufferSize);
}

/** @throws SystemError EADDRINUSE, EACCES, ... with the address */
function open({ family, local, remote }: Pair, options: DatagramEndpointOptions): DatagramSocket {
  const connected = remote !== null && options.allowBroadcast !== true;
  const fd = openWith(family, true, (opened) => {
    prepare(opened, family, options);
    if (local !== null) {
      checked(sockets.bind(opened, family, local.address, local.port), 'bind', local);
    }
    if (connected) {
      checked(sockets.connect(opened, family, remote.address, remote.port), 'connect', remote);
    }
  });
  const target = remote === null ? null : packTarget(family, remote.address, remote.port);
  return { fd, family, remote: target, connected };
}

/** As asyncio: those families that have all the addresses that were asked for, in order. */
function* pairs({ family, local, remote }: Request): Generator<unknown, Pair[], any> {
  if (local === null && remote === null) {
    return [{ family: family as 4 | 6, local: null, remote: null }];
  }
  const byFamily = new Map<FamilyNumber, Pair>();
  for (const [end, address] of [
    ['local', local],
    ['remote', remote],
  ] as const) {
    if (address === null) continue;
    const found: Endpoint[] = yield* resolve(address.host, address.port, family);
    for (const endpoint of found) {
      if (family !== 0 && endpoint.family !== family) continue;
      const pair = byFamily.get(endpoint.family);
      if (pair === undefined) {
        const empty = { family: endpoint.family, local: null, remote: null };
        byFamily.set(endpoint.family, { ...empty, [end]: endpoint });
      } else {
        pair[end] ??= endpoint;
      }
    }
  }
  const complete = [...byFamily.values()].filter(
    (pair) => (local === null) === (pair.local === null) && !(remote !== null && !pair.remote),
  );
  if (complete.length === 0) throw new RangeError(`${WHAT}: can not get address information`);
  return complete;
}

function* openFirst(request: Request): Generator<unknown, DatagramSocket, any> {
  const errors: unknown[] = [];
  for (const pair of yield* pairs(request)) {
    try {
      return open(pair, request.options);
    } catch (error) {
      errors.push(error);
    }
  }
  throw errors[0];
}

function* openPaths(
  local: UnixPath | null,
  remote: UnixPath | null,
  options: DatagramEndpointOptions,
): Generator<unknown, DatagramSocket, any> {
  local?.removeStale();
  const end = (path: UnixPath | null) => path && { address: path.address, port: 0 };
  return open({ family: 1, local: end(local), remote: end(remote) }, options);
}

function* endpointSteps<P extends DatagramProtocol>(
  factory: () => P,
  opening: Generator<unknown, DatagramSocket, any>,
): Generator<unknown, [DatagramTransport, P], any> {
  const loop = currentLoop();
  const socket = yield* opening;
  let protocol: P;
  try {
    protocol = factory();
    checkDatagramProtocol(WHAT, protocol);
  } catch (error) {
    sockets.close(socket.fd);
    throw error;
  }
  const transport = new DatagramTransport(loop, protocol, socket);
  yield* started(transport);
  return [transport, protocol];
}

function checkSizes(options: DatagramEndpointOptions): void {
  for (const name of ['receiveBufferSize', 'sendBufferSize'] as const) {
    const size: unknown = options[name];
    if (size === undefined) continue;
    if (typeof size !== 'number' || !Number.isInteger(size)) {
      throw new TypeError(`${WHAT}: ${name} must be a number of bytes, got ${show(size)}`);
    }
    if (size <= 0 || size >= 2 ** 31) throw new RangeError(`${WHAT}: ${name} is ${size}`);
  }
}

/** Checks the addresses, and says how the socket will be opened. */
function opener(options: DatagramEndpointOptions): Generator<unknown, DatagramSocket, any> {
  const { localAddr = null, remoteAddr = null, family } = options;
  if (family === 1) {
    const path = (value: unknown) => (value === null ? null : checkPath(WHAT, value));
    return openPaths(path(localAddr), path(remoteAddr), options);
  }
  const checkedFamily = checkFamily(WHAT, family);
  const address = (value: unknown) => (value === null ? null : checkAddress(WHAT, value));
  const local = address(localAddr);
  const remote = address(remoteAddr);
  if (local === null && remote === null && checkedFamily === 0) {
    throw new RangeError(`${WHAT}: localAddr, remoteAddr or family is needed`);
  }
  // As everywhere, an empty host is every address of this machine.
  if (local?.host === '') local.host = checkedFamily === 6 ? '::' : '0.0.0.0';
  return openFirst({ options, family: checkedFamily, local, remote });
}

/**
 * Makes a socket for datagrams: UDP, or unix with `family: 1`.
 *
 * @param protocolFactory - called when the socket is there, returns its protocol
 * @param options - see `DatagramEndpointOptions`; at least `localAddr`, `remoteAddr` or `family`
 * @returns when awaited, the transport and the protocol, whose `connectionMade` has been called
 * @throws TypeError or RangeError if an argument is wrong; when awaited: the system's error, such
 *   as EADDRINUSE, with `address` and `port`; what the factory throws; CancelledError
 *
 * Order: datagrams are received in the order in which they came, up to 32 of them one directly
 * after the other. Counterpart: `loop.create_datagram_endpoint`.
 */
export function createDatagramEndpoint<P extends DatagramProtocol>(
  protocolFactory: () => P,
  options: DatagramEndpointOptions,
): Coroutine<[transport: DatagramTransport, protocol: P]> {
  checkFactory(WHAT, protocolFactory);
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`${WHAT}: options must be an object, got ${show(options)}`);
  }
  checkSizes(options);
  return new Coroutine(endpointSteps(protocolFactory, opener(options)));
}
