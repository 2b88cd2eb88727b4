/**
 * Paths of unix sockets.
 *
 * Facts. A path outlives the socket that made it, and binding to it fails from then on. Another
 * server may have taken the path meanwhile.
 * Decision. As asyncio since 3.13: a socket that is left from before is removed, any other file is
 * not; when the server closes, the path goes too, if it is still its own.
 */
import { lstatSync, rmSync } from 'node:fs';

import { show } from '../errors.js';
import { checkText } from './resolve.js';

/** The path of a unix socket. */
export class UnixPath {
  constructor(readonly address: string) {}

  /** A name in Linux's abstract space, which is no file. */
  get abstract(): boolean {
    return this.address.startsWith('\0');
  }

  /** null: there is no such file. */
  inode(): bigint | null {
    if (this.abstract) return null;
    const about = lstatSync(this.address, { bigint: true, throwIfNoEntry: false });
    return about?.ino ?? null;
  }

  removeStale(): void {
    if (this.abstract) return;
    const about = lstatSync(this.address, { throwIfNoEntry: false });
    if (about?.isSocket() === true) rmSync(this.address);
  }
}

/** Removes the path, unless another socket has taken it, or we may no longer: then it is stale. */
export function unlinkIfSame(path: UnixPath, inode: bigint): void {
  try {
    if (path.inode() === inode) rmSync(path.address);
  } catch {
    // The next server on this path replaces it, as after a crash.
  }
}

/** @throws TypeError unless it is a string that fits */
export function checkPath(name: string, path: unknown): UnixPath {
  if (typeof path !== 'string' || path === '') {
    throw new TypeError(`${name}: path must be a string, got ${show(path)}`);
  }
  // At the beginning it means Linux's abstract space, where it may occur again.
  if (!path.startsWith('\0')) checkText(name, 'path', path);
  if (Buffer.byteLength(path) > 107) {
    throw new RangeError(`${name}: path is too long for a unix socket: ${path}`);
  }
  return new UnixPath(path);
}
