/** Sockets that listen: made, named, and given back if anything fails. */
import type { FamilyNumber } from '../core/sockets.js';
import { show } from '../errors.js';
import type { Endpoint } from './resolve.js';
import { netLayout, sockets } from './slab.js';
import { checked } from './system-error.js';
import { type UnixPath, unlinkIfSame } from './unix-path.js';

/** What can be said about a socket that listens. */
export interface ListenOptions {
  /** Connections that wait in the kernel until they are accepted; default 100, as in asyncio. */
  backlog?: number;
  /** Several sockets, of several processes or threads, may listen on the same port. */
  reusePort?: boolean;
  /** The port may be used again at once after a restart; default true. */
  reuseAddress?: boolean;
}

/** @throws TypeError, RangeError */
export function checkBacklog(name: string, backlog: unknown): void {
  if (backlog === undefined) return;
  if (typeof backlog !== 'number' || !Number.isInteger(backlog)) {
    throw new TypeError(`${name}: backlog must be an integer, got ${show(backlog)}`);
  }
  if (backlog < 0) throw new RangeError(`${name}: backlog must be >= 0, got ${backlog}`);
}

/** An open socket that listens. */
export interface ListenSocket {
  readonly fd: number;
  close(): void;
}

function prepare(fd: number, family: FamilyNumber, options: ListenOptions): void {
  const { reuseAddress = true, reusePort = false } = options;
  const set = (option: number): number =>
    checked(sockets.setOption(fd, option, family, 1), 'setsockopt');
  if (reuseAddress) set(netLayout.reuseAddress);
  if (reusePort) set(netLayout.reusePort);
  if (family === 6) set(netLayout.ipv6Only);
}

/** Gives the fd back if `prepare` throws. */
export function openWith(
  family: FamilyNumber,
  datagram: boolean,
  prepareFd: (fd: number) => void,
): number {
  const fd = checked(sockets.open(family, datagram), 'socket');
  try {
    prepareFd(fd);
  } catch (error) {
    sockets.close(fd);
    throw error;
  }
  return fd;
}

/** @throws SystemError EADDRINUSE, EADDRNOTAVAIL, EACCES, ... with the address */
export function listenOn(endpoint: Endpoint, options: ListenOptions): ListenSocket {
  const { family, address, port } = endpoint;
  const fd = openWith(family, false, (opened) => {
    prepare(opened, family, options);
    checked(sockets.bind(opened, family, address, port), 'bind', { address, port });
    checked(sockets.listen(opened, options.backlog ?? 100), 'listen', { address, port });
  });
  return { fd, close: () => void sockets.close(fd) };
}

/** @throws SystemError EADDRINUSE, EACCES, ... with the path */
export function listenOnPath(path: UnixPath, options: ListenOptions): ListenSocket {
  const { address } = path;
  const fd = openWith(1, false, (opened) => {
    checked(sockets.bind(opened, 1, address, 0), 'bind', { address });
    checked(sockets.listen(opened, options.backlog ?? 100), 'listen', { address });
  });
  const inode = path.inode();
  return {
    fd,
    close() {
      sockets.close(fd);
      if (inode !== null) unlinkIfSame(path, inode);
    },
  };
}
