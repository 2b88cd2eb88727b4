/**
 * sendfile: a file to a connection, without its bytes passing through JavaScript.
 *
 * Facts. The kernel copies a file to a socket by itself; it cannot encrypt it.
 * Decision. As asyncio: the kernel where it can, and meanwhile nobody else may write, and nothing
 * is received; otherwise (TLS) the file is read and written piece by piece.
 */
import { RuntimeError, show } from '../errors.js';
import { Coroutine } from '../tasks/coroutine.js';
import { copyFile } from './sendfile-fallback.js';
import { SocketTransport } from './socket-transport.js';
import { BaseTransport, type Transport } from './transport.js';

/** What `sendfile` can be told. */
export interface SendfileOptions {
  /** Where it begins, in bytes; default 0. */
  offset?: number;
  /** How many bytes; default: until the end of the file. */
  count?: number;
  /** false: refuse where the kernel cannot do it. */
  fallback?: boolean;
}

function checkCount(name: string, value: unknown): void {
  if (typeof value === 'number' && value >= 0 && (Number.isInteger(value) || value === Infinity)) {
    return;
  }
  throw new TypeError(`sendfile: ${name} must be a number of bytes, got ${show(value)}`);
}

/**
 * Sends a file.
 *
 * @param transport - of a connection; for streams `writer.transport`
 * @param file - a file descriptor, or what `fs.promises.open` returns; it stays open
 * @param options - see `SendfileOptions`
 * @returns when awaited, how many bytes were sent
 * @throws TypeError if an argument is wrong; when awaited: RuntimeError if the connection closes
 *   or a file is being sent already, the system's error, CancelledError (some bytes have been sent
 *   then)
 *
 * Order: behind everything that was written before. Counterpart: `loop.sendfile`.
 */
export function sendfile(
  transport: Transport,
  file: number | { fd: number },
  options: SendfileOptions = {},
): Coroutine<number> {
  if (!((transport as unknown) instanceof BaseTransport)) {
    throw new TypeError(`sendfile: expected a transport, got ${show(transport)}`);
  }
  const fd = typeof file === 'object' && file !== null ? file.fd : file;
  if (!Number.isInteger(fd) || fd < 0) {
    throw new TypeError(`sendfile: file must be a file descriptor, got ${show(file)}`);
  }
  const { offset = 0, count = Infinity, fallback = true } = options;
  checkCount('offset', offset);
  checkCount('count', count);
  if (transport instanceof SocketTransport) {
    return new Coroutine(transport.sendFile(fd, offset, count));
  }
  if (!fallback) {
    throw new RuntimeError(`sendfile is not supported for ${transport}, and fallback is disabled`);
  }
  return new Coroutine(copyFile(transport, fd, offset, count));
}
