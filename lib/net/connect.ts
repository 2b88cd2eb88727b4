/**
 * Connecting: one socket, or several in a race.
 *
 * Facts. A host often has addresses that do not answer, IPv6 ones above all, and the kernel takes
 * two minutes to say so.
 * Decision. Happy eyeballs (RFC 8305): families alternate, the next address is tried when one has
 * failed or 250 ms after the one before, the first that answers is taken, and the others are
 * closed. With one address there is no race and no task.
 * Invariants. Whatever happens, at most one socket is left open: the one that is returned.
 */
import { KIND_STEP } from '../loop/ready-queue.js';
import type { WatchEntry, WatchOwner } from '../loop/watchers.js';
import type { EventLoop } from '../tasks/event-loop.js';
import { Future } from '../tasks/future.js';
import type { Task } from '../tasks/task.js';
import { wait } from '../tasks/wait.js';
import { openWith } from './listen.js';
import type { Endpoint } from './resolve.js';
import { netLayout, sockets } from './slab.js';
import { isSystemError, type SystemError, systemError } from './system-error.js';
import type { UnixPath } from './unix-path.js';

/** Milliseconds until the next address is tried, too: what RFC 8305 recommends. */
export const HAPPY_EYEBALLS_DELAY_MS = 250;

/** What a socket gets before it connects. */
export type Prepare = (fd: number, family: 4 | 6) => void;

/** A socket whose connect() is under way. It belongs to this, until it is released. */
class Connecting implements WatchEntry, WatchOwner {
  declare readonly kind: number;
  referenced = true;
  readonly connected: Future<void>;

  constructor(
    private readonly loop: EventLoop,
    private fd: number,
    private readonly where: { address: string; port?: number },
  ) {
    this.connected = new Future<void>(loop);
    loop.watchers.own(fd, this);
    loop.watchers.watch(fd, 'writer', this);
  }

  /** The fd is writable: it is decided. */
  step(): void {
    const result = sockets.socketError(this.fd);
    this.loop.watchers.unwatch(this.fd, 'writer', this);
    if (this.connected.done()) return;
    if (result < 0) this.connected.setException(systemError(result, 'connect', this.where));
    else this.connected.setResult();
  }

  /** The fd, for whoever wants it or closes it; -1: it is closed. */
  release(): number {
    const { fd, loop } = this;
    if (fd < 0) return fd;
    loop.watchers.unwatch(fd, 'writer', this);
    loop.watchers.disown(fd, this);
    return fd;
  }

  loopClosed(): void {
    sockets.close(this.fd);
    this.fd = -1;
  }

  toString(): string {
    return '<connecting socket>';
  }
}
Object.defineProperty(Connecting.prototype, 'kind', { value: KIND_STEP });

function* finishConnect(
  loop: EventLoop,
  fd: number,
  result: number,
  where: { address: string; port?: number },
): Generator<unknown, number, any> {
  if (result === 0) return fd;
  if (result !== -netLayout.EINPROGRESS) {
    sockets.close(fd);
    throw systemError(result, 'connect', where);
  }
  const connecting = new Connecting(loop, fd, where);
  try {
    yield* connecting.connected;
  } catch (error) {
    if (connecting.release() >= 0) sockets.close(fd);
    throw error;
  }
  return connecting.release();
}

/** A socket that is connected. */
function* connectTo(
  loop: EventLoop,
  endpoint: Endpoint,
  prepare: Prepare,
): Generator<unknown, number, any> {
  const { family, address, port } = endpoint;
  const fd = openWith(family, false, (opened) => prepare(opened, family));
  const result = sockets.connect(fd, family, address, port);
  return yield* finishConnect(loop, fd, result, { address, port });
}

/**
 * A unix socket that is connected.
 *
 * Facts. Linux says EAGAIN when the server's queue is full, and reports nothing when it no longer
 * is: it is an error like any other.
 */
export function* connectToPath(loop: EventLoop, path: UnixPath): Generator<unknown, number, any> {
  const { address } = path;
  const fd = openWith(1, false, () => {});
  return yield* finishConnect(loop, fd, sockets.connect(fd, 1, address, 0), { address });
}

/** The first family's first address, the other family's first, and so on. */
export function alternate(endpoints: readonly Endpoint[]): Endpoint[] {
  const [first] = endpoints;
  const preferred = endpoints.filter(({ family }) => family === first?.family);
  const others = endpoints.filter(({ family }) => family !== first?.family);
  const result: Endpoint[] = [];
  for (let i = 0; i < Math.max(preferred.length, others.length); i++) {
    if (i < preferred.length) result.push(preferred[i]!);
    if (i < others.length) result.push(others[i]!);
  }
  return result;
}

/** What to throw when no address answered. */
function connectError(errors: readonly Error[]): Error {
  const [first] = errors;
  if (errors.length === 1 || errors.every(({ message }) => message === first!.message)) {
    return first!;
  }
  // What is the caller's, such as an address to connect from, has none.
  const { code, errno, syscall } = (errors.find(isSystemError) ?? first) as SystemError;
  const text = `Multiple exceptions: ${errors.map(({ message }) => message).join(', ')}`;
  return Object.assign(new AggregateError(errors, text), { code, errno, syscall });
}

/** The first of several addresses that answers. @param delayMs - Infinity: one after the other */
export function* race(
  loop: EventLoop,
  endpoints: readonly Endpoint[],
  prepare: Prepare,
  delayMs: number,
): Generator<unknown, number, any> {
  if (endpoints.length === 1) return yield* connectTo(loop, endpoints[0]!, prepare);
  const errors: Error[] = [];
  const running = new Set<Task<number>>();
  const waiting = [...endpoints];
  try {
    while (waiting.length > 0 || running.size > 0) {
      const next = waiting.shift();
      if (next !== undefined) running.add(loop.createTask(connectTo(loop, next, prepare)));
      const timeoutMs = waiting.length > 0 ? delayMs : Infinity;
      const winner = yield* firstOf(running, timeoutMs, errors);
      if (winner !== null) return winner;
    }
  } finally {
    giveUp(running);
  }
  throw connectError(errors);
}

/** One that has connected; null: the time is up, or somebody has failed. */
function* firstOf(
  running: Set<Task<number>>,
  timeoutMs: number,
  errors: Error[],
): Generator<unknown, number | null, any> {
  const timeout = timeoutMs === Infinity ? {} : { timeout: timeoutMs };
  const [done] = yield* wait(running, { ...timeout, returnWhen: 'FIRST_COMPLETED' });
  for (const task of done) {
    if (task.cancelled() || task.exception() !== null) continue;
    // Another may have connected in the same iteration: giveUp() closes it.
    running.delete(task);
    return task.result();
  }
  for (const task of done) {
    running.delete(task);
    errors.push(task.exception() as Error);
  }
  return null;
}

/** Those that lost are stopped, or closed if they have connected meanwhile. */
function giveUp(running: Set<Task<number>>): void {
  for (const task of running) {
    task.cancel();
    task.addDoneCallback(() => {
      if (!task.cancelled() && task.exception() === null) sockets.close(task.result());
    });
  }
}
