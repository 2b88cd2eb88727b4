/** Addresses of datagrams, as they are passed: checked, and turned into what the kernel takes. */
import type { FamilyNumber } from '../core/sockets.js';
import { show } from '../errors.js';
import type { PackedAddress } from './address.js';
import { packTarget } from './datagram-slab.js';
import { checkHost, checkPort } from './resolve.js';
import { checkPath } from './unix-path.js';

/** Where a datagram goes to, or comes from: what `datagramReceived` is given is one, too. */
export type DatagramAddress =
  | readonly [host: string, port: number]
  | { readonly host: string; readonly port: number }
  | { readonly address: string; readonly port: number };

/** @throws TypeError, RangeError */
export function checkAddress(name: string, value: unknown): { host: string; port: number } {
  if (Array.isArray(value) && value.length === 2) {
    return { host: checkHost(name, value[0]), port: checkPort(name, value[1]) };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(`${name}: expected [host, port] or { host, port }, got ${show(value)}`);
  }
  const { host, address, port } = value as { host?: unknown; address?: unknown; port?: unknown };
  return { host: checkHost(name, host ?? address), port: checkPort(name, port) };
}

/** Of somebody a datagram is sent to: no name, for names have to be looked up. */
export function checkTarget(family: FamilyNumber, value: unknown): PackedAddress {
  if (family === 1) return packTarget(1, checkPath('sendTo', value).address, 0);
  const { host, port } = checkAddress('sendTo', value);
  const packed = packTarget(family, host, port);
  if (packed === null) throw new RangeError(`sendTo: ${show(host)} is no IPv${family} address`);
  return packed;
}

/** Whether they are the same. */
export function sameAddress(one: PackedAddress, other: PackedAddress): boolean {
  if (typeof one !== 'object' || typeof other !== 'object') return one === other;
  if (one === null || other === null) return one === other;
  return Buffer.compare(one.bytes, other.bytes) === 0;
}
