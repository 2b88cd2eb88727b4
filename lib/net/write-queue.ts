/** WriteQueue: what the kernel has not taken yet. Made when a write has to wait, then dropped. */
import { constants } from 'node:os';

import type { WatchEntry } from '../loop/watchers.js';
import { sockets } from './slab.js';
import { byteLengthOf } from './transport.js';

/** The calls that send: to a socket, or to anything else. */
interface Calls {
  bytes(fd: number, bytes: Uint8Array, offset: number): number;
  vector(fd: number, parts: readonly Uint8Array[], skip: number): number;
}

const SOCKET: Calls = { bytes: sockets.sendBytes, vector: sockets.sendVector };

/** For pipes. */
export const PIPE: Calls = { bytes: sockets.writeBytes, vector: sockets.writeVector };

/** The kernel's word for memory that is not there. */
const GONE_AWAY = -constants.errno.EFAULT;
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
  /** How long each was when it was written. */
  private lengths: number[] = [];
  private first = 0;
  /** Bytes of the first part that are gone. */
  private skip = 0;

  constructor(
    readonly writer: WatchEntry,
    private readonly calls = SOCKET,
  ) {}

  push(bytes: Uint8Array): void {
    const length = byteLengthOf(bytes);
    this.parts.push(bytes);
    this.lengths.push(length);
    this.size += length;
  }

  /** As much as the kernel takes at once: how many bytes, or a negative errno. */
  send(fd: number): number {
    const { parts, first, skip } = this;
    if (!this.intact()) return GONE_AWAY;
    const sent =
      parts.length - first === 1
        ? this.calls.bytes(fd, parts[first]!, skip)
        : this.calls.vector(fd, parts.slice(first, first + PARTS_MAX), skip);
    if (sent > 0) this.drop(sent);
    return sent;
  }

  /** Whether what the next call would send is still there: its buffer may have been transferred. */
  private intact(): boolean {
    const end = Math.min(this.parts.length, this.first + PARTS_MAX);
    for (let i = this.first; i < end; i++) {
      if (byteLengthOf(this.parts[i]!) !== this.lengths[i]) return false;
    }
    return true;
  }

  private drop(count: number): void {
    this.size -= count;
    let rest = count + this.skip;
    while (this.first < this.parts.length && rest >= this.lengths[this.first]!) {
      rest -= this.lengths[this.first]!;
      this.parts[this.first++] = GONE;
    }
    this.skip = rest;
    // Moved rarely: a million small parts would be moved a million times.
    if (this.first < PARTS_MAX || this.first * 2 < this.parts.length) return;
    this.parts = this.parts.slice(this.first);
    this.lengths = this.lengths.slice(this.first);
    this.first = 0;
  }
}
