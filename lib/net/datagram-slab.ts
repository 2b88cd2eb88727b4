/**
 * The thread's memory for datagrams: a batch that was received, and a batch that is to be sent.
 *
 * Facts. Making the text of an address costs more than receiving the datagram. Most datagrams come
 * from few hosts, and have the length of the one before. A view of a buffer costs 60 ns.
 * Decision. The memory is made with the first endpoint. The text of an address is looked up in a
 * table of fixed size that forgets; the object around it is made for each datagram, for it belongs
 * to the protocol.
 * Invariants. What was received is valid until anybody receives again.
 */
import type { FamilyNumber } from '../core/sockets.js';
import {
  ipv4Text,
  type PackedAddress,
  packAddress,
  RawAddress,
  type SocketAddress,
  unpackAddress,
} from './address.js';
import { memoryFor } from './memory.js';
import { addressWord, netLayout, sockets } from './slab.js';

/** How many datagrams one system call receives or sends. */
export const BATCH = netLayout.datagramBatch;
/** Larger ones are sent from where they stand. */
export const COLLECT_MAX = 16 * 1024;
/** Datagrams of unix sockets can be longer than those of UDP: as many bytes as in asyncio. */
const UNIX_STRIDE = 4;

const RECORD = netLayout.datagramRecordBytes / 4;
const ADDRESS = netLayout.datagramAddress / 4;
const LENGTH = netLayout.datagramLength / 4;
const OUTCOME = netLayout.datagramOutcome / 4;
const FAMILY = ADDRESS + netLayout.family / 4;
const PORT = ADDRESS + netLayout.port / 4;
const IPV4 = ADDRESS + netLayout.ipv4 / 4;
const RAW_LENGTH = ADDRESS + netLayout.rawLength / 4;
const RAW = ADDRESS + netLayout.raw / 4;
const RECEIVED = netLayout.datagramRecords / 4;
const OUTGOING = netLayout.datagramSendRecords / 4;

let words = new Uint32Array(0);
let bytes: Buffer = Buffer.alloc(0);
/** Where small datagrams are collected. */
let outgoing = new Uint8Array(0);
/** Of each place, what was received there last: the next one is often as long. */
const views: Uint8Array[] = new Array(BATCH).fill(outgoing);
/** Places of 64 KiB for each datagram of the batch that was received. */
let stride = 1;

/** Makes the memory, if nobody has. */
export function attachDatagrams(): void {
  if (words.length > 0) return;
  const memory = new ArrayBuffer(netLayout.datagramSlabBytes);
  const base = sockets.attach(memory);
  words = new Uint32Array(memory, base);
  bytes = Buffer.from(memory, base);
  outgoing = new Uint8Array(memory, base + netLayout.datagramSend, netLayout.datagramSendBytes);
}

// ---- receiving ----------------------------------------------------------------------------------

/** As many as there are, up to a batch: how many, or a negative errno. */
export function receiveDatagrams(fd: number, family: FamilyNumber): number {
  stride = family === 1 ? UNIX_STRIDE : 1;
  return sockets.receiveBatch(fd, BATCH / stride);
}

/** A copy of one of them. null: it was longer than its place. */
export function receivedData(index: number): Buffer | null {
  const record = RECEIVED + index * RECORD;
  if (words[record + OUTCOME] !== 0) return null;
  const length = words[record + LENGTH]!;
  const at = index * stride;
  let view = views[at]!;
  if (view.length !== length) {
    view = new Uint8Array(bytes.buffer, bytes.byteOffset + at * netLayout.datagramBytes, length);
    views[at] = view;
  }
  const data = memoryFor(length);
  data.set(view);
  return data;
}

/** Where it came from. A unix socket that has no path: an empty one. */
export function receivedFrom(index: number): SocketAddress | string {
  const record = RECEIVED + index * RECORD;
  const family = words[record + FAMILY]!;
  const port = words[record + PORT]!;
  if (family === 4) return { address: textOf(words[record + IPV4]!), port, family: 'IPv4' };
  if (family === 6) return { address: ipv6TextOf(record), port, family: 'IPv6' };
  return family === 0 ? '' : (unpackAddress(rawAddressAt(record)) ?? '');
}

function rawAddressAt(record: number): RawAddress {
  const start = (record + RAW) * 4;
  const raw = Uint8Array.prototype.slice.call(bytes, start, start + words[record + RAW_LENGTH]!);
  return new RawAddress(words[record + FAMILY] as FamilyNumber, words[record + PORT]!, raw);
}

const PLACES = 256;
const texts: string[] = new Array(PLACES).fill('0.0.0.0');
const textIps = new Uint32Array(PLACES);

function textOf(ip: number): string {
  const at = (ip ^ (ip >>> 8)) & (PLACES - 1);
  if (textIps[at] !== ip) {
    textIps[at] = ip;
    texts[at] = ipv4Text(ip);
  }
  return texts[at]!;
}

const PLACES_6 = 64;
/** Address and scope, of sockaddr_in6: behind the family, the port and the flow. */
const KEY_AT = RAW + 2;
const KEY = 5;
const texts6: string[] = new Array(PLACES_6).fill('::');
const keys6 = new Uint32Array(PLACES_6 * KEY);

function ipv6TextOf(record: number): string {
  const at = record + KEY_AT;
  const mixed = words[at]! ^ words[at + 1]! ^ words[at + 2]! ^ words[at + 3]! ^ words[at + 4]!;
  const index = (mixed ^ (mixed >>> 8) ^ (mixed >>> 16) ^ (mixed >>> 24)) & (PLACES_6 - 1);
  let same = true;
  for (let i = 0; i < KEY; i++) if (keys6[index * KEY + i] !== words[at + i]) same = false;
  if (!same) {
    keys6.set(words.subarray(at, at + KEY), index * KEY);
    texts6[index] = (unpackAddress(rawAddressAt(record)) as SocketAddress).address;
  }
  return texts6[index]!;
}

// ---- sending ------------------------------------------------------------------------------------

const parsed = new Map<string, number>();
const PARSED_MAX = 4096;
let lastText = '';
let lastIp = 0;

/** The number of a dotted address; -1: it is none. */
function ipv4Of(text: string): number {
  if (text === lastText) return lastIp;
  let ip = parsed.get(text);
  if (ip === undefined) {
    if (!sockets.parseAddress(4, text, 0)) return -1;
    ip = addressWord(netLayout.ipv4);
    if (parsed.size >= PARSED_MAX) parsed.clear();
    parsed.set(text, ip);
  }
  lastText = text;
  lastIp = ip;
  return ip;
}

let lastRaw: { text: string; packed: RawAddress } | null = null;

/** As numbers, or as the kernel's own bytes. null: no address of this family. */
export function packTarget(family: FamilyNumber, text: string, port: number): PackedAddress {
  if (family === 4) {
    const ip = ipv4Of(text);
    return ip < 0 ? null : ip * 65536 + port;
  }
  if (lastRaw?.text === text && lastRaw.packed.port === port) return lastRaw.packed;
  if (!sockets.parseAddress(family, text, port)) return null;
  const packed = packAddress() as RawAddress;
  // The port of a path is nothing, whatever was passed.
  lastRaw = { text, packed };
  return packed;
}

/** Whether some bytes fit behind those that were collected. */
export function fits(used: number, length: number): boolean {
  return used + length <= outgoing.length;
}

/** @param target - null: the connected peer */
export function putTarget(index: number, target: PackedAddress): void {
  const record = OUTGOING + index * RECORD;
  if (target === null) {
    words[record + FAMILY] = 0;
  } else if (typeof target === 'number') {
    words[record + FAMILY] = 4;
    words[record + PORT] = target % 65536;
    words[record + IPV4] = Math.floor(target / 65536);
  } else {
    words[record + FAMILY] = target.family;
    words[record + PORT] = target.port;
    words[record + RAW_LENGTH] = target.bytes.length;
    bytes.set(target.bytes, (record + RAW) * 4);
  }
}

/** @param offset - behind the one before */
export function putDatagram(
  index: number,
  offset: number,
  data: Uint8Array,
  target: PackedAddress,
): void {
  words[OUTGOING + index * RECORD + LENGTH] = data.length;
  outgoing.set(data, offset);
  putTarget(index, target);
}

/** A copy of what was put there, which has not been sent. */
export function takeDatagram(index: number, offset: number): Buffer {
  return Buffer.from(outgoing.subarray(offset, offset + lengthOf(index)));
}

/** Of one that is to be sent. */
export function lengthOf(index: number): number {
  return words[OUTGOING + index * RECORD + LENGTH]!;
}

/** To whom it is to be sent. */
export function targetOf(index: number): PackedAddress {
  const record = OUTGOING + index * RECORD;
  const family = words[record + FAMILY]!;
  if (family === 0) return null;
  if (family === 4) return words[record + IPV4]! * 65536 + words[record + PORT]!;
  return rawAddressAt(record);
}

/** Zero, or the negative errno of one that was not sent. */
export function outcomeOf(index: number): number {
  return -words[OUTGOING + index * RECORD + OUTCOME]!;
}
