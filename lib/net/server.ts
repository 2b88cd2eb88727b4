/**
 * Server: sockets that listen, and the connections that came from them.
 *
 * Facts. A storm of connections arrives in one readiness. When a process is out of file
 * descriptors, the connection stays in the kernel's queue and the socket stays readable: asking
 * again at once would turn for ever.
 * Decision. asyncio's rules: at most `backlog + 1` connections each time; out of resources, the
 * exception handler hears it once, and the socket is looked at again after a second. What the
 * kernel has accepted is served also while the server is being closed. A cancelled task may wait
 * for a promise that only ends with its connection, so `shutdown` cuts the connections before it
 * waits for good, and reports the tasks that even then go on.
 * Cost. A task whose cleanup takes longer than two moments is reported, and goes on.
 * Invariants. `waitClosed` ends when the server is closed and its last connection is over.
 * `shutdown(graceMs)` ends two moments after the grace at the latest, whatever the tasks do.
 */
import { RuntimeError } from '../errors.js';
import { type Context, captureContext } from '../loop/context.js';
import type { TimerHandle } from '../loop/handle.js';
import { KIND_STEP } from '../loop/ready-queue.js';
import type { WatchEntry, WatchOwner } from '../loop/watchers.js';
import { Coroutine } from '../tasks/coroutine.js';
import { currentTask } from '../tasks/current-task.js';
import type { EventLoop } from '../tasks/event-loop.js';
import { Future } from '../tasks/future.js';
import { moveOnAfter } from '../tasks/move-on-after.js';
import { sleep } from '../tasks/sleep.js';
import type { Task } from '../tasks/task.js';
import { checkTimeout } from '../tasks/timeout.js';
import { wait } from '../tasks/wait.js';
import { localName, type SocketAddress } from './address.js';
import type { ListenSocket } from './listen.js';
import { netLayout, sockets } from './slab.js';
import { systemError } from './system-error.js';
import type { OpenConnection } from './transport.js';

/** Makes the connection for an accepted socket; its peer's address is in the address page. */
export type Accepted = (fd: number, server: Server) => void;

const CLOSED = 'the server is closed';
const RETRY_AFTER_MS = 1000;
/** How long `await using` lets connections send what was written. */
const DISPOSE_GRACE_MS = 1000;
/** What cancelled tasks get to say goodbye, and then to see that their connection has been cut. */
const MOMENT_MS = 100;
const LATER = new Set([-netLayout.EAGAIN, -netLayout.ECONNABORTED]);
const OUT_OF_RESOURCES = new Set(
  [netLayout.EMFILE, netLayout.ENFILE, netLayout.ENOBUFS, netLayout.ENOMEM].map((errno) => -errno),
);

/** One socket that listens. */
class Listener implements WatchEntry, WatchOwner {
  declare readonly kind: number;
  referenced = true;
  private retry: TimerHandle | null = null;

  constructor(
    readonly socket: ListenSocket,
    private readonly server: Server,
    private readonly context: Context | null,
  ) {
    server.loop.watchers.own(socket.fd, this);
  }

  watch(): void {
    const { loop } = this.server;
    this.retry = null;
    loop.watchers.watch(this.socket.fd, 'reader', this);
  }

  step(): void {
    this.server.loop.runBody(this.context, this);
  }

  run(): void {
    const { server, socket } = this;
    for (let i = 0; i <= server.backlog && server.isServing(); i++) {
      const fd = sockets.accept(socket.fd);
      if (fd >= 0) server.accepted(fd);
      else if (LATER.has(fd)) return;
      else {
        this.failed(fd);
        return;
      }
    }
  }

  close(): void {
    this.retry?.cancel();
    this.server.loop.watchers.unwatch(this.socket.fd, 'reader', this);
    this.release();
  }

  loopClosed(): void {
    this.release();
    this.server.loopClosed();
  }

  setReferenced(referenced: boolean): void {
    const watched = this.retry === null && this.server.isServing();
    this.server.loop.watchers.setReferenced(this, referenced, watched);
    if (referenced) this.retry?.ref();
    else this.retry?.unref();
  }

  private release(): void {
    this.server.loop.watchers.disown(this.socket.fd);
    this.socket.close();
  }

  toString(): string {
    return '<Server>';
  }

  private failed(result: number): void {
    const { loop } = this.server;
    const exception = systemError(result, 'accept');
    if (!OUT_OF_RESOURCES.has(result)) {
      loop.callExceptionHandler({ message: 'accept() failed', exception });
      return;
    }
    loop.watchers.unwatch(this.socket.fd, 'reader', this);
    this.retry = loop.callLater(RETRY_AFTER_MS, () => this.watch());
    if (!this.referenced) this.retry.unref();
    // Last, because the handler may close the server.
    loop.callExceptionHandler({ message: 'accept() out of system resource', exception });
  }
}
Object.defineProperty(Listener.prototype, 'kind', { value: KIND_STEP });

/** A server. `createServer` and `startServer` make one. Counterpart: `asyncio.Server`. */
export class Server {
  private listeners: Listener[];
  private readonly transports = new Set<OpenConnection>();
  private readonly tasks = new Set<Task<unknown>>();
  private serving = false;
  private closed = false;
  /** Its tasks have been cancelled: so is one that begins only now. */
  private ending = false;
  private forever: Future<void> | null = null;
  private readonly waiters = new Set<Future<void>>();

  /** @internal */
  constructor(
    /** The loop it runs on. */
    readonly loop: EventLoop,
    listening: readonly ListenSocket[],
    /** @internal */
    readonly backlog: number,
    private readonly makeConnection: Accepted,
  ) {
    const context = captureContext();
    this.listeners = listening.map((socket) => new Listener(socket, this, context));
  }

  /** Whether it accepts connections. */
  isServing(): boolean {
    return this.serving;
  }

  /** The addresses it listens on: `{ address, port, family }`, or a path. Empty when closed. */
  get addresses(): (SocketAddress | string)[] {
    return this.listeners.map(({ socket }) => localName(socket.fd)!);
  }

  /** The port of the first address. */
  get port(): number {
    const [first] = this.addresses;
    return typeof first === 'object' ? first.port : 0;
  }

  /** The sockets that listen, by file descriptor. Empty when closed. */
  get sockets(): number[] {
    return this.listeners.map(({ socket }) => socket.fd);
  }

  /** Accepts connections from now on. Counterpart: `Server.start_serving`. */
  startServing(): Coroutine<void> {
    return new Coroutine(this.startServingSteps());
  }

  /**
   * Accepts connections until it is cancelled; then the server is closed, as `shutdown(0)` does.
   * Counterpart: `Server.serve_forever`, which cancels no tasks.
   *
   * @throws when awaited: RuntimeError if it is closed, or somebody waits here already;
   *   CancelledError
   */
  serveForever(): Coroutine<void> {
    return new Coroutine(this.serveForeverSteps());
  }

  /** Accepts nothing more. Connections go on. Closing twice is no error. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.serving = false;
    for (const listener of this.listeners) listener.close();
    this.listeners = [];
    this.forever?.cancel();
    this.wakeIfOver();
  }

  /** Closes every connection, after what was written to it has been sent. */
  closeClients(): void {
    for (const transport of [...this.transports]) transport.close();
  }

  /** Closes every connection at once. */
  abortClients(): void {
    for (const transport of [...this.transports]) transport.abort();
  }

  /**
   * Closes the server in good order: nothing more is accepted, connections may end by themselves
   * for a while, then their tasks are cancelled, and what is left is cut a moment later.
   *
   * @param graceMs - milliseconds for the connections to end; `Infinity`: as long as it takes
   * @throws TypeError if it is not a number; when awaited: CancelledError
   *
   * It ends at most 200 ms after the time of grace. Tasks that are still not done then (they
   * swallow the cancellation, or wait for a promise that nobody settles) go on, and the exception
   * handler is told which they are.
   */
  shutdown(graceMs = Infinity): Coroutine<void> {
    checkTimeout('shutdown', graceMs);
    return new Coroutine(this.shutdownSteps(graceMs));
  }

  /** Waits until the server is closed and every connection is over. */
  waitClosed(): Coroutine<void> {
    return new Coroutine(this.waitClosedSteps());
  }

  /** Connections that are open. */
  statistics(): { connections: number; tasks: number; serving: boolean } {
    const { serving } = this;
    return { connections: this.transports.size, tasks: this.tasks.size, serving };
  }

  /** Keeps the process alive while it serves; that is the default. */
  ref(): this {
    return this.setReferenced(true);
  }

  /** Lets the process end while it serves. */
  unref(): this {
    return this.setReferenced(false);
  }

  /**
   * `await using server = ...`: closed at the end of the block, and its connections with it. What
   * has not been sent after a second is dropped: call `shutdown()` for more time.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    this.closeClients();
    await this.shutdown(DISPOSE_GRACE_MS);
  }

  /** @internal */
  begin(): void {
    if (this.serving || this.closed) return;
    this.serving = true;
    for (const listener of this.listeners) listener.watch();
  }

  /** @internal */
  accepted(fd: number): void {
    this.makeConnection(fd, this);
  }

  /** @internal Its sockets are closed, and their numbers may be somebody else's. */
  loopClosed(): void {
    this.closed = true;
    this.serving = false;
    this.listeners = [];
  }

  /** @internal The task of one connection. */
  own(task: Task<unknown>): void {
    this.tasks.add(task);
    if (this.ending) task.cancel(CLOSED);
  }

  /** @internal It is done. */
  disown(task: Task<unknown>): void {
    this.tasks.delete(task);
  }

  /** @internal */
  attach(transport: OpenConnection): void {
    this.transports.add(transport);
  }

  /** @internal */
  detach(transport: OpenConnection): void {
    this.transports.delete(transport);
    this.wakeIfOver();
  }

  private *startServingSteps(): Generator<unknown, void, any> {
    this.begin();
    // What connected before is accepted in the next iteration.
    yield* sleep(0);
  }

  private *serveForeverSteps(): Generator<unknown, void, any> {
    if (this.forever !== null) throw new RuntimeError('somebody serves forever already');
    if (this.closed) throw new RuntimeError(CLOSED);
    this.begin();
    this.forever = new Future<void>(this.loop);
    try {
      yield* this.forever;
    } finally {
      this.forever = null;
      this.close();
      yield* this.endTasks();
    }
  }

  private *shutdownSteps(graceMs: number): Generator<unknown, void, any> {
    this.close();
    yield* moveOnAfter(graceMs, () => this.waitClosed());
    yield* this.endTasks();
  }

  /** Cancels the tasks, cuts the connections, and waits for both, but not for ever. */
  private *endTasks(): Generator<unknown, void, any> {
    this.cancelTasks();
    try {
      if (this.tasks.size > 0) yield* moveOnAfter(MOMENT_MS, () => this.whenOver());
    } finally {
      this.abortClients();
    }
    yield* moveOnAfter(MOMENT_MS, () => this.whenOver());
    const left = this.otherTasks();
    if (left.length === 0) return;
    const names = left.map(String).join(', ');
    const message = `the server is closed, but tasks of its connections go on: ${names}`;
    this.loop.callExceptionHandler({ message });
  }

  private *whenOver(): Generator<unknown, void, any> {
    const tasks = this.otherTasks();
    if (tasks.length > 0) yield* wait(tasks);
    yield* this.waitClosed();
  }

  private cancelTasks(): void {
    this.ending = true;
    for (const task of this.otherTasks()) task.cancel(CLOSED);
  }

  /** All but the one that is closing the server, which would wait for itself. */
  private otherTasks(): Task<unknown>[] {
    const self = currentTask();
    return [...this.tasks].filter((task) => task !== self);
  }

  private *waitClosedSteps(): Generator<unknown, void, any> {
    if (this.closed && this.transports.size === 0) return;
    const waiter = new Future<void>(this.loop);
    this.waiters.add(waiter);
    try {
      yield* waiter;
    } finally {
      this.waiters.delete(waiter);
    }
  }

  private wakeIfOver(): void {
    if (!this.closed || this.transports.size > 0) return;
    for (const waiter of this.waiters) if (!waiter.done()) waiter.setResult();
  }

  private setReferenced(referenced: boolean): this {
    for (const listener of this.listeners) listener.setReferenced(referenced);
    return this;
  }
}
