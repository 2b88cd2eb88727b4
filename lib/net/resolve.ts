/**
 * Names to addresses, through `node:dns`.
 *
 * Facts. A literal address needs no resolver, and the resolver needs a thread. `dns.lookup` asks
 * the system, as `getaddrinfo` does; it cannot be stopped, but nobody has to wait for it.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';

import { show } from '../errors.js';
import { until } from '../tasks/until.js';

/** An address to connect to or to listen on. */
export interface Endpoint {
  readonly family: 4 | 6;
  readonly address: string;
  readonly port: number;
}

/** Which addresses to look for: 0 takes both. */
export type AddressFamily = 0 | 4 | 6;

/** @throws TypeError, RangeError */
export function checkPort(name: string, port: unknown): number {
  if (typeof port !== 'number' || !Number.isInteger(port)) {
    throw new TypeError(`${name}: port must be a number, got ${show(port)}`);
  }
  if (port < 0 || port > 65535)
    throw new RangeError(`${name}: port must be 0 to 65535, got ${port}`);
  return port;
}

/** @throws TypeError */
export function checkHost(name: string, host: unknown): string {
  if (typeof host !== 'string') {
    throw new TypeError(`${name}: host must be a string, got ${show(host)}`);
  }
  checkText(name, 'host', host);
  return host;
}

/**
 * Text for a system call, which ends at the first NUL: `127.0.0.1\0.example.org` is another host.
 * @throws TypeError
 */
export function checkText(name: string, what: string, text: string): void {
  if (!text.includes('\0')) return;
  throw new TypeError(`${name}: ${what} must not contain NUL, got ${show(text)}`);
}

/** @throws TypeError */
export function checkFamily(name: string, family: unknown): AddressFamily {
  if (family !== undefined && family !== 0 && family !== 4 && family !== 6) {
    throw new TypeError(`${name}: family must be 4, 6 or 0, got ${show(family)}`);
  }
  return family ?? 0;
}

/** As `node:dns` says it. */
function notFound(hostname: string): Error {
  const error = new Error(`getaddrinfo ENOTFOUND ${hostname}`);
  return Object.assign(error, {
    errno: -3008,
    code: 'ENOTFOUND',
    syscall: 'getaddrinfo',
    hostname,
  });
}

/** All addresses of a host, one at least, in the resolver's order. */
export function* resolve(
  host: string,
  port: number,
  family: AddressFamily,
): Generator<unknown, Endpoint[], any> {
  const literal = isIP(host) as AddressFamily;
  if (literal !== 0) {
    if (family !== 0 && family !== literal) throw notFound(host);
    return [{ family: literal, address: host, port }];
  }
  const found = yield* until(lookup(host, { all: true, family, order: 'verbatim' }));
  if (found.length === 0) throw notFound(host);
  return found.map((each) => ({ family: each.family as 4 | 6, address: each.address, port }));
}
