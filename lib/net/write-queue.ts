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

/** Bytes that wait, in order. */
export class WriteQueue {
  /** Bytes that wait. */
  size = 0;
  private readonly parts: Uint8Array[] = [];
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
    const sent =
      this.parts.length === 1
        ? this.calls.bytes(fd, this.parts[0]!, this.skip)
        : this.calls.vector(fd, this.parts, this.skip);
    if (sent > 0) this.drop(sent);
    return sent;
  }

  private drop(count: number): void {
    this.size -= count;
    let rest = count + this.skip;
    let gone = 0;
    while (gone < this.parts.length && rest >= this.parts[gone]!.length) {
      rest -= this.parts[gone]!.length;
      gone++;
    }
    this.parts.splice(0, gone);
    this.skip = rest;
  }
}
