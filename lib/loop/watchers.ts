/**
 * File descriptors: one entry for each direction of each fd, as in asyncio.
 *
 * Facts. The selector is level-triggered: as long as the fd is ready, its entry runs once in every
 * iteration. The same object is queued again and again.
 * Decision. Tables, by fd; the core knows only the union of directions. An entry is a Handle,
 * or something with `step()`: a transport stands in the tables itself. A reader that takes all
 * there is may be told once for each arrival, which is cheaper, but not while there is a writer: a
 * write that stops half-way for a reason of ours would never hear of room again.
 * Cost. 24 bytes for each fd.
 * Invariants. The core watches exactly the directions that have an entry. No table grows before the
 * kernel has said that there is such an fd.
 */
import type { Core } from '../core/core.js';
import { layout } from '../core/native.js';
import { RuntimeError, show } from '../errors.js';
import type { Context } from './context.js';
import { FdTable } from './fd-table.js';
import { type Callback, Handle } from './handle.js';
import { KIND_HANDLE } from './ready-queue.js';

/** Whoever has an fd for itself. */
export interface WatchOwner {
  /** The loop is gone: the fd is to be closed, and nobody to be told. */
  loopClosed(): void;
}

/** What is queued when an fd is ready: `kind` says how it runs. */
export interface WatchEntry {
  readonly kind: number;
  /** Whether it keeps the process alive. */
  referenced: boolean;
  /** A reader that takes all there is, each time it runs. */
  readonly edge?: boolean;
}

type Direction = 'reader' | 'writer';

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
    this.watchers.unwatch(this.fd, this.direction, this);
  }

  override ref(): this {
    this.watchers.setReferenced(this, true, !this.cancelled());
    return this;
  }

  override unref(): this {
    this.watchers.setReferenced(this, false, !this.cancelled());
    return this;
  }
}

/** @throws TypeError unless `fd` is a number that a file descriptor could have */
export function checkFd(name: string, fd: unknown): number {
  if (typeof fd === 'number' && Number.isInteger(fd) && fd >= 0) return fd;
  throw new TypeError(`${name}: fd must be a file descriptor, got ${show(fd)}`);
}

function interestOf(reader: WatchEntry | null, writer: WatchEntry | null): number {
  const writable = writer === null ? 0 : layout.writable;
  if (reader === null) return writable;
  if (reader.edge && writable === 0) return layout.readable | layout.edge;
  return layout.readable | writable;
}

export class Watchers {
  /** How many fds are watched. */
  size = 0;
  private readonly readers = new FdTable<WatchEntry>();
  private readonly writers = new FdTable<WatchEntry>();
  /** Whose fd it is: nobody else may watch it. */
  private readonly owners = new FdTable<WatchOwner>();

  constructor(
    private readonly core: Core,
    private readonly header: Uint32Array,
    /** Wakes the loop: what it waits for, or what keeps the process alive, is different now. */
    private readonly changed: () => void,
  ) {}

  add(
    name: string,
    fd: number,
    direction: Direction,
    callback: Callback,
    args: unknown[] | null,
    context: Context | null,
  ): WatchHandle {
    this.checkFree(name, checkFd(name, fd));
    if (fd > layout.readyPayloadMax) {
      throw new TypeError(`${name}: ${fd} is too large for a file descriptor`);
    }
    const handle = new WatchHandle(callback, args, context, this, fd, direction);
    this.watch(fd, direction, handle);
    return handle;
  }

  /** Returns whether there was a callback. */
  remove(name: string, fd: number, direction: Direction): boolean {
    this.checkFree(name, checkFd(name, fd));
    const entry = this.entries(direction).get(fd);
    if (entry === null) return false;
    (entry as WatchHandle).cancel();
    return true;
  }

  /** Replaces the entry that was there. Throws the system's error, and nothing has changed. */
  watch(fd: number, direction: Direction, entry: WatchEntry): void {
    const entries = this.entries(direction);
    const before = entries.get(fd);
    const reader = direction === 'reader' ? entry : this.readers.get(fd);
    const writer = direction === 'writer' ? entry : this.writers.get(fd);
    // Also where there was an entry: the fd may have been closed, and the number used again.
    this.core.watch(fd, interestOf(reader, writer));
    if (before === null && (reader === null || writer === null)) this.size++;
    entries.set(fd, entry);
    if (entry.referenced) this.header[layout.referenceCount]!++;
    if (before !== null) this.drop(before);
    this.changed();
  }

  /** Forgets the entry, if it is still the one that is watched. */
  unwatch(fd: number, direction: Direction, entry: WatchEntry): void {
    const entries = this.entries(direction);
    if (entries.get(fd) !== entry) return;
    entries.delete(fd);
    this.drop(entry);
    const interest = interestOf(this.readers.get(fd), this.writers.get(fd));
    if (interest === 0) this.size--;
    this.core.watch(fd, interest);
    this.changed();
  }

  /** @throws the system's error if it would refuse to watch this fd */
  probe(fd: number): void {
    this.core.watch(fd, layout.readable);
    this.core.watch(fd, interestOf(this.readers.get(fd), this.writers.get(fd)));
  }

  /** The entry to queue for a ready fd; null: it was removed meanwhile. */
  ready(fd: number, direction: Direction): WatchEntry | null {
    return this.entries(direction).get(fd);
  }

  /** From now on only `owner` watches this fd. */
  own(fd: number, owner: WatchOwner): void {
    this.owners.set(fd, owner);
  }

  /**
   * The owner is about to close its fd. Whoever does not close it himself says who he is: it may
   * have been closed before, and be somebody else's by now.
   */
  disown(fd: number, owner?: WatchOwner): void {
    if (owner === undefined || this.owners.get(fd) === owner) this.owners.delete(fd);
  }

  /** @param watched - whether the entry is in one of the tables */
  setReferenced(entry: WatchEntry, referenced: boolean, watched: boolean): void {
    if (entry.referenced === referenced) return;
    entry.referenced = referenced;
    if (!watched) return;
    this.header[layout.referenceCount]! += referenced ? 1 : -1;
    this.changed();
  }

  clear(): void {
    for (const direction of ['reader', 'writer'] as const) {
      for (const [fd, entry] of this.entries(direction).entries()) {
        this.unwatch(fd, direction, entry);
      }
    }
    for (const [, owner] of this.owners.entries()) owner.loopClosed();
  }

  private entries(direction: Direction): FdTable<WatchEntry> {
    return direction === 'reader' ? this.readers : this.writers;
  }

  /** @throws RuntimeError if somebody has this fd for himself */
  checkFree(name: string, fd: number): void {
    const owner = this.owners.get(fd);
    if (owner !== null) {
      throw new RuntimeError(`${name}: file descriptor ${fd} is used by ${String(owner)}`);
    }
  }

  /** Takes an entry out of the accounts and makes sure it does not run. */
  private drop(entry: WatchEntry): void {
    if (entry.referenced) this.header[layout.referenceCount]!--;
    if (entry.kind !== KIND_HANDLE) return;
    const handle = entry as WatchHandle;
    handle.referenced = false;
    handle.callback = null;
    handle.args = null;
  }
}
