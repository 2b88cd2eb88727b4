import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';

import {
  ContextVar,
  createDatagramEndpoint,
  createTask,
  type DatagramEndpointOptions,
  DatagramProtocol,
  type DatagramTransport,
  EventLoop,
  Future,
  getEventLoop,
  isCancelledError,
  Queue,
  run,
  type SocketAddress,
  sleep,
  until,
} from 'ringloop';
import { CHECKOUT, runProgram, withReports } from '../support/capture.js';

const LOCALHOST = '127.0.0.1';
const { coreModule } = require(join(CHECKOUT, 'dist', 'core', 'native.js'));
const HAS_IPV6 = Object.values(networkInterfaces()).some((each) =>
  each?.some(({ address }) => address === '::1'),
);

/** Writes down what it is told, and lets a test wait for it. */
class Recorder extends DatagramProtocol {
  readonly events: string[] = [];
  readonly received = new Queue<{ data: Buffer; address: SocketAddress }>();
  readonly errors = new Queue<NodeJS.ErrnoException>();
  readonly lost = new Future<Error | null>();
  transport!: DatagramTransport;

  override connectionMade(transport: DatagramTransport): void {
    this.transport = transport;
    this.events.push('made');
  }

  override datagramReceived(data: Buffer, address: SocketAddress): void {
    this.events.push(`data ${data.length > 20 ? data.length : data}`);
    this.received.putNowait({ data, address });
  }

  override errorReceived(error: Error): void {
    this.events.push(`error ${(error as NodeJS.ErrnoException).code}`);
    this.errors.putNowait(error as NodeJS.ErrnoException);
  }

  override pauseWriting(): void {
    this.events.push('pause');
  }

  override resumeWriting(): void {
    this.events.push('resume');
  }

  override connectionLost(error: Error | null): void {
    this.events.push('lost');
    this.lost.setResult(error);
  }

  /** The next `count` datagrams, as text. */
  *texts(count: number): Generator<unknown, string[], any> {
    const texts: string[] = [];
    while (texts.length < count) texts.push((yield* this.received.get()).data.toString());
    return texts;
  }
}

/** Answers with what it is sent. */
class Echo extends Recorder {
  override datagramReceived(data: Buffer, address: SocketAddress): void {
    this.transport.sendTo(data, address);
  }
}

/** Makes endpoints, and closes them when the test is over. */
class Endpoints {
  private readonly all: Recorder[] = [];

  *open<P extends Recorder = Recorder>(
    options: DatagramEndpointOptions = { localAddr: [LOCALHOST, 0] },
    protocol: P = new Recorder() as P,
  ): Generator<unknown, P, any> {
    const [transport, made] = yield* createDatagramEndpoint(() => protocol, options);
    assert.equal(made, protocol);
    assert.equal(made.transport, transport);
    this.all.push(made);
    return made;
  }

  /** Two that are connected with each other's addresses. */
  *pair<P extends Recorder>(server: P): Generator<unknown, [Recorder, P], any> {
    const listening = yield* this.open(undefined, server);
    return [yield* this.open({ remoteAddr: nameOf(listening) }), listening];
  }

  *close(): Generator<unknown, void, any> {
    for (const { transport } of this.all) transport.abort();
    for (const { lost } of this.all) yield* lost;
  }
}

type Body = (endpoints: Endpoints) => Generator<unknown, void, any>;

/** A test as a coroutine; it fails if the loop has errors to report. */
function onLoop(body: Body): () => Promise<void> {
  return () =>
    withReports(async (reports) => {
      await run(function* () {
        const endpoints = new Endpoints();
        try {
          yield* body(endpoints);
        } finally {
          yield* endpoints.close();
        }
      });
      assert.deepEqual(reports, []);
    });
}

const nameOf = ({ transport }: Recorder): SocketAddress => transport.getExtraInfo('sockname');

function texts(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, i) => `${from + i}`);
}

describe('datagrams', () => {
  it(
    'go out and come back',
    onLoop(function* (endpoints) {
      const [client, server] = yield* endpoints.pair(new Echo());
      for (const text of texts(100)) client.transport.sendTo(text);
      assert.deepEqual(yield* client.texts(100), texts(100));
      assert.deepEqual(client.transport.getExtraInfo('peername'), nameOf(server));
      assert.equal(server.transport.getExtraInfo('peername', 'nobody'), 'nobody');
    }),
  );

  it(
    'come with the address of the sender, in objects and memory of their own',
    onLoop(function* (endpoints) {
      const [client, server] = yield* endpoints.pair(new Recorder());
      client.transport.sendTo('one');
      const one = yield* server.received.get();
      assert.deepEqual(one.address, nameOf(client));
      one.address.address = 'somebody else';
      one.data.fill('x');
      client.transport.sendTo('two');
      const two = yield* server.received.get();
      assert.deepEqual(two.address, nameOf(client));
      assert.equal(`${one.data} ${two.data}`, 'xxx two');
    }),
  );

  it(
    'of many senders are told apart',
    onLoop(function* (endpoints) {
      const server = yield* endpoints.open(undefined, new Echo());
      const clients: Recorder[] = [];
      for (let i = 0; i < 20; i++) {
        clients.push(yield* endpoints.open({ localAddr: [`127.0.${i}.1`, 0] }));
      }
      for (const text of texts(10)) {
        for (const { transport } of clients) {
          transport.sendTo(`${nameOf({ transport } as Recorder).address} ${text}`, nameOf(server));
        }
      }
      for (const client of clients) {
        const expected = texts(10).map((text) => `${nameOf(client).address} ${text}`);
        assert.deepEqual(yield* client.texts(10), expected);
      }
    }),
  );

  it(
    'are as large or as empty as they were',
    onLoop(function* (endpoints) {
      const [client] = yield* endpoints.pair(new Echo());
      const sizes = [65507, 0, 16384, 1, 16385, 0, 0, 1453, 1452, 1452, 100, 1452];
      for (const [i, size] of sizes.entries()) {
        client.transport.sendTo(Buffer.alloc(size, `${i}`));
        const { data } = yield* client.received.get();
        assert.deepEqual(data, Buffer.alloc(size, `${i}`));
      }
    }),
  );

  it(
    'of all sizes keep their limits and their order when they leave together',
    onLoop(function* (endpoints) {
      const [client, server] = yield* endpoints.pair(new Recorder());
      const sizes = [64, 64, 64, 64, 32, 64, 64, 0, 0, 64, 65, 65, 64, 64, 1, 2, 3, 3, 3, 20000, 3];
      for (let from = 0; from < 3; from++) {
        for (const [i, size] of sizes.entries()) {
          client.transport.sendTo(Buffer.alloc(size, from * 30 + i));
        }
        for (const [i, size] of sizes.entries()) {
          const { data } = yield* server.received.get();
          assert.deepEqual(data, Buffer.alloc(size, from * 30 + i));
        }
      }
    }),
  );

  it(
    'can be changed by whoever has sent them',
    onLoop(function* (endpoints) {
      const [client, server] = yield* endpoints.pair(new Recorder());
      const data = Buffer.alloc(1);
      for (let i = 0; i < 5; i++) {
        data[0] = i;
        client.transport.sendTo(data);
      }
      for (let i = 0; i < 5; i++) assert.equal((yield* server.received.get()).data[0], i);
    }),
  );

  it(
    'can be text, typed arrays and array buffers',
    onLoop(function* (endpoints) {
      const [client, server] = yield* endpoints.pair(new Recorder());
      const bytes = Uint8Array.of(65, 66, 67, 68);
      const kinds = ['ABCD', bytes, bytes.buffer, new DataView(bytes.buffer), Buffer.from('ABCD')];
      for (const data of kinds) client.transport.sendTo(data);
      assert.deepEqual(yield* server.texts(5), Array(5).fill('ABCD'));
    }),
  );

  it(
    'leave when the iteration is over, whoever sends them',
    onLoop(function* (endpoints) {
      const server = yield* endpoints.open();
      const [one, two] = [yield* endpoints.open(), yield* endpoints.open()];
      const order = [one, one, two, two, one, two, one];
      for (const [i, { transport }] of order.entries()) transport.sendTo(`${i}`, nameOf(server));
      assert.deepEqual(yield* server.texts(7), texts(7));
    }),
  );

  it('leave though the process ends at once', async () => {
    const socket = createSocket('udp4').bind(0, LOCALHOST);
    await once(socket, 'listening');
    const received: string[] = [];
    const four = new Promise<void>((resolve) => {
      socket.on('message', (data) => {
        if (received.push(`${data}`) === 4) resolve();
      });
    });
    const program = `
      ringloop.run(function* () {
        const options = { remoteAddr: ['${LOCALHOST}', ${socket.address().port}] };
        const make = () => new ringloop.DatagramProtocol();
        const [transport] = yield* ringloop.createDatagramEndpoint(make, options);
        for (let i = 0; i < 4; i++) transport.sendTo(String(i));
        process.exit(7);
      });`;
    const { code, stderr } = await runProgram(program);
    assert.equal(stderr, '');
    assert.equal(code, 7);
    await four;
    assert.deepEqual(received, texts(4));
    socket.close();
    await once(socket, 'close');
  });
});

describe('errors of datagrams', () => {
  it(
    'tell that one was too long, and the others are sent',
    onLoop(function* (endpoints) {
      const [client, server] = yield* endpoints.pair(new Recorder());
      for (const data of ['0', '1', Buffer.alloc(65508), '2', '3']) client.transport.sendTo(data);
      const error = yield* client.errors.get();
      const { address, port } = nameOf(server);
      const { code, syscall } = error;
      assert.deepEqual({ code, syscall }, { code: 'EMSGSIZE', syscall: 'send' });
      assert.equal(error.message, `send EMSGSIZE ${address}:${port}`);
      assert.deepEqual(yield* server.texts(4), texts(4));
    }),
  );

  it(
    'are told in the order of the sends, and never from within sendTo',
    onLoop(function* (endpoints) {
      const [sender, server] = [yield* endpoints.open(), yield* endpoints.open()];
      const { transport } = sender;
      for (let i = 0; i < 40; i++) {
        transport.sendTo(`${i}`, nameOf(server));
        if (i % 10 === 3) transport.sendTo('x', [`127.0.0.${i}`, 0]);
      }
      assert.deepEqual(sender.events, ['made']);
      for (const i of [3, 13, 23, 33]) {
        const { message } = yield* sender.errors.get();
        assert.equal(message, `send EINVAL 127.0.0.${i}:0`);
      }
      assert.deepEqual(yield* server.texts(40), texts(40));
    }),
  );

  it(
    'tell a connected endpoint that nobody listens, and it goes on',
    onLoop(function* (endpoints) {
      const [client, server] = yield* endpoints.pair(new Recorder());
      const { address, port } = nameOf(server);
      server.transport.close();
      yield* server.lost;
      client.transport.sendTo('anybody?');
      const { code, message } = yield* client.errors.get();
      assert.equal(code, 'ECONNREFUSED');
      assert.equal(message, `recvmsg ECONNREFUSED ${address}:${port}`);
      const again = yield* endpoints.open({ localAddr: [address, port] });
      client.transport.sendTo('again');
      assert.deepEqual(yield* again.texts(1), ['again']);
      assert.deepEqual(client.events, ['made', 'error ECONNREFUSED']);
    }),
  );

  it('in callbacks are reported, and the next datagrams are received', async () => {
    class Failing extends Recorder {
      override datagramReceived(data: Buffer, address: SocketAddress): void {
        super.datagramReceived(data, address);
        if (data.toString() !== '3') throw new Error(`no ${data}`);
      }

      override errorReceived(error: Error): void {
        super.errorReceived(error);
        throw new Error('no error');
      }
    }
    await withReports(async (reports) => {
      await run(function* () {
        const endpoints = new Endpoints();
        const server = yield* endpoints.open(undefined, new Failing());
        const client = yield* endpoints.open();
        for (const text of texts(4)) client.transport.sendTo(text, nameOf(server));
        yield* server.texts(4);
        server.transport.sendTo('', [LOCALHOST, 0]);
        yield* server.errors.get();
        yield* endpoints.close();
      });
      const messages = reports.map(({ exception }) => (exception as Error).message);
      assert.deepEqual(messages, ['no 0', 'no 1', 'no 2', 'no error']);
      assert.equal(reports[0]!.message, 'protocol.datagramReceived() call failed');
      assert.equal(reports[3]!.message, 'protocol.errorReceived() call failed');
      assert.ok(reports[0]!.transport !== undefined);
    });
  });
});

describe('an endpoint for datagrams', () => {
  it(
    'that is connected sends to its remote address only, and hears from it only',
    onLoop(function* (endpoints) {
      const [client, server] = yield* endpoints.pair(new Recorder());
      const stranger = yield* endpoints.open();
      client.transport.sendTo('0');
      client.transport.sendTo('1', nameOf(server));
      client.transport.sendTo('2', [LOCALHOST, nameOf(server).port]);
      assert.throws(() => client.transport.sendTo('', nameOf(stranger)), RangeError);
      stranger.transport.sendTo('psst', nameOf(client));
      assert.deepEqual(yield* server.texts(3), texts(3));
      server.transport.sendTo('answer', nameOf(client));
      assert.deepEqual(yield* client.texts(1), ['answer']);
    }),
  );

  it(
    'is told that it is made, once, before it is returned, and that it is lost, once, after close',
    onLoop(function* () {
      const recorder = new Recorder();
      const making = createDatagramEndpoint(() => recorder, { localAddr: [LOCALHOST, 0] });
      assert.deepEqual(recorder.events, []);
      const [transport] = yield* making;
      assert.deepEqual(recorder.events, ['made']);
      assert.equal(transport.isClosing(), false);
      assert.equal(transport.getProtocol(), recorder);
      const fd: number = transport.getExtraInfo('fd');
      assert.ok(String(transport).startsWith(`<DatagramTransport open fd=${fd}`));
      assert.throws(() => getEventLoop().addReader(fd, () => {}), /is used by <DatagramTransport/);
      transport.close();
      transport.close();
      transport.abort();
      assert.equal(transport.isClosing(), true);
      assert.deepEqual(recorder.events, ['made']);
      assert.equal(yield* recorder.lost, null);
      yield* sleep(0);
      assert.deepEqual(recorder.events, ['made', 'lost']);
      assert.equal(transport.getExtraInfo('fd', 'none'), 'none');
      assert.equal(transport.getExtraInfo('sockname', 'none'), 'none');
      transport.sendTo('nothing happens', [LOCALHOST, 9]);
      assert.throws(() => transport.setTtl(1), { name: 'RuntimeError' });
    }),
  );

  it(
    'delivers nothing after close, though it has been received',
    onLoop(function* (endpoints) {
      class Closing extends Recorder {
        override datagramReceived(data: Buffer, address: SocketAddress): void {
          super.datagramReceived(data, address);
          if (data.toString() === '2') this.transport.close();
        }
      }
      const [client, server] = yield* endpoints.pair(new Closing());
      for (const text of texts(10)) client.transport.sendTo(text);
      yield* server.lost;
      assert.deepEqual(server.events, ['made', 'data 0', 'data 1', 'data 2', 'lost']);
    }),
  );

  it(
    'has sent what it was given before close, and before abort',
    onLoop(function* (endpoints) {
      const server = yield* endpoints.open();
      for (const [i, end] of (['close', 'abort'] as const).entries()) {
        const client = yield* endpoints.open({ remoteAddr: nameOf(server) });
        for (const text of texts(5, i * 5)) client.transport.sendTo(text);
        client.transport[end]();
        client.transport.sendTo('too late');
        yield* client.lost;
      }
      assert.deepEqual(yield* server.texts(10), texts(10));
    }),
  );

  it(
    'calls another protocol from now on, if it is told to',
    onLoop(function* (endpoints) {
      const [client, server] = yield* endpoints.pair(new Recorder());
      const other = new Recorder();
      other.transport = server.transport;
      server.transport.setProtocol(other);
      client.transport.sendTo('hello');
      assert.deepEqual(yield* other.texts(1), ['hello']);
      server.transport.setProtocol(server);
      assert.throws(() => server.transport.setProtocol({} as Recorder), TypeError);
      assert.deepEqual(other.events, ['data hello']);
    }),
  );

  it(
    'calls back in the context it was made in',
    onLoop(function* (endpoints) {
      const variable = new ContextVar<string>('variable');
      class Contextual extends Recorder {
        override datagramReceived(data: Buffer, address: SocketAddress): void {
          super.datagramReceived(Buffer.from(`${data} ${variable.get()}`), address);
        }

        override errorReceived(error: Error): void {
          super.errorReceived(new Error(`${error.message} ${variable.get()}`));
        }
      }
      variable.set('inside');
      const [client, server] = yield* endpoints.pair(new Contextual());
      variable.set('outside');
      client.transport.sendTo('hello');
      assert.deepEqual(yield* server.texts(1), ['hello inside']);
      server.transport.sendTo('', [LOCALHOST, 0]);
      assert.match((yield* server.errors.get()).message, /EINVAL .* inside$/);
    }),
  );

  it('of a loop that is closed closes its fd', async () => {
    const loop = new EventLoop();
    const recorder = new Recorder();
    const socket = createSocket('udp4').bind(0, LOCALHOST);
    await once(socket, 'listening');
    const message = once(socket, 'message');
    const [transport] = await loop.runUntilComplete(function* () {
      const remoteAddr = [LOCALHOST, socket.address().port] as const;
      return yield* createDatagramEndpoint(() => recorder, { remoteAddr });
    });
    transport.sendTo('sent at once, for the loop stands still');
    assert.match(`${(await message)[0]}`, /at once/);
    loop.close();
    assert.equal(transport.getExtraInfo('fd', 'none'), 'none');
    transport.sendTo('nothing happens');
    transport.close();
    assert.deepEqual(recorder.events, ['made']);
    socket.close();
    await once(socket, 'close');
  });
});

describe('an endpoint for datagrams of unix', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ringloop-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** A client and a server, which does not receive as long as the client does not wait. */
  function* pair(endpoints: Endpoints): Generator<unknown, [Recorder, Recorder], any> {
    const path = join(folder, 'server');
    const server = yield* endpoints.open({ family: 1, localAddr: path });
    const client = yield* endpoints.open({ family: 1, remoteAddr: path, sendBufferSize: 32768 });
    return [client, server];
  }

  function fill({ transport }: Recorder): number {
    let sent = 0;
    while (transport.getWriteBufferSize() === 0) transport.sendTo(`${sent++}`);
    return sent;
  }

  it(
    'exchanges datagrams by path',
    onLoop(function* (endpoints) {
      const paths = [join(folder, 'one'), join(folder, 'two')] as const;
      const one = yield* endpoints.open({ family: 1, localAddr: paths[0] }, new Echo());
      const two = yield* endpoints.open({ family: 1, localAddr: paths[1] });
      two.transport.sendTo(Buffer.alloc(100_000), paths[0]);
      const { data, address } = yield* two.received.get();
      assert.equal(data.length, 100_000);
      assert.equal(address, paths[0]);
      assert.equal(nameOf(one), paths[0]);
      two.transport.sendTo('', join(folder, 'three'));
      assert.equal((yield* two.errors.get()).code, 'ENOENT');
    }),
  );

  it(
    'takes the place of one that is left from before',
    onLoop(function* (endpoints) {
      const localAddr = join(folder, 'left');
      const before = yield* endpoints.open({ family: 1, localAddr });
      before.transport.close();
      yield* before.lost;
      assert.ok(statSync(localAddr).isSocket());
      yield* endpoints.open({ family: 1, localAddr });
    }),
  );

  it(
    'has no name, and is received from all the same',
    onLoop(function* (endpoints) {
      const [client, server] = yield* pair(endpoints);
      client.transport.sendTo('hello');
      const { data, address } = yield* server.received.get();
      assert.equal(`${data}`, 'hello');
      assert.equal(address, '');
    }),
  );

  it(
    'queues what the kernel has no room for, and sends it in order',
    onLoop(function* (endpoints) {
      const [client, server] = yield* pair(endpoints);
      const { transport } = client;
      const sent = fill(client);
      const length = `${sent - 1}`.length;
      assert.equal(transport.getWriteBufferSize(), length + 8);
      transport.sendTo('');
      assert.equal(transport.getWriteBufferSize(), length + 16);
      transport.sendTo(Buffer.alloc(20_000));
      for (const text of texts(100, sent)) transport.sendTo(text);
      const received: string[] = yield* server.texts(sent + 102);
      assert.deepEqual(received.slice(0, sent), texts(sent));
      assert.deepEqual([received[sent], received[sent + 1]!.length], ['', 20_000]);
      assert.deepEqual(received.slice(sent + 2), texts(100, sent));
      assert.equal(transport.getWriteBufferSize(), 0);
    }),
  );

  it(
    'pauses above the high-water mark and resumes at the low one',
    onLoop(function* (endpoints) {
      const [client, server] = yield* pair(endpoints);
      const { transport, events } = client;
      transport.setWriteBufferLimits({ high: 1000, low: 20 });
      let sent = fill(client);
      let size = transport.getWriteBufferSize();
      while (size <= 1000) {
        assert.deepEqual(events, ['made']);
        transport.sendTo(`${sent++}`);
        size = transport.getWriteBufferSize();
      }
      assert.deepEqual(events, ['made', 'pause']);
      yield* server.texts(sent);
      assert.deepEqual(events, ['made', 'pause', 'resume']);
    }),
  );

  it(
    'is closed when what is queued has been sent',
    onLoop(function* (endpoints) {
      const [client, server] = yield* pair(endpoints);
      const sent = fill(client);
      client.transport.close();
      client.transport.sendTo('one more, as in asyncio');
      assert.equal((yield* server.texts(sent + 1)).at(-1), 'one more, as in asyncio');
      assert.equal(yield* client.lost, null);
      assert.deepEqual(client.events, ['made', 'lost']);
    }),
  );

  it(
    'drops what is queued when it is aborted',
    onLoop(function* (endpoints) {
      const [client, server] = yield* pair(endpoints);
      const sent = fill(client);
      client.transport.abort();
      assert.equal(client.transport.getWriteBufferSize(), 0);
      assert.equal(yield* client.lost, null);
      assert.deepEqual(yield* server.texts(sent - 1), texts(sent - 1));
    }),
  );

  it(
    'goes on with the next ones when one that was queued is refused',
    onLoop(function* (endpoints) {
      const [client, server] = yield* pair(endpoints);
      const sent = fill(client);
      server.transport.abort();
      yield* server.lost;
      const again = yield* endpoints.open({ family: 1, localAddr: join(folder, 'server') });
      client.transport.sendTo('lost as well');
      assert.equal((yield* client.errors.get()).code, 'ECONNREFUSED');
      assert.ok(sent > 0);
      assert.deepEqual(again.events, ['made']);
    }),
  );
});

describe('datagrams on a bad day', () => {
  afterEach(() => coreModule.sockets.injectFaults(0, 0, 0, 0));

  it(
    'arrive in order when every call may be interrupted or has to be made again',
    onLoop(function* (endpoints) {
      for (let seed = 1; seed <= 20; seed++) {
        const pair = new Endpoints();
        const [client] = yield* pair.pair(new Echo());
        coreModule.sockets.injectFaults(seed, 200, 400, 500);
        for (const text of texts(100)) client.transport.sendTo(text);
        assert.deepEqual(yield* client.texts(100), texts(100));
        coreModule.sockets.injectFaults(0, 0, 0, 0);
        yield* pair.close();
      }
      yield* endpoints.close();
    }),
  );
});

describe('createDatagramEndpoint', () => {
  it(
    'binds one endpoint to an address, or several if they agree',
    onLoop(function* (endpoints) {
      const { address, port } = nameOf(yield* endpoints.open());
      const localAddr = [address, port] as const;
      for (const form of [localAddr, { host: address, port }, { address, port }]) {
        const making = createDatagramEndpoint(() => new Recorder(), { localAddr: form });
        yield* rejects(making, { code: 'EADDRINUSE', syscall: 'bind', address, port });
      }
      const shared = yield* endpoints.open({ localAddr: [LOCALHOST, 0], reusePort: true });
      yield* endpoints.open({ localAddr: nameOf(shared), reusePort: true });
    }),
  );

  it(
    'looks up names',
    onLoop(function* (endpoints) {
      const server = yield* endpoints.open({ localAddr: ['localhost', 0], family: 4 });
      assert.equal(nameOf(server).address, LOCALHOST);
      const remoteAddr = ['localhost', nameOf(server).port] as const;
      const client = yield* endpoints.open({ localAddr: ['', 0], remoteAddr, family: 4 });
      client.transport.sendTo('hello');
      assert.deepEqual(yield* server.texts(1), ['hello']);
      const making = createDatagramEndpoint(() => new Recorder(), {
        localAddr: ['127.0.0.1', 0],
        remoteAddr: ['::1', 9],
      });
      yield* rejects(making, { name: 'RangeError', message: /can not get address information/ });
    }),
  );

  it(
    'makes an endpoint without an address, which gets one with the first datagram',
    onLoop(function* (endpoints) {
      const server = yield* endpoints.open(undefined, new Echo());
      const client = yield* endpoints.open({ family: 4 });
      assert.equal(nameOf(client).port, 0);
      client.transport.sendTo('hello', nameOf(server));
      assert.notEqual(nameOf(client).port, 0);
      assert.deepEqual(yield* client.texts(1), ['hello']);
    }),
  );

  (HAS_IPV6 ? it : it.skip)(
    'speaks IPv6',
    onLoop(function* (endpoints) {
      const server = yield* endpoints.open({ localAddr: ['::1', 0] }, new Echo());
      const client = yield* endpoints.open({ localAddr: ['', 0], family: 6 });
      const other = yield* endpoints.open({ remoteAddr: nameOf(server) });
      for (const text of texts(50)) {
        client.transport.sendTo(text, nameOf(server));
        other.transport.sendTo(text);
      }
      assert.deepEqual(yield* client.texts(50), texts(50));
      assert.deepEqual(yield* other.texts(49), texts(49));
      assert.deepEqual((yield* other.received.get()).address, nameOf(server));
      assert.deepEqual(other.transport.getExtraInfo('peername'), nameOf(server));
      assert.throws(() => client.transport.sendTo('', [LOCALHOST, 9]), RangeError);
      client.transport.setMulticastTtl(2);
      client.transport.setMulticastLoopback(true);
      client.transport.setTtl(2);
    }),
  );

  it(
    'leaves nothing behind when it is cancelled',
    onLoop(function* () {
      const recorder = new Recorder();
      for (const host of ['localhost', LOCALHOST]) {
        const making = createTask(createDatagramEndpoint(() => recorder, { localAddr: [host, 0] }));
        yield* sleep(0);
        making.cancel();
        try {
          yield* making;
          assert.fail('it was not cancelled');
        } catch (error) {
          assert.ok(isCancelledError(error));
        }
      }
      assert.equal(yield* recorder.lost, null);
      assert.deepEqual(recorder.events, ['made', 'lost']);
    }),
  );

  it(
    'leaves nothing behind when there is no protocol',
    onLoop(function* () {
      const options = { localAddr: [LOCALHOST, 0] } as const;
      const factories = [() => assert.fail('no'), () => null, () => ({ connectionMade() {} })];
      for (const factory of factories as any[]) {
        yield* rejects(createDatagramEndpoint(factory, options), { message: /no|protocol/ });
      }
    }),
  );

  it('refuses what makes no sense', () => {
    const refused: [unknown, RegExp][] = [
      [undefined, /options must be an object/],
      [{}, /localAddr, remoteAddr or family is needed/],
      [{ localAddr: 'host' }, /expected \[host, port\]/],
      [{ localAddr: ['host'] }, /expected \[host, port\]/],
      [{ localAddr: ['host', '80'] }, /port must be a number/],
      [{ localAddr: ['host', 65536] }, /port must be 0 to 65535/],
      [{ remoteAddr: [7, 80] }, /host must be a string/],
      [{ family: 5, localAddr: ['', 0] }, /family must be/],
      [{ family: 1, localAddr: ['', 0] }, /path must be a string/],
      [{ family: 4, sendBufferSize: '9' }, /sendBufferSize must be a number/],
      [{ family: 4, receiveBufferSize: -1 }, /receiveBufferSize is -1/],
    ];
    for (const [options, message] of refused) {
      assert.throws(() => createDatagramEndpoint(() => new Recorder(), options as any), {
        message,
      });
    }
    assert.throws(() => createDatagramEndpoint(7 as any, { family: 4 }), /must be a function/);
  });
});

describe('DatagramTransport', () => {
  it(
    'refuses arguments of the wrong kind',
    onLoop(function* (endpoints) {
      const { transport } = yield* endpoints.open();
      const send = transport.sendTo.bind(transport) as (...args: unknown[]) => void;
      const to = [LOCALHOST, 9];
      const calls: [() => void, string, RegExp][] = [
        [() => send(7, to), 'TypeError', /data must be a string, a Buffer/],
        [() => send('x'), 'TypeError', /an address is needed/],
        [() => send('x', LOCALHOST), 'TypeError', /expected \[host, port\]/],
        [() => send('x', { address: LOCALHOST }), 'TypeError', /port must be a number/],
        [() => send('x', [LOCALHOST, 70000]), 'RangeError', /port must be 0 to 65535/],
        [() => send('x', ['localhost', 9]), 'RangeError', /"localhost" is no IPv4 address/],
        [() => send('x', ['::1', 9]), 'RangeError', /"::1" is no IPv4 address/],
        [() => transport.setTtl('7' as any), 'TypeError', /setTtl: expected a number, got "7"/],
        [() => transport.setTtl(1.5), 'TypeError', /setTtl: expected a number, got 1.5/],
        [() => transport.setTtl(1000), 'Error', /setsockopt EINVAL/],
        [() => transport.setBroadcast(1 as any), 'TypeError', /expected a boolean/],
        [() => transport.addMembership(7 as any), 'TypeError', /expected a string/],
        [() => transport.addMembership(LOCALHOST), 'Error', /setsockopt EINVAL 127.0.0.1/],
        [() => transport.setMulticastInterface(7 as any), 'TypeError', /expected a string/],
        [() => transport.setMulticastTtl(-2), 'Error', /setsockopt EINVAL/],
      ];
      for (const [call, name, message] of calls) assert.throws(call, { name, message });
    }),
  );

  it(
    'joins groups and leaves them',
    onLoop(function* (endpoints) {
      const group = '239.255.41.7';
      const member = yield* endpoints.open({ localAddr: ['', 0], reuseAddress: true });
      const { port } = nameOf(member);
      member.transport.addMembership(group, LOCALHOST);
      const sender = yield* endpoints.open({ localAddr: [LOCALHOST, 0] });
      sender.transport.setMulticastInterface(LOCALHOST);
      sender.transport.setMulticastTtl(1);
      sender.transport.setMulticastLoopback(true);
      sender.transport.sendTo('to the group', [group, port]);
      const { data, address } = yield* member.received.get();
      assert.equal(`${data}`, 'to the group');
      assert.deepEqual(address, nameOf(sender));
      member.transport.dropMembership(group, LOCALHOST);
      sender.transport.sendTo('nobody hears this either', [group, port]);
      sender.transport.sendTo('but this', [LOCALHOST, port]);
      assert.deepEqual(yield* member.texts(1), ['but this']);
    }),
  );

  it(
    'sends to broadcast addresses if it is allowed to',
    onLoop(function* (endpoints) {
      const everybody = '127.255.255.255';
      const listener = yield* endpoints.open({ localAddr: ['', 0] });
      const { port } = nameOf(listener);
      const sender = yield* endpoints.open();
      sender.transport.sendTo('0', [everybody, port]);
      assert.equal((yield* sender.errors.get()).code, 'EACCES');
      sender.transport.setBroadcast(true);
      sender.transport.sendTo('1', [everybody, port]);
      const remote = yield* endpoints.open({ remoteAddr: [everybody, port], allowBroadcast: true });
      assert.deepEqual(yield* listener.texts(1), ['1']);
      remote.transport.sendTo('2');
      const { address } = yield* listener.received.get();
      listener.transport.sendTo('3', address);
      assert.deepEqual(yield* remote.texts(1), ['3']);
      assert.throws(() => remote.transport.sendTo('', address), RangeError);
      // What is sent before an option is set is sent without it.
      for (const text of texts(3)) sender.transport.sendTo(text, [everybody, port]);
      sender.transport.setBroadcast(false);
      sender.transport.sendTo('not allowed', [everybody, port]);
      assert.deepEqual(yield* listener.texts(3), texts(3));
      assert.equal((yield* sender.errors.get()).code, 'EACCES');
    }),
  );

  it(
    'understands node:dgram, and is understood',
    onLoop(function* (endpoints) {
      const server = yield* endpoints.open(undefined, new Echo());
      const socket = createSocket('udp4').bind(0, LOCALHOST);
      yield* until(once(socket, 'listening'));
      const received: string[] = [];
      const all = new Future<void>();
      socket.on('message', (data, { port }) => {
        assert.equal(port, nameOf(server).port);
        if (received.push(`${data}`) === 150) all.setResult();
      });
      const { address, port } = socket.address();
      for (const text of texts(100)) socket.send(text, nameOf(server).port, LOCALHOST);
      for (const text of texts(50, 100)) server.transport.sendTo(text, { address, port });
      yield* all;
      const byNumber = received.map(Number).sort((a, b) => a - b);
      assert.deepEqual(byNumber.map(String), texts(150));
      const closed = once(socket, 'close');
      socket.close();
      yield* until(closed);
    }),
  );
});

/** Waits for an operation that fails. */
function* rejects(
  operation: { [Symbol.iterator](): Iterator<unknown, unknown, any> },
  expected: object,
): Generator<unknown, void, any> {
  let failure: unknown = null;
  try {
    yield* operation;
  } catch (error) {
    failure = error;
  }
  assert.ok(failure !== null, 'it did not fail');
  assert.throws(() => {
    throw failure;
  }, expected);
}
