/**
 * connectReadPipe, connectWritePipe: transports for fds that somebody else has opened.
 *
 * Facts. A daemon's standard streams are `/dev/null`: a device that epoll refuses, since there is
 * nothing to wait for. So do `/dev/zero` and plain files, and reading them may never end.
 * Decision. Plain files are refused, as in asyncio. A device that cannot be waited for is written
 * like any other, and read if it is at its end, as `/dev/null` always is; asyncio reads none of
 * them and waits for ever. Whoever connects knows at once.
 */
import { constants } from 'node:fs';

import { checkFd } from '../loop/watchers.js';
import { Coroutine } from '../tasks/coroutine.js';
import { currentLoop } from '../tasks/current-loop.js';
import { checkFactory } from './create-server.js';
import type { BaseProtocol, Protocol } from './protocol.js';
import { ReadPipeTransport } from './read-pipe-transport.js';
import { sockets } from './slab.js';
import { checked } from './system-error.js';
import { checkProtocol, started } from './transport.js';
import { WritePipeTransport } from './write-pipe-transport.js';

const { S_IFCHR, S_IFDIR, S_IFIFO, S_IFREG, S_IFSOCK } = constants;

/** What kind of file it is. @throws TypeError unless it is one that is read as a stream */
function checkType(name: string, fd: number): number {
  currentLoop().watchers.checkFree(name, fd);
  const type = checked(sockets.fileType(fd), 'fstat');
  if (type === S_IFIFO || type === S_IFSOCK || type === S_IFCHR) return type;
  const what = type === S_IFREG ? 'a plain file' : type === S_IFDIR ? 'a directory' : 'no stream';
  throw new TypeError(`${name}: fd must be a pipe, a socket or a terminal, but ${fd} is ${what}`);
}

/** @throws the system's error if nobody can say when there is something to read */
function checkWaitable(fd: number): void {
  try {
    currentLoop().watchers.probe(fd);
  } catch (error) {
    if (sockets.read(fd) !== 0) throw error;
  }
}

/**
 * Makes a transport that reads from a pipe. From now on the fd belongs to the transport, which
 * closes it.
 *
 * @param protocolFactory - returns the protocol
 * @param fd - of a pipe, a FIFO, a socket, a terminal or another character device, such as
 *   `/dev/null`; it is made non-blocking
 * @returns when awaited, `[transport, protocol]`
 * @throws TypeError if an argument is wrong; when awaited: TypeError if it is another kind of file,
 *   RuntimeError if the fd belongs to another transport, the system's error: EPERM for a device
 *   that cannot be waited for and is not at its end (`/dev/zero`)
 *
 * Counterpart: `loop.connect_read_pipe`.
 */
export function connectReadPipe<P extends Protocol>(
  protocolFactory: () => P,
  fd: number,
): Coroutine<[transport: ReadPipeTransport, protocol: P]> {
  checkFactory('connectReadPipe', protocolFactory);
  checkFd('connectReadPipe', fd);
  return new Coroutine(readPipeSteps(protocolFactory, fd));
}

function* readPipeSteps<P extends Protocol>(
  factory: () => P,
  fd: number,
): Generator<unknown, [ReadPipeTransport, P], any> {
  if (checkType('connectReadPipe', fd) === S_IFCHR) checkWaitable(fd);
  const protocol = factory();
  checkProtocol('protocolFactory', protocol);
  checked(sockets.adopt(fd), 'fcntl');
  const transport = new ReadPipeTransport(currentLoop(), fd, protocol);
  yield* started(transport);
  return [transport, protocol];
}

/**
 * Makes a transport that writes to a pipe. Otherwise as `connectReadPipe`. Counterpart:
 * `loop.connect_write_pipe`.
 */
export function connectWritePipe<P extends BaseProtocol>(
  protocolFactory: () => P,
  fd: number,
): Coroutine<[transport: WritePipeTransport, protocol: P]> {
  checkFactory('connectWritePipe', protocolFactory);
  checkFd('connectWritePipe', fd);
  return new Coroutine(writePipeSteps(protocolFactory, fd));
}

function* writePipeSteps<P extends BaseProtocol>(
  factory: () => P,
  fd: number,
): Generator<unknown, [WritePipeTransport, P], any> {
  const type = checkType('connectWritePipe', fd);
  const protocol = factory();
  checkProtocol('protocolFactory', protocol);
  checked(sockets.adopt(fd), 'fcntl');
  const transport = new WritePipeTransport(currentLoop(), fd, protocol, type !== S_IFCHR);
  yield* started(transport);
  return [transport, protocol];
}
