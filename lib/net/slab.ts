/**
 * The thread's memory for received and sent bytes, and the calls that use it.
 *
 * Facts. Memory that was never touched costs a page fault for each 4 KiB, and memory that is not in
 * the cache costs more than the system call. Handing a Buffer to C++ costs 150 ns, an offset 5.
 * Decision. The thread's reads land in the same 256 KiB, but for large ones and for protocols with
 * memory of their own; what is written is copied behind them, if it is small.
 * Invariants. What stands in the slab is valid until the next read or write of anybody.
 */
import { coreModule } from '../core/native.js';

/** The system calls. */
export const { sockets } = coreModule;
/** Offsets in the slab, and numbers of the system. */
export const netLayout = sockets.layout;

const memory = new ArrayBuffer(netLayout.slabBytes);
/** Where the slab begins: at a cache line. */
const base = sockets.attach(memory);

/** What was received. */
export const received: Buffer = Buffer.from(memory, base, netLayout.receiveBytes);

/** Where small writes are copied to. */
export const outgoing: Buffer = Buffer.from(
  memory,
  base + netLayout.receiveBytes,
  netLayout.sendBytes,
);

/** From here on a write is cheaper from where it stands. */
export const COPY_MAX = 16 * 1024;

const page = new Uint32Array(memory, base + netLayout.addressOffset, 4);
const pageBytes = new Uint8Array(memory, base + netLayout.addressOffset);

/** A number of the address page, by its offset there. */
export function addressWord(offset: number): number {
  return page[offset / 4]!;
}

/** A copy of the kernel's own bytes of the address. */
export function addressBytes(): Uint8Array {
  const { raw, rawLength } = netLayout;
  return pageBytes.slice(raw, raw + addressWord(rawLength));
}

/** Puts an address back into the page. */
export function loadAddress(family: number, port: number, raw: Uint8Array): void {
  page[netLayout.family / 4] = family;
  page[netLayout.port / 4] = port;
  page[netLayout.rawLength / 4] = raw.length;
  pageBytes.set(raw, netLayout.raw);
}

let lastView: Buffer = received;

/** The first bytes of `received`, the same object again for the same length. */
export function receivedView(count: number): Buffer {
  if (lastView.length !== count) lastView = received.subarray(0, count);
  return lastView;
}

/** Whether it is what `receivedView` returned last: it starts where the slab starts. */
export function isReceivedView(data: unknown): data is Buffer {
  return data === lastView;
}

/** The memory that a protocol is receiving into right now: what waits there is overwritten soon. */
let inUse: Uint8Array | null = null;

/** @param buffer - what `bufferUpdated` speaks of; null: it has returned */
export function receivingInto(buffer: Uint8Array | null): void {
  inUse = buffer;
}

/** The bytes as they are, or a copy if somebody is about to receive over them. */
export function kept(bytes: Uint8Array): Uint8Array {
  return inUse !== null && bytes.buffer === inUse.buffer ? Buffer.from(bytes) : bytes;
}

/** A copy of a part of the slab. */
export function slabCopy(start: number, end: number): Buffer {
  return Buffer.from(new Uint8Array(memory, base + start, end - start));
}
