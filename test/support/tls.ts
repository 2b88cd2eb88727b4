/** For tests of TLS: certificates, servers and clients of Node's own, and what is left to close. */
import { readFileSync } from 'node:fs';
import type * as net from 'node:net';
import { join } from 'node:path';
import * as tls from 'node:tls';

import {
  createServer,
  Future,
  openConnection,
  Protocol,
  type Server,
  type StreamReader,
  type StreamWriter,
  startServer,
  type TcpServerOptions,
  type Transport,
  until,
} from 'ringloop';
import { CHECKOUT, turnOfNode } from './capture.js';

/** A certificate or a key of test/net/fixtures, valid until 2120. */
export function fixture(name: string): Buffer {
  return readFileSync(join(CHECKOUT, 'test', 'net', 'fixtures', name));
}

export const LOCALHOST = '127.0.0.1';
/** The authority behind `server`, `other` and `client`; `stranger` stands behind `unknown-client`. */
export const ca = fixture('authority.crt');

/** A certificate with its key. */
export function identity(name: string): { cert: Buffer; key: Buffer } {
  return { cert: fixture(`${name}.crt`), key: fixture(`${name}.key`) };
}

export type Steps<T = void> = Generator<unknown, T, any>;

/** Sends back what it gets. */
export function* echo(reader: StreamReader, writer: StreamWriter): Steps {
  for (;;) {
    const data = yield* reader.read(65536);
    if (data.length === 0) return;
    writer.write(data);
    yield* writer.drain();
  }
}

/** A server for the time of `body`. */
export function* withServer(
  handler: (reader: StreamReader, writer: StreamWriter) => Steps,
  options: TcpServerOptions,
  body: (port: number, server: Server) => Steps,
): Steps {
  const server = yield* startServer(handler, LOCALHOST, 0, options);
  yield* closedAfter(server, body);
}

/** As `withServer`, with a protocol. */
export function* withProtocol(
  factory: () => Protocol,
  options: TcpServerOptions,
  body: (port: number, server: Server) => Steps,
): Steps {
  const server = yield* createServer(factory, LOCALHOST, 0, options);
  yield* closedAfter(server, body);
}

function* closedAfter(server: Server, body: (port: number, server: Server) => Steps): Steps {
  try {
    yield* body(server.port, server);
  } finally {
    server.close();
    server.abortClients();
    yield* server.waitClosed();
  }
}

/** A server of Node's for the time of `body`. */
export function* withNodeServer(server: net.Server, body: (port: number) => Steps): Steps {
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket: net.Socket) => sockets.add(socket));
  yield* until(new Promise<void>((resolve) => server.listen(0, LOCALHOST, resolve)));
  try {
    yield* body((server.address() as net.AddressInfo).port);
  } finally {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    yield* until(closed);
  }
}

/** A node:tls server that sends back what it gets. */
export function nodeEcho(options: tls.TlsOptions = {}): tls.Server {
  const server = tls.createServer({ ...identity('server'), ...options }, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.on('tlsClientError', () => {});
  return server;
}

/** Sends a line, returns the one that comes back, and closes the connection. */
export function* exchange(
  port: number,
  options: Parameters<typeof openConnection>[2],
  line: string,
): Steps<string> {
  const [reader, writer] = yield* openConnection(LOCALHOST, port, options);
  writer.write(line);
  const answer = yield* reader.readLine();
  writer.close();
  yield* writer.waitClosed();
  return answer.toString();
}

/** Waits for what nobody announces. */
export function* untilTrue(condition: () => boolean, what = 'it'): Steps {
  for (let turns = 0; !condition(); turns++) {
    if (turns > 20_000) throw new Error(`${what} does not happen`);
    yield* until(turnOfNode());
  }
}

/** Writes down what it is told. */
export class Recorder extends Protocol {
  readonly events: string[] = [];
  readonly received: Buffer[] = [];
  transport!: Transport;
  error: Error | null | undefined;
  readonly made = new Future<void>();
  readonly lost = new Future<void>();

  get size(): number {
    return this.received.reduce((sum, { length }) => sum + length, 0);
  }

  override connectionMade(transport: Transport): void {
    this.transport = transport;
    this.events.push('made');
    this.made.setResult();
  }

  override dataReceived(data: Buffer): void {
    this.received.push(data);
    if (this.events.at(-1) !== 'data') this.events.push('data');
  }

  override eofReceived(): unknown {
    this.events.push('eof');
    return true;
  }

  override pauseWriting(): void {
    this.events.push('pause');
  }

  override resumeWriting(): void {
    this.events.push('resume');
  }

  override connectionLost(error: Error | null): void {
    this.error = error;
    this.events.push('lost');
    this.lost.setResult();
  }
}
