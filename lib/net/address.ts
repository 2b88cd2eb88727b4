/**
 * Addresses: what the kernel says in numbers, as `{ address, port, family }`.
 *
 * Facts. Ten thousand connections have ten thousand peers, and hardly anybody asks for them.
 * Decision. An IPv4 address is kept as one number until somebody asks; others as the kernel's own
 * bytes.
 */
import type { FamilyNumber } from '../core/sockets.js';
import { addressBytes, addressWord, loadAddress, netLayout, sockets } from './slab.js';

/** An address of the internet. */
export interface SocketAddress {
  address: string;
  port: number;
  family: 'IPv4' | 'IPv6';
}

/** As compact as it gets: IPv4 is `ip * 65536 + port`; null: there is none. */
export type PackedAddress = number | RawAddress | null;

/** The kernel's own bytes. */
export class RawAddress {
  constructor(
    readonly family: FamilyNumber,
    readonly port: number,
    readonly bytes: Uint8Array,
  ) {}
}

/** What is in the address page. */
export function packAddress(): PackedAddress {
  const family = addressWord(netLayout.family);
  if (family === 0) return null;
  const port = addressWord(netLayout.port);
  if (family === 4) return addressWord(netLayout.ipv4) * 65536 + port;
  return new RawAddress(family as FamilyNumber, port, addressBytes());
}

/** As text: for a unix socket its path, empty if it has none. */
export function unpackAddress(packed: PackedAddress): SocketAddress | string | undefined {
  if (packed === null) return undefined;
  if (typeof packed === 'number') {
    const port = packed % 65536;
    return { address: ipv4Text(Math.floor(packed / 65536)), port, family: 'IPv4' };
  }
  const { family, port, bytes } = packed;
  loadAddress(family, port, bytes);
  const text = sockets.addressText();
  return family === 1 ? text : { address: text, port, family: 'IPv6' };
}

/** Whether it is one of IPv4 or IPv6. */
export function isInternet(packed: PackedAddress): boolean {
  return typeof packed === 'number' || packed?.family === 6;
}

/** Of this end of a socket. undefined: it has none, or is closed. */
export function localName(fd: number): SocketAddress | string | undefined {
  if (fd < 0 || sockets.localName(fd) < 0) return undefined;
  return unpackAddress(packAddress());
}

/** Of the other end of a socket. */
export function packPeer(fd: number): PackedAddress {
  return sockets.peerName(fd) < 0 ? null : packAddress();
}

/** As errors say it. */
export function whereOf(packed: PackedAddress): { address?: string; port?: number } {
  const name = unpackAddress(packed);
  if (name === undefined) return {};
  if (typeof name === 'string') return { address: name };
  return { address: name.address, port: name.port };
}

/** Dotted, from a number in host order. */
export function ipv4Text(ip: number): string {
  return `${ip >>> 24}.${(ip >>> 16) & 255}.${(ip >>> 8) & 255}.${ip & 255}`;
}
