/**
 * For tests of connections: protocols that write down what they are told, and sockets without a
 * transport, whose other side does what no well-behaved program would.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';

import {
  type BufferedProtocol,
  createConnection,
  createServer,
  Future,
  Protocol,
  run,
  type Server,
  type Transport,
  until,
} from 'ringloop';
import type { Sockets } from '../../dist/core/sockets.js';
import { CHECKOUT, turnOfNode, withReports } from './capture.js';

/** What the package does not show: the very modules that it uses itself. */
function internal<T>(path: string): T {
  return require(join(CHECKOUT, 'dist', path)) as T;
}

export const { sockets } = internal<{ coreModule: { sockets: Sockets } }>(
  'core/native.js',
).coreModule;
const { packAddress } = internal<{ packAddress: () => number }>('net/address.js');
export const LOCALHOST = '127.0.0.1';

/** What a test is: a coroutine on the thread's loop. Nothing may be reported that it did not ask. */
export type Body = () => Generator<unknown, void, any>;

/** Runs a test; it fails if the loop has errors to report. */
export function onLoop(body: Body): Promise<void> {
  return withReports(async (reports) => {
    await run(body);
    assert.deepEqual(reports, []);
  });
}

/** Waits for what nobody announces: some turns of libuv at a time. */
export function* untilTrue(condition: () => boolean, what = 'it'): Generator<unknown, void, any> {
  for (let turns = 0; !condition(); turns++) {
    assert.ok(turns < 20_000, `${what} does not happen`);
    yield* until(turnOfNode());
  }
}

/** Whatever is ready has been reported, more than once. */
export function* someTurns(): Generator<unknown, void, any> {
  for (let i = 0; i < 4; i++) yield* until(turnOfNode());
}

/** Writes down what it is told. */
export class Recorder extends Protocol {
  /** `made`, `data`, `eof`, `pause`, `resume`, `lost`; several pieces of data count once. */
  readonly events: string[] = [];
  readonly received: Buffer[] = [];
  transport!: Transport;
  error: Error | null | undefined;
  keepOpen = false;
  private changed: Future<void> | null = null;

  constructor(
    readonly name = '',
    readonly log: string[] = [],
  ) {
    super();
  }

  get text(): string {
    return Buffer.concat(this.received).toString();
  }

  get size(): number {
    return this.received.reduce((sum, { length }) => sum + length, 0);
  }

  override connectionMade(transport: Transport): void {
    this.transport = transport;
    this.note('made');
  }

  override dataReceived(data: Buffer): void {
    this.received.push(data);
    this.note('data');
  }

  override eofReceived(): unknown {
    this.note('eof');
    return this.keepOpen;
  }

  override pauseWriting(): void {
    this.note('pause');
  }

  override resumeWriting(): void {
    this.note('resume');
  }

  override connectionLost(error: Error | null): void {
    this.error = error;
    this.note('lost');
  }

  /** Waits until what it has been told makes `condition` true. */
  *until(condition: (recorder: this) => boolean): Generator<unknown, void, any> {
    while (!condition(this)) {
      this.changed ??= new Future<void>();
      yield* this.changed;
    }
  }

  *untilEvent(event: string): Generator<unknown, void, any> {
    yield* this.until(() => this.events.includes(event));
  }

  *untilText(text: string): Generator<unknown, void, any> {
    yield* this.until(() => this.text.length >= text.length);
    assert.equal(this.text, text);
  }

  protected note(event: string): void {
    if (event !== 'data' || this.events.at(-1) !== 'data') this.events.push(event);
    this.log.push(`${this.name}.${event}`);
    const { changed } = this;
    this.changed = null;
    changed?.setResult();
  }
}

/** Two connected transports, and their protocols. */
export interface Pair<C, S> {
  client: C;
  server: S;
  listening: Server;
}

/** Connects two protocols with each other; everything is closed afterwards. */
export function* withPair<
  C extends Protocol | BufferedProtocol,
  S extends Protocol | BufferedProtocol,
>(
  client: C,
  server: S,
  body: (pair: Pair<C, S>) => Generator<unknown, void, any>,
): Generator<unknown, void, any> {
  const listening = yield* createServer(() => server, LOCALHOST, 0);
  let failed = true;
  try {
    const [transport] = yield* createConnection(() => client, LOCALHOST, listening.port);
    try {
      yield* untilTrue(() => listening.statistics().connections > 0, 'the connection');
      yield* body({ client, server, listening });
      failed = false;
    } finally {
      if (failed) transport.abort();
      else transport.close();
    }
  } finally {
    listening.close();
    if (failed) listening.abortClients();
    else listening.closeClients();
    yield* listening.waitClosed();
    yield* someTurns();
  }
}

/** A server's socket without a server: nobody accepts unless the test does. */
export class RawListener {
  readonly fd = sockets.open(4, false);
  readonly port: number;

  constructor(backlog = 16) {
    assert.equal(sockets.bind(this.fd, 4, LOCALHOST, 0), 0);
    assert.equal(sockets.listen(this.fd, backlog), 0);
    assert.equal(sockets.localName(this.fd), 0);
    this.port = packAddress() % 65536;
  }

  /** Waits for a connection; the caller owns what is returned. */
  *accept(): Generator<unknown, RawSocket, any> {
    let fd = -1;
    yield* untilTrue(() => (fd = sockets.accept(this.fd)) >= 0, 'a connection');
    return new RawSocket(fd);
  }

  close(): void {
    sockets.close(this.fd);
  }
}

const slab = new Uint8Array(sockets.layout.slabBytes);

/** A socket without a transport. */
export class RawSocket {
  private open = true;

  constructor(readonly fd: number) {}

  /** Connects; the kernel answers for a server that does not accept. */
  static *connect(port: number): Generator<unknown, RawSocket, any> {
    const fd = sockets.open(4, false);
    const result = sockets.connect(fd, 4, LOCALHOST, port);
    assert.ok(result === 0 || result === -sockets.layout.EINPROGRESS, `connect: ${result}`);
    const socket = new RawSocket(fd);
    yield* untilTrue(() => sockets.peerName(fd) === 0, 'the connection');
    return socket;
  }

  /** As much as the kernel takes. */
  write(text: string): number {
    return sockets.sendBytes(this.fd, Buffer.from(text), 0);
  }

  /** What is there; null: nothing yet; empty: the end. */
  readNow(): Buffer | null {
    const count = sockets.receiveInto(this.fd, slab, 0);
    if (count === -sockets.layout.EAGAIN) return null;
    assert.ok(count >= 0, `read: ${count}`);
    return Buffer.from(slab.subarray(0, count));
  }

  /** Waits for some bytes, or the end. */
  *read(): Generator<unknown, Buffer, any> {
    let data: Buffer | null = null;
    yield* untilTrue(() => (data = this.readNow()) !== null, 'something to read');
    return data!;
  }

  /** Waits for everything until the end. */
  *readAll(): Generator<unknown, Buffer, any> {
    const all: Buffer[] = [];
    for (let data = yield* this.read(); data.length > 0; data = yield* this.read()) all.push(data);
    return Buffer.concat(all);
  }

  shutdown(): void {
    sockets.shutdown(this.fd);
  }

  close(): void {
    if (this.open) sockets.close(this.fd);
    this.open = false;
  }

  /** The other side gets ECONNRESET. */
  reset(): void {
    sockets.setOption(this.fd, sockets.layout.linger, 4, 0);
    this.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A transport whose other side is a socket without one. */
export function* withRawPeer<P extends Protocol | BufferedProtocol>(
  protocol: P,
  body: (transport: Transport, peer: RawSocket) => Generator<unknown, void, any>,
): Generator<unknown, void, any> {
  const listener = new RawListener();
  try {
    const [transport] = yield* createConnection(() => protocol, LOCALHOST, listener.port);
    const peer = yield* listener.accept();
    try {
      yield* body(transport, peer);
    } finally {
      peer.close();
      transport.abort();
      yield* someTurns();
    }
  } finally {
    listener.close();
  }
}
