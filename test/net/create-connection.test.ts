import assert from 'node:assert/strict';
import dns from 'node:dns/promises';
import { closeSync, openSync } from 'node:fs';

import {
  connectAcceptedSocket,
  createConnection,
  createServer,
  createTask,
  EventLoop,
  isCancelledError,
  openConnection,
  type Protocol,
  type Server,
  type SocketAddress,
  type SystemError,
  sleep,
  type Task,
  type Transport,
  until,
} from 'ringloop';
import { errorOf } from '../support/both-kinds.js';
import {
  LOCALHOST,
  onLoop,
  RawListener,
  RawSocket,
  Recorder,
  sockets,
  someTurns,
  untilTrue,
} from '../support/net.js';
import { openSockets } from '../support/open-sockets.js';

type Found = { address: string; family: number };

/** Runs `body` while the resolver knows one name only. */
function* resolving(
  answer: readonly Found[] | Promise<Found[]> | Error,
  body: () => Generator<unknown, void, any>,
): Generator<unknown, void, any> {
  const before = dns.lookup;
  const fake = async (): Promise<unknown> => {
    if (answer instanceof Error) throw answer;
    return answer;
  };
  Object.assign(dns, { lookup: fake });
  try {
    yield* body();
  } finally {
    Object.assign(dns, { lookup: before });
  }
}

const four = (address: string): Found => ({ address, family: 4 });
const six = (address: string): Found => ({ address, family: 6 });

/** A server on 127.0.0.1; its port is free on every other address of the machine. */
function* withServer(
  body: (port: number, accepted: Recorder[]) => Generator<unknown, void, any>,
): Generator<unknown, void, any> {
  const accepted: Recorder[] = [];
  const factory = (): Protocol => {
    accepted.push(new Recorder());
    return accepted.at(-1)!;
  };
  const server: Server = yield* createServer(factory, LOCALHOST, 0);
  try {
    yield* body(server.port, accepted);
  } finally {
    server.close();
    server.abortClients();
    yield* server.waitClosed();
    yield* someTurns();
  }
}

/** An address on the same port that never answers: its queue is full. Linux drops what comes. */
function* withSilence(
  address: string,
  port: number,
  body: () => Generator<unknown, void, any>,
): Generator<unknown, void, any> {
  const fds = [sockets.open(4, false), sockets.open(4, false), sockets.open(4, false)] as const;
  try {
    assert.equal(sockets.bind(fds[0], 4, address, port), 0);
    assert.equal(sockets.listen(fds[0], 0), 0);
    sockets.connect(fds[1], 4, address, port);
    sockets.connect(fds[2], 4, address, port);
    yield* someTurns();
    yield* body();
  } finally {
    for (const fd of fds) sockets.close(fd);
    yield* someTurns();
  }
}

const LINUX = process.platform === 'linux';
const recorder = (): Recorder => new Recorder();

function* connect(host: string, port: number, options = {}): Generator<unknown, Transport, any> {
  const [transport] = yield* createConnection(recorder, host, port, options);
  return transport;
}

function addressOf(transport: Transport): string {
  return (transport.getExtraInfo('peername') as SocketAddress).address;
}

describe('createConnection()', () => {
  it('returns the transport and the protocol, which has been told', () =>
    onLoop(function* () {
      yield* withServer(function* (port) {
        const [transport, protocol] = yield* createConnection(recorder, LOCALHOST, port);
        assert.deepEqual(protocol.events, ['made']);
        assert.equal(protocol.transport, transport);
        assert.equal(addressOf(transport), LOCALHOST);
        transport.close();
      });
    }));

  (LINUX ? it : it.skip)('gives its socket back when its loop is closed in the middle', () =>
    onLoop(function* () {
      yield* withServer(function* (port) {
        yield* withSilence('127.0.0.77', port, function* () {
          const before = openSockets();
          const loop = new EventLoop();
          const stopped = loop.runForever();
          loop.createTask(function* () {
            yield* createConnection(recorder, '127.0.0.77', port);
          });
          yield* untilTrue(() => openSockets().length > before.length, 'a socket');
          loop.stop();
          yield* until(stopped);
          loop.close();
          assert.deepEqual(openSockets(), before);
        });
      });
    }),
  );

  it('looks names up', () =>
    onLoop(function* () {
      yield* withServer(function* (port) {
        const transport = yield* connect('localhost', port);
        assert.equal(addressOf(transport), LOCALHOST);
        transport.close();
      });
    }));

  it('says who refused', () =>
    onLoop(function* () {
      const listener = new RawListener();
      listener.close();
      const error: SystemError = yield* errorOf(connect(LOCALHOST, listener.port));
      assert.equal(error.code, 'ECONNREFUSED');
      assert.equal(error.syscall, 'connect');
      assert.equal(error.address, LOCALHOST);
      assert.equal(error.port, listener.port);
      assert.ok(error.errno < 0);
      assert.equal(error.message, `connect ECONNREFUSED 127.0.0.1:${listener.port}`);
    }));

  it('passes the error of the resolver on', () =>
    onLoop(function* () {
      const error = Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
      yield* resolving(error, function* () {
        assert.equal(yield* errorOf(connect('name', 1)), error);
      });
    }));

  it('says that a name without addresses is not found', () =>
    onLoop(function* () {
      yield* resolving([], function* () {
        for (const host of ['name', '']) {
          const error: SystemError = yield* errorOf(connect(host, 1));
          assert.equal(error.code, 'ENOTFOUND');
          assert.equal(error.syscall, 'getaddrinfo');
          assert.equal((error as { hostname?: string }).hostname, host);
        }
      });
    }));

  it('does not connect to an address of the wrong family', () =>
    onLoop(function* () {
      yield* withServer(function* (port) {
        for (const [host, family] of [
          [LOCALHOST, 6],
          ['::1', 4],
        ]) {
          const error = yield* errorOf(connect(host as string, port, { family }));
          assert.equal(error.code, 'ENOTFOUND');
        }
        (yield* connect(LOCALHOST, port, { family: 4 })).close();
      });
    }));

  it('connects from an address and a port that it is told', () =>
    onLoop(function* () {
      yield* withServer(function* (port) {
        const free = new RawListener();
        free.close();
        const localAddr = { host: LOCALHOST, port: free.port };
        const transport = yield* connect(LOCALHOST, port, { localAddr });
        assert.deepEqual(transport.getExtraInfo('sockname'), {
          address: LOCALHOST,
          port: free.port,
          family: 'IPv4',
        });
        transport.abort();
        const other = yield* connect(LOCALHOST, port, { localAddr: { host: '127.0.0.5' } });
        assert.equal((other.getExtraInfo('sockname') as SocketAddress).address, '127.0.0.5');
        other.close();
      });
    }));

  it('says what is wrong with the address to connect from', () =>
    onLoop(function* () {
      yield* withServer(function* (port) {
        const from = (host: string, more = {}) =>
          errorOf(connect(LOCALHOST, port, { localAddr: { host, ...more } }));
        const error: SystemError = yield* from('192.0.2.1', { port: 4711 });
        assert.equal(error.code, 'EADDRNOTAVAIL');
        assert.equal(error.syscall, 'bind');
        assert.equal(error.address, '192.0.2.1');
        assert.equal(error.port, 4711);
        assert.match((yield* from('::1')).message, /localAddr ::1 is of another family/);
      });
    }));

  it('takes options for its socket', () =>
    onLoop(function* () {
      yield* withServer(function* (port) {
        for (const options of [
          { noDelay: true, keepAlive: true },
          { noDelay: false, keepAlive: false },
        ]) {
          (yield* connect(LOCALHOST, port, options)).close();
        }
      });
    }));

  it('refuses wrong arguments at once', () => {
    const call =
      (...args: unknown[]) =>
      () =>
        (createConnection as (...args: unknown[]) => unknown)(...args);
    const wrong: [call: () => unknown, name: string, message: RegExp][] = [
      [call(5, 'x', 1), 'TypeError', /protocolFactory must be a function, got 5/],
      [call(recorder, null, 1), 'TypeError', /host must be a string, got null/],
      [call(recorder, 'x', 'y'), 'TypeError', /port must be a number, got "y"/],
      [call(recorder, 'x', 70_000), 'RangeError', /port must be 0 to 65535, got 70000/],
      [call(recorder, 'x', 1, { family: 'IPv4' }), 'TypeError', /family must be 4, 6 or 0/],
      [call(recorder, 'x', 1, { localAddr: 'y' }), 'TypeError', /host must be a string/],
      [call(recorder, 'x', 1, { localAddr: { host: 'y', port: -1 } }), 'RangeError', /port/],
      [call(recorder, 'x', 1, { happyEyeballsDelay: -1 }), 'TypeError', /happyEyeballsDelay/],
      [call(recorder, 'x', 1, { happyEyeballsDelay: NaN }), 'TypeError', /happyEyeballsDelay/],
    ];
    for (const [attempt, name, message] of wrong) assert.throws(attempt, { name, message });
  });

  it('closes the socket when the protocolFactory throws, or returns nonsense', () =>
    onLoop(function* () {
      yield* withServer(function* (port, accepted) {
        const oops = new Error('oops');
        const throwing = createConnection(
          () => {
            throw oops;
          },
          LOCALHOST,
          port,
        );
        assert.equal(yield* errorOf(throwing), oops);
        const nonsense = createConnection(() => 5 as never, LOCALHOST, port);
        assert.match((yield* errorOf(nonsense)).message, /expected a protocol, got 5/);
        yield* untilTrue(() => accepted.length === 2);
        for (const side of accepted) yield* side.untilEvent('lost');
      });
    }));
});

describe('createConnection() to a name with several addresses', () => {
  it('takes the next when one refuses', () =>
    onLoop(function* () {
      yield* withServer(function* (port) {
        const answer = [four('127.0.0.7'), four('127.0.0.8'), four(LOCALHOST)];
        for (const happyEyeballsDelay of [0, 250, Infinity]) {
          yield* resolving(answer, function* () {
            const transport = yield* connect('name', port, { happyEyeballsDelay });
            assert.equal(addressOf(transport), LOCALHOST);
            transport.close();
          });
        }
      });
    }));

  it('tries the families in turn', () =>
    onLoop(function* () {
      const listener = new RawListener();
      listener.close();
      const answer = [six('::1'), six('::ffff:0:2'), four('127.0.0.2'), four('127.0.0.3')];
      yield* resolving(answer, function* () {
        const options = { happyEyeballsDelay: Infinity };
        const error: AggregateError = yield* errorOf(connect('name', listener.port, options));
        assert.deepEqual(
          error.errors.map(({ address }) => address),
          ['::1', '127.0.0.2', '::ffff:0:2', '127.0.0.3'],
        );
      });
    }));

  it('throws the errors of all, with the code of the first', () =>
    onLoop(function* () {
      const listener = new RawListener();
      listener.close();
      const { port } = listener;
      yield* resolving([four('127.0.0.2'), four('127.0.0.3')], function* () {
        const error: AggregateError & SystemError = yield* errorOf(connect('name', port));
        assert.ok(error instanceof AggregateError);
        assert.equal(error.code, 'ECONNREFUSED');
        assert.equal(error.syscall, 'connect');
        assert.ok(error.errno < 0);
        assert.equal(
          error.message,
          `Multiple exceptions: connect ECONNREFUSED 127.0.0.2:${port}, ` +
            `connect ECONNREFUSED 127.0.0.3:${port}`,
        );
      });
      yield* resolving([four('127.0.0.2'), four('127.0.0.2')], function* () {
        const error: SystemError = yield* errorOf(connect('name', port));
        assert.equal(error.message, `connect ECONNREFUSED 127.0.0.2:${port}`);
      });
    }));

  it('says first what the system says, though another error came before', () =>
    onLoop(function* () {
      const listener = new RawListener();
      listener.close();
      const localAddr = { host: LOCALHOST };
      yield* resolving([six('::1'), four('127.0.0.2')], function* () {
        const error = yield* errorOf(connect('name', listener.port, { localAddr }));
        assert.equal(error.code, 'ECONNREFUSED');
        assert.equal(error.errors.length, 2);
      });
    }));

  it('tries the next beside one that does not answer, and closes the loser', function () {
    if (!LINUX) return this.skip();
    return onLoop(function* () {
      yield* withServer(function* (port) {
        yield* withSilence('127.0.0.9', port, function* () {
          yield* resolving([four('127.0.0.9'), four(LOCALHOST)], function* () {
            const before = openSockets().length;
            const transport = yield* connect('name', port, { happyEyeballsDelay: 1 });
            assert.equal(addressOf(transport), LOCALHOST);
            yield* someTurns();
            // Ours, and the server's.
            assert.equal(openSockets().length, before + 2);
            transport.close();
          });
        });
      });
    });
  });

  it('waits for those that are under way when the last has failed', function () {
    if (!LINUX) return this.skip();
    return onLoop(function* () {
      yield* withServer(function* (port) {
        yield* withSilence('127.0.0.9', port, function* () {
          yield* resolving([four('127.0.0.9'), four('127.0.0.10')], function* () {
            const task = createTask(connect('name', port, { happyEyeballsDelay: 0 }));
            yield* someTurns();
            assert.equal(task.done(), false);
            task.cancel();
            assert.ok(isCancelledError(yield* errorOf(task)));
          });
        });
      });
    });
  });

  it('keeps one connection when several answer at once', () =>
    onLoop(function* () {
      const first = yield* createServer(recorder, LOCALHOST, 0);
      const second = yield* createServer(recorder, '127.0.0.2', first.port);
      yield* resolving([four('127.0.0.2'), four(LOCALHOST)], function* () {
        for (let i = 0; i < 20; i++) {
          const transport = yield* connect('name', first.port, { happyEyeballsDelay: 0 });
          transport.close();
        }
        yield* someTurns();
      });
      for (const server of [first, second]) {
        server.close();
        yield* server.waitClosed();
      }
    }));
});

describe('a connection that is cancelled', () => {
  /** Cancels after so many iterations, with the world's time in between. */
  function* cancelAfter(steps: number, task: Task<Transport>): Generator<unknown, boolean, any> {
    for (let i = 0; i < steps && !task.done(); i++) yield* i % 3 === 2 ? someTurns() : sleep(0);
    task.cancel();
    const error = yield* errorOf(task);
    if (error === undefined) {
      task.result().close();
      return true;
    }
    assert.ok(isCancelledError(error));
    return false;
  }

  it('leaves nothing open, in whatever stage', () =>
    onLoop(function* () {
      yield* withServer(function* (port) {
        for (const host of [LOCALHOST, 'name']) {
          yield* resolving([four('127.0.0.7'), four(LOCALHOST)], function* () {
            let finished = 0;
            for (let steps = 0; steps < 16; steps++) {
              const options = { happyEyeballsDelay: 0 };
              const task = createTask(connect(host, port, options)) as Task<Transport>;
              if (yield* cancelAfter(steps, task)) finished++;
              yield* someTurns();
            }
            assert.ok(finished > 0 && finished < 16, `${finished} came to their end`);
          });
        }
      });
    }));

  it('does not wait for the resolver', () =>
    onLoop(function* () {
      let answer: (found: Found[]) => void = () => {};
      const never = new Promise<Found[]>((resolve) => (answer = resolve));
      yield* resolving(never, function* () {
        const task = createTask(connect('name', 1));
        yield* someTurns();
        task.cancel();
        assert.ok(isCancelledError(yield* errorOf(task)));
        answer([]);
        yield* someTurns();
      });
    }));

  it('is lost in good order when its protocol exists already', () =>
    onLoop(function* () {
      yield* withServer(function* (port) {
        const protocol = new Recorder();
        let task: Task<unknown> | undefined;
        protocol.connectionMade = function (transport) {
          this.transport = transport;
          this.events.push('made');
          task!.cancel();
        };
        task = createTask(createConnection(() => protocol, LOCALHOST, port));
        assert.ok(isCancelledError(yield* errorOf(task)));
        yield* protocol.untilEvent('lost');
        assert.deepEqual(protocol.events, ['made', 'lost']);
      });
    }));

  it('is the same with streams', () =>
    onLoop(function* () {
      yield* withServer(function* (port) {
        for (let steps = 0; steps < 10; steps++) {
          const task = createTask(openConnection(LOCALHOST, port));
          for (let i = 0; i < steps; i++) yield* i % 3 === 2 ? someTurns() : sleep(0);
          task.cancel();
          const error = yield* errorOf(task);
          if (error === undefined) task.result()[1].close();
        }
        yield* someTurns();
      });
    }));
});

describe('connectAcceptedSocket()', () => {
  it('makes a transport of a socket that somebody else has connected', () =>
    onLoop(function* () {
      const listener = new RawListener();
      const client = yield* RawSocket.connect(listener.port);
      const accepted = yield* listener.accept();
      const protocol = new Recorder();
      const [transport] = yield* connectAcceptedSocket(() => protocol, accepted.fd);
      client.write('hello');
      yield* protocol.untilText('hello');
      assert.equal(transport.getExtraInfo('fd'), accepted.fd);
      client.close();
      yield* protocol.untilEvent('lost');
      listener.close();
    }));

  it('refuses what is no connected socket, and leaves it alone', () =>
    onLoop(function* () {
      for (const wrong of [-1, 1.5, '5', null]) {
        assert.throws(() => connectAcceptedSocket(recorder, wrong as never), TypeError);
      }
      assert.throws(() => connectAcceptedSocket(5 as never, 5), TypeError);
      const file = openSync('/dev/null', 'r');
      assert.equal((yield* errorOf(connectAcceptedSocket(recorder, file))).code, 'ENOTSOCK');
      closeSync(file);
      const fresh = sockets.open(4, false);
      const error: SystemError = yield* errorOf(connectAcceptedSocket(recorder, fresh));
      assert.equal(error.code, 'ENOTCONN');
      assert.equal(error.syscall, 'getpeername');
      assert.equal(sockets.close(fresh), 0);
    }));

  it('refuses a socket that has a transport already', () =>
    onLoop(function* () {
      yield* withServer(function* (port) {
        const transport = yield* connect(LOCALHOST, port);
        const fd = transport.getExtraInfo('fd') as number;
        const error = yield* errorOf(connectAcceptedSocket(recorder, fd));
        assert.match(error.message, /is used by <SocketTransport open/);
        assert.equal(transport.isClosing(), false);
        transport.close();
      });
    }));
});
