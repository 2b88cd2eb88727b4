import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';

import {
  type ClientConnected,
  ContextVar,
  createTask,
  currentTask,
  type ExceptionContext,
  gather,
  isCancelledError,
  openConnection,
  run,
  type Server,
  type StreamReader,
  type StreamWriter,
  sleep,
  startServer,
  type Task,
  type TcpServerOptions,
  taskGroup,
  until,
} from 'ringloop';
import { BOTH_KINDS, errorOf } from '../support/both-kinds.js';
import { withReports } from '../support/capture.js';
import { LOCALHOST, onLoop, RawListener, RawSocket, someTurns, untilTrue } from '../support/net.js';

/** Runs `body` with a server; it is closed in any case. */
function* withServer(
  handler: ClientConnected,
  body: (server: Server) => Generator<unknown, void, any>,
  options: TcpServerOptions & { limit?: number } = {},
): Generator<unknown, void, any> {
  const server = yield* startServer(handler, LOCALHOST, 0, options);
  try {
    yield* body(server);
  } finally {
    yield* server.shutdown(0);
    yield* someTurns();
  }
}

const HANDLERS: [kind: string, echo: ClientConnected, fail: ClientConnected][] = [
  [
    'a generator function',
    function* (reader, writer) {
      for (let line = yield* reader.readLine(); line.length > 0; line = yield* reader.readLine()) {
        writer.write(line);
        yield* writer.drain();
      }
    },
    function* (reader) {
      yield* reader.readLine();
      throw new Error('oops');
    },
  ],
  [
    'an async function',
    async (reader, writer) => {
      for await (const line of reader) {
        writer.write(line);
        await writer.drain();
      }
    },
    async (reader) => {
      await reader.readLine();
      throw new Error('oops');
    },
  ],
];

for (const [kind, echo, fail] of HANDLERS) {
  describe(`startServer() with ${kind}`, () => {
    it('serves every connection with a task of its own, and closes it at the end', () =>
      onLoop(function* () {
        yield* withServer(echo, function* (server) {
          const clients = Array.from({ length: 20 }, (_, i) =>
            createTask(function* () {
              const [reader, writer] = yield* openConnection(LOCALHOST, server.port);
              for (const line of [`hello ${i}\n`, 'and\n', 'bye\n']) {
                writer.write(line);
                yield* writer.drain();
                assert.equal((yield* reader.readLine()).toString(), line);
              }
              writer.writeEof();
              assert.equal((yield* reader.read()).length, 0);
              writer.close();
              yield* writer.waitClosed();
            }),
          );
          yield* gather(...clients);
          yield* untilTrue(() => server.statistics().connections === 0);
          assert.equal(server.statistics().tasks, 0);
        });
      }));

    it('reports the error of a task, and closes its connection', async () => {
      const reports: ExceptionContext[] = await withReports(async (list) => {
        await run(() =>
          withServer(fail, function* (server) {
            const [reader, writer] = yield* openConnection(LOCALHOST, server.port);
            writer.write('go\n');
            assert.equal((yield* reader.read()).length, 0);
            writer.close();
            yield* writer.waitClosed();
          }),
        );
        return list;
      });
      assert.equal(reports.length, 1);
      const [{ message, exception, task, transport }] = reports as [ExceptionContext];
      assert.equal(message, 'Unhandled exception in clientConnected');
      assert.equal((exception as Error).message, 'oops');
      assert.equal((task as Task<unknown>).done(), true);
      assert.match(String(transport), /SocketTransport/);
    });

    it('sends what was written before its end', () =>
      onLoop(function* () {
        const much = 'x'.repeat(8 * 1024 * 1024);
        const generator: ClientConnected = function* (_, writer) {
          writer.write(much);
        };
        const handler = kind.startsWith('an async')
          ? async (_: StreamReader, writer: StreamWriter) => writer.write(much)
          : generator;
        yield* withServer(handler, function* (server) {
          const client = yield* RawSocket.connect(server.port);
          assert.equal((yield* client.readAll()).length, much.length);
          client.close();
        });
      }));
  });
}

for (const [kind, start] of BOTH_KINDS) {
  describe(`openConnection() in ${kind}`, () => {
    it('returns a reader and a writer', () =>
      onLoop(function* () {
        yield* withServer(HANDLERS[0]![1], function* (server) {
          const [reader, writer] = yield* start(() => openConnection(LOCALHOST, server.port));
          writer.write('hello\n');
          assert.equal((yield* start(() => reader.readLine())).toString(), 'hello\n');
          writer.close();
          yield* start(() => writer.waitClosed());
        });
      }));

    it('throws when nobody is there', () =>
      onLoop(function* () {
        const listener = new RawListener();
        listener.close();
        const error = yield* errorOf(start(() => openConnection(LOCALHOST, listener.port)));
        assert.equal(error.code, 'ECONNREFUSED');
      }));
  });
}

describe('startServer() with a plain function', () => {
  it('leaves the connection to whoever has the writer', () =>
    onLoop(function* () {
      const writers: StreamWriter[] = [];
      const handler: ClientConnected = (_, writer) => void writers.push(writer);
      yield* withServer(handler, function* (server) {
        const [reader, writer] = yield* openConnection(LOCALHOST, server.port);
        yield* untilTrue(() => writers.length === 1);
        yield* someTurns();
        assert.equal(writers[0]!.isClosing(), false);
        assert.equal(server.statistics().tasks, 0);
        writers[0]!.write('hello');
        writers[0]!.close();
        assert.equal((yield* reader.read()).toString(), 'hello');
        writer.close();
      });
    }));

  it('closes the connection if it throws', async () => {
    const reports = await withReports(async (list) => {
      const handler: ClientConnected = () => {
        throw new Error('oops');
      };
      await run(() =>
        withServer(handler, function* (server) {
          const [reader, writer] = yield* openConnection(LOCALHOST, server.port);
          assert.equal((yield* reader.read()).length, 0);
          writer.close();
        }),
      );
      return list;
    });
    assert.deepEqual(
      reports.map(({ message }) => message),
      ['Unhandled exception in clientConnected'],
    );
  });
});

describe('the task of a connection', () => {
  it('closes the connection when it is cancelled, without a report', () =>
    onLoop(function* () {
      const tasks: Task<unknown>[] = [];
      const handler: ClientConnected = function* () {
        tasks.push(currentTask()!);
        yield* sleep(Infinity);
      };
      yield* withServer(handler, function* (server) {
        const [reader, writer] = yield* openConnection(LOCALHOST, server.port);
        yield* untilTrue(() => tasks.length === 1);
        tasks[0]!.cancel();
        assert.equal((yield* reader.read()).length, 0);
        assert.equal(tasks[0]!.cancelled(), true);
        writer.close();
      });
    }));

  it('belongs to the run() that started the server, and ends with it', async () => {
    let ended = '';
    let server: Server | undefined;
    let client: RawSocket | undefined;
    await onLoop(function* () {
      const handler: ClientConnected = function* (_, writer) {
        try {
          yield* sleep(Infinity);
        } catch (error) {
          ended = (error as Error).name;
          throw error;
        } finally {
          writer.close();
        }
      };
      server = yield* startServer(handler, LOCALHOST, 0);
      client = yield* RawSocket.connect(server.port);
      yield* untilTrue(() => server!.statistics().tasks === 1);
    });
    assert.equal(ended, 'CancelledError');
    server!.close();
    await until(server!.waitClosed());
    client!.close();
  });

  it('sees what surrounded whoever started the server', async () => {
    const storage = new AsyncLocalStorage<string>();
    const variable = new ContextVar('variable', { defaultValue: 'none' });
    const seen: unknown[] = [];
    const body = function* (): Generator<unknown, void, any> {
      const handler: ClientConnected = async (reader) => {
        seen.push(storage.getStore(), variable.get());
        await reader.readLine();
        seen.push(storage.getStore(), variable.get());
      };
      variable.set('server');
      yield* withServer(handler, function* (server) {
        variable.set('client');
        const [reader, writer] = yield* openConnection(LOCALHOST, server.port);
        writer.write('go\n');
        yield* reader.read();
        writer.close();
      });
    };
    await storage.run('store', () => onLoop(body));
    assert.deepEqual(seen, ['store', 'server', 'store', 'server']);
  });
});

describe('streams', () => {
  it('refuse wrong arguments at once', () => {
    assert.throws(() => startServer(5 as never, LOCALHOST, 0), TypeError);
    assert.throws(() => startServer(() => {}, LOCALHOST, 'x' as never), TypeError);
    assert.throws(() => startServer(() => {}, LOCALHOST, 0, { limit: 0 }), RangeError);
    assert.throws(() => startServer(() => {}, LOCALHOST, 0, { limit: '5' as never }), TypeError);
    assert.throws(() => openConnection(LOCALHOST, 1, { limit: -1 }), RangeError);
    assert.throws(() => openConnection(5 as never, 1), TypeError);
  });

  it('hold up a fast writer while nobody reads', () =>
    onLoop(function* () {
      const total = 64 * 1024 * 1024;
      let most = 0;
      let sent = 0;
      const handler: ClientConnected = function* (_, writer) {
        const piece = Buffer.alloc(64 * 1024, 'x');
        while (sent < total) {
          writer.write(piece);
          sent += piece.length;
          most = Math.max(most, writer.transport.getWriteBufferSize());
          yield* writer.drain();
        }
      };
      yield* withServer(handler, function* (server) {
        const [reader, writer] = yield* openConnection(LOCALHOST, server.port, { limit: 1024 });
        // As long as nobody reads it comes to a standstill.
        let before = -1;
        while (sent !== before) {
          before = sent;
          yield* someTurns();
        }
        assert.ok(sent < total);
        assert.equal(reader.statistics().paused, true);
        let received = 0;
        for (let data = yield* reader.read(1e6); data.length > 0; data = yield* reader.read(1e6)) {
          received += data.length;
        }
        assert.equal(received, total);
        assert.ok(most <= 64 * 1024 + 64 * 1024, `${most} bytes waited`);
        writer.close();
      });
    }));

  it('tell the reader of an error, and the writer too', () =>
    onLoop(function* () {
      const listener = new RawListener();
      const [reader, writer] = yield* openConnection(LOCALHOST, listener.port);
      const peer = yield* listener.accept();
      const reading = createTask(reader.read(5));
      yield* someTurns();
      peer.reset();
      assert.equal((yield* errorOf(reading)).code, 'ECONNRESET');
      assert.equal((yield* errorOf(writer.drain())).code, 'ECONNRESET');
      assert.equal((yield* errorOf(writer.waitClosed())).code, 'ECONNRESET');
      listener.close();
    }));

  it('go on in one direction when the other has ended', () =>
    onLoop(function* () {
      const handler: ClientConnected = function* (reader, writer) {
        const everything = yield* reader.read();
        writer.write(`${everything.length} bytes`);
      };
      yield* withServer(handler, function* (server) {
        const [reader, writer] = yield* openConnection(LOCALHOST, server.port);
        writer.write(Buffer.alloc(1_000_000));
        writer.writeEof();
        assert.equal((yield* reader.read()).toString(), '1000000 bytes');
        assert.equal(reader.atEof(), true);
        writer.close();
      });
    }));

  it('end with the task group that uses them', () =>
    onLoop(function* () {
      yield* withServer(HANDLERS[0]![1], function* (server) {
        const [reader, writer] = yield* openConnection(LOCALHOST, server.port);
        const error = yield* errorOf(
          taskGroup(function* (group) {
            group.createTask(reader.readLine());
            yield* sleep(0);
            throw new Error('oops');
          }),
        );
        assert.equal(error.errors[0].message, 'oops');
        writer.write('still usable\n');
        assert.equal((yield* reader.readLine()).toString(), 'still usable\n');
        writer.close();
      });
    }));

  it('let a read be cancelled while the bytes come', () =>
    onLoop(function* () {
      yield* withServer(HANDLERS[0]![1], function* (server) {
        const [reader, writer] = yield* openConnection(LOCALHOST, server.port);
        const lines = Array.from({ length: 50 }, (_, i) => `line ${i}\n`).join('');
        let text = '';
        let cancelled = 0;
        writer.write(lines);
        while (text.length < lines.length) {
          const task = createTask(reader.read(7));
          yield* sleep(0);
          if (text.length % 3 === 0 && cancelled < 30) task.cancel();
          const error = yield* errorOf(task);
          if (error === undefined) text += task.result().toString();
          else assert.ok(isCancelledError(error) && ++cancelled);
        }
        assert.equal(text, lines);
        assert.ok(cancelled > 0);
        writer.close();
      });
    }));
});

// ---- asyncio ------------------------------------------------------------------------------------

const PYTHON_SERVER = `
import asyncio, sys
async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.write(b'end')
    writer.close()
    await writer.wait_closed()
async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
asyncio.run(main())
`;

const PYTHON_CLIENT = `
import asyncio, sys
async def client(i, port):
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    for n in range(50):
        writer.write(b'line %d of %d\\n' % (n, i))
        await writer.drain()
    writer.write(b'x' * 60000 + b'\\n')
    writer.write_eof()
    text = await reader.read()
    expected = b''.join(b'line %d of %d\\n' % (n, i) for n in range(50)) + b'x' * 60000 + b'\\n'
    assert text == expected, (len(text), text[:50])
    writer.close()
    await writer.wait_closed()
async def main(port):
    await asyncio.gather(*(client(i, port) for i in range(20)))
    print('all well')
asyncio.run(main(int(sys.argv[1])))
`;

function hasPython(): boolean {
  try {
    execFileSync('python3', ['-c', 'import asyncio'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe('asyncio', () => {
  before(function () {
    if (!hasPython()) this.skip();
  });

  it('as a server understands us', async () => {
    const python = spawn('python3', ['-c', PYTHON_SERVER], { stdio: ['pipe', 'pipe', 'inherit'] });
    const exited = once(python, 'exit');
    const [output] = await once(python.stdout, 'data');
    const port = Number(String(output));
    await onLoop(function* () {
      yield* gather(
        ...Array.from({ length: 20 }, (_, i) =>
          createTask(function* () {
            const [reader, writer] = yield* openConnection(LOCALHOST, port);
            for (let n = 0; n < 20; n++) {
              writer.write(`line ${n} of ${i}\n`);
              assert.equal((yield* reader.readLine()).toString(), `LINE ${n} OF ${i}\n`);
            }
            writer.write(`${'y'.repeat(60_000)}\n`);
            writer.writeEof();
            assert.equal((yield* reader.read()).toString(), `${'Y'.repeat(60_000)}\nend`);
            writer.close();
            yield* writer.waitClosed();
          }),
        ),
      );
    });
    python.stdin.end();
    await exited;
  });

  it('as a client is understood by us', () =>
    onLoop(function* () {
      yield* withServer(HANDLERS[0]![1], function* (server) {
        const python = spawn('python3', ['-c', PYTHON_CLIENT, String(server.port)], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        const output: unknown[] = [];
        python.stdout.on('data', (data) => output.push(data));
        const [code] = yield* until(once(python, 'close') as Promise<[number]>);
        assert.equal(output.join(''), 'all well\n');
        assert.equal(code, 0);
      });
    }));
});
