/**
 * What a protocol is called in: every callback of every transport x what is current there.
 *
 * A transport's protocol belongs to whoever made the transport. Strangers write, close and fill the
 * queue with callbacks of their own between any two of its; nothing of theirs may show.
 */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { performance } from 'node:perf_hooks';

import {
  BufferedProtocol,
  ContextVar,
  connectReadPipe,
  connectWritePipe,
  copyContext,
  createConnection,
  createDatagramEndpoint,
  createServer,
  createTask,
  currentTask,
  DatagramProtocol,
  type DatagramTransport,
  getEventLoop,
  openConnection,
  Protocol,
  run,
  startServer,
  type Task,
  type Transport,
  type WritePipeTransport,
} from 'ringloop';
import { openPipe } from '../loop/pipe.js';
import { withConsole } from '../support/capture.js';
import { LOCALHOST, onLoop, untilTrue } from '../support/net.js';
import { ca, identity } from '../support/tls.js';

type Steps = Generator<unknown, void, any>;

const color = new ContextVar<string>('color', { defaultValue: 'none' });
const store = new AsyncLocalStorage<string>();

const OURS = { color: 'ours', store: 'ours', task: null };
const SLOW_MS = 105;

/** A task in a context of its own, with a store of its own. */
function inContext(name: string, body: () => Steps): Task<void> {
  return store.run(name, () =>
    copyContext().run(() => {
      color.set(name);
      return createTask(body);
    }),
  );
}

/** What was current in each callback. */
class Log {
  readonly seen = new Map<string, unknown>();
  slow = false;

  note(callback: string): void {
    const now = { color: color.get(), store: store.getStore(), task: currentTask() };
    const before = this.seen.get(callback);
    if (before === undefined && this.slow) spin();
    // One that is right must not hide one that is wrong.
    if (before === undefined || JSON.stringify(before) === JSON.stringify(OURS)) {
      this.seen.set(callback, now);
    }
  }

  has(callback: string): boolean {
    return this.seen.has(callback);
  }

  /** Every callback that was called, and those that had to be. */
  check(expected: string[]): void {
    assert.deepEqual([...this.seen.keys()].sort(), [...expected].sort());
    for (const [callback, now] of this.seen) assert.deepEqual(now, OURS, callback);
  }
}

function spin(): void {
  const end = performance.now() + SLOW_MS;
  while (performance.now() < end);
}

/** A protocol of which every callback is noted. */
function watched<P extends object>(log: Log, name: string, protocol: P): P {
  return new Proxy(protocol, {
    get(target, key) {
      const value = (target as Record<string | symbol, unknown>)[key];
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        log.note(`${name}.${String(key)}`);
        return value.apply(target, args);
      };
    },
  });
}

class OwnMemory extends BufferedProtocol {
  private readonly memory = Buffer.alloc(64 * 1024);

  override getBuffer(): Uint8Array {
    return this.memory;
  }
}

/** A stranger's callbacks, one in each iteration, as long as a stranger's body runs. */
function amongStrangers(body: () => Steps): Task<void> {
  return inContext('stranger', function* () {
    const loop = getEventLoop();
    let noise = loop.callSoon(function strange() {
      noise = loop.callSoon(strange);
    });
    try {
      yield* body();
    } finally {
      noise.cancel();
    }
  });
}

/** Everything that a connection can be told happens, and strangers cause it. */
function* useConnection(log: Log, client: Transport, servers: Transport[]): Steps {
  yield* untilTrue(() => servers.length > 0, 'the connection at the server');
  const server = servers[0]!;
  client.setWriteBufferLimits({ high: 1000 });
  server.pauseReading();
  while (!log.has('client.pauseWriting')) client.write(Buffer.alloc(256 * 1024));
  server.resumeReading();
  yield* untilTrue(() => log.has('client.resumeWriting'), 'resumeWriting');
  server.write('hello');
  yield* untilTrue(
    () => log.has('client.dataReceived') || log.has('client.bufferUpdated'),
    'the answer',
  );
  if (client.canWriteEof()) client.writeEof();
  else client.close();
  yield* untilTrue(() => log.has('client.connectionLost'), 'connectionLost of the client');
  yield* untilTrue(() => log.has('server.connectionLost'), 'connectionLost of the server');
}

function connection(kind: typeof Protocol | typeof OwnMemory, tls: boolean) {
  return function* (log: Log): Steps {
    const servers: Transport[] = [];
    class Server extends (kind as typeof Protocol) {
      override connectionMade(transport: Transport): void {
        servers.push(transport);
      }
    }
    const server = yield* createServer(
      () => {
        log.note('protocolFactory');
        return watched(log, 'server', new Server());
      },
      LOCALHOST,
      0,
      tls ? { ssl: identity('server') } : {},
    );
    const [client] = yield* createConnection(
      () => watched(log, 'client', new kind()),
      tls ? 'localhost' : LOCALHOST,
      server.port,
      tls ? { ssl: { ca } } : {},
    );
    yield* amongStrangers(() => useConnection(log, client, servers));
    server.close();
    yield* server.waitClosed();
  };
}

function* pipe(log: Log): Steps {
  const [readFd, writeFd] = openPipe();
  const [reader] = yield* connectReadPipe(() => watched(log, 'reader', new Protocol()), readFd);
  const [writer] = yield* connectWritePipe(() => watched(log, 'writer', new Protocol()), writeFd);
  yield* amongStrangers(function* () {
    reader.pauseReading();
    writer.setWriteBufferLimits({ high: 1000 });
    while (!log.has('writer.pauseWriting')) writer.write(Buffer.alloc(256 * 1024));
    reader.resumeReading();
    yield* untilTrue(() => log.has('writer.resumeWriting'), 'resumeWriting');
    writer.close();
    yield* untilTrue(() => log.has('reader.connectionLost'), 'connectionLost');
  });
}

/** The reader goes: the end of the pipe that is written hears of it from the selector. */
function* brokenPipe(log: Log): Steps {
  const [readFd, writeFd] = openPipe();
  const [reader] = yield* connectReadPipe(() => watched(log, 'reader', new Protocol()), readFd);
  const made = yield* connectWritePipe(() => watched(log, 'writer', new Protocol()), writeFd);
  const writer: WritePipeTransport = made[0];
  yield* amongStrangers(function* () {
    writer.write('x');
    reader.close();
    yield* untilTrue(() => log.has('writer.connectionLost'), 'connectionLost');
  });
}

function* datagrams(log: Log): Steps {
  const receiver = yield* createDatagramEndpoint(
    () => watched(log, 'receiver', new DatagramProtocol()),
    { localAddr: { address: LOCALHOST, port: 0 } },
  );
  const to: DatagramTransport = receiver[0];
  const { port } = to.getExtraInfo('sockname');
  const [sender] = yield* createDatagramEndpoint(
    () => watched(log, 'sender', new DatagramProtocol()),
    { remoteAddr: { address: LOCALHOST, port } },
  );
  yield* amongStrangers(function* () {
    for (let i = 0; i < 50; i++) sender.sendTo('x');
    yield* untilTrue(() => log.has('receiver.datagramReceived'), 'datagramReceived');
    to.close();
    yield* untilTrue(() => log.has('receiver.connectionLost'), 'connectionLost');
    sender.sendTo('nobody is there');
    yield* untilTrue(() => {
      sender.sendTo('still nobody');
      return log.has('sender.errorReceived');
    }, 'errorReceived');
    sender.abort();
    yield* untilTrue(() => log.has('sender.connectionLost'), 'connectionLost');
  });
}

const of = (name: string, callbacks: string) =>
  callbacks.split(' ').map((callback) => `${name}.${callback}`);
const EVERY_END = 'connectionMade connectionLost';
const DATA = 'dataReceived';
const MEMORY = 'getBuffer bufferUpdated';
const WRITING = 'pauseWriting resumeWriting';

const tcp = (receiving: string) => [
  'protocolFactory',
  ...of('client', `${EVERY_END} ${receiving} ${WRITING} eofReceived`),
  ...of('server', `${EVERY_END} ${receiving} eofReceived`),
];
const TRANSPORTS: [name: string, body: (log: Log) => Steps, callbacks: string[]][] = [
  ['a socket', connection(Protocol, false), tcp(DATA)],
  ['a socket with buffers of its own', connection(OwnMemory, false), tcp(MEMORY)],
  [
    'TLS',
    connection(Protocol, true),
    tcp(DATA).filter((callback) => callback !== 'client.eofReceived'),
  ],
  [
    'TLS with buffers of its own',
    connection(OwnMemory, true),
    tcp(MEMORY).filter((callback) => callback !== 'client.eofReceived'),
  ],
  [
    'a pipe',
    pipe,
    [
      ...of('reader', `${EVERY_END} ${DATA} eofReceived`),
      ...of('writer', `${EVERY_END} ${WRITING}`),
    ],
  ],
  [
    'a pipe whose reader goes',
    brokenPipe,
    [...of('reader', EVERY_END), ...of('writer', EVERY_END)],
  ],
  [
    'datagrams',
    datagrams,
    [
      ...of('receiver', `${EVERY_END} datagramReceived`),
      ...of('sender', `${EVERY_END} errorReceived`),
    ],
  ],
];

describe('what is current in the callbacks of a protocol', () => {
  for (const [name, body, callbacks] of TRANSPORTS) {
    it(`is what was when the transport was made, and no task: ${name}`, () =>
      onLoop(function* () {
        const log = new Log();
        yield* inContext('ours', () => body(log));
        log.check(callbacks);
      }));

    it(`counts for the report of slow callbacks: ${name}`, async () => {
      const log = new Log();
      log.slow = true;
      const warnings = await withConsole('warn', async (lines) => {
        await run(() => inContext('ours', () => body(log)), { debug: true });
        return lines;
      });
      const slow = warnings.filter((line) => String(line).includes(' took ')).length;
      // Memory is asked for in the handle that fills it.
      const handles = callbacks.filter((callback) => !callback.endsWith('getBuffer')).length;
      assert.ok(slow >= handles, `${slow} reports of ${handles} callbacks`);
    }).timeout(20_000);
  }

  it('is what was when the server was made, in the task of a connection', () =>
    onLoop(function* () {
      const seen: unknown[] = [];
      yield* inContext('ours', function* () {
        const server = yield* startServer(
          function* () {
            seen.push({ color: color.get(), store: store.getStore() });
          },
          LOCALHOST,
          0,
        );
        yield* amongStrangers(function* () {
          const [reader, writer] = yield* openConnection(LOCALHOST, server.port);
          yield* reader.read();
          writer.close();
          yield* writer.waitClosed();
        });
        yield* server.shutdown();
      });
      assert.deepEqual(seen, [{ color: 'ours', store: 'ours' }]);
    }));
});
