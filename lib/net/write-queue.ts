/** WriteQueue: what the kernel has not taken yet. Made when a write has to wait, then dropped. */
import type { WatchEntry } from '../loop/watchers.js';
import { sockets } from './slab.js';

/** Bytes that wait, in order. */
export class WriteQueue {
  /** Bytes that wait. */
  size = 0;
  private readonly parts: Uint8Array[] = [];
  /** Bytes of the first part that are gone. */
  private skip = 0;

  constructor(readonly writer: WatchEntry) {}

  push(bytes: Uint8Array): void {
    this.parts.push(bytes);
    this.size += bytes.length;
  }

  /** As much as the kernel takes at once: how many bytes, or a negative errno. */
  send(fd: number): number {
    const sent =
      this.parts.length === 1
        ? sockets.sendBytes(fd, this.parts[0]!, this.skip)
        : sockets.sendVector(fd, this.parts, this.skip);
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
