/** TLS: transports and streams over node:tls, with either side ours or Node's. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import * as net from 'node:net';
import * as tls from 'node:tls';

import {
  BufferedProtocol,
  ContextVar,
  createConnection,
  createServer,
  createTask,
  type ExceptionContext,
  getEventLoop,
  isCancelledError,
  openConnection,
  type Protocol,
  run,
  type ServerSslOptions,
  startTls,
  type Transport,
  until,
} from 'ringloop';
import { errorOf } from '../support/both-kinds.js';
import { turnOfNode, withReports } from '../support/capture.js';
import {
  ca,
  echo,
  exchange,
  fixture,
  identity,
  LOCALHOST,
  nodeEcho,
  Recorder,
  type Steps,
  untilTrue,
  withNodeServer,
  withProtocol,
  withServer,
} from '../support/tls.js';

const SERVER: ServerSslOptions = identity('server');
const MEGABYTE = 1024 * 1024;

/** Runs a test; nothing may be reported but what `body` says it expects. */
function onLoop(body: (reports: ExceptionContext[]) => Steps, reported = 0): Promise<void> {
  return withReports(async (reports) => {
    await run(() => body(reports));
    assert.equal(reports.length, reported, String(reports.map(({ exception }) => exception)));
  });
}

/** In debug mode failed handshakes are reported. */
function* debugging(body: () => Steps): Steps {
  const loop = getEventLoop();
  loop.debug = true;
  const { warn } = console;
  console.warn = () => {};
  try {
    yield* body();
  } finally {
    console.warn = warn;
    loop.debug = false;
  }
}

/** A server that accepts, and what it does with a connection. */
function rawServer(serve: (socket: net.Socket) => void = () => {}): net.Server {
  return net.createServer((socket) => {
    socket.on('error', () => {});
    serve(socket);
  });
}

/** A connected socket of Node's. */
function* rawClient(port: number): Steps<net.Socket> {
  const socket = net.connect(port, LOCALHOST);
  socket.on('error', () => {});
  yield* until(new Promise<void>((resolve) => socket.once('connect', resolve)));
  return socket;
}

describe('TLS', () => {
  it('carries lines between streams, both sides ours', () =>
    onLoop(() =>
      withServer(echo, { ssl: SERVER }, function* (port) {
        assert.equal(yield* exchange(port, { ssl: { ca } }, 'a line\n'), 'a line\n');
      }),
    ));

  it('connects to a host name, over a race of addresses', () =>
    onLoop(() =>
      withServer(echo, { ssl: SERVER }, function* (port) {
        const [reader, writer] = yield* openConnection('localhost', port, { ssl: { ca } });
        writer.write('x\n');
        yield* reader.readLine();
        assert.equal(writer.getExtraInfo('servername'), 'localhost');
        writer.close();
        yield* writer.waitClosed();
      }),
    ));

  it('speaks with a server of node:tls', () =>
    onLoop(() =>
      withNodeServer(nodeEcho(), function* (port) {
        assert.equal(yield* exchange(port, { ssl: { ca } }, 'a line\n'), 'a line\n');
      }),
    ));

  it('speaks with a client of node:tls', () =>
    onLoop(() =>
      withServer(echo, { ssl: SERVER }, function* (port) {
        const socket = tls.connect({ port, host: LOCALHOST, ca });
        const chunks: Buffer[] = [];
        socket.on('data', (data) => {
          chunks.push(data);
          socket.end();
        });
        const closed = new Promise((resolve) => socket.on('close', resolve));
        socket.write('from node');
        yield* until(closed);
        assert.equal(Buffer.concat(chunks).toString(), 'from node');
        assert.equal(socket.authorized, true);
      }),
    ));

  it('speaks with openssl s_client', function () {
    if (spawnSync('openssl', ['version']).status !== 0) this.skip();
    return onLoop(() =>
      withServer(echo, { ssl: SERVER }, function* (port) {
        const args = ['s_client', '-quiet', '-connect', `${LOCALHOST}:${port}`];
        const child = spawn('openssl', args, { stdio: ['pipe', 'pipe', 'ignore'] });
        const closed = new Promise((resolve) => child.on('close', resolve));
        const line = new Promise((resolve) => child.stdout.once('data', resolve));
        child.stdin.write('from openssl\n');
        assert.equal(String(yield* until(line)), 'from openssl\n');
        child.kill();
        child.stdin.destroy();
        yield* until(closed);
      }),
    );
  });

  it('knows both ends, the cipher, the certificate and the socket', () =>
    onLoop(() =>
      withProtocol(
        () => new Recorder(),
        { ssl: SERVER },
        function* (port) {
          const [transport, protocol] = yield* createConnection(
            () => new Recorder(),
            LOCALHOST,
            port,
            { ssl: { ca } },
          );
          assert.deepEqual(transport.getExtraInfo('peername'), {
            address: LOCALHOST,
            port,
            family: 'IPv4',
          });
          assert.equal(transport.getExtraInfo('sockname').address, LOCALHOST);
          assert.match(transport.getExtraInfo('cipher').version, /^TLSv1/);
          assert.equal(transport.getExtraInfo('peercert').subject.CN, 'localhost');
          assert.ok(transport.getExtraInfo('tlsSocket') instanceof tls.TLSSocket);
          assert.equal(transport.getExtraInfo('alpnProtocol', 'none'), 'none');
          assert.equal(transport.getExtraInfo('unknown', 1), 1);
          assert.equal(transport.canWriteEof(), false);
          assert.throws(() => transport.writeEof(), /writeEof\(\) is not possible/);
          assert.deepEqual(transport.getWriteBufferLimits(), {
            high: 512 * 1024,
            low: 128 * 1024,
          });
          const fd = transport.getExtraInfo('fd');
          assert.throws(() => getEventLoop().addReader(fd, () => {}), /used by <TlsTransport open/);
          transport.abort();
          yield* protocol.lost;
          assert.equal(transport.getExtraInfo('fd', 'closed'), 'closed');
          assert.equal(transport.getExtraInfo('cipher', 'none'), 'none');
          assert.equal(transport.getExtraInfo('peercert', 'none'), 'none');
          assert.equal(transport.getExtraInfo('peername').port, port);
          assert.match(String(transport), /^<TlsTransport closed/);
        },
      ),
    ));
});

describe('TLS: who is who', () => {
  it('agrees on a protocol (ALPN)', () =>
    onLoop(() =>
      withServer(echo, { ssl: { ...SERVER, ALPNProtocols: ['two', 'one'] } }, function* (port) {
        const ssl = { ca, ALPNProtocols: ['one', 'two'] };
        const [, writer] = yield* openConnection(LOCALHOST, port, { ssl });
        assert.equal(writer.getExtraInfo('alpnProtocol'), 'two');
        writer.close();
        yield* writer.waitClosed();
      }),
    ));

  it('chooses the certificate by the name that is asked for (SNI)', () => {
    const asked: string[] = [];
    const other = tls.createSecureContext(identity('other'));
    const ssl: ServerSslOptions = {
      ...SERVER,
      SNICallback: (name, done) => {
        asked.push(name);
        done(null, name === 'other.example' ? other : undefined);
      },
    };
    return onLoop(() =>
      withServer(echo, { ssl }, function* (port) {
        for (const serverHostname of ['localhost', 'other.example']) {
          const options = { ssl: { ca }, serverHostname };
          const [, writer] = yield* openConnection(LOCALHOST, port, options);
          assert.equal(writer.getExtraInfo('peercert').subject.CN, serverHostname);
          writer.close();
          yield* writer.waitClosed();
        }
        assert.deepEqual(asked, ['localhost', 'other.example']);
      }),
    );
  });

  const MISTRUST: [what: string, options: object, code: string][] = [
    ['an authority it does not know', { ssl: true }, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    [
      'another authority',
      { ssl: { ca: fixture('stranger.crt') } },
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    ],
    [
      'another name',
      { ssl: { ca }, serverHostname: 'other.example' },
      'ERR_TLS_CERT_ALTNAME_INVALID',
    ],
  ];
  for (const [what, options, code] of MISTRUST) {
    it(`refuses a server with ${what}`, () =>
      onLoop(() =>
        withProtocol(
          () => new Recorder(),
          { ssl: SERVER },
          function* (port, server) {
            const protocol = new Recorder();
            const error = yield* errorOf(
              createConnection(() => protocol, LOCALHOST, port, options),
            );
            assert.equal(error.code, code);
            assert.deepEqual(protocol.events, []);
            yield* untilTrue(() => server.statistics().connections === 0);
          },
        ),
      ));
  }

  it('accepts anybody with rejectUnauthorized: false', () =>
    onLoop(() =>
      withServer(echo, { ssl: SERVER }, function* (port) {
        const ssl = { rejectUnauthorized: false };
        assert.equal(yield* exchange(port, { ssl }, 'a line\n'), 'a line\n');
      }),
    ));

  const asking: ServerSslOptions = { ...SERVER, ca, requestCert: true };

  it('asks clients for a certificate', () =>
    onLoop(() =>
      withServer(
        function* (_reader, writer) {
          const tlsSocket: tls.TLSSocket = writer.getExtraInfo('tlsSocket');
          writer.write(`${writer.getExtraInfo('peercert').subject.CN} ${tlsSocket.authorized}\n`);
        },
        { ssl: asking },
        function* (port) {
          const ssl = { ca, ...identity('client') };
          assert.equal(yield* exchange(port, { ssl }, ''), 'a client true\n');
        },
      ),
    ));

  it('accepts clients without a good certificate if it is told to', () =>
    onLoop(() =>
      withServer(
        function* (_reader, writer) {
          const tlsSocket: tls.TLSSocket = writer.getExtraInfo('tlsSocket');
          writer.write(`${tlsSocket.authorized}\n`);
        },
        { ssl: { ...asking, rejectUnauthorized: false } },
        function* (port) {
          const ssl = { ca, ...identity('unknown-client') };
          assert.equal(yield* exchange(port, { ssl }, ''), 'false\n');
        },
      ),
    ));

  it('refuses clients that it does not trust, and says so in debug mode', () =>
    onLoop(
      (reports) =>
        debugging(() =>
          withServer(echo, { ssl: asking }, function* (port) {
            const ssl = { ca, ...identity('unknown-client') };
            yield* errorOf(exchange(port, { ssl }, 'x\n'));
            yield* untilTrue(() => reports.length > 0);
            assert.equal(reports[0]!.message, 'SSL handshake failed');
            const { code } = reports[0]!.exception as { code: string };
            assert.equal(code, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE');
          }),
        ),
      1,
    ));

  it('resumes sessions, with client certificates too', () =>
    onLoop(() =>
      withServer(echo, { ssl: asking }, function* (port) {
        let session: Buffer | undefined;
        for (const reused of [false, true]) {
          const ssl = { ca, ...identity('client'), ...(session && { session }) };
          const [reader, writer] = yield* openConnection(LOCALHOST, port, { ssl });
          const socket: tls.TLSSocket = writer.getExtraInfo('tlsSocket');
          assert.equal(socket.isSessionReused(), reused);
          writer.write('x\n');
          yield* reader.readLine();
          session = socket.getSession();
          writer.close();
          yield* writer.waitClosed();
        }
      }),
    ));
});

describe('TLS: handshakes that fail', () => {
  it('a server that never speaks', () =>
    onLoop(() =>
      withNodeServer(rawServer(), function* (port) {
        const options = { ssl: { ca }, sslHandshakeTimeout: 20 };
        const error = yield* errorOf(openConnection(LOCALHOST, port, options));
        assert.equal(error.code, 'ECONNABORTED');
        assert.equal(
          error.message,
          'SSL handshake is taking longer than 0.02 seconds: aborting the connection',
        );
      }),
    ));

  it('a client that never speaks', () =>
    onLoop(() =>
      withServer(echo, { ssl: SERVER, sslHandshakeTimeout: 20 }, function* (port, server) {
        const socket = yield* rawClient(port);
        yield* until(new Promise((resolve) => socket.on('close', resolve).resume()));
        yield* untilTrue(() => server.statistics().connections === 0);
        assert.equal(server.isServing(), true);
      }),
    ));

  it('a client that speaks plaintext: the server goes on', () =>
    onLoop(() =>
      withServer(echo, { ssl: SERVER }, function* (port, server) {
        const socket = yield* rawClient(port);
        socket.write('GET / HTTP/1.1\r\n\r\n');
        yield* until(new Promise((resolve) => socket.on('close', resolve).resume()));
        yield* untilTrue(() => server.statistics().connections === 0);
        assert.equal(yield* exchange(port, { ssl: { ca } }, 'still\n'), 'still\n');
      }),
    ));

  it('a client that speaks plaintext is reported in debug mode', () =>
    onLoop(
      (reports) =>
        debugging(() =>
          withServer(echo, { ssl: SERVER }, function* (port) {
            const socket = yield* rawClient(port);
            socket.write('garbage that is no handshake\r\n\r\n');
            yield* untilTrue(() => reports.length > 0);
            assert.match((reports[0]!.exception as { code: string }).code, /^ERR_SSL_/);
            socket.destroy();
          }),
        ),
      1,
    ));

  it('a server that speaks plaintext', () =>
    onLoop(() =>
      withNodeServer(
        rawServer((socket) => socket.write('220 hello, who is there?\r\n')),
        function* (port) {
          const error = yield* errorOf(openConnection(LOCALHOST, port, { ssl: { ca } }));
          assert.match(error.code, /^ERR_SSL_/);
        },
      ),
    ));

  for (const end of ['resetAndDestroy', 'destroy'] as const) {
    it(`a server that goes away in the middle (${end})`, () =>
      onLoop(() =>
        withNodeServer(
          rawServer((socket) => socket.once('data', () => socket[end]())),
          function* (port) {
            const error = yield* errorOf(openConnection(LOCALHOST, port, { ssl: { ca } }));
            assert.equal(error.code, 'ECONNRESET');
          },
        ),
      ));

    it(`a client that goes away in the middle (${end})`, () =>
      onLoop(() =>
        withServer(echo, { ssl: SERVER }, function* (port, server) {
          const socket = yield* rawClient(port);
          // The beginning of a ClientHello.
          socket.write(Buffer.from('160301010001', 'hex'));
          yield* untilTrue(() => server.statistics().connections === 1);
          socket[end]();
          yield* untilTrue(() => server.statistics().connections === 0);
        }),
      ));
  }

  it('is cancelled', () =>
    onLoop(() =>
      withNodeServer(rawServer(), function* (port) {
        let factories = 0;
        const factory = (): Recorder => {
          factories++;
          return new Recorder();
        };
        const task = createTask(createConnection(factory, LOCALHOST, port, { ssl: { ca } }));
        yield* untilTrue(() => factories === 1);
        task.cancel();
        assert.ok(isCancelledError(yield* errorOf(task)));
        assert.equal(getEventLoop().statistics().timers, 0);
      }),
    ));

  it('is cancelled at any moment: nothing is left', () =>
    onLoop(() =>
      withProtocol(
        () => new Recorder(),
        { ssl: SERVER },
        function* (port, server) {
          for (let turns = 0, connected = false; !connected; turns++) {
            const task = createTask(openConnection(LOCALHOST, port, { ssl: { ca } }));
            for (let i = 0; i < turns && !task.done(); i++) {
              yield* until(new Promise((resolve) => setImmediate(resolve)));
            }
            connected = task.done();
            task.cancel();
            const error = yield* errorOf(task);
            if (connected) task.result()[1].transport.abort();
            else assert.ok(isCancelledError(error));
            yield* untilTrue(() => server.statistics().connections === 0);
          }
        },
      ),
    ));

  it('closing and aborting what a server has accepted ends its handshakes', () =>
    onLoop(function* () {
      for (const end of ['closeClients', 'abortClients'] as const) {
        const server = yield* createServer(() => new Recorder(), LOCALHOST, 0, { ssl: SERVER });
        const socket = yield* rawClient(server.port);
        yield* untilTrue(() => server.statistics().connections === 1);
        server.close();
        server[end]();
        yield* server.waitClosed();
        yield* until(new Promise((resolve) => socket.on('close', resolve).resume()));
      }
    }));

  it('shutdown of a server ends its handshakes', () =>
    onLoop(function* () {
      const server = yield* createServer(() => new Recorder(), LOCALHOST, 0, { ssl: SERVER });
      const socket = yield* rawClient(server.port);
      yield* untilTrue(() => server.statistics().connections === 1);
      yield* server.shutdown(1);
      socket.destroy();
    }));

  it('a certificate that cannot be read', () =>
    onLoop(() =>
      withServer(echo, {}, function* (port) {
        const ssl = { cert: 'no certificate', key: 'no key' };
        const error = yield* errorOf(openConnection(LOCALHOST, port, { ssl }));
        assert.match(error.code, /^ERR_OSSL/);
        assert.throws(() => createServer(() => new Recorder(), LOCALHOST, 0, { ssl }), {
          code: error.code,
        });
      }),
    ));

  it('a protocol factory that throws', () =>
    onLoop(() =>
      withServer(echo, { ssl: SERVER }, function* (port) {
        const factory = (): never => {
          throw new Error('no protocol today');
        };
        const options = { ssl: { ca } };
        const error = yield* errorOf(createConnection(factory, LOCALHOST, port, options));
        assert.equal(error.message, 'no protocol today');
      }),
    ));

  it('options that make no sense', () => {
    const connect = (options: any) => () => openConnection(LOCALHOST, 1, options);
    assert.throws(connect({ ssl: 1 }), /ssl must be true or an object of options, got 1/);
    assert.throws(connect({ serverHostname: 'x' }), {
      name: 'RangeError',
      message: 'createConnection: serverHostname is only meaningful with ssl',
    });
    assert.throws(connect({ sslHandshakeTimeout: 1 }), /sslHandshakeTimeout is only meaningful/);
    assert.throws(connect({ ssl: true, sslHandshakeTimeout: 0 }), {
      name: 'RangeError',
      message: 'createConnection: sslHandshakeTimeout should be a positive number, got 0',
    });
    assert.throws(connect({ ssl: true, sslShutdownTimeout: '1' }), TypeError);
    assert.throws(connect({ ssl: true, serverHostname: 1 }), TypeError);
    const serve = (options: any) => () => createServer(() => new Recorder(), null, 0, options);
    assert.throws(serve({ ssl: true }), /ssl must be an object with cert and key, got true/);
    assert.throws(serve({ sslShutdownTimeout: 1 }), /only meaningful with ssl/);
  });
});

describe('TLS: the life of a transport', () => {
  it('calls the protocol in order; what was written before close() arrives', () =>
    onLoop(function* () {
      const server = new Recorder();
      const options = { ssl: SERVER };
      yield* withProtocol(
        () => server,
        options,
        function* (port) {
          const client = new Recorder();
          const [transport] = yield* createConnection(() => client, LOCALHOST, port, {
            ssl: { ca },
          });
          transport.write('the ');
          transport.writelines(['last ', Buffer.from('words')]);
          transport.close();
          transport.close();
          transport.write('dropped');
          assert.equal(transport.isClosing(), true);
          assert.equal(transport.isReading(), false);
          yield* server.lost;
          yield* client.lost;
          assert.equal(Buffer.concat(server.received).toString(), 'the last words');
          assert.deepEqual(server.events, ['made', 'data', 'eof', 'lost']);
          assert.deepEqual(client.events, ['made', 'lost']);
          assert.deepEqual([client.error, server.error], [null, null]);
        },
      );
    }));

  it('may answer when the other side has sent its last', () =>
    onLoop(function* () {
      class Late extends Recorder {
        override eofReceived(): unknown {
          this.transport.write('goodbye');
          return super.eofReceived();
        }
      }
      yield* withProtocol(
        () => new Late(),
        { ssl: SERVER },
        function* (port) {
          const socket = tls.connect({ port, host: LOCALHOST, ca });
          const chunks: Buffer[] = [];
          socket.on('data', (data) => chunks.push(data));
          const closed = new Promise((resolve) => socket.on('close', resolve));
          socket.end('hello');
          yield* until(closed);
          assert.equal(Buffer.concat(chunks).toString(), 'goodbye');
        },
      );
    }));

  it('moves 10 MB each way, and pauses who writes too fast', () =>
    onLoop(function* () {
      const block = Buffer.alloc(MEGABYTE, 'ringloop');
      class Sender extends Recorder {
        sent = 0;
        paused = 0;

        override connectionMade(transport: Transport): void {
          super.connectionMade(transport);
          this.send();
        }

        send(): void {
          while (this.sent < 10 && !this.events.at(-1)!.startsWith('pause')) {
            this.sent++;
            this.transport.write(block);
          }
        }

        override dataReceived(data: Buffer): void {
          const last = this.events.at(-1)!;
          this.received.push(data);
          assert.ok(last !== 'lost');
        }

        override resumeWriting(): void {
          assert.ok(this.transport.getWriteBufferSize() <= 128 * 1024);
          super.resumeWriting();
          this.send();
        }
      }
      const server = new Sender();
      yield* withProtocol(
        () => server,
        { ssl: SERVER },
        function* (port) {
          const client = new Sender();
          yield* createConnection(() => client, LOCALHOST, port, { ssl: { ca } });
          for (const each of [client, server]) {
            yield* untilTrue(() => each.size === 10 * MEGABYTE, 'the data');
            const counts = (event: string): number =>
              each.events.filter((other) => other === event).length;
            yield* untilTrue(() => counts('pause') === counts('resume'));
            assert.equal(counts('pause'), 10);
            assert.ok(Buffer.concat(each.received).equals(Buffer.alloc(10 * MEGABYTE, 'ringloop')));
          }
          client.transport.close();
          yield* client.lost;
        },
      );
    }));

  it('moves 10 MB through streams, echoed', () =>
    onLoop(() =>
      withServer(echo, { ssl: SERVER }, function* (port) {
        const [reader, writer] = yield* openConnection(LOCALHOST, port, { ssl: { ca } });
        const task = createTask(function* () {
          for (let i = 0; i < 10; i++) {
            writer.write(Buffer.alloc(MEGABYTE, i));
            yield* writer.drain();
          }
        });
        const all = yield* reader.readExactly(10 * MEGABYTE);
        yield* task;
        for (let i = 0; i < 10; i++) assert.equal(all[i * MEGABYTE + MEGABYTE - 1], i);
        writer.close();
        yield* writer.waitClosed();
      }),
    ));

  it('receives nothing while it is paused, and everything afterwards', () =>
    onLoop(function* () {
      const server = new Recorder();
      yield* withProtocol(
        () => server,
        { ssl: SERVER },
        function* (port) {
          const client = new Recorder();
          yield* createConnection(() => client, LOCALHOST, port, { ssl: { ca } });
          yield* server.made;
          server.transport.pauseReading();
          server.transport.pauseReading();
          assert.equal(server.transport.isReading(), false);
          client.transport.write('held up');
          client.transport.close();
          for (let i = 0; i < 20; i++) yield* until(turnOfNode());
          assert.deepEqual(server.events, ['made']);
          server.transport.resumeReading();
          server.transport.resumeReading();
          yield* server.lost;
          assert.deepEqual(server.events, ['made', 'data', 'eof', 'lost']);
        },
      );
    }));

  it('abort() drops what was written, and connectionLost(null) follows in the next iteration', () =>
    onLoop(function* () {
      const server = new Recorder();
      yield* withProtocol(
        () => server,
        { ssl: SERVER },
        function* (port) {
          const client = new Recorder();
          const [transport] = yield* createConnection(() => client, LOCALHOST, port, {
            ssl: { ca },
          });
          transport.write(Buffer.alloc(MEGABYTE));
          assert.deepEqual(client.events, ['made', 'pause']);
          transport.abort();
          transport.abort();
          assert.equal(transport.getWriteBufferSize(), 0);
          assert.deepEqual(client.events, ['made', 'pause']);
          yield* client.lost;
          assert.deepEqual(client.events, ['made', 'pause', 'lost']);
          assert.equal(client.error, null);
          yield* server.lost;
          assert.ok(server.size < MEGABYTE);
        },
      );
    }));

  it('ends with a TimeoutError if nobody answers close()', () =>
    onLoop(function* () {
      const deaf = tls.createServer({ ...identity('server'), allowHalfOpen: true }, (socket) =>
        socket.on('error', () => {}).pause(),
      );
      yield* withNodeServer(deaf, function* (port) {
        const client = new Recorder();
        const options = { ssl: { ca }, sslShutdownTimeout: 20 };
        const [transport] = yield* createConnection(() => client, LOCALHOST, port, options);
        transport.close();
        yield* client.lost;
        assert.equal(client.error!.name, 'TimeoutError');
        assert.equal(client.error!.message, 'SSL shutdown timed out');
      });
    }));

  it('is told of a reset', () =>
    onLoop(function* () {
      const server = new Recorder();
      yield* withProtocol(
        () => server,
        { ssl: SERVER },
        function* (port) {
          const raw = yield* rawClient(port);
          const socket = tls.connect({ socket: raw, ca, host: LOCALHOST });
          socket.on('error', () => {});
          yield* server.made;
          raw.resetAndDestroy();
          yield* server.lost;
          assert.equal((server.error as unknown as { code: string }).code, 'ECONNRESET');
          assert.deepEqual(server.events, ['made', 'lost']);
        },
      );
    }));

  const CALLBACKS = ['dataReceived', 'eofReceived'] as const;
  for (const callback of CALLBACKS) {
    it(`reports what ${callback} throws, and aborts`, () =>
      onLoop(function* (reports) {
        class Broken extends Recorder {}
        Broken.prototype[callback] = () => {
          throw new Error('a mistake');
        };
        const server = new Broken();
        yield* withProtocol(
          () => server,
          { ssl: SERVER },
          function* (port) {
            const client = new Recorder();
            yield* createConnection(() => client, LOCALHOST, port, { ssl: { ca } });
            client.transport.write('x');
            client.transport.close();
            yield* server.lost;
            assert.equal(server.error!.message, 'a mistake');
            assert.equal(reports[0]!.message, `Fatal error: protocol.${callback}() call failed`);
            assert.equal(reports[0]!.transport, server.transport);
            yield* client.lost;
          },
        );
      }, 1));
  }

  it('fills the buffers of a BufferedProtocol', () =>
    onLoop(function* () {
      class Buffered extends BufferedProtocol {
        readonly buffer = Buffer.alloc(7);
        text = '';
        ended = false;

        override getBuffer(): Uint8Array {
          return this.buffer;
        }

        override bufferUpdated(count: number): void {
          this.text += this.buffer.toString('latin1', 0, count);
        }

        override connectionLost(): void {
          this.ended = true;
        }
      }
      const server = new Buffered();
      const listening = yield* createServer(() => server, LOCALHOST, 0, { ssl: SERVER });
      const [transport] = yield* createConnection(() => new Recorder(), LOCALHOST, listening.port, {
        ssl: { ca },
      });
      transport.write('more than seven bytes at a time');
      transport.close();
      yield* untilTrue(() => server.ended);
      assert.equal(server.text, 'more than seven bytes at a time');
      listening.close();
      yield* listening.waitClosed();
    }));

  it('calls back in the context in which the connection was made', () =>
    onLoop(function* () {
      const variable = new ContextVar<string>('variable');
      const seen: (string | undefined)[] = [];
      class Looking extends Recorder {
        override dataReceived(data: Buffer): void {
          super.dataReceived(data);
          seen.push(variable.get());
        }
      }
      yield* withServer(echo, { ssl: SERVER }, function* (port) {
        variable.set('the client');
        const client = new Looking();
        yield* createConnection(() => client, LOCALHOST, port, { ssl: { ca } });
        variable.set('later');
        client.transport.write('x');
        yield* untilTrue(() => client.size === 1);
        assert.deepEqual(seen, ['the client']);
        client.transport.close();
        yield* client.lost;
      });
    }));
});

describe('startTls', () => {
  const upgrade = function* (reader: any, writer: any): Steps {
    assert.equal(String(yield* reader.readLine()), 'STARTTLS\n');
    writer.write('go ahead\n');
    yield* writer.drain();
    yield* writer.startTls(SERVER);
    yield* echo(reader, writer);
  };

  it('encrypts streams in the middle, both sides', () =>
    onLoop(() =>
      withServer(upgrade, {}, function* (port, server) {
        const [reader, writer] = yield* openConnection(LOCALHOST, port);
        const before = writer.transport;
        writer.write('STARTTLS\n');
        assert.equal(String(yield* reader.readLine()), 'go ahead\n');
        yield* writer.startTls({ ca }, { serverHostname: 'localhost' });
        assert.notEqual(writer.transport, before);
        assert.equal(before.isClosing(), true);
        assert.throws(() => before.write('plain'), /unable to write; TLS has been started/);
        assert.equal(writer.getExtraInfo('peercert').subject.CN, 'localhost');
        assert.equal(writer.getExtraInfo('peername').port, port);
        writer.write('secret\n');
        assert.equal(String(yield* reader.readLine()), 'secret\n');
        assert.equal(server.statistics().connections, 1);
        writer.close();
        yield* writer.waitClosed();
        yield* untilTrue(() => server.statistics().connections === 0);
      }),
    ));

  it('sends first what was written before', () =>
    onLoop(function* () {
      const plain = new Recorder();
      const size = 8 * MEGABYTE;
      yield* withNodeServer(
        rawServer((socket) => {
          let left = size;
          socket.pause();
          setImmediate(() => socket.resume());
          socket.on('data', function take(data) {
            left -= data.length;
            if (left > 0) return;
            socket.removeListener('data', take);
            socket.pause();
            // The handshake may have come together with the last bytes.
            if (left < 0) socket.unshift(data.subarray(left));
            const secure = new tls.TLSSocket(socket, { isServer: true, ...identity('server') });
            secure.on('error', () => {});
            secure.pipe(secure);
          });
        }),
        function* (port) {
          const [transport] = yield* createConnection(() => plain, LOCALHOST, port);
          transport.write(Buffer.alloc(size));
          assert.ok(transport.getWriteBufferSize() > 0);
          const options = { serverHostname: 'localhost' };
          const encrypted = yield* startTls(transport, plain, { ca }, options);
          assert.deepEqual(plain.events, ['made', 'pause', 'resume']);
          encrypted.write('x');
          yield* untilTrue(() => plain.size === 1);
          assert.equal(encrypted.getProtocol(), plain);
          encrypted.close();
          yield* plain.lost;
          assert.deepEqual(plain.events, ['made', 'pause', 'resume', 'data', 'lost']);
        },
      );
    }));

  it('takes a handshake that came too early for what it is', () =>
    onLoop(() =>
      withServer(
        function* (reader, writer) {
          // The client does not wait for an answer: its ClientHello may be in the reader by now.
          yield* reader.readLine();
          yield* untilTrue(() => reader.statistics().size > 0);
          yield* writer.startTls(SERVER);
          yield* echo(reader, writer);
        },
        {},
        function* (port) {
          const [reader, writer] = yield* openConnection(LOCALHOST, port);
          writer.write('STARTTLS\n');
          yield* writer.startTls({ ca }, { serverHostname: 'localhost' });
          writer.write('secret\n');
          assert.equal(String(yield* reader.readLine()), 'secret\n');
          writer.close();
          yield* writer.waitClosed();
        },
      ),
    ));

  it('fails if somebody has put words behind the plaintext', () =>
    onLoop(() =>
      withNodeServer(
        rawServer((socket) => socket.write('go ahead\n250 injected\n')),
        function* (port) {
          const [reader, writer] = yield* openConnection(LOCALHOST, port);
          yield* reader.readLine();
          const options = { serverHostname: 'localhost' };
          const error = yield* errorOf(writer.startTls({ ca }, options));
          assert.match(error.code, /^ERR_SSL_/);
          assert.equal(yield* errorOf(writer.waitClosed()), error);
          assert.equal(yield* errorOf(reader.read()), error);
        },
      ),
    ));

  it('fails as a handshake does: the connection is closed and everybody is told', () =>
    onLoop(() =>
      withServer(
        function* (reader, writer) {
          yield* errorOf(upgrade(reader, writer));
        },
        {},
        function* (port, server) {
          const [reader, writer] = yield* openConnection(LOCALHOST, port);
          writer.write('STARTTLS\n');
          yield* reader.readLine();
          const options = { serverHostname: 'other.example' };
          const error = yield* errorOf(writer.startTls({ ca }, options));
          assert.equal(error.code, 'ERR_TLS_CERT_ALTNAME_INVALID');
          assert.equal(yield* errorOf(writer.waitClosed()), error);
          assert.equal(writer.isClosing(), true);
          yield* untilTrue(() => server.statistics().connections === 0);
        },
      ),
    ));

  it('is cancelled', () =>
    onLoop(() =>
      withNodeServer(rawServer(), function* (port) {
        const protocol = new Recorder();
        const [transport] = yield* createConnection(() => protocol, LOCALHOST, port);
        const options = { serverHostname: 'localhost' };
        const task = createTask(startTls(transport, protocol, { ca }, options));
        for (let i = 0; i < 5; i++) yield* until(turnOfNode());
        task.cancel();
        assert.ok(isCancelledError(yield* errorOf(task)));
        yield* protocol.lost;
        assert.equal(protocol.error, null);
      }),
    ));

  it('is cancelled while what was written before is being sent', () =>
    onLoop(() =>
      withNodeServer(
        rawServer((socket) => socket.pause()),
        function* (port) {
          const protocol = new Recorder();
          const [transport] = yield* createConnection(() => protocol, LOCALHOST, port);
          transport.write(Buffer.alloc(16 * MEGABYTE));
          const options = { serverHostname: 'localhost' };
          const task = createTask(startTls(transport, protocol, { ca }, options));
          for (let i = 0; i < 5; i++) yield* until(turnOfNode());
          assert.throws(() => transport.write('x'), /unable to write/);
          task.cancel();
          assert.ok(isCancelledError(yield* errorOf(task)));
          yield* protocol.lost;
          assert.equal(transport.isClosing(), true);
        },
      ),
    ));

  it('is told if the connection is lost while what was written before is being sent', () =>
    onLoop(() =>
      withNodeServer(
        rawServer((socket) => setImmediate(() => socket.resetAndDestroy())),
        function* (port) {
          const protocol = new Recorder();
          const [transport] = yield* createConnection(() => protocol, LOCALHOST, port);
          transport.write(Buffer.alloc(16 * MEGABYTE));
          const options = { serverHostname: 'localhost' };
          const error = yield* errorOf(startTls(transport, protocol, { ca }, options));
          assert.match(error.code, /ECONNRESET|EPIPE/);
          yield* protocol.lost;
        },
      ),
    ));

  it('wants a transport, a protocol, and a name to check', () =>
    onLoop(() =>
      withServer(echo, { ssl: SERVER }, function* (port) {
        const protocol = new Recorder();
        const [transport] = yield* createConnection(() => protocol, LOCALHOST, port, {
          ssl: { ca },
        });
        assert.throws(() => startTls(transport, protocol, { ca }), /is not supported by startTls/);
        assert.throws(() => startTls({} as Transport, protocol, { ca }), TypeError);
        transport.close();
        yield* protocol.lost;
      }),
    ));

  it('wants to know whose certificate to expect', () =>
    onLoop(() =>
      withServer(echo, {}, function* (port) {
        const protocol = new Recorder();
        const [transport] = yield* createConnection(() => protocol, LOCALHOST, port);
        assert.throws(() => startTls(transport, protocol, { ca }), /serverHostname is needed/);
        assert.throws(() => startTls(transport, {} as Protocol, { ca }), TypeError);
        assert.throws(() => startTls(transport, protocol, 1 as never), TypeError);
        transport.close();
        const error = yield* errorOf(
          startTls(transport, protocol, { ca }, { serverHostname: 'localhost' }),
        );
        assert.equal(error.message, 'Transport is closing');
        yield* protocol.lost;
      }),
    ));
});
