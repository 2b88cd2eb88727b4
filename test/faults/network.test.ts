/**
 * The network on a bad day: calls that are interrupted, refused or cut short, peers that come and go
 * as they like, a process that is out of file descriptors.
 *
 *   RINGLOOP_SEED=123    replays one program
 *   RINGLOOP_HEAVY=1     many more
 */
import assert from 'node:assert/strict';

import {
  createConnection,
  createServer,
  createTask,
  Future,
  gather,
  getEventLoop,
  openConnection,
  Protocol,
  type StreamReader,
  type StreamWriter,
  type SystemError,
  sleep,
  startServer,
  type Task,
  type Transport,
} from 'ringloop';
import { errorOf } from '../support/both-kinds.js';
import { runProgram } from '../support/capture.js';
import { LOCALHOST, onLoop, sockets, someTurns } from '../support/net.js';
import { Random } from '../support/random.js';

const HEAVY = process.env['RINGLOOP_HEAVY'] === '1';
const REPLAY = process.env['RINGLOOP_SEED'];
const loop = getEventLoop();

/** Every stream sends a part of it: where it begins says whose it is. */
const BYTES = Buffer.alloc(1024 * 1024);
const bytesFrom = new Random(4711);
for (let i = 0; i < BYTES.length; i++) BYTES[i] = bytesFrom.below(256);

/** One program for each seed, or the one that is replayed. */
async function forSeeds(count: number, body: (seed: number) => Promise<void>): Promise<void> {
  const first = REPLAY === undefined ? 1 : Number(REPLAY);
  const last = REPLAY === undefined ? count : first;
  for (let seed = first; seed <= last; seed++) {
    try {
      await body(seed);
    } catch (error) {
      const { message } = error as Error;
      throw new Error(`RINGLOOP_SEED=${seed}: ${message}`, { cause: error });
    }
  }
}

// ---- faults -------------------------------------------------------------------------------------

/** Runs `body` while system calls fail in every way that is allowed. */
function* withFaults(
  random: Random,
  body: () => Generator<unknown, void, any>,
): Generator<unknown, void, any> {
  const rate = (most: number): number => (random.chance(0.3) ? 0 : random.below(most));
  sockets.injectFaults(1 + random.below(1e9), rate(400), rate(400), rate(1000));
  try {
    yield* body();
  } finally {
    sockets.injectFaults(0, 0, 0, 0);
  }
}

function* echo(reader: StreamReader, writer: StreamWriter): Generator<unknown, void, any> {
  for (let data = yield* reader.read(10_000); data.length > 0; data = yield* reader.read(10_000)) {
    writer.write(data);
    yield* writer.drain();
  }
}

/** Sends a part of `BYTES` in random pieces. */
function* send(random: Random, writer: StreamWriter, part: Buffer): Generator<unknown, void, any> {
  for (let at = 0; at < part.length; ) {
    const pieces: Buffer[] = [];
    for (let i = random.below(4); i >= 0; i--) {
      const piece = part.subarray(at, at + random.pick([1, 100, 5000, 40_000]));
      at += piece.length;
      pieces.push(piece);
    }
    if (random.chance(0.5)) writer.writelines(pieces);
    else for (const piece of pieces) writer.write(piece);
    if (random.chance(0.7)) yield* writer.drain();
  }
  writer.writeEof();
}

/** Reads everything that comes back, in random ways. */
function* receive(random: Random, reader: StreamReader): Generator<unknown, Buffer, any> {
  const parts: Buffer[] = [];
  while (!reader.atEof()) {
    if (random.chance(0.5)) parts.push(yield* reader.read(random.between(1, 50_000)));
    else {
      const wanted = random.between(1, 20_000);
      const error = yield* errorOf(
        (function* () {
          parts.push(yield* reader.readExactly(wanted));
        })(),
      );
      if (error !== undefined) parts.push(error.partial);
    }
  }
  return Buffer.concat(parts);
}

function converse(seed: number): Promise<void> {
  const random = new Random(seed);
  return onLoop(function* () {
    const server = yield* startServer(echo, LOCALHOST, 0);
    yield* withFaults(random, function* () {
      const clients: Task<void>[] = [];
      for (let i = random.between(1, 5); i > 0; i--) {
        const size = random.below(random.pick([100, 10_000, 300_000]));
        const start = random.below(BYTES.length - size);
        const part = BYTES.subarray(start, start + size);
        clients.push(
          createTask(function* () {
            const [reader, writer] = yield* openConnection(LOCALHOST, server.port);
            const sending = createTask(send(random, writer, part));
            const all = yield* receive(random, reader);
            yield* sending;
            assert.ok(all.equals(part), 'what came back is not what was sent');
            writer.close();
            yield* writer.waitClosed();
          }),
        );
      }
      yield* gather(...clients);
    });
    yield* server.shutdown();
  });
}

describe('system calls that are interrupted, refused and cut short', () => {
  it('cost no byte, and no order', () => forSeeds(HEAVY ? 5000 : 200, converse)).timeout(600_000);
});

// ---- chaos --------------------------------------------------------------------------------------

const CONNECTIONS = HEAVY ? 10_000 : 300;
const AT_ONCE = HEAVY ? 2000 : 100;

type Ending = 'polite' | 'close' | 'abort' | 'reset';

/** What one side of a connection sends, and how it ends. */
interface Plan {
  from: number;
  size: number;
  ending: Ending;
  /** After so many bytes, unless it is polite. */
  breakAt: number;
}

function planOf(random: Random): Plan {
  const size = random.below(random.pick([10, 5000, 100_000, 400_000]));
  const ending = random.chance(0.6) ? 'polite' : random.pick(['close', 'abort', 'reset'] as const);
  const from = random.below(BYTES.length - size);
  return { from, size, ending, breakAt: random.below(size + 1) };
}

class Chaos {
  readonly over = new Future<void>();
  left = 0;

  ended(): void {
    if (--this.left === 0) this.over.setResult();
  }
}

/** One side of one connection. */
class Side extends Protocol {
  sent = 0;
  got = 0;
  losses = 0;
  error: Error | null = null;
  transport!: Transport;
  mine: Plan | null;
  theirs: Plan | null;
  private broken = false;
  private ended = false;
  private paused = false;
  private waiting = false;

  constructor(
    private readonly random: Random,
    private readonly chaos: Chaos,
    plans: [mine: Plan, theirs: Plan] | null,
  ) {
    super();
    [this.mine, this.theirs] = plans ?? [null, null];
  }

  override connectionMade(transport: Transport): void {
    this.transport = transport;
    if (this.random.chance(0.3)) transport.setWriteBufferLimits({ high: this.random.below(1000) });
    this.pump();
  }

  pump(): void {
    const { mine, random, transport } = this;
    if (mine === null || this.broken) return;
    while (this.sent < mine.size && !this.paused && !this.waiting) {
      if (this.breakIfDue(mine)) return;
      const start = mine.from + this.sent;
      const most = random.pick([1, 100, 10_000, 200_000]);
      const end = Math.min(start + random.between(1, most), mine.from + mine.size);
      transport.write(BYTES.subarray(start, end));
      this.sent = end - mine.from;
      if (random.chance(0.2)) this.later();
    }
    if (this.sent < mine.size || this.breakIfDue(mine)) return;
    transport.writeEof();
    if (this.ended) transport.close();
  }

  override pauseWriting(): void {
    assert.equal(this.paused, false);
    this.paused = true;
  }

  override resumeWriting(): void {
    assert.equal(this.paused, true);
    this.paused = false;
    this.pump();
  }

  override dataReceived(data: Buffer): void {
    const { theirs, random, transport } = this;
    const start = theirs!.from + this.got;
    this.got += data.length;
    assert.ok(this.got <= theirs!.size, 'too much came');
    assert.ok(data.equals(BYTES.subarray(start, start + data.length)), 'something else came');
    if (!random.chance(0.2)) return;
    transport.pauseReading();
    loop.callLater(random.next() * 2, () => transport.resumeReading());
  }

  override eofReceived(): boolean {
    this.ended = true;
    if (this.mine !== null && this.sent === this.mine.size && !this.broken) this.transport.close();
    return this.mine !== null;
  }

  override connectionLost(error: Error | null): void {
    this.losses++;
    this.error = error;
    this.broken = true;
    this.chaos.ended();
  }

  private later(): void {
    this.waiting = true;
    loop.callLater(this.random.next() * 2, () => {
      this.waiting = false;
      this.pump();
    });
  }

  private breakIfDue({ ending, breakAt }: Plan): boolean {
    if (ending === 'polite' || this.sent < breakAt) return false;
    this.broken = true;
    const fd = this.transport.getExtraInfo('fd') as number;
    if (ending === 'reset') sockets.setOption(fd, sockets.layout.linger, 4, 0);
    if (ending === 'close') this.transport.close();
    else this.transport.abort();
    return true;
  }
}

/** The side of the server: the first four bytes say which connection it is. */
class ServerSide extends Side {
  private header = Buffer.alloc(0);

  constructor(
    random: Random,
    chaos: Chaos,
    private readonly identify: (id: number, side: ServerSide) => [mine: Plan, theirs: Plan],
  ) {
    super(random, chaos, null);
  }

  override dataReceived(data: Buffer): void {
    if (this.theirs !== null) {
      super.dataReceived(data);
      return;
    }
    this.header = Buffer.concat([this.header, data]);
    if (this.header.length < 4) return;
    [this.mine, this.theirs] = this.identify(this.header.readUInt32LE(0), this);
    const rest = this.header.subarray(4);
    if (rest.length > 0) super.dataReceived(rest);
    this.pump();
  }
}

class ClientSide extends Side {
  constructor(
    random: Random,
    chaos: Chaos,
    plans: [mine: Plan, theirs: Plan],
    private readonly id: number,
  ) {
    super(random, chaos, plans);
  }

  override connectionMade(transport: Transport): void {
    const header = Buffer.alloc(4);
    header.writeUInt32LE(this.id);
    transport.write(header);
    super.connectionMade(transport);
  }
}

const HARMLESS = /^(ECONNRESET|EPIPE)$/;

function checkPair(client: ClientSide, server: ServerSide | undefined): void {
  assert.equal(client.losses, 1);
  if (server === undefined) {
    // Its header never came.
    assert.notEqual(client.mine!.ending, 'polite');
    return;
  }
  assert.equal(server.losses, 1);
  const polite = client.mine!.ending === 'polite' && server.mine!.ending === 'polite';
  for (const [side, other] of [
    [client, server],
    [server, client],
  ] as const) {
    assert.ok(side.got <= other.sent, 'more came than was sent');
    if (polite) assert.equal(side.got, other.mine!.size, 'a byte is lost');
    if (polite) assert.equal(side.error, null);
    else if (side.error !== null) assert.match((side.error as SystemError).code, HARMLESS);
  }
}

function chaosOf(seed: number, connections: number): Promise<void> {
  const random = new Random(seed);
  return onLoop(function* () {
    const chaos = new Chaos();
    const plans = Array.from({ length: connections }, (): [Plan, Plan] => [
      planOf(random),
      planOf(random),
    ]);
    const served = new Map<number, ServerSide>();
    const identify = (id: number, side: ServerSide): [Plan, Plan] => {
      assert.equal(served.has(id), false);
      served.set(id, side);
      const [theirs, mine] = plans[id]!;
      return [mine, theirs];
    };
    let accepted = 0;
    const server = yield* createServer(
      () => {
        accepted++;
        return new ServerSide(random, chaos, identify);
      },
      LOCALHOST,
      0,
      { backlog: 2000 },
    );
    chaos.left = 2 * connections;
    const clients: ClientSide[] = [];
    const connect = function* (id: number): Generator<unknown, void, any> {
      const client = new ClientSide(random, chaos, plans[id]!, id);
      clients.push(client);
      yield* createConnection(() => client, LOCALHOST, server.port);
    };
    yield* gather(...plans.map((_, id) => createTask(connect(id))));
    yield* chaos.over;
    assert.equal(accepted, connections);
    for (const client of clients) checkPair(client, served.get(clients.indexOf(client)));
    server.close();
    yield* server.waitClosed();
    // The timers of those that are over.
    while (loop.statistics().timers > 0) yield* sleep(1);
    yield* someTurns();
  });
}

describe('connections that pause, reset, and end as they like', () => {
  it('account for every byte', () =>
    forSeeds(CONNECTIONS / AT_ONCE, (seed) => chaosOf(seed, AT_ONCE))).timeout(600_000);
});

// ---- no file descriptors ------------------------------------------------------------------------

describe('a server without file descriptors', () => {
  it('says so once a second, and goes on when there are some again', async function () {
    if (process.platform === 'win32') return this.skip();
    const { stdout, stderr } = await runProgram(
      `
      const { createConnection, createServer, createTask, Future, getEventLoop, Protocol, run } =
        ringloop;
      const { closeSync, openSync } = require('node:fs');
      class Echo extends Protocol {
        connectionMade(transport) { this.transport = transport; }
        dataReceived(data) { this.transport.write(data); }
      }
      run(function* () {
        const loop = getEventLoop();
        const reports = [];
        const two = new Future();
        loop.setExceptionHandler(({ message, exception }) => {
          reports.push({ message, code: exception.code, at: performance.now() });
          if (reports.length === 2) two.setResult();
        });
        const server = yield* createServer(() => new Echo(), '127.0.0.1', 0);
        const files = [];
        try {
          for (;;) files.push(openSync('/dev/null'));
        } catch {}
        closeSync(files.pop()); // for the client
        const answer = new Future();
        class Client extends Protocol {
          dataReceived(data) { answer.setResult(String(data)); }
        }
        const [transport] = yield* createConnection(() => new Client(), '127.0.0.1', server.port);
        transport.write('hello');
        yield* two;
        for (const file of files) closeSync(file);
        const text = yield* answer;
        const [first, second] = reports;
        console.log(JSON.stringify({
          text,
          reports: reports.map(({ message, code }) => [message, code]),
          enough: second.at - first.at >= 990,
        }));
        transport.close();
        server.close();
        yield* server.waitClosed();
      });`,
      { shell: 'ulimit -n 60' },
    );
    assert.equal(stderr, '');
    assert.deepEqual(JSON.parse(stdout), {
      text: 'hello',
      reports: Array(2).fill(['accept() out of system resource', 'EMFILE']),
      enough: true,
    });
    return undefined;
  });

  it('can be closed and let go while it waits for them', async () => {
    const { stdout, stderr, code } = await runProgram(
      `
      const { createConnection, createServer, getEventLoop, Protocol, run } = ringloop;
      const { closeSync, openSync } = require('node:fs');
      run(function* () {
        const loop = getEventLoop();
        const servers = [];
        for (let i = 0; i < 2; i++) {
          servers.push(yield* createServer(() => new Protocol(), '127.0.0.1', 0));
        }
        let count = 0;
        let wanted = 0;
        loop.setExceptionHandler(() => {
          if (++count === 1) servers[0].close();
          else servers[1].unref().ref().unref();
          if (count === 2) console.log('both');
        });
        const files = [];
        for (const port of servers.map((server) => server.port)) {
          try {
            for (;;) files.push(openSync('/dev/null'));
          } catch {}
          closeSync(files.pop());
          try {
            yield* createConnection(() => new Protocol(), '127.0.0.1', port);
          } catch {} // the server has closed
          wanted++;
          while (count < wanted) yield* ringloop.sleep(1);
        }
        for (const file of files) closeSync(file);
        process.exit();
      });`,
      { shell: 'ulimit -n 60' },
    );
    assert.equal(stderr, '');
    assert.equal(code, 0);
    assert.match(stdout, /^both\n/);
  });
});
