/**
 * File descriptors: one callback for each direction of each fd, as in asyncio.
 *
 * Facts. The selector is level-triggered: as long as the fd is ready, the callback runs once in
 * every iteration. The same Handle is queued again and again.
 * Decision. A Map from fd to its two handles; the core knows only the union of directions.
 * Invariants. An fd is in the map exactly while the core watches it.
 */
import type { Core } from '../core/core.js';
import { layout } from '../core/native.js';
import { show } from '../errors.js';
import type { Context } from './context.js';
import { type Callback, Handle } from './handle.js';

type Direction = 'reader' | 'writer';

interface Watcher {
  reader: WatchHandle | null;
  writer: WatchHandle | null;
}

/** What `addReader` and `addWriter` return: cancelling it stops watching. */
export class WatchHandle extends Handle {
  /** @internal */
  referenced = true;

  /** @internal */
  constructor(
    callback: Callback,
    args: unknown[] | null,
    context: Context | null,
    private readonly watchers: Watchers,
    private readonly fd: number,
    private readonly direction: Direction,
  ) {
    super(callback, args, context);
  }

  override cancel(): void {
    super.cancel();
    this.watchers.forget(this.fd, this.direction, this);
  }

  override ref(): this {
    this.watchers.setReferenced(this, true);
    return this;
  }

  override unref(): this {
    this.watchers.setReferenced(this, false);
    return this;
  }
}

/** What fits into a record of the ready ring; no system has as many. */
const FD_MAX = 2 ** 28 - 1;

function checkFd(name: string, fd: unknown): number {
  if (typeof fd !== 'number' || !Number.isInteger(fd) || fd < 0) {
    throw new TypeError(`${name}: fd must be a non-negative integer, got ${show(fd)}`);
  }
  return fd;
}

export class Watchers {
  private readonly byFd = new Map<number, Watcher>();

  constructor(
    private readonly core: Core,
    private readonly header: Uint32Array,
    /** Wakes the loop: what it waits for, or what keeps the process alive, is different now. */
    private readonly changed: () => void,
  ) {}

  /** How many fds are watched. */
  get size(): number {
    return this.byFd.size;
  }

  add(
    name: string,
    fd: number,
    direction: Direction,
    callback: Callback,
    args: unknown[] | null,
    context: Context | null,
  ): WatchHandle {
    if (checkFd(name, fd) > FD_MAX) {
      throw new TypeError(`${name}: ${fd} is too large for a file descriptor`);
    }
    const watcher = this.byFd.get(fd) ?? { reader: null, writer: null };
    const before = watcher[direction];
    const handle = new WatchHandle(callback, args, context, this, fd, direction);
    watcher[direction] = handle;
    try {
      this.core.watch(fd, interestOf(watcher));
    } catch (error) {
      watcher[direction] = before;
      throw error;
    }
    this.byFd.set(fd, watcher);
    this.header[layout.referenceCount]!++;
    if (before !== null) this.drop(before);
    return handle;
  }

  /** Returns whether there was a callback. */
  remove(name: string, fd: number, direction: Direction): boolean {
    const handle = this.byFd.get(checkFd(name, fd))?.[direction] ?? null;
    if (handle === null) return false;
    handle.cancel();
    return true;
  }

  /** The handle to queue for a ready fd; null: it was removed meanwhile. */
  ready(fd: number, direction: Direction): WatchHandle | null {
    return this.byFd.get(fd)?.[direction] ?? null;
  }

  /** @internal Called by the handle's own cancel(). */
  forget(fd: number, direction: Direction, handle: WatchHandle): void {
    const watcher = this.byFd.get(fd);
    if (watcher === undefined || watcher[direction] !== handle) return;
    watcher[direction] = null;
    this.drop(handle);
    if (watcher.reader === null && watcher.writer === null) this.byFd.delete(fd);
    this.core.watch(fd, interestOf(watcher));
    this.changed();
  }

  setReferenced(handle: WatchHandle, referenced: boolean): void {
    if (handle.referenced === referenced || handle.cancelled()) return;
    handle.referenced = referenced;
    this.header[layout.referenceCount]! += referenced ? 1 : -1;
    this.changed();
  }

  clear(): void {
    for (const { reader, writer } of [...this.byFd.values()]) {
      reader?.cancel();
      writer?.cancel();
    }
  }

  /** Takes a handle out of the accounts and makes sure it does not run. */
  private drop(handle: WatchHandle): void {
    if (handle.referenced) this.header[layout.referenceCount]!--;
    handle.referenced = false;
    handle.callback = null;
    handle.args = null;
  }
}

function interestOf(watcher: Watcher): number {
  return (
    (watcher.reader === null ? 0 : layout.readable) |
    (watcher.writer === null ? 0 : layout.writable)
  );
}
