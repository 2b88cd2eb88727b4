import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Duplex, PassThrough, Readable, Writable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { finished, pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';

import {
  allTasks,
  createTask,
  currentTask,
  fromNodeStream,
  openConnection,
  Runner,
  run,
  type Streams,
  type SystemError,
  startServer,
  toNodeStream,
  until,
} from 'ringloop';
import { errorOf as thrownBy } from '../support/both-kinds.js';
import { runProgram, turnOfNode, withUnhandledRejections } from '../support/capture.js';
import {
  LOCALHOST,
  onLoop,
  RawListener,
  type RawSocket,
  someTurns,
  untilTrue,
} from '../support/net.js';
import { ca, identity } from '../support/tls.js';

const MUCH = 10 * 1024 * 1024;
/** What the kernel may hold of a connection is some megabytes; what we may hold is not. */
const FEW = 1024 * 1024;

/** Bytes that tell where they belong. */
function pattern(size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  for (let i = 0; i < size; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + (i >>> 16)) & 255;
  return bytes;
}

/** A client's Duplex, and a server's; both are gone afterwards. */
function* withDuplexes(
  body: (client: Duplex, server: Duplex) => Generator<unknown, void, any>,
): Generator<unknown, void, any> {
  let accepted: Streams | null = null;
  const server = yield* startServer((...streams) => void (accepted = streams), LOCALHOST, 0);
  const connected = yield* openConnection(LOCALHOST, server.port);
  yield* untilTrue(() => accepted !== null, 'the connection');
  const ours = [toNodeStream(...connected), toNodeStream(...(accepted as unknown as Streams))];
  for (const stream of ours) stream.on('error', () => {});
  try {
    yield* body(ours[0]!, ours[1]!);
  } finally {
    for (const stream of ours) stream.destroy();
    yield* untilTrue(() => ours.every((stream) => stream.closed), 'close');
    server.close();
    yield* server.waitClosed();
    yield* someTurns();
  }
}

/** A Duplex whose other side is a socket without a transport. */
function* withRawPeer(
  body: (stream: Duplex, peer: RawSocket) => Generator<unknown, void, any>,
): Generator<unknown, void, any> {
  const listener = new RawListener();
  const streams = yield* openConnection(LOCALHOST, listener.port);
  const peer = yield* listener.accept();
  const stream = toNodeStream(...streams);
  try {
    yield* body(stream, peer);
  } finally {
    stream.on('error', () => {});
    stream.destroy();
    peer.close();
    listener.close();
    yield* untilTrue(() => stream.closed, 'close');
    yield* someTurns();
  }
}

/** The names of what a stream emits, in order. */
function eventsOf(stream: Duplex): string[] {
  const events: string[] = [];
  for (const name of ['end', 'finish', 'error', 'close']) {
    stream.on(name, () => void events.push(name));
  }
  return events;
}

function* errorOf(stream: Duplex): Generator<unknown, SystemError, any> {
  const [error] = (yield* until(once(stream, 'error'))) as [SystemError];
  return error;
}

describe('toNodeStream', () => {
  it('carries a file through pipeline(), with gzip on the way, as it is', () =>
    onLoop(function* () {
      const folder = yield* until(mkdtemp(join(tmpdir(), 'ringloop-')));
      const [from, to] = [join(folder, 'from'), join(folder, 'to')];
      const content = pattern(3 * FEW);
      yield* until(writeFile(from, content));
      yield* withDuplexes(function* (client, server) {
        const sent = pipeline(createReadStream(from), createGzip(), client);
        const received = pipeline(server, createGunzip(), createWriteStream(to));
        yield* until(Promise.all([sent, received]));
      });
      assert.ok((yield* until(readFile(to))).equals(content));
      yield* until(rm(folder, { recursive: true }));
    }));

  it('carries much in both directions at once, and closes when both have ended', () =>
    onLoop(function* () {
      const content = pattern(MUCH);
      yield* withDuplexes(function* (client, server) {
        const events = [eventsOf(client), eventsOf(server)];
        client.end(content);
        const echoed = pipeline(server, server);
        assert.ok((yield* until(buffer(client))).equals(content));
        yield* until(echoed);
        yield* untilTrue(() => client.closed && server.closed, 'close');
        for (const each of events) assert.equal(each.at(-1), 'close');
        for (const each of events) assert.deepEqual(each.toSorted(), ['close', 'end', 'finish']);
      });
    }));

  it('holds a fast writer up until a slow reader asks for more', () =>
    onLoop(function* () {
      yield* withDuplexes(function* (client, server) {
        const chunk = pattern(64 * 1024);
        let produced = 0;
        const source = new Readable({
          read() {
            produced += chunk.length;
            this.push(produced > 16 * MUCH ? null : chunk);
          },
        });
        source.pipe(client);
        let before = -1;
        while (before !== produced) {
          before = produced;
          yield* someTurns();
          yield* someTurns();
        }
        const statistics = (server as any).source.statistics();
        assert.ok(produced < 16 * MUCH, `${produced} bytes were taken`);
        assert.ok(client.writableLength < FEW && server.readableLength < FEW);
        assert.ok(statistics.size < FEW);
        source.unpipe(client);
        client.end();
        let received = 0;
        server.on('data', ({ length }) => void (received += length));
        yield* until(finished(server, { writable: false }));
        assert.ok(received > 0 && received <= produced);
        source.destroy();
      });
    }));

  it('reads nothing before it is asked, and nothing beyond its buffer', () =>
    onLoop(function* () {
      yield* withRawPeer(function* (stream, peer) {
        peer.write('hello');
        const { source } = stream as any;
        yield* untilTrue(() => source.statistics().size === 5, 'the data');
        yield* someTurns();
        assert.equal(stream.readableLength, 0);
        assert.equal(source.statistics().waiters, 0);
        const [data] = (yield* until(once(stream, 'data'))) as [Buffer];
        assert.equal(String(data), 'hello');
      });
    }));

  it('ends one direction and goes on with the other', () =>
    onLoop(function* () {
      yield* withRawPeer(function* (stream, peer) {
        const events = eventsOf(stream);
        stream.end('question');
        assert.equal(String(yield* peer.readAll()), 'question');
        if (events.length === 0) yield* until(once(stream, 'finish'));
        assert.deepEqual(events, ['finish']);
        peer.write('answer');
        peer.shutdown();
        assert.equal(yield* until(text(stream)), 'answer');
        yield* untilTrue(() => stream.closed, 'close');
        assert.deepEqual(events, ['finish', 'end', 'close']);
      });
    }));

  it('ends with the other side if it may not be half open', () =>
    onLoop(function* () {
      const listener = new RawListener();
      const streams = yield* openConnection(LOCALHOST, listener.port);
      const peer = yield* listener.accept();
      const stream = toNodeStream(...streams, { allowHalfOpen: false, highWaterMark: 1024 });
      const events = eventsOf(stream);
      assert.equal(stream.writableHighWaterMark, 1024);
      peer.shutdown();
      stream.resume();
      assert.equal((yield* peer.readAll()).length, 0);
      yield* untilTrue(() => stream.closed, 'close');
      assert.deepEqual(events, ['end', 'finish', 'close']);
      peer.close();
      listener.close();
    }));

  it('fails with the code of the connection when the other side resets', () =>
    onLoop(function* () {
      yield* withRawPeer(function* (stream, peer) {
        stream.resume();
        const events = eventsOf(stream);
        peer.reset();
        const error = yield* errorOf(stream);
        assert.equal(error.code, 'ECONNRESET');
        yield* untilTrue(() => stream.closed, 'close');
        assert.deepEqual(events, ['error', 'close']);
      });
    }));

  it('fails also where only writing tells it', () =>
    onLoop(function* () {
      yield* withRawPeer(function* (stream, peer) {
        peer.reset();
        const failure = errorOf(stream);
        const body = pattern(FEW);
        stream.write(body);
        const error = yield* failure;
        assert.match(error.code, /^(ECONNRESET|EPIPE)$/);
        yield* untilTrue(() => stream.closed, 'close');
      });
    }));

  it('is destroyed in the middle: pipeline() fails, the other side hears of it', () =>
    onLoop(function* () {
      yield* withDuplexes(function* (client, server) {
        const endless = new Readable({ read: (size) => void endless.push(Buffer.alloc(size)) });
        const sent = pipeline(endless, client);
        const failed = assert.rejects(sent, { message: 'enough' });
        yield* until(once(server, 'data'));
        server.pause();
        client.destroy(new Error('enough'));
        yield* until(failed);
        assert.equal(endless.destroyed, true);
        server.resume();
        yield* untilTrue(() => server.readableEnded || server.destroyed, 'the end');
      });
    }));

  it('is destroyed while it reads and while it writes, without an error', () =>
    onLoop(function* () {
      yield* withRawPeer(function* (stream) {
        const events = eventsOf(stream);
        stream.resume();
        stream.write(pattern(MUCH));
        yield* someTurns();
        stream.destroy();
        yield* until(once(stream, 'close'));
        assert.deepEqual(events, ['close']);
      });
    }));

  it('does not share the fate of the task that reads it', () =>
    onLoop(function* () {
      yield* withRawPeer(function* (stream, peer) {
        const impatient = createTask(function* () {
          stream.read();
          stream.write('from a task');
          yield* until(new Promise(() => {}));
        });
        yield* someTurns();
        impatient.cancel();
        peer.write('hello');
        const [data] = (yield* until(once(stream, 'data'))) as [Buffer];
        assert.equal(String(data), 'hello');
        assert.equal(String(yield* peer.read()), 'from a task');
      });
    }));

  it('outlives the run() that made it, and leaves nothing behind', async () => {
    const server = net.createServer((socket) => socket.pipe(socket));
    await once(server.listen(0, LOCALHOST), 'listening');
    const { port } = server.address() as net.AddressInfo;
    const stream = await run(function* () {
      return toNodeStream(...(yield* openConnection(LOCALHOST, port)));
    });
    stream.end('still here');
    assert.equal(await text(stream), 'still here');
    if (!stream.closed) await once(stream, 'close');
    server.close();
    await once(server, 'close');
  });

  it('emits outside of every task', () =>
    onLoop(function* () {
      yield* withRawPeer(function* (stream, peer) {
        const tasks: unknown[] = [];
        stream.on('data', () => tasks.push(currentTask()));
        stream.on('end', () => tasks.push(currentTask()));
        peer.write('hello');
        yield* untilTrue(() => tasks.length === 1, 'data');
        peer.shutdown();
        yield* until(once(stream, 'end'));
        assert.deepEqual(tasks, [null, null]);
      });
    }));

  it('is destroyed when the loop it belongs to is closed', async () => {
    const listener = new RawListener();
    const runner = new Runner();
    const stream = await runner.run(function* () {
      return toNodeStream(...(yield* openConnection(LOCALHOST, listener.port)));
    });
    assert.equal(allTasks(runner.getLoop()).size, 1);
    const events = eventsOf(stream);
    await runner.close();
    await turnOfNode();
    assert.equal(stream.destroyed, true);
    assert.deepEqual(events, ['close']);
    listener.close();
  });

  it('ends with a connection that is closed underneath', () =>
    onLoop(function* () {
      const listener = new RawListener();
      const [reader, writer] = yield* openConnection(LOCALHOST, listener.port);
      const peer = yield* listener.accept();
      const stream = toNodeStream(reader, writer);
      const events = eventsOf(stream);
      stream.end('bye');
      yield* until(turnOfNode());
      writer.close();
      stream.resume();
      yield* untilTrue(() => stream.closed, 'close');
      assert.deepEqual(events, ['finish', 'end', 'close']);
      assert.equal(String(yield* peer.readAll()), 'bye');
      peer.close();
      listener.close();
    }));

  it('refuses what is no stream of ours', () =>
    onLoop(function* () {
      const [reader, writer] = fromNodeStream(new PassThrough(), { as: 'streams' });
      assert.throws(() => toNodeStream({} as never, writer), /StreamReader.*got/);
      assert.throws(() => toNodeStream(reader, null as never), /StreamWriter.*got/);
      writer.transport.abort();
      yield* writer.waitClosed();
    }));

  it('serves HTTP to a client over it, one request behind the other', () =>
    onLoop(function* () {
      const web = http.createServer((request, response) => {
        void text(request).then((body) => response.end(`${request.url} ${body}`));
      });
      const server = yield* startServer(
        (...streams) => void web.emit('connection', toNodeStream(...streams)),
        LOCALHOST,
        0,
      );
      const [reader, writer] = yield* openConnection(LOCALHOST, server.port);
      for (const name of ['one', 'two']) {
        writer.write(`GET /${name} HTTP/1.1\r\nHost: here\r\n\r\n`);
        const head = String(yield* reader.readUntil('\r\n\r\n'));
        assert.match(head, /^HTTP\/1\.1 200 OK\r\n/);
        const size = Number(/Content-Length: (\d+)/i.exec(head)?.[1]);
        assert.equal(String(yield* reader.readExactly(size)), `/${name} `);
      }
      writer.close();
      yield* writer.waitClosed();

      const socket = toNodeStream(...(yield* openConnection(LOCALHOST, server.port)));
      const options = { createConnection: () => socket as never, method: 'POST', path: '/three' };
      const request = http.request(options);
      request.end('body');
      const [response] = (yield* until(once(request, 'response'))) as [http.IncomingMessage];
      assert.equal(yield* until(text(response)), '/three body');
      socket.destroy();
      yield* until(once(socket, 'close'));
      web.close();
      server.close();
      yield* server.waitClosed();
    }));

  it('is what a WebSocket library needs', () =>
    onLoop(function* () {
      const { WebSocket, WebSocketServer } = require('ws');
      const web = http.createServer();
      const sockets = new WebSocketServer({ server: web });
      sockets.on('connection', (socket: any) => {
        socket.on('message', (data: Buffer, binary: boolean) => socket.send(data, { binary }));
      });
      const server = yield* startServer(
        (...streams) => void web.emit('connection', toNodeStream(...streams)),
        LOCALHOST,
        0,
      );
      const connection = toNodeStream(...(yield* openConnection(LOCALHOST, server.port)));
      const options = { createConnection: () => connection };
      const client = new WebSocket(`ws://${LOCALHOST}:${server.port}/`, options);
      yield* until(once(client, 'open'));
      for (const message of ['hello', pattern(FEW)]) {
        client.send(message);
        const [echo] = (yield* until(once(client, 'message'))) as [Buffer];
        assert.ok(echo.equals(Buffer.from(message)));
      }
      client.close();
      yield* until(once(client, 'close'));
      yield* untilTrue(() => connection.closed, 'close');
      sockets.close();
      web.close();
      server.close();
      yield* server.waitClosed();
    }));

  it('carries a TLS connection, which ends in both directions at once', () =>
    onLoop(function* () {
      const content = pattern(3 * FEW);
      const received: Promise<Buffer>[] = [];
      const server = yield* startServer(
        (...streams) => {
          const stream = toNodeStream(...streams);
          received.push(buffer(stream));
        },
        LOCALHOST,
        0,
        { ssl: identity('server') },
      );
      const streams = yield* openConnection('localhost', server.port, { ssl: { ca } });
      const client = toNodeStream(...streams);
      const events = eventsOf(client);
      client.resume();
      client.end(content);
      yield* untilTrue(() => client.closed, 'close');
      assert.deepEqual(events, ['finish', 'end', 'close']);
      assert.ok((yield* until(received[0]!)).equals(content));
      server.close();
      yield* server.waitClosed();
    }));

  it('leaves the errors of listeners to Node', async () => {
    const { code, stdout, stderr } = await runProgram(`
      const { run, startServer, openConnection, toNodeStream, getEventLoop } = ringloop;
      getEventLoop().setExceptionHandler(({ message }) => console.log(message));
      process.on('uncaughtException', ({ message }) => {
        console.log('uncaught', message);
        process.exit();
      });
      run(async () => {
        const server = await startServer((...both) => {
          toNodeStream(...both).end('x');
        }, '127.0.0.1', 0);
        const stream = toNodeStream(...await openConnection('127.0.0.1', server.port));
        stream.on('data', () => { throw new Error('in a listener'); });
        await new Promise(() => {});
      });
    `);
    const expected = { code: 0, stdout: 'uncaught in a listener\n', stderr: '' };
    assert.deepEqual({ code, stdout, stderr }, expected);
  });

  it('lets the process end, and has nobody report what was handled', async () => {
    const { code, stdout, stderr } = await runProgram(`
      const { run, startServer, openConnection, toNodeStream } = ringloop;
      run(async () => {
        const server = await startServer((...both) => {
          const stream = toNodeStream(...both);
          stream.pipe(stream);
        }, '127.0.0.1', 0);
        const stream = toNodeStream(...await openConnection('127.0.0.1', server.port));
        stream.end('done');
        for await (const data of stream) process.stdout.write(data);
        server.close();
      });
    `);
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'done', stderr: '' });
  });
});

/** Everything from a Node socket's point of view. */
function* withNodeServer(
  serve: (socket: net.Socket) => void,
  body: (socket: net.Socket) => Generator<unknown, void, any>,
): Generator<unknown, void, any> {
  const server = net.createServer({ allowHalfOpen: true }, serve);
  yield* until(once(server.listen(0, LOCALHOST), 'listening'));
  const { port } = server.address() as net.AddressInfo;
  const socket = net.connect({ port, host: LOCALHOST, allowHalfOpen: true });
  yield* until(once(socket, 'connect'));
  try {
    yield* body(socket);
  } finally {
    socket.destroy();
    yield* until(new Promise((resolve) => server.close(resolve)));
    yield* someTurns();
  }
}

describe('fromNodeStream', () => {
  it('of a stream of objects throws, and says what it got', () =>
    onLoop(function* () {
      // Its bytes were undefined, and reading waited for ever.
      const reader = fromNodeStream(Readable.from([{ no: 'bytes' }]));
      const error = yield* thrownBy(reader.read());
      assert.equal(error.name, 'TypeError');
      assert.match(error.message, /must give bytes or text, got an instance of Object/);
      yield* someTurns();
    }));

  it('reads and writes at once, and half-closes', () =>
    onLoop(function* () {
      yield* withNodeServer(
        (socket) => socket.pipe(socket),
        function* (socket) {
          const [reader, writer] = fromNodeStream(socket, { as: 'streams' });
          writer.write('one\ntwo');
          assert.equal(String(yield* reader.readLine()), 'one\n');
          writer.writeEof();
          assert.equal(String(yield* reader.read()), 'two');
          writer.close();
          yield* writer.waitClosed();
          assert.equal(socket.destroyed, true);
        },
      );
    }));

  it('carries much in both directions, drained by a slow side', () =>
    onLoop(function* () {
      const content = pattern(MUCH);
      yield* withNodeServer(
        (socket) => socket.pipe(socket),
        function* (socket) {
          const [reader, writer] = fromNodeStream(socket, { as: 'streams' });
          const sending = createTask(function* () {
            for (let at = 0; at < MUCH; at += 50_000) {
              writer.write(content.subarray(at, at + 50_000));
              yield* writer.drain();
              assert.ok(socket.writableLength <= 128 * 1024);
            }
            writer.writeEof();
          });
          let at = 0;
          for (;;) {
            const data = yield* reader.read(100_000);
            if (data.length === 0) break;
            assert.ok(data.equals(content.subarray(at, at + data.length)));
            at += data.length;
          }
          assert.equal(at, MUCH);
          yield* sending;
          writer.close();
          yield* writer.waitClosed();
        },
      );
    }));

  it('pauses the stream while nobody reads', () =>
    onLoop(function* () {
      let produced = 0;
      const stream = new Readable({
        read(size) {
          produced += size;
          this.push(produced > MUCH ? null : Buffer.alloc(size));
        },
      });
      const reader = fromNodeStream(stream, { limit: 32 * 1024 });
      yield* untilTrue(() => reader.statistics().paused, 'the pause');
      yield* someTurns();
      assert.ok(produced < FEW, `${produced} bytes were taken`);
      assert.ok((yield* reader.read()).length > MUCH - 2 * FEW);
      yield* untilTrue(() => stream.closed, 'close');
      yield* someTurns();
    }));

  it('takes a Readable by itself, of text too, and a Writable by itself', () =>
    onLoop(function* () {
      const reader = fromNodeStream(Readable.from(['grün\n', 'blau\n']));
      assert.equal(String(yield* reader.readLine()), 'grün\n');
      assert.equal(String(yield* reader.read()), 'blau\n');
      assert.equal(reader.atEof(), true);

      const written: Buffer[] = [];
      let finish = false;
      const stream = new Writable({
        highWaterMark: 10,
        write: (chunk, _, done) => void setImmediate(() => (written.push(chunk), done())),
        final: (done) => ((finish = true), done()),
      });
      const writer = fromNodeStream(stream);
      for (let i = 0; i < 5; i++) {
        writer.write('x'.repeat(100_000));
        yield* writer.drain();
      }
      writer.close();
      yield* writer.waitClosed();
      assert.equal(Buffer.concat(written).length, 500_000);
      assert.equal(finish, true);
      yield* untilTrue(() => stream.destroyed, 'destroy');
    }));

  it('throws what the stream fails with, to readers and writers', () =>
    onLoop(function* () {
      for (const wait of ['read', 'drain', 'waitClosed'] as const) {
        const stream = new PassThrough();
        const [reader, writer] = fromNodeStream(stream, { as: 'streams' });
        if (wait === 'drain') {
          writer.transport.pauseReading();
          for (let i = 0; i < 4; i++) writer.write(Buffer.alloc(100_000));
        }
        const waiting = createTask(function* () {
          yield* wait === 'read' ? reader.read(1) : writer[wait]();
        });
        yield* someTurns();
        stream.destroy(Object.assign(new Error('broken'), { code: 'EBROKEN' }));
        yield* until(assert.rejects(Promise.resolve(waiting), { code: 'EBROKEN' }));
      }
    }));

  it('fails with ECONNRESET when a socket is reset, and nobody is told twice', async () => {
    const errors = await withUnhandledRejections((seen) =>
      onLoop(function* () {
        yield* withNodeServer(
          (socket) => void setImmediate(() => socket.resetAndDestroy()),
          function* (socket) {
            const reader = fromNodeStream(socket);
            const reading = createTask(reader.read(1) as never);
            yield* until(assert.rejects(Promise.resolve(reading), { code: 'ECONNRESET' }));
          },
        );
        assert.deepEqual(seen, []);
      }).then(() => seen),
    );
    assert.deepEqual(errors, []);
  });

  it('takes a stream that has ended, and throws of one that is destroyed', () =>
    onLoop(function* () {
      const ended = new PassThrough();
      ended.resume().push(null);
      yield* until(once(ended, 'end'));
      const [reader, writer] = fromNodeStream(ended, { as: 'streams' });
      assert.equal((yield* reader.read()).length, 0);
      writer.write('still open');
      writer.close();
      yield* writer.waitClosed();

      const destroyed = fromNodeStream(new PassThrough().destroy(), { as: 'streams' });
      const early = { code: 'ERR_STREAM_PREMATURE_CLOSE' };
      yield* until(assert.rejects(async () => await destroyed[0].read(), early));
      yield* until(assert.rejects(async () => await destroyed[1].waitClosed(), early));
    }));

  it('loses no bytes when a read is cancelled', () =>
    onLoop(function* () {
      const stream = new PassThrough();
      const [reader, writer] = fromNodeStream(stream, { as: 'streams' });
      const reading = createTask(reader.read(10) as never);
      yield* someTurns();
      reading.cancel();
      stream.write('kept');
      yield* someTurns();
      assert.equal(String(yield* reader.readExactly(4)), 'kept');
      writer.transport.abort();
      yield* writer.waitClosed();
      assert.equal(stream.destroyed, true);
    }));

  it('goes there and back again', () =>
    onLoop(function* () {
      yield* withDuplexes(function* (client, server) {
        const duplex = toNodeStream(...fromNodeStream(client, { as: 'streams' }));
        const [reader, writer] = fromNodeStream(duplex, { as: 'streams' });
        server.pipe(server);
        writer.write(pattern(FEW));
        yield* writer.drain();
        writer.writeEof();
        assert.ok((yield* reader.read()).equals(pattern(FEW)));
        writer.close();
        yield* writer.waitClosed();
      });
    }));

  it('refuses what is no stream', () => {
    for (const wrong of [null, 7, {}, { write() {} }, new EventTarget()]) {
      assert.throws(() => fromNodeStream(wrong as never), /a stream was expected, got/);
    }
    assert.throws(() => fromNodeStream(new PassThrough(), { limit: 0 }), RangeError);
  });
});
