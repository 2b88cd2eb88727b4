/** WriteQueue: what the kernel has not taken yet. Made when a write has to wait, then dropped. */
import type { WatchEntry } from '../loop/watchers.js';
import { sockets } from './slab.js';

/** The calls that send: to a socket, or to anything else. */
interface Calls {
  bytes(fd: number, bytes: Uint8Array, offset: number): number;
  vector(fd: number, parts: readonly Uint8Array[], skip: number): number;
}

const SOCKET: Calls = { bytes: sockets.sendBytes, vector: sockets.sendVector };

/** For pipes. */
export const PIPE: Calls = { bytes: sockets.writeBytes, vector: sockets.writeVector };

/** What has been sent keeps no memory. */
const GONE = new Uint8Array(0);
/** What one call takes. */
const PARTS_MAX = 1024;

/** Bytes that wait, in order. */
export class WriteQueue {
  /** Bytes that wait. */
  size = 0;
  /** Those before `first` are gone. */
  private parts: Uint8Array[] = [];
  private first = 0;
  /** Bytes of the first part that are gone. */
  private skip = 0;

  constructor(
    readonly writer: WatchEntry,
    private readonly calls = SOCKET,
  ) {}

  push(bytes: Uint8Array): void {
    this.parts.push(bytes);
    this.size += bytes.length;
  }

  /** As much as the kernel takes at once: how many bytes, or a negative errno. */
  send(fd: number): number {
    const { parts, first, skip } = this;
    const sent =
      parts.length - first === 1
        ? this.calls.bytes(fd, parts[first]!, skip)
        : this.calls.vector(fd, parts.slice(first, first + PARTS_MAX), skip);
    if (sent > 0) this.drop(sent);
    return sent;
  }

  private drop(count: number): void {
    this.size -= count;
    let rest = count + this.skip;
    while (this.first < this.parts.length && rest >= this.parts[this.first]!.length) {
      rest -= this.parts[this.first]!.length;
      this.parts[this.first++] = GONE;
    }
    this.skip = rest;
    // Moved rarely: a million small parts would be moved a million times.
    if (this.first < PARTS_MAX || this.first * 2 < this.parts.length) return;
    this.parts = this.parts.slice(this.first);
    this.first = 0;
  }
}
