/** connectReadPipe, connectWritePipe: transports for fds that somebody else has opened. */
import { constants } from 'node:fs';

import { Coroutine } from '../tasks/coroutine.js';
import { currentLoop } from '../tasks/current-loop.js';
import { checkFactory } from './create-server.js';
import type { BaseProtocol, Protocol } from './protocol.js';
import { ReadPipeTransport } from './read-pipe-transport.js';
import { sockets } from './slab.js';
import { checked } from './system-error.js';
import { checkFd, checkProtocol, started } from './transport.js';
import { WritePipeTransport } from './write-pipe-transport.js';

const { S_IFCHR, S_IFIFO, S_IFSOCK } = constants;

/** What kind of file it is. @throws TypeError unless it can be waited for */
function prepare(name: string, fd: number): number {
  const type = checked(sockets.fileType(fd), 'fstat');
  if (type !== S_IFIFO && type !== S_IFSOCK && type !== S_IFCHR) {
    throw new TypeError(`${name}: fd must be a pipe, a socket or a terminal`);
  }
  checked(sockets.setNonBlocking(fd), 'fcntl');
  return type;
}

/**
 * Makes a transport that reads from a pipe. From now on the fd belongs to the transport, which
 * closes it.
 *
 * @param protocolFactory - returns the protocol
 * @param fd - of a pipe, a FIFO, a socket or a terminal; it is made non-blocking
 * @returns when awaited, `[transport, protocol]`
 * @throws TypeError if an argument is wrong; when awaited: TypeError if it is another kind of file,
 *   the system's error
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
  prepare('connectReadPipe', fd);
  const protocol = factory();
  checkProtocol('protocolFactory', protocol);
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
  const type = prepare('connectWritePipe', fd);
  const protocol = factory();
  checkProtocol('protocolFactory', protocol);
  const transport = new WritePipeTransport(currentLoop(), fd, protocol, type !== S_IFCHR);
  yield* started(transport);
  return [transport, protocol];
}
