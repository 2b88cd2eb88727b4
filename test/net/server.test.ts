import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as nodeSleep } from 'node:timers/promises';

import {
  ContextVar,
  createConnection,
  createServer,
  createTask,
  currentTask,
  EventLoop,
  type ExceptionContext,
  Future,
  gather,
  getEventLoop,
  isCancelledError,
  type Protocol,
  RuntimeError,
  run,
  type Server,
  type SocketAddress,
  type StreamReader,
  type StreamWriter,
  type SystemError,
  SystemExit,
  shield,
  sleep,
  startServer,
  type Task,
  type Transport,
  toNodeStream,
  toWebStreams,
  until,
} from 'ringloop';
import { errorOf } from '../support/both-kinds.js';
import { runProgram, turnOfNode, withReports } from '../support/capture.js';
import {
  LOCALHOST,
  onLoop,
  RawSocket,
  Recorder,
  sockets,
  someTurns,
  untilTrue,
} from '../support/net.js';

const HAS_IPV6 = (() => {
  const fd = sockets.open(6, false);
  if (fd < 0) return false;
  const bound = sockets.bind(fd, 6, '::1', 0);
  sockets.close(fd);
  return bound === 0;
})();

/** Closes a server in any case. */
function* withServer(
  server: Server,
  body: (server: Server) => Generator<unknown, void, any>,
): Generator<unknown, void, any> {
  try {
    yield* body(server);
  } finally {
    server.close();
    server.abortClients();
    yield* server.waitClosed();
    yield* someTurns();
  }
}

class Echo extends Recorder {
  override dataReceived(data: Buffer): void {
    super.dataReceived(data);
    this.transport.write(data);
  }
}

const echo = (): Protocol => new Echo();

function* ask(port: number, question: string, host = LOCALHOST): Generator<unknown, void, any> {
  const client = new Recorder();
  const [transport] = yield* createConnection(() => client, host, port);
  try {
    transport.write(question);
    yield* client.untilText(question);
  } finally {
    transport.close();
  }
}

describe('createServer()', () => {
  it('makes a server that says where it listens, and answers there', () =>
    onLoop(function* () {
      yield* withServer(yield* createServer(echo, LOCALHOST, 0), function* (server) {
        const { port } = server;
        assert.ok(port > 0);
        assert.deepEqual(server.addresses, [{ address: LOCALHOST, port, family: 'IPv4' }]);
        assert.equal(server.sockets.length, 1);
        assert.equal(server.isServing(), true);
        assert.equal(server.loop, getEventLoop());
        yield* ask(port, 'hello');
        server.close();
        assert.equal(server.isServing(), false);
        assert.deepEqual(server.addresses, []);
        assert.deepEqual(server.sockets, []);
        assert.equal(server.port, 0);
      });
    }));

  it('listens on several hosts, on one port, and on each of them once', () =>
    onLoop(function* () {
      const hosts = [LOCALHOST, '127.0.0.1', 'localhost', ...(HAS_IPV6 ? ['::1'] : [])];
      yield* withServer(yield* createServer(echo, hosts, 0), function* (server) {
        const addresses = server.addresses as SocketAddress[];
        const texts = addresses.map(({ address }) => address);
        assert.deepEqual([...new Set(texts)], texts);
        assert.deepEqual([...new Set(addresses.map(({ port }) => port))], [server.port]);
        for (const host of texts) yield* ask(server.port, `hello ${host}`, host);
      });
    }));

  it('listens on every address of the machine if it is told none', () =>
    onLoop(function* () {
      for (const host of [null, '']) {
        yield* withServer(yield* createServer(echo, host, 0), function* (server) {
          const addresses = server.addresses as SocketAddress[];
          const any = addresses.map(({ address }) => address);
          assert.deepEqual(any, HAS_IPV6 ? ['0.0.0.0', '::'] : ['0.0.0.0']);
          yield* ask(server.port, 'four');
          if (HAS_IPV6) yield* ask(server.port, 'six', '::1');
        });
      }
    }));

  it('listens on addresses of one family only, if it is told which', () =>
    onLoop(function* () {
      yield* withServer(yield* createServer(echo, null, 0, { family: 4 }), function* (server) {
        assert.equal((server.addresses as SocketAddress[])[0]!.family, 'IPv4');
        assert.equal(server.addresses.length, 1);
      });
      if (!HAS_IPV6) return;
      yield* withServer(yield* createServer(echo, null, 0, { family: 6 }), function* (server) {
        assert.equal((server.addresses as SocketAddress[])[0]!.family, 'IPv6');
        yield* ask(server.port, 'six', '::1');
        const error = yield* errorOf(ask(server.port, 'four'));
        assert.equal(error.code, 'ECONNREFUSED');
      });
    }));

  it('skips addresses that the machine does not have, as long as there are others', () =>
    onLoop(function* () {
      // Of a family that is turned off; here it is an address of nobody.
      const hosts = ['192.0.2.1', LOCALHOST];
      yield* withServer(yield* createServer(echo, hosts, 0), function* (server) {
        assert.deepEqual(
          (server.addresses as SocketAddress[]).map(({ address }) => address),
          [LOCALHOST],
        );
        yield* ask(server.port, 'hello');
      });
      const error = yield* errorOf(createServer(echo, '192.0.2.1', 4711));
      assert.equal(error.code, 'EADDRNOTAVAIL');
      assert.equal(error.syscall, 'bind');
      assert.equal(error.address, '192.0.2.1');
      assert.equal(error.port, 4711);
    }));

  it('says who has the port already, and leaves nothing open', () =>
    onLoop(function* () {
      yield* withServer(yield* createServer(echo, LOCALHOST, 0), function* ({ port }) {
        const error: SystemError = yield* errorOf(
          createServer(echo, ['127.0.0.3', LOCALHOST], port),
        );
        assert.equal(error.code, 'EADDRINUSE');
        assert.equal(error.syscall, 'bind');
        assert.equal(error.address, LOCALHOST);
        assert.equal(error.port, port);
        assert.ok(error.errno < 0);
        assert.equal(error.message, `bind EADDRINUSE 127.0.0.1:${port}`);
      });
    }));

  it('may share a port with reusePort', () =>
    onLoop(function* () {
      const options = { reusePort: true };
      const first = yield* createServer(echo, LOCALHOST, 0, options);
      yield* withServer(first, function* ({ port }) {
        const second = yield* createServer(echo, LOCALHOST, port, options);
        yield* withServer(second, function* () {
          assert.equal(second.port, port);
        });
      });
    }));

  it('refuses wrong arguments at once', () => {
    const wrong: [call: () => unknown, name: string, message: RegExp][] = [
      [() => createServer(5 as never, null, 0), 'TypeError', /protocolFactory must be a function/],
      [() => createServer(echo, 5 as never, 0), 'TypeError', /host must be a string, got 5/],
      [() => createServer(echo, [5] as never, 0), 'TypeError', /host must be a string, got 5/],
      [() => createServer(echo, null, '80' as never), 'TypeError', /port must be a number/],
      [() => createServer(echo, null, 65_536), 'RangeError', /port must be 0 to 65535/],
      [() => createServer(echo, null, -1), 'RangeError', /port must be 0 to 65535/],
      [() => createServer(echo, null, 1.5), 'TypeError', /port must be a number, got 1.5/],
      [() => createServer(echo, null, 0, { family: 5 as never }), 'TypeError', /family must be/],
      [() => createServer(echo, null, 0, { backlog: 'x' as never }), 'TypeError', /backlog/],
      [() => createServer(echo, [], 0), 'RangeError', /host/],
    ];
    for (const [call, name, message] of wrong) assert.throws(call, { name, message });
  });

  it('may be cancelled, and leaves nothing open', () =>
    onLoop(function* () {
      for (let steps = 0; steps < 4; steps++) {
        const task: Task<Server> = createTask(createServer(echo, 'localhost', 0));
        for (let i = 0; i < steps; i++) yield* sleep(0);
        task.cancel();
        const error = yield* errorOf(task);
        if (error === undefined) task.result().close();
        else assert.ok(isCancelledError(error));
      }
      yield* someTurns();
    }));

  it('with startServing: false accepts when it is told to', () =>
    onLoop(function* () {
      const made: Recorder[] = [];
      const factory = (): Protocol => {
        made.push(new Echo());
        return made.at(-1)!;
      };
      const server = yield* createServer(factory, LOCALHOST, 0, { startServing: false });
      yield* withServer(server, function* () {
        assert.equal(server.isServing(), false);
        const client = yield* RawSocket.connect(server.port);
        client.write('early');
        yield* someTurns();
        assert.equal(made.length, 0);
        yield* server.startServing();
        yield* server.startServing();
        assert.equal(server.isServing(), true);
        assert.equal((yield* client.read()).toString(), 'early');
        client.close();
      });
      yield* server.startServing();
      assert.equal(server.isServing(), false);
    }));
});

describe('a server', () => {
  it('makes connections in the order in which they came', () =>
    onLoop(function* () {
      const made: Recorder[] = [];
      const factory = (): Protocol => {
        made.push(new Recorder());
        return made.at(-1)!;
      };
      const server = yield* createServer(factory, LOCALHOST, 0, { startServing: false });
      yield* withServer(server, function* () {
        const clients: RawSocket[] = [];
        for (let i = 0; i < 20; i++) {
          const client = yield* RawSocket.connect(server.port);
          client.write(String(i));
          clients.push(client);
        }
        yield* server.startServing();
        yield* untilTrue(() => made.length === 20 && made.every(({ size }) => size > 0));
        assert.deepEqual(
          made.map(({ text }) => text),
          clients.map((_, i) => String(i)),
        );
        for (const client of clients) client.close();
      });
    }));

  it('answers everybody in a storm that is larger than its backlog', () =>
    onLoop(function* () {
      const server = yield* createServer(echo, LOCALHOST, 0, { backlog: 40 });
      yield* withServer(server, function* () {
        // Who finds the queue full tries again after a second; that is the kernel's.
        const clients = Array.from({ length: 70 }, (_, i) =>
          createTask(ask(server.port, `client ${i}`)),
        );
        yield* gather(...clients);
      });
    }));

  it('tells protocols what surrounded whoever made it', () =>
    onLoop(function* () {
      const variable = new ContextVar('variable', { defaultValue: 'none' });
      const seen: string[] = [];
      class Looking extends Echo {
        override connectionMade(transport: Transport): void {
          seen.push(`made ${variable.get()}`);
          super.connectionMade(transport);
        }
        override dataReceived(data: Buffer): void {
          seen.push(`data ${variable.get()}`);
          super.dataReceived(data);
        }
      }
      const factory = (): Protocol => {
        seen.push(`factory ${variable.get()}`);
        return new Looking();
      };
      variable.set('server');
      const server = yield* createServer(factory, LOCALHOST, 0);
      yield* withServer(server, function* () {
        variable.set('client');
        yield* ask(server.port, 'x');
      });
      assert.deepEqual(seen, ['factory server', 'made server', 'data server']);
    }));

  it('survives a protocolFactory that throws, or returns nonsense, and says so', async () => {
    const oops = new Error('oops');
    const answers = [
      () => {
        throw oops;
      },
      () => undefined,
      () => ({ connectionMade: 5 }),
      echo,
    ];
    const reports = await withReports(async (list) => {
      await run(function* () {
        const factory = (): Protocol => answers.shift()!() as Protocol;
        yield* withServer(yield* createServer(factory, LOCALHOST, 0), function* (server) {
          for (let i = 0; i < 3; i++) {
            const client = yield* RawSocket.connect(server.port);
            assert.equal((yield* client.read()).length, 0);
            client.close();
          }
          yield* ask(server.port, 'at last');
        });
      });
      return list;
    });
    assert.deepEqual(
      reports.map(({ message }) => message),
      Array(3).fill('protocolFactory failed'),
    );
    assert.equal(reports[0]!.exception, oops);
    assert.match(String(reports[1]!.exception), /expected a protocol, got undefined/);
    assert.match(String(reports[2]!.exception), /expected a protocol, got an instance of Object/);
  });

  it('lets a SystemExit of its protocolFactory leave the loop', async () => {
    const own = new EventLoop();
    let client: Generator<unknown, RawSocket, any> | undefined;
    const factory = (): Protocol => {
      throw new SystemExit('bye');
    };
    await assert.rejects(
      own.runUntilComplete(function* () {
        const server = yield* createServer(factory, LOCALHOST, 0);
        client = RawSocket.connect(server.port);
        const socket = yield* client;
        socket.close();
        yield* sleep(Infinity);
      }),
      { name: 'SystemExit' },
    );
    own.close();
  });

  it('accepts nothing more when it is closed by a protocolFactory', () =>
    onLoop(function* () {
      const server: Server = yield* createServer(
        () => {
          server.close();
          return new Echo();
        },
        LOCALHOST,
        0,
        { startServing: false },
      );
      yield* withServer(server, function* () {
        const first = yield* RawSocket.connect(server.port);
        const second = yield* RawSocket.connect(server.port);
        first.write('served');
        yield* server.startServing();
        assert.equal((yield* first.read()).toString(), 'served');
        assert.deepEqual(server.statistics(), { connections: 1, tasks: 0, serving: false });
        first.close();
        second.close();
      });
    }));
});

describe('server.close()', () => {
  it('ends the listening only; waitClosed() waits for the connections', () =>
    onLoop(function* () {
      const server = yield* createServer(echo, LOCALHOST, 0);
      const client = new Recorder();
      const { port } = server;
      const [transport] = yield* createConnection(() => client, LOCALHOST, port);
      transport.write('a');
      yield* client.untilText('a');
      const waiters = [createTask(server.waitClosed()), createTask(server.waitClosed())];
      server.close();
      server.close();
      yield* someTurns();
      assert.deepEqual(
        waiters.map((waiter) => waiter.done()),
        [false, false],
      );
      assert.equal((yield* errorOf(ask(port, 'x'))).code, 'ECONNREFUSED');
      transport.write('b');
      yield* client.untilText('ab');
      transport.close();
      yield* gather(...waiters);
      yield* server.waitClosed();
    }));

  it('leaves those who wait alone when one of them is cancelled', () =>
    onLoop(function* () {
      const server = yield* createServer(echo, LOCALHOST, 0);
      const [one, other] = [createTask(server.waitClosed()), createTask(server.waitClosed())];
      yield* sleep(0);
      one.cancel();
      server.close();
      assert.ok(isCancelledError(yield* errorOf(one)));
      yield* other;
    }));

  it('under load drops no connection that was accepted', () =>
    onLoop(function* () {
      for (let round = 0; round < 10; round++) {
        let accepted = 0;
        let answered = 0;
        class Counting extends Echo {
          override connectionMade(transport: Transport): void {
            super.connectionMade(transport);
            // The server closes in the middle of the crowd.
            if (++accepted === 5 * round + 1) server.close();
          }
        }
        const server = yield* createServer(() => new Counting(), LOCALHOST, 0);
        const { port } = server;
        const client = function* (): Generator<unknown, void, any> {
          const error = yield* errorOf(
            (function* () {
              const recorder = new Recorder();
              const [transport] = yield* createConnection(() => recorder, LOCALHOST, port);
              transport.write('question');
              yield* recorder.until(({ text, events }) => {
                return text === 'question' || events.includes('lost');
              });
              if (recorder.text === 'question') answered++;
              transport.close();
            })(),
          );
          if (error !== undefined) assert.match(error.code, /^(ECONNREFUSED|ECONNRESET)$/);
        };
        yield* gather(...Array.from({ length: 60 }, () => createTask(client())));
        yield* server.waitClosed();
        assert.equal(answered, accepted);
        assert.ok(accepted > 5 * round);
      }
    }));

  it('closeClients() flushes, abortClients() does not', () =>
    onLoop(function* () {
      for (const method of ['closeClients', 'abortClients'] as const) {
        const much = Buffer.alloc(8 * 1024 * 1024, 'x');
        class Talking extends Recorder {
          override connectionMade(transport: Transport): void {
            super.connectionMade(transport);
            transport.write(much);
          }
        }
        const server = yield* createServer(() => new Talking(), LOCALHOST, 0);
        const client = yield* RawSocket.connect(server.port);
        yield* untilTrue(() => server.statistics().connections === 1);
        yield* someTurns();
        server.close();
        server[method]();
        const { length } = yield* client.readAll();
        if (method === 'closeClients') assert.equal(length, much.length);
        else assert.ok(length < much.length);
        yield* server.waitClosed();
        client.close();
      }
    }));

  it('happens at the end of a block with `await using`, though a client does not read', () =>
    onLoop(function* () {
      const server = yield* startServer(
        (_, writer) => writer.write(Buffer.alloc(8 * 1024 * 1024)),
        LOCALHOST,
        0,
      );
      const client = yield* RawSocket.connect(server.port);
      yield* untilTrue(() => server.statistics().connections === 1);
      yield* someTurns();
      yield* until(server[Symbol.asyncDispose]());
      assert.deepEqual(server.statistics(), { connections: 0, tasks: 0, serving: false });
      client.close();
    }));

  it('happens by itself at the end of a block with `await using`', async () => {
    const reports: ExceptionContext[] = await withReports(async (list) => {
      await run(async () => {
        const server = await createServer(echo, LOCALHOST, 0);
        const client = new Recorder();
        await createConnection(() => client, LOCALHOST, server.port);
        await until(turnOfNode());
        await server[Symbol.asyncDispose]();
        assert.equal(server.isServing(), false);
        await until(turnOfNode());
        assert.deepEqual(client.events, ['made', 'eof', 'lost']);
      });
      return list;
    });
    assert.deepEqual(reports, []);
  });
});

describe('server.serveForever()', () => {
  it('serves until it is cancelled; then everything is closed', () =>
    onLoop(function* () {
      const server = yield* createServer(echo, LOCALHOST, 0, { startServing: false });
      const { port } = server;
      const forever = createTask(server.serveForever());
      yield* ask(port, 'hello');
      assert.equal(server.isServing(), true);
      forever.cancel();
      assert.ok(isCancelledError(yield* errorOf(forever)));
      assert.equal(server.isServing(), false);
      assert.equal((yield* errorOf(ask(port, 'x'))).code, 'ECONNREFUSED');
    }));

  it('is for one at a time, and not for a server that is closed', () =>
    onLoop(function* () {
      const server = yield* createServer(echo, LOCALHOST, 0);
      const forever = createTask(server.serveForever());
      yield* sleep(0);
      const error = yield* errorOf(server.serveForever());
      assert.ok(error instanceof RuntimeError);
      assert.equal(error.message, 'somebody serves forever already');
      server.close();
      assert.ok(isCancelledError(yield* errorOf(forever)));
      const late = yield* errorOf(server.serveForever());
      assert.equal(late.message, 'the server is closed');
    }));

  it('cancels the tasks of its connections when it is cancelled', () =>
    onLoop(function* () {
      const ended: string[] = [];
      const serve = function* (_: StreamReader, writer: StreamWriter): Generator<unknown, void> {
        try {
          yield* sleep(Infinity);
        } catch (error) {
          ended.push((error as Error).name);
          writer.write('bye');
          throw error;
        }
      };
      const server = yield* startServer(serve, LOCALHOST, 0);
      const forever = createTask(server.serveForever());
      const client = yield* RawSocket.connect(server.port);
      yield* untilTrue(() => server.statistics().tasks === 1);
      forever.cancel();
      assert.ok(isCancelledError(yield* errorOf(forever)));
      assert.deepEqual(ended, ['CancelledError']);
      assert.equal((yield* client.readAll()).toString(), 'bye');
      client.close();
    }));
});

/** Much more than the kernel keeps for a client that does not read. */
function* muchData(): Generator<Buffer, void> {
  for (let i = 0; i < 400; i++) yield Buffer.alloc(64 * 1024);
}

/** Foreign promises: they end with the connection, and no cancellation reaches them. */
const NEVER_DONE_BY_THEMSELVES: Record<
  string,
  (reader: StreamReader, writer: StreamWriter) => Promise<void>
> = {
  'a pipeline into toNodeStream()': async (reader, writer) => {
    await pipeline(Readable.from(muchData()), toNodeStream(reader, writer));
  },
  'a pipe into toWebStreams()': async (reader, writer) => {
    await Readable.toWeb(Readable.from(muchData())).pipeTo(toWebStreams(reader, writer).writable);
  },
  'a pipeline from toNodeStream()': async (reader, writer) => {
    await pipeline(toNodeStream(reader, writer), async (source) => {
      for await (const _ of source);
    });
  },
};

/** Handlers that swallow every cancellation until a gate opens. */
const STUBBORN = {
  generator: (gate: Future<void>) =>
    function* (): Generator<unknown, void, any> {
      currentTask()!.name = 'stubborn';
      while (!gate.done()) yield* errorOf(shield(gate));
    },
  async: (gate: Future<void>) => async (): Promise<void> => {
    currentTask()!.name = 'stubborn';
    // A promise that nobody settles for as long as the server is there.
    await new Promise<void>((resolve) => gate.addDoneCallback(() => resolve()));
  },
};

describe('server.shutdown()', () => {
  it('is done at once when there is no connection', () =>
    onLoop(function* () {
      const server = yield* createServer(echo, LOCALHOST, 0);
      yield* server.shutdown();
      assert.equal(server.isServing(), false);
      yield* server.shutdown(0);
    }));

  it('lets connections end by themselves', () =>
    onLoop(function* () {
      const server = yield* startServer(
        function* (reader, writer) {
          writer.write(yield* reader.readLine());
        },
        LOCALHOST,
        0,
      );
      const client = yield* RawSocket.connect(server.port);
      yield* untilTrue(() => server.statistics().tasks === 1);
      const shutdown = createTask(server.shutdown());
      yield* someTurns();
      assert.equal(shutdown.done(), false);
      client.write('the last words\n');
      assert.equal((yield* client.readAll()).toString(), 'the last words\n');
      yield* shutdown;
      assert.deepEqual(server.statistics(), { connections: 0, tasks: 0, serving: false });
      client.close();
    }));

  // One stack trace for each of them, in an orderly shutdown.
  it('reports nothing of handlers that were told by their signal', () =>
    onLoop(function* () {
      const server = yield* startServer(
        async () => {
          await nodeSleep(60_000, null, { signal: currentTask()!.signal });
        },
        LOCALHOST,
        0,
      );
      const client = yield* RawSocket.connect(server.port);
      yield* untilTrue(() => server.statistics().tasks === 1);
      yield* server.shutdown(1);
      client.close();
    }));

  it('after the time of grace cancels tasks, and closes what is left at once', () =>
    onLoop(function* () {
      const seen: string[] = [];
      const server = yield* startServer(
        function* (_, writer) {
          writer.write(Buffer.alloc(8 * 1024 * 1024));
          try {
            yield* sleep(Infinity);
          } finally {
            seen.push('cleaned up');
          }
        },
        LOCALHOST,
        0,
      );
      const client = yield* RawSocket.connect(server.port);
      yield* untilTrue(() => server.statistics().tasks === 1);
      yield* server.shutdown(1);
      assert.deepEqual(seen, ['cleaned up']);
      assert.deepEqual(server.statistics(), { connections: 0, tasks: 0, serving: false });
      client.close();
    }));

  it('may be cancelled, and called again', () =>
    onLoop(function* () {
      const server = yield* createServer(echo, LOCALHOST, 0);
      const client = yield* RawSocket.connect(server.port);
      yield* untilTrue(() => server.statistics().connections === 1);
      const first = createTask(server.shutdown());
      yield* someTurns();
      first.cancel();
      assert.ok(isCancelledError(yield* errorOf(first)));
      assert.equal(server.statistics().connections, 1);
      yield* server.shutdown(0);
      assert.equal(server.statistics().connections, 0);
      client.close();
    }));

  // Its wait for the tasks had no bound, and stood before the connections were cut.
  for (const [what, handler] of Object.entries(NEVER_DONE_BY_THEMSELVES)) {
    it(`cuts the connection of a task that waits for its client in ${what}`, () =>
      onLoop(function* () {
        let ended = 0;
        const server = yield* startServer(
          async (...streams) => {
            try {
              await handler(...streams);
            } catch {
            } finally {
              ended++;
            }
          },
          LOCALHOST,
          0,
        );
        const client = yield* RawSocket.connect(server.port);
        yield* untilTrue(() => server.statistics().tasks === 1);
        yield* someTurns();
        yield* server.shutdown(1);
        assert.equal(ended, 1);
        assert.deepEqual(server.statistics(), { connections: 0, tasks: 0, serving: false });
        client.close();
      }));
  }

  for (const end of ['shutdown', 'serveForever'] as const) {
    for (const kind of ['generator', 'async'] as const) {
      it(`${end}(): names the tasks of ${kind} handlers that go on, and ends all the same`, () =>
        withReports(async (reports) => {
          const gate = new Future<void>();
          const serve = STUBBORN[kind](gate);
          await run(function* () {
            const server = yield* startServer(serve, LOCALHOST, 0, { startServing: false });
            const forever = createTask(server.serveForever());
            yield* sleep(0);
            const client = yield* RawSocket.connect(server.port);
            yield* untilTrue(() => server.statistics().tasks === 1);
            yield* someTurns();
            if (end === 'shutdown') yield* server.shutdown(1);
            else forever.cancel();
            assert.ok(isCancelledError(yield* errorOf(forever)));
            assert.deepEqual(server.statistics(), { connections: 0, tasks: 1, serving: false });
            gate.setResult();
            yield* untilTrue(() => server.statistics().tasks === 0);
            client.close();
          });
          const [{ message }] = reports as [ExceptionContext];
          assert.match(message, /^the server is closed, but tasks .* go on: <Task "stubborn" pend/);
        }));
    }
  }

  for (const kind of ['generator', 'async'] as const) {
    it(`can be called by one of its own handlers (${kind})`, () =>
      onLoop(function* () {
        const asked: { server?: Server; done: boolean } = { done: false };
        const stop = {
          *generator(): Generator<unknown, void, any> {
            yield* asked.server!.shutdown(1);
            asked.done = true;
          },
          async async(): Promise<void> {
            await asked.server!.shutdown(1);
            asked.done = true;
          },
        };
        asked.server = yield* startServer(stop[kind], LOCALHOST, 0);
        const client = yield* RawSocket.connect(asked.server.port);
        yield* asked.server.waitClosed();
        yield* untilTrue(() => asked.done);
        client.close();
      }));
  }

  it('cuts the connections also when it is cancelled after the tasks', () =>
    onLoop(function* () {
      const server = yield* startServer(
        function* (_, writer) {
          writer.write(Buffer.alloc(8 * 1024 * 1024));
          try {
            yield* sleep(Infinity);
          } finally {
            shutdown.cancel();
          }
        },
        LOCALHOST,
        0,
      );
      const client = yield* RawSocket.connect(server.port);
      yield* untilTrue(() => server.statistics().tasks === 1);
      yield* someTurns();
      const shutdown = createTask(server.shutdown(1));
      assert.ok(isCancelledError(yield* errorOf(shutdown)));
      yield* server.waitClosed();
      client.close();
    }));

  it('refuses what is no time', () =>
    onLoop(function* () {
      const server = yield* createServer(echo, LOCALHOST, 0);
      assert.throws(() => server.shutdown('soon' as never), TypeError);
      assert.throws(() => server.shutdown(NaN), TypeError);
      server.close();
    }));
});

describe('server.unref()', () => {
  it('lets the process end, ref() does not', async () => {
    const program = (calls: string): string => `
      const { run, createServer, Protocol } = ringloop;
      run(function* () {
        const server = yield* createServer(() => new Protocol(), '127.0.0.1', 0);
        server${calls};
        console.log('listens');
        setTimeout(() => { console.log('still there'); process.exit(); }, 300).unref();
      });`;
    const unreferenced = await runProgram(program('.unref()'));
    assert.equal(unreferenced.stderr, '');
    assert.equal(unreferenced.stdout, 'listens\n');
    const referenced = await runProgram(program('.unref().ref()'));
    assert.equal(referenced.stdout, 'listens\nstill there\n');
  });
});

describe('a listening socket', () => {
  it('belongs to the server: nobody else may watch it', () =>
    onLoop(function* () {
      yield* withServer(yield* createServer(echo, LOCALHOST, 0), function* (server) {
        const [fd] = server.sockets as [number];
        assert.throws(() => server.loop.addReader(fd, () => {}), /is used by <Server>/);
      });
    }));
});
