import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  CompressionStream,
  DecompressionStream,
  ReadableStream,
  TextDecoderStream,
  TransformStream,
  WritableStream,
} from 'node:stream/web';

import {
  createTask,
  fromWebStreams,
  openConnection,
  Runner,
  type Streams,
  startServer,
  toWebStreams,
  until,
  type WebStreams,
} from 'ringloop';
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
const FEW = 1024 * 1024;

function pattern(size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  for (let i = 0; i < size; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + (i >>> 16)) & 255;
  return bytes;
}

async function bytesOf(readable: ReadableStream<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of readable) parts.push(part);
  return Buffer.concat(parts);
}

/** Two pairs that are connected; what is left of them is aborted. */
function* withPairs(
  body: (client: WebStreams, server: WebStreams, ends: Streams[]) => Generator<unknown, void, any>,
): Generator<unknown, void, any> {
  const ends: Streams[] = [];
  const server = yield* startServer((...streams) => void ends.push(streams), LOCALHOST, 0);
  ends.unshift(yield* openConnection(LOCALHOST, server.port));
  yield* untilTrue(() => ends.length === 2, 'the connection');
  try {
    yield* body(toWebStreams(...ends[0]!), toWebStreams(...ends[1]!), ends);
  } finally {
    for (const [, { transport }] of ends) transport.abort();
    server.close();
    yield* server.waitClosed();
    yield* someTurns();
  }
}

/** A pair whose other side is a socket without a transport. */
function* withRawPeer(
  body: (pair: WebStreams, peer: RawSocket, end: Streams) => Generator<unknown, void, any>,
): Generator<unknown, void, any> {
  const listener = new RawListener();
  const end = yield* openConnection(LOCALHOST, listener.port);
  const peer = yield* listener.accept();
  try {
    yield* body(toWebStreams(...end), peer, end);
  } finally {
    end[1].transport.abort();
    peer.close();
    listener.close();
    yield* someTurns();
  }
}

/** Runs a test in which no promise may be rejected without anybody who catches it. */
async function quietly(body: () => Generator<unknown, void, any>): Promise<void> {
  const errors = await withUnhandledRejections(async (seen) => {
    await onLoop(body);
    return seen;
  });
  assert.deepEqual(errors, []);
}

describe('toWebStreams', () => {
  it('carries what is compressed on the way, as it is, and closes', () =>
    quietly(function* () {
      const content = pattern(3 * FEW);
      yield* withPairs(function* (client, server, ends) {
        const zipped = new Response(content).body!.pipeThrough(new CompressionStream('gzip'));
        const sent = zipped.pipeTo(client.writable);
        const received = bytesOf(server.readable.pipeThrough(new DecompressionStream('gzip')));
        yield* until(sent);
        assert.ok((yield* until(received)).equals(content));
        yield* until(server.writable.close());
        assert.equal((yield* until(bytesOf(client.readable))).length, 0);
        for (const [, writer] of ends) yield* writer.waitClosed();
      });
    }));

  it('carries much in both directions at once', () =>
    quietly(function* () {
      const content = pattern(MUCH);
      yield* withPairs(function* (client, server, ends) {
        const echoed = server.readable.pipeTo(server.writable);
        const writing = (async () => {
          const writer = client.writable.getWriter();
          for (let at = 0; at < MUCH; at += 100_000) {
            await writer.ready;
            void writer.write(content.subarray(at, at + 100_000));
          }
          await writer.close();
        })();
        assert.ok((yield* until(bytesOf(client.readable))).equals(content));
        yield* until(Promise.all([echoed, writing]));
        for (const [, writer] of ends) yield* writer.waitClosed();
      });
    }));

  it('holds a fast writer up until a slow reader asks for more', () =>
    quietly(function* () {
      yield* withPairs(function* (client, server, ends) {
        let produced = 0;
        const source = new ReadableStream<Uint8Array>({
          pull(controller) {
            produced += 64 * 1024;
            controller.enqueue(new Uint8Array(64 * 1024));
            if (produced >= 16 * MUCH) controller.close();
          },
        });
        const abort = new AbortController();
        const sent = source.pipeTo(client.writable, { signal: abort.signal });
        const failed = assert.rejects(sent, { name: 'AbortError' });
        let before = -1;
        while (before !== produced) {
          before = produced;
          yield* someTurns();
          yield* someTurns();
        }
        assert.ok(produced < 16 * MUCH, `${produced} bytes were taken`);
        assert.ok(ends[1]![0].statistics().size < FEW);
        const reader = server.readable.getReader();
        for (let read = 0; read < 2 * MUCH; ) {
          read += (yield* until(reader.read())).value!.length;
        }
        assert.ok(produced > before);
        // pipeTo() aborts when what it has taken is written.
        abort.abort();
        const rest = async () => {
          while (!(await reader.read()).done);
        };
        yield* until(Promise.all([failed, rest()]));
      });
    }));

  it('reads nothing before it is asked', () =>
    quietly(function* () {
      yield* withRawPeer(function* ({ readable }, peer, [reader]) {
        peer.write('hello');
        yield* untilTrue(() => reader.statistics().size === 5, 'the data');
        yield* someTurns();
        assert.deepEqual([reader.statistics().size, reader.statistics().waiters], [5, 0]);
        const { value } = yield* until(readable.getReader().read());
        assert.equal(String(Buffer.from(value!)), 'hello');
      });
    }));

  it('reads into memory that the caller brings, and gives it back at the end', () =>
    quietly(function* () {
      yield* withRawPeer(function* ({ readable }, peer) {
        const reader = readable.getReader({ mode: 'byob' });
        let memory = new Uint8Array(4);
        peer.write('hello');
        const texts: string[] = [];
        for (const _ of [1, 2]) {
          const { value } = yield* until(reader.read(memory));
          texts.push(String(Buffer.from(value!)));
          memory = new Uint8Array(value!.buffer);
        }
        assert.deepEqual(texts, ['hell', 'o']);
        const last = reader.read(memory);
        peer.shutdown();
        const { done, value } = yield* until(last);
        assert.deepEqual([done, value!.length, value!.buffer.byteLength], [true, 0, 4]);
      });
    }));

  it('ends one direction and goes on with the other', () =>
    quietly(function* () {
      yield* withRawPeer(function* ({ readable, writable }, peer, [, writer]) {
        const sink = writable.getWriter();
        yield* until(sink.write('question'));
        yield* until(sink.close());
        assert.equal(String(yield* peer.readAll()), 'question');
        assert.equal(writer.isClosing(), false);
        peer.write('answer');
        peer.shutdown();
        assert.equal(yield* until(new Response(readable as never).text()), 'answer');
        yield* writer.waitClosed();
      });
    }));

  it('cancels one direction and goes on with the other', () =>
    quietly(function* () {
      yield* withRawPeer(function* ({ readable, writable }, peer, [reader, writer]) {
        const source = readable.getReader();
        const reading = source.read();
        yield* someTurns();
        assert.equal(reader.statistics().waiters, 1);
        yield* until(source.cancel());
        yield* someTurns();
        assert.equal(reader.statistics().waiters, 0);
        assert.equal((yield* until(reading)).done, true);
        const sink = writable.getWriter();
        yield* until(sink.write('still here'));
        assert.equal(writer.isClosing(), false);
        yield* until(sink.close());
        yield* writer.waitClosed();
        assert.equal(String(yield* peer.readAll()), 'still here');
      });
    }));

  it('fails in both directions with the code of the connection', () =>
    quietly(function* () {
      yield* withRawPeer(function* ({ readable, writable }, peer) {
        const [source, sink] = [readable.getReader(), writable.getWriter()];
        const reading = source.read();
        const failed = [reading, source.closed, sink.closed].map((promise) =>
          assert.rejects(promise, { code: 'ECONNRESET' }),
        );
        peer.reset();
        yield* until(Promise.all(failed));
        yield* until(assert.rejects(sink.write('more'), { code: 'ECONNRESET' }));
      });
    }));

  it('aborts in the middle of a write: the other side hears of it, reading fails', () =>
    quietly(function* () {
      yield* withRawPeer(function* ({ readable, writable }, peer, [, writer]) {
        const sink = writable.getWriter();
        const reading = readable.getReader().read();
        const writing = sink.write(new Uint8Array(4 * MUCH));
        const failed = Promise.allSettled([reading, writing]);
        yield* someTurns();
        const reason = new Error('enough');
        yield* until(sink.abort(reason));
        const [read] = yield* until(failed);
        assert.deepEqual(read, { status: 'rejected', reason });
        assert.ok((yield* peer.readAll()).length < 4 * MUCH);
        yield* writer.waitClosed();
      });
    }));

  it('fails when it is closed underneath, after what has come', () =>
    quietly(function* () {
      yield* withRawPeer(function* ({ readable, writable }, peer, [reader, writer]) {
        peer.write('last words');
        yield* untilTrue(() => reader.statistics().size > 0, 'the data');
        writer.close();
        yield* writer.waitClosed();
        const sink = writable.getWriter();
        yield* until(assert.rejects(sink.closed, { code: 'ECONNRESET' }));
        assert.equal(String(yield* until(bytesOf(readable))), 'last words');
      });
    }));

  it('refuses what cannot be written, and that is the end', () =>
    quietly(function* () {
      yield* withRawPeer(function* ({ writable }, _peer, [, writer]) {
        yield* until(assert.rejects(writable.getWriter().write(7 as never), TypeError));
        yield* writer.waitClosed();
      });
      assert.throws(() => toWebStreams(null as never, null as never), /StreamReader.*got null/);
    }));

  it('does not share the fate of the task that reads it', () =>
    quietly(function* () {
      yield* withRawPeer(function* ({ readable }, peer) {
        const source = readable.getReader();
        let reading!: ReturnType<typeof source.read>;
        const impatient = createTask(function* () {
          reading = source.read();
          yield* until(reading);
        });
        yield* someTurns();
        impatient.cancel();
        yield* someTurns();
        peer.write('hello');
        assert.equal(String(Buffer.from((yield* until(reading)).value!)), 'hello');
      });
    }));

  it('carries a TLS connection, which ends in both directions at once', () =>
    quietly(function* () {
      const content = pattern(FEW);
      const received: Promise<Buffer>[] = [];
      const server = yield* startServer(
        (...streams) => {
          const { readable, writable } = toWebStreams(...streams);
          writable.getWriter().closed.catch(() => {});
          received.push(bytesOf(readable));
        },
        LOCALHOST,
        0,
        { ssl: identity('server') },
      );
      const [reader, writer] = yield* openConnection('localhost', server.port, { ssl: { ca } });
      const { readable, writable } = toWebStreams(reader, writer);
      const sink = writable.getWriter();
      yield* until(sink.write(content));
      yield* until(sink.close());
      assert.equal((yield* until(bytesOf(readable))).length, 0);
      yield* writer.waitClosed();
      assert.ok((yield* until(received[0]!)).equals(content));
      server.close();
      yield* server.waitClosed();
    }));

  it('is the body of a request', () =>
    quietly(function* () {
      const server = http.createServer((request, response) => void request.pipe(response));
      yield* until(once(server.listen(0, LOCALHOST), 'listening'));
      const url = `http://${LOCALHOST}:${(server.address() as AddressInfo).port}/`;
      yield* withPairs(function* (client, { readable: body, writable }) {
        const init = { method: 'POST', body, duplex: 'half' } as RequestInit;
        const answer = fetch(url, init).then((response) =>
          (response.body as unknown as ReadableStream<Uint8Array>).pipeTo(writable),
        );
        const sink = client.writable.getWriter();
        void sink.write(pattern(FEW));
        void sink.close();
        assert.ok((yield* until(bytesOf(client.readable))).equals(pattern(FEW)));
        yield* until(answer);
      });
      server.closeAllConnections();
      yield* until(new Promise((resolve) => server.close(resolve)));
    }));

  it('fails when the loop it belongs to is closed', async () => {
    const listener = new RawListener();
    const runner = new Runner();
    const { readable } = await runner.run(function* () {
      return toWebStreams(...(yield* openConnection(LOCALHOST, listener.port)));
    });
    const failed = assert.rejects(readable.getReader().read(), /loop is being closed/);
    await runner.close();
    await failed;
    await turnOfNode();
    listener.close();
  });

  it('outlives the run() that made it, and lets the process end', async () => {
    const { code, stdout, stderr } = await runProgram(`
      const { run, startServer, openConnection, toWebStreams } = ringloop;
      run(async () => {
        const server = await startServer((...both) => {
          const { readable, writable } = toWebStreams(...both);
          readable.pipeTo(writable);
        }, '127.0.0.1', 0);
        const streams = await openConnection('127.0.0.1', server.port);
        setImmediate(() => server.close());
        return toWebStreams(...streams);
      }).then(async ({ readable, writable }) => {
        const writer = writable.getWriter();
        writer.write('done');
        writer.close();
        for await (const data of readable) process.stdout.write(data);
      });
    `);
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'done', stderr: '' });
  });
});

describe('fromWebStreams', () => {
  it('reads the body of a fetch, line by line', () =>
    quietly(function* () {
      const server = http.createServer((_, response) => {
        for (let i = 0; i < 1000; i++) response.write(`line ${i}\n`);
        response.end();
      });
      yield* until(once(server.listen(0, LOCALHOST), 'listening'));
      const url = `http://${LOCALHOST}:${(server.address() as AddressInfo).port}/`;
      const response = yield* until(fetch(url));
      const reader = fromWebStreams({ readable: response.body as never });
      for (let i = 0; i < 1000; i++) assert.equal(String(yield* reader.readLine()), `line ${i}\n`);
      assert.equal((yield* reader.readLine()).length, 0);
      server.closeAllConnections();
      yield* until(new Promise((resolve) => server.close(resolve)));
    }));

  it('writes and reads through a transformation, and half-closes', () =>
    quietly(function* () {
      const content = pattern(FEW);
      const [zipped, zip] = fromWebStreams(new CompressionStream('gzip'));
      const [plain, unzip] = fromWebStreams(new DecompressionStream('gzip'));
      const sending = createTask(function* () {
        zip.write(content);
        yield* zip.drain();
        zip.writeEof();
      });
      const passing = createTask(function* () {
        for (
          let part = yield* zipped.read(1000);
          part.length > 0;
          part = yield* zipped.read(1000)
        ) {
          unzip.write(part);
          yield* unzip.drain();
        }
        unzip.writeEof();
      });
      assert.ok((yield* plain.read()).equals(content));
      yield* sending;
      yield* passing;
      for (const writer of [zip, unzip]) {
        writer.close();
        yield* writer.waitClosed();
      }
    }));

  it('asks for no more than somebody reads', () =>
    quietly(function* () {
      let produced = 0;
      let cancelled: unknown = 'not cancelled';
      const readable = new ReadableStream<Uint8Array>({
        pull(controller) {
          produced += 10_000;
          controller.enqueue(new Uint8Array(10_000));
        },
        cancel: (reason) => void (cancelled = reason),
      });
      const [reader, writer] = fromWebStreams({ readable, writable: new WritableStream() });
      yield* untilTrue(() => reader.statistics().paused, 'the pause');
      yield* someTurns();
      const before = produced;
      yield* someTurns();
      assert.equal(produced, before);
      assert.ok(produced < FEW);
      yield* reader.readExactly(FEW);
      writer.close();
      yield* writer.waitClosed();
      assert.equal(cancelled, undefined);
    }));

  it('drains when the other side is ready', () =>
    quietly(function* () {
      const written: number[] = [];
      let resume!: () => void;
      const gate = new Promise<void>((resolve) => (resume = resolve));
      let closed = false;
      const writable = new WritableStream<Uint8Array>({
        async write(chunk) {
          await gate;
          written.push(chunk.length);
        },
        close: () => void (closed = true),
      });
      const writer = fromWebStreams({ writable });
      writer.write(new Uint8Array(100_000));
      writer.write('text');
      const draining = createTask(function* () {
        yield* writer.drain();
      });
      yield* someTurns();
      assert.equal(draining.done(), false);
      resume();
      yield* draining;
      writer.close();
      yield* writer.waitClosed();
      assert.deepEqual([written, closed], [[100_000, 4], true]);
    }));

  it('throws what either direction fails with', () =>
    quietly(function* () {
      const broken = Object.assign(new Error('broken'), { code: 'EBROKEN' });
      const failing = new ReadableStream({ pull: () => Promise.reject(broken) });
      const reader = fromWebStreams({ readable: failing });
      yield* until(assert.rejects(Promise.resolve(createTask(reader.read(1) as never)), broken));

      let aborted: unknown = null;
      const [, writer] = fromWebStreams({
        readable: new ReadableStream({ cancel: (reason) => void (aborted = reason) }),
        writable: new WritableStream({ write: () => Promise.reject('no error') }),
      });
      writer.write('x');
      const waiting = createTask(writer.waitClosed() as never);
      yield* until(assert.rejects(Promise.resolve(waiting), { cause: 'no error' }));
      assert.equal((aborted as unknown as Error).cause, 'no error');

      const odd = fromWebStreams({ readable: ReadableStream.from([{}]) });
      yield* until(assert.rejects(Promise.resolve(createTask(odd.read(1) as never)), TypeError));
    }));

  it('reads text, and pieces with nothing in them', () =>
    quietly(function* () {
      const { readable, writable } = new TextDecoderStream();
      const writer = writable.getWriter();
      for (const part of ['a', '', '', 'b']) void writer.write(Buffer.from(part));
      void writer.close();
      const empty = ReadableStream.from(['', 'x', '', new Uint8Array(0), 'y']);
      assert.equal(String(yield* fromWebStreams({ readable }).read()), 'ab');
      assert.equal(String(yield* fromWebStreams({ readable: empty }).read()), 'xy');
    }));

  it('aborts both directions at once', () =>
    quietly(function* () {
      const events: string[] = [];
      const [reader, writer] = fromWebStreams({
        readable: new ReadableStream({ cancel: () => void events.push('cancel') }),
        writable: new WritableStream({ abort: () => void events.push('abort') }),
      });
      const reading = createTask(reader.read(1) as never);
      yield* someTurns();
      writer.transport.abort();
      yield* writer.waitClosed();
      yield* someTurns();
      assert.equal(((yield* reading) as Buffer).length, 0);
      assert.deepEqual(events, ['cancel', 'abort']);
    }));

  it('goes there and back again', () =>
    quietly(function* () {
      yield* withPairs(function* (client, server) {
        const [reader, writer] = fromWebStreams(toWebStreams(...fromWebStreams(client)));
        const echoed = server.readable.pipeThrough(new TransformStream()).pipeTo(server.writable);
        writer.write(pattern(FEW));
        yield* writer.drain();
        writer.writeEof();
        assert.ok((yield* reader.read()).equals(pattern(FEW)));
        yield* until(echoed);
        writer.close();
        yield* writer.waitClosed();
      });
    }));

  it('refuses what is no stream, or is locked', () => {
    for (const wrong of [null, {}, { readable: 7 }, { readable: new WritableStream() }]) {
      assert.throws(() => fromWebStreams(wrong as never), /readable, writable.*expected, got/);
    }
    const readable = new ReadableStream();
    const writable = new WritableStream();
    writable.getWriter();
    assert.throws(() => fromWebStreams({ readable, writable }), TypeError);
    assert.equal(readable.locked, false);
  });
});
