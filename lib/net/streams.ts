/**
 * openConnection, startServer and their unix kin: streams over transports.
 *
 * Facts. asyncio leaves a connection open when the coroutine that served it returns, until the
 * garbage collector finds it.
 * Decision. Every connection of a server has a task, which belongs to the server and to the `run()`
 * that started it. When it ends the connection is closed, after what was written has been sent.
 */
import { show } from '../errors.js';
import { Coroutine, DONE } from '../tasks/coroutine.js';
import { currentLoop } from '../tasks/current-loop.js';
import type { EventLoop } from '../tasks/event-loop.js';
import { isGeneratorFunction } from '../tasks/generator.js';
import type { Scope } from '../tasks/scope.js';
import { Task } from '../tasks/task.js';
import type { Awaitable, Runnable } from '../types.js';
import {
  type ConnectionOptions,
  createConnection,
  createUnixConnection,
} from './create-connection.js';
import {
  createServer,
  createUnixServer,
  type ServerOptions,
  type TcpServerOptions,
} from './create-server.js';
import type { Server } from './server.js';
import { StreamConnection } from './stream-connection.js';
import { checkLimit, type StreamReader } from './stream-reader.js';
import type { StreamWriter } from './stream-writer.js';

/** What streams can be told. */
export interface StreamOptions {
  /** Bytes that may wait to be read before the other side is held up; default 64 KiB. */
  limit?: number;
}

/** The two sides of a stream. */
export type Streams = [reader: StreamReader, writer: StreamWriter];

/**
 * Serves one connection: a generator function, an async function, or a plain function, which then
 * has to close the writer itself.
 */
export type ClientConnected = (
  reader: StreamReader,
  writer: StreamWriter,
  // biome-ignore lint/suspicious/noConfusingVoidType: what a plain function returns
) => Awaitable<unknown> | void;

/** What all connections of one server share. */
class Handler {
  server: Server | null = null;
  loop!: EventLoop;
  private scope!: Scope;

  constructor(
    private readonly clientConnected: ClientConnected,
    private readonly limit: number | undefined,
  ) {}

  /** Whose the tasks are: known when the making of the server is awaited. */
  begin(): void {
    this.loop = currentLoop();
    this.scope = this.loop.currentScope();
  }

  connection(): StreamConnection {
    return new StreamConnection(this.loop, this.limit, this);
  }

  /** Serves one connection with a task of its own. */
  serve(connection: StreamConnection): void {
    const { loop, reader, writer } = connection;
    const call = () => this.clientConnected(reader, writer) ?? this.leaveOpen(connection);
    const runnable = isGeneratorFunction(this.clientConnected) ? call() : call;
    const owner = loop.scopes.has(this.scope) ? this.scope : loop.ambient;
    const task = new Task<unknown>(runnable as Runnable<unknown>, loop, owner);
    this.server?.own(task);
    task.addListener(connection);
  }

  over(task: Task<unknown>): void {
    this.server?.disown(task);
  }

  /** A plain function: whoever has the writer closes it. */
  private leaveOpen(connection: StreamConnection): Awaitable<unknown> {
    connection.closedByTask = false;
    return DONE;
  }
}

function checkHandler(name: string, handler: unknown): void {
  if (typeof handler === 'function') return;
  throw new TypeError(`${name}: clientConnected must be a function, got ${show(handler)}`);
}

function* streamsOf(
  connecting: Coroutine<[unknown, StreamConnection]>,
): Generator<unknown, Streams, any> {
  const [, { reader, writer }] = yield* connecting;
  return [reader, writer];
}

/**
 * Connects to a server, with streams.
 *
 * @param host - a name or an address
 * @param port - 1 to 65535
 * @param options - `limit`, and those of `createConnection`
 * @returns when awaited, `[reader, writer]`
 * @throws as `createConnection`
 *
 * Counterpart: `asyncio.open_connection`.
 */
export function openConnection(
  host: string,
  port: number,
  options: ConnectionOptions & StreamOptions = {},
): Coroutine<Streams> {
  checkLimit('openConnection', options.limit);
  const factory = () => new StreamConnection(currentLoop(), options.limit, null);
  return new Coroutine(streamsOf(createConnection(factory, host, port, options)));
}

/** Connects to a unix socket. Otherwise as `openConnection`. */
export function openUnixConnection(path: string, options: StreamOptions = {}): Coroutine<Streams> {
  checkLimit('openUnixConnection', options.limit);
  const factory = () => new StreamConnection(currentLoop(), options.limit, null);
  return new Coroutine(streamsOf(createUnixConnection(factory, path)));
}

/** What makes the connections of a server with streams. */
function* serverOf(handler: Handler, making: Coroutine<Server>): Generator<unknown, Server, any> {
  handler.begin();
  handler.server = yield* making;
  return handler.server;
}

/**
 * Makes a TCP server with streams: a task for every connection.
 *
 * @param clientConnected - called for each connection with its reader and writer. When it is done
 *   the connection is closed; an error goes to the loop's exception handler
 * @param host - a name or an address, or several; null: every address of this machine
 * @param port - 0: the kernel chooses, see `server.port`
 * @param options - `limit`, and those of `createServer`
 * @returns when awaited, the server
 * @throws as `createServer`
 *
 * Counterpart: `asyncio.start_server`.
 */
export function startServer(
  clientConnected: ClientConnected,
  host: string | readonly string[] | null,
  port: number,
  options: TcpServerOptions & StreamOptions = {},
): Coroutine<Server> {
  checkHandler('startServer', clientConnected);
  checkLimit('startServer', options.limit);
  const handler = new Handler(clientConnected, options.limit);
  const making = createServer(() => handler.connection(), host, port, options);
  return new Coroutine(serverOf(handler, making));
}

/** Makes a server on a unix socket, with streams. Otherwise as `startServer`. */
export function startUnixServer(
  clientConnected: ClientConnected,
  path: string,
  options: ServerOptions & StreamOptions = {},
): Coroutine<Server> {
  checkHandler('startUnixServer', clientConnected);
  checkLimit('startUnixServer', options.limit);
  const handler = new Handler(clientConnected, options.limit);
  const making = createUnixServer(() => handler.connection(), path, options);
  return new Coroutine(serverOf(handler, making));
}
