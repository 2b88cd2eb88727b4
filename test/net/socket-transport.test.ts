import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';

import {
  BufferedProtocol,
  ContextVar,
  connectAcceptedSocket,
  EventLoop,
  type ExceptionContext,
  getEventLoop,
  Protocol,
  RuntimeError,
  run,
  type SystemError,
  sleep,
  type Transport,
  type WriteData,
} from 'ringloop';
import { turnOfNode, withReports } from '../support/capture.js';
import {
  type Body,
  onLoop,
  RawListener,
  RawSocket,
  Recorder,
  sockets,
  someTurns,
  untilTrue,
  withPair,
  withRawPeer,
} from '../support/net.js';

const loop = getEventLoop();

/** So small a receive buffer on the other side that a few writes must wait. */
const MUCH = 8 * 1024 * 1024;

/** Runs a test that makes the loop report errors. */
function reported(body: () => Generator<unknown, void, any>): Promise<ExceptionContext[]> {
  return withReports(async (reports) => {
    await run(body);
    return reports;
  });
}

/** What a peer has received so far, without waiting for more. */
function* drain(peer: RawSocket, count: number): Generator<unknown, Buffer, any> {
  const parts: Buffer[] = [];
  let size = 0;
  while (size < count) {
    const data = yield* peer.read();
    if (data.length === 0) break;
    parts.push(data);
    size += data.length;
  }
  return Buffer.concat(parts);
}

function pattern(size: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  for (let i = 0; i < size; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + (i >>> 16) + seed) & 255;
  return bytes;
}

describe('a connection', () => {
  it('tells both sides everything, once and in order', () =>
    onLoop(function* () {
      yield* withPair(new Recorder(), new Recorder(), function* ({ client, server }) {
        client.transport.write('hello');
        yield* server.untilText('hello');
        server.transport.write('world');
        yield* client.untilText('world');
        client.transport.close();
        yield* client.untilEvent('lost');
        yield* server.untilEvent('lost');
        assert.deepEqual(client.events, ['made', 'data', 'lost']);
        assert.deepEqual(server.events, ['made', 'data', 'eof', 'lost']);
        assert.equal(client.error, null);
        assert.equal(server.error, null);
      });
    }));

  it('is made one iteration before whoever connects goes on, as in asyncio', () =>
    onLoop(function* () {
      const listener = new RawListener();
      const first = yield* RawSocket.connect(listener.port);
      const second = yield* listener.accept();
      let tick = 0;
      const count = (): void => {
        tick++;
        if (tick < 20) loop.callSoon(count);
      };
      const log: string[] = [];
      class Ticking extends Recorder {
        protected override note(event: string): void {
          super.note(event);
          log.push(`${this.name}.${event}@${tick}`);
        }
      }
      const [a, b] = [new Ticking('A'), new Ticking('B')];
      count();
      const [transport] = yield* connectAcceptedSocket(() => a, first.fd);
      log.push(`connA@${tick}`);
      yield* connectAcceptedSocket(() => b, second.fd);
      log.push(`connB@${tick}`);
      assert.deepEqual(log, ['A.made@2', 'connA@3', 'B.made@4', 'connB@5']);
      while (tick < 20) yield* sleep(0);
      transport.write('ab');
      transport.write('c');
      yield* b.untilText('abc');
      transport.writeEof();
      yield* a.untilEvent('lost');
      assert.deepEqual(
        log.slice(4).map((entry) => entry.split('@')[0]),
        ['B.data', 'B.eof', 'B.lost', 'A.eof', 'A.lost'],
      );
      listener.close();
    }));

  it('is lost one iteration after abort(), and after close() if nothing waits', () =>
    onLoop(function* () {
      for (const end of ['abort', 'close'] as const) {
        yield* withPair(new Recorder(), new Recorder(), function* ({ client }) {
          client.transport[end]();
          assert.deepEqual(client.events, ['made']);
          assert.equal(client.transport.isClosing(), true);
          yield* sleep(0);
          assert.deepEqual(client.events, ['made', 'lost']);
          client.transport.abort();
          client.transport.close();
        });
      }
    }));

  it('says what is known about it', () =>
    onLoop(function* () {
      yield* withPair(new Recorder(), new Recorder(), function* ({ client, server, listening }) {
        const { transport } = client;
        const there = { address: '127.0.0.1', port: listening.port, family: 'IPv4' };
        assert.deepEqual(transport.getExtraInfo('peername'), there);
        assert.deepEqual(server.transport.getExtraInfo('sockname'), there);
        assert.deepEqual(
          transport.getExtraInfo('sockname'),
          server.transport.getExtraInfo('peername'),
        );
        const fd = transport.getExtraInfo('fd');
        assert.equal(typeof fd, 'number');
        assert.equal(transport.getExtraInfo('nothing of the kind'), undefined);
        assert.equal(transport.getExtraInfo('nothing of the kind', 7), 7);
        assert.equal(transport.getProtocol(), client);
        assert.equal(String(transport), `<SocketTransport open fd=${fd} write buffer: 0>`);
        transport.close();
        assert.match(String(transport), /closing/);
        yield* client.untilEvent('lost');
        yield* sleep(0);
        assert.match(String(transport), /closed/);
        assert.equal(transport.getExtraInfo('fd', 'none'), 'none');
        assert.deepEqual(transport.getExtraInfo('peername'), there);
      });
    }));

  it('can get another protocol, which is told everything from then on', () =>
    onLoop(function* () {
      yield* withPair(new Recorder(), new Recorder(), function* ({ client, server }) {
        client.transport.write('one');
        yield* server.untilText('one');
        const other = new Recorder();
        server.transport.setProtocol(other);
        client.transport.write('two');
        yield* other.untilText('two');
        assert.throws(() => server.transport.setProtocol({} as never), {
          name: 'TypeError',
          message: 'setProtocol: expected a protocol, got an instance of Object',
        });
        client.transport.close();
        yield* other.untilEvent('lost');
        assert.deepEqual(other.events, ['data', 'eof', 'lost']);
        assert.deepEqual(server.events, ['made', 'data']);
      });
    }));

  it('does not let others watch its fd', () =>
    onLoop(function* () {
      yield* withPair(new Recorder(), new Recorder(), function* ({ client }) {
        const fd = client.transport.getExtraInfo('fd');
        const message = new RegExp(`file descriptor ${fd} is used by <SocketTransport open`);
        for (const method of ['addReader', 'addWriter'] as const) {
          assert.throws(() => loop[method](fd, () => {}), { name: 'RuntimeError', message });
        }
        for (const method of ['removeReader', 'removeWriter'] as const) {
          assert.throws(() => loop[method](fd), { name: 'RuntimeError', message });
        }
      });
    }));
});

describe('transport.write()', () => {
  const bytes = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]);
  const shared = new Uint8Array(new SharedArrayBuffer(8));
  shared.set(bytes);
  const KINDS: [what: string, data: WriteData, expected: Buffer][] = [
    ['text', 'plain', Buffer.from('plain')],
    ['text of many bytes a letter', 'grüße 世界 🎉', Buffer.from('grüße 世界 🎉')],
    ['half a letter', '\ud83c', Buffer.from('\ufffd')],
    ['a Buffer', Buffer.from('buffer'), Buffer.from('buffer')],
    ['a Uint8Array', bytes, Buffer.from(bytes)],
    ['a part of one', bytes.subarray(2, 5), Buffer.from([3, 4, 5])],
    ['a Uint16Array', new Uint16Array(bytes.buffer, 2, 2), Buffer.from([3, 4, 5, 6])],
    ['a Float64Array', new Float64Array(bytes.buffer), Buffer.from(bytes)],
    ['a DataView', new DataView(bytes.buffer, 1, 3), Buffer.from([2, 3, 4])],
    ['an ArrayBuffer', bytes.buffer, Buffer.from(bytes)],
    ['a SharedArrayBuffer', shared.buffer, Buffer.from(bytes)],
    ['long text', 'ä'.repeat(20_000), Buffer.from('ä'.repeat(20_000))],
    ['a long Buffer', pattern(100_000), pattern(100_000)],
    ['a long SharedArrayBuffer', new SharedArrayBuffer(50_000), Buffer.alloc(50_000)],
  ];
  for (const [what, data, expected] of KINDS) {
    it(`sends ${what}`, () =>
      onLoop(function* () {
        for (const send of ['write', 'writelines'] as const) {
          yield* withRawPeer(new Recorder(), function* (transport, peer) {
            if (send === 'write') transport.write(data);
            else transport.writelines([data]);
            transport.close();
            assert.deepEqual(yield* peer.readAll(), expected);
          });
        }
      }));
  }

  it('sends nothing when there is nothing to send', () =>
    onLoop(function* () {
      yield* withRawPeer(new Recorder(), function* (transport, peer) {
        for (const nothing of ['', Buffer.alloc(0), new Uint16Array(0), new ArrayBuffer(0)]) {
          transport.write(nothing);
          transport.writelines([nothing, nothing]);
        }
        transport.writelines([]);
        assert.equal(transport.getWriteBufferSize(), 0);
        yield* someTurns();
        assert.equal(peer.readNow(), null);
      });
    }));

  it('refuses what is no data, at any time', () =>
    onLoop(function* () {
      yield* withRawPeer(new Recorder(), function* (transport) {
        const refuses = (): void => {
          for (const [wrong, shown] of [
            [5, '5'],
            [null, 'null'],
            [undefined, 'undefined'],
            [[1], 'an instance of Array'],
          ]) {
            const expected = {
              name: 'TypeError',
              message: new RegExp(`^write: data must be a string, a Buffer.* got ${shown}$`),
            };
            assert.throws(() => transport.write(wrong as never), expected);
          }
          assert.throws(() => transport.writelines(['a', 5 as never]), TypeError);
          assert.throws(() => transport.writelines(5 as never), TypeError);
        };
        refuses();
        transport.write(Buffer.alloc(MUCH));
        assert.notEqual(transport.getWriteBufferSize(), 0);
        refuses();
        transport.abort();
        refuses();
      });
    }));

  it('keeps the order of what is sent at once and what has to wait', () =>
    onLoop(function* () {
      yield* withRawPeer(new Recorder(), function* (transport, peer) {
        const pieces = [pattern(10), pattern(MUCH, 2), pattern(20, 3), pattern(200_000, 4)];
        for (const piece of pieces) transport.write(piece);
        transport.write('text');
        transport.writelines([pattern(5, 5), '', new Uint16Array([258]), 'end']);
        const expected = Buffer.concat([
          ...pieces,
          Buffer.from('text'),
          pattern(5, 5),
          Buffer.from([2, 1]),
          Buffer.from('end'),
        ]);
        transport.close();
        assert.ok((yield* peer.readAll()).equals(expected));
      });
    }));

  it('sends many small pieces that wait', () =>
    onLoop(function* () {
      yield* withRawPeer(new Recorder(), function* (transport, peer) {
        const blocker = pattern(MUCH);
        transport.write(blocker);
        let expected = '';
        for (let i = 0; i < 5000; i++) {
          transport.write(`${i},`);
          expected += `${i},`;
        }
        transport.close();
        const all = yield* peer.readAll();
        assert.equal(all.subarray(blocker.length).toString(), expected);
      });
    }));

  it('sends pieces in one go with writelines(), and the rest later', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      yield* withRawPeer(recorder, function* (transport, peer) {
        const pieces = Array.from({ length: 3000 }, (_, i) => pattern(i % 5000, i));
        transport.writelines(pieces);
        const left = transport.getWriteBufferSize();
        const expected = Buffer.concat(pieces);
        assert.ok(left > 0 && left < expected.length, `${left} bytes wait`);
        assert.deepEqual(recorder.events, ['made', 'pause']);
        transport.close();
        assert.ok((yield* peer.readAll()).equals(expected));
        yield* recorder.untilEvent('lost');
        assert.deepEqual(recorder.events, ['made', 'pause', 'resume', 'lost']);
      });
    }));

  it('takes what is written while it flushes', () =>
    onLoop(function* () {
      class Refilling extends Recorder {
        override resumeWriting(): void {
          super.resumeWriting();
          this.transport.write('tail');
          this.transport.close();
        }
      }
      const recorder = new Refilling();
      yield* withRawPeer(recorder, function* (transport, peer) {
        transport.write(pattern(MUCH));
        const all = yield* peer.readAll();
        assert.equal(all.length, MUCH + 4);
        assert.equal(all.subarray(MUCH).toString(), 'tail');
        yield* recorder.untilEvent('lost');
        yield* someTurns();
        assert.deepEqual(recorder.events, ['made', 'pause', 'resume', 'lost']);
      });
    }));

  it('is silent when the connection is lost', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      yield* withRawPeer(recorder, function* (transport) {
        transport.abort();
        for (let i = 0; i < 10; i++) transport.write('x');
        transport.writelines(['x']);
        assert.equal(transport.getWriteBufferSize(), 0);
        yield* recorder.untilEvent('lost');
        transport.write('x');
        transport.write(Buffer.alloc(100_000));
        transport.writelines(['x', 'y']);
        transport.writeEof();
        transport.close();
      });
      assert.deepEqual(recorder.events, ['made', 'lost']);
    }));

  it('throws after writeEof()', () =>
    onLoop(function* () {
      yield* withRawPeer(new Recorder(), function* (transport, peer) {
        assert.equal(transport.canWriteEof(), true);
        transport.write('all');
        transport.writeEof();
        transport.writeEof();
        const expected = { name: 'RuntimeError', message: 'Cannot call write() after writeEof()' };
        assert.throws(() => transport.write('more'), expected);
        assert.throws(() => transport.writelines(['more']), RuntimeError);
        assert.equal((yield* peer.readAll()).toString(), 'all');
      });
    }));

  it('copies what stands in the memory that the protocol is receiving into', () =>
    onLoop(function* () {
      const memory = new Uint8Array(256 * 1024);
      class Echo extends BufferedProtocol {
        transport!: Transport;
        override connectionMade(transport: Transport): void {
          this.transport = transport;
        }
        override getBuffer(): Uint8Array {
          return memory;
        }
        override bufferUpdated(count: number): void {
          this.transport.write(memory.subarray(0, count));
        }
      }
      const sender = new Recorder();
      yield* withPair(sender, new Echo(), function* () {
        const sent = pattern(2 * MUCH);
        sender.transport.pauseReading();
        sender.transport.write(sent);
        sender.transport.writeEof();
        yield* someTurns();
        sender.transport.resumeReading();
        yield* sender.until(() => sender.size === sent.length);
        assert.ok(Buffer.concat(sender.received).equals(sent));
      });
    }));

  it('needs no more memory than what was written, for a slow reader', () =>
    onLoop(function* () {
      const size = 100 * 1024 * 1024;
      const sent = Buffer.alloc(size, 'ringloop');
      const recorder = new Recorder();
      yield* withRawPeer(recorder, function* (transport, peer) {
        const before = process.memoryUsage();
        transport.write(sent);
        const waiting = transport.getWriteBufferSize();
        assert.ok(waiting > 0 && waiting < size);
        let seen = 0;
        let most = 0;
        let nextLook = 0;
        transport.close();
        for (let data = yield* peer.read(); data.length > 0; data = yield* peer.read()) {
          assert.ok(data.equals(sent.subarray(seen, seen + data.length)));
          seen += data.length;
          if (seen < nextLook) continue;
          nextLook += size / 20;
          global.gc?.(); // what the peer has received is garbage, and no business of this test
          most = Math.max(most, process.memoryUsage().arrayBuffers - before.arrayBuffers);
        }
        assert.equal(seen, size);
        assert.ok(most < size / 2, `${most} bytes more`);
      });
    })).timeout(60_000);

  it('sends single bytes, each in its place', () =>
    onLoop(function* () {
      yield* withPair(new Recorder(), new Recorder(), function* ({ client, server }) {
        const text = 'one byte at a time '.repeat(50);
        for (const letter of text) {
          client.transport.write(letter);
          if (letter === 'e') yield* sleep(0);
        }
        yield* server.untilText(text);
      });
    }));
});

describe('flow control', () => {
  it('pauses the protocol above the high mark only, and resumes it at the low one', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      yield* withRawPeer(recorder, function* (transport, peer) {
        assert.deepEqual(transport.getWriteBufferLimits(), { low: 16_384, high: 65_536 });
        // Fill the kernel; what waits from then on, waits here.
        transport.write(Buffer.alloc(MUCH));
        const inKernel = MUCH - transport.getWriteBufferSize();
        yield* drain(peer, MUCH);
        yield* recorder.untilEvent('resume');
        yield* untilTrue(() => transport.getWriteBufferSize() === 0);
        recorder.events.length = 0;

        transport.setWriteBufferLimits({ high: MUCH, low: 1000 });
        transport.write(Buffer.alloc(MUCH));
        const waiting = transport.getWriteBufferSize();
        assert.ok(waiting > 0 && inKernel > 0);
        transport.write(Buffer.alloc(MUCH - waiting));
        assert.equal(transport.getWriteBufferSize(), MUCH);
        assert.deepEqual(recorder.events, []);
        transport.write('x');
        assert.deepEqual(recorder.events, ['pause']);
        transport.write('y');
        assert.deepEqual(recorder.events, ['pause']);
        const sizes: number[] = [];
        recorder.resumeWriting = function () {
          this.events.push('resume');
          sizes.push(transport.getWriteBufferSize());
        };
        yield* drain(peer, 2 * MUCH - waiting + 2);
        yield* untilTrue(() => transport.getWriteBufferSize() === 0);
        assert.deepEqual(recorder.events, ['pause', 'resume']);
        assert.ok(sizes[0]! <= 1000);
      });
    }));

  it('with a high mark of zero pauses whenever something waits', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      yield* withRawPeer(recorder, function* (transport, peer) {
        transport.setWriteBufferLimits({ high: 0 });
        assert.deepEqual(transport.getWriteBufferLimits(), { high: 0, low: 0 });
        transport.write('x');
        assert.deepEqual(recorder.events, ['made']);
        transport.write(Buffer.alloc(MUCH));
        assert.deepEqual(recorder.events, ['made', 'pause']);
        yield* drain(peer, MUCH + 1);
        yield* recorder.untilEvent('resume');
        assert.equal(transport.getWriteBufferSize(), 0);
      });
    }));

  it('looks at new marks at once', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      yield* withRawPeer(recorder, function* (transport) {
        transport.setWriteBufferLimits({ high: Infinity });
        transport.write(Buffer.alloc(MUCH));
        assert.deepEqual(recorder.events, ['made']);
        transport.setWriteBufferLimits({ high: 1 });
        assert.deepEqual(recorder.events, ['made', 'pause']);
      });
    }));

  it('derives one mark from the other, and refuses those that make no sense', () =>
    onLoop(function* () {
      yield* withRawPeer(new Recorder(), function* (transport) {
        const limits = (given: object): object => {
          transport.setWriteBufferLimits(given);
          return transport.getWriteBufferLimits();
        };
        assert.deepEqual(limits({ low: 10 }), { low: 10, high: 40 });
        assert.deepEqual(limits({ high: 10 }), { low: 2, high: 10 });
        assert.deepEqual(limits({ high: 10, low: 10 }), { low: 10, high: 10 });
        assert.deepEqual(limits({}), { low: 16_384, high: 65_536 });
        assert.throws(() => limits({ high: 1, low: 2 }), {
          name: 'RangeError',
          message: 'high (1) must be >= low (2) must be >= 0',
        });
        assert.throws(() => limits({ high: -1 }), RangeError);
        assert.throws(() => limits({ low: -1 }), RangeError);
        assert.throws(() => limits({ high: '5' }), {
          name: 'TypeError',
          message: 'setWriteBufferLimits: high must be a number, got "5"',
        });
        assert.throws(() => limits({ low: NaN }), TypeError);
        assert.deepEqual(transport.getWriteBufferLimits(), { low: 16_384, high: 65_536 });
      });
    }));

  it('pauses and resumes in pairs, between a fast writer and a slow reader', () =>
    onLoop(function* () {
      class Source extends Recorder {
        left = 300;
        paused = false;
        override connectionMade(transport: Transport): void {
          super.connectionMade(transport);
          this.pump();
        }
        override pauseWriting(): void {
          super.pauseWriting();
          this.paused = true;
        }
        override resumeWriting(): void {
          super.resumeWriting();
          this.paused = false;
          this.pump();
        }
        private pump(): void {
          while (!this.paused && this.left-- > 0) this.transport.write(Buffer.alloc(100_000, 'x'));
          if (this.left <= 0) this.transport.close();
        }
      }
      const source = new Source();
      const sink = new Recorder();
      sink.dataReceived = function (data) {
        Recorder.prototype.dataReceived.call(this, data);
        this.transport.pauseReading();
        loop.callSoon(() => this.transport.resumeReading());
      };
      yield* withPair(source, sink, function* () {
        yield* sink.untilEvent('lost');
        assert.equal(sink.size, 30_000_000);
        const flow = source.events.filter((event) => event === 'pause' || event === 'resume');
        assert.ok(flow.length > 2);
        assert.deepEqual(
          flow,
          flow.map((_, i) => (i % 2 === 0 ? 'pause' : 'resume')),
        );
      });
    }));
});

describe('transport.pauseReading()', () => {
  it('delivers nothing until resumeReading(), also when it is called twice', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      yield* withRawPeer(recorder, function* (transport, peer) {
        assert.equal(transport.isReading(), true);
        transport.resumeReading();
        transport.pauseReading();
        transport.pauseReading();
        assert.equal(transport.isReading(), false);
        peer.write('hello');
        peer.shutdown();
        yield* someTurns();
        assert.deepEqual(recorder.events, ['made']);
        transport.resumeReading();
        assert.equal(transport.isReading(), true);
        yield* recorder.untilEvent('lost');
        assert.deepEqual(recorder.events, ['made', 'data', 'eof', 'lost']);
      });
    }));

  it('works from connectionMade(), before the first byte is looked for', () =>
    onLoop(function* () {
      class Paused extends Recorder {
        override connectionMade(transport: Transport): void {
          super.connectionMade(transport);
          transport.pauseReading();
          transport.resumeReading();
          transport.pauseReading();
        }
      }
      const recorder = new Paused();
      yield* withRawPeer(recorder, function* (transport, peer) {
        peer.write('early');
        yield* someTurns();
        assert.deepEqual(recorder.events, ['made']);
        transport.resumeReading();
        yield* recorder.untilText('early');
      });
    }));

  for (const method of ['pauseReading', 'close', 'abort'] as const) {
    it(`delivers nothing that was ready when an earlier handle called ${method}()`, () =>
      onLoop(function* () {
        yield* withRawPeer(new Recorder('first'), function* (first, firstPeer) {
          const recorder = new Recorder('second');
          yield* withRawPeer(recorder, function* (second, secondPeer) {
            const protocol = first.getProtocol() as Recorder;
            // Whichever is first in the kernel's order stops the other.
            protocol.dataReceived = () => second[method]();
            recorder.dataReceived = () => {
              recorder.events.push('data');
              first[method]();
            };
            let stopped = 0;
            protocol.dataReceived = () => {
              stopped++;
              second[method]();
            };
            loop.callSoon(() => {
              firstPeer.write('x');
              secondPeer.write('x');
            });
            yield* someTurns();
            assert.equal(stopped + Number(recorder.events.includes('data')), 1);
          });
        });
      }));
  }

  it('does nothing when the connection is closing', () =>
    onLoop(function* () {
      yield* withRawPeer(new Recorder(), function* (transport) {
        transport.close();
        assert.equal(transport.isReading(), false);
        transport.pauseReading();
        transport.resumeReading();
        assert.equal(transport.isReading(), false);
      });
    }));
});

describe('half of a connection', () => {
  it('is closed by writeEof(), after what waits has been sent; the other half goes on', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      yield* withRawPeer(recorder, function* (transport, peer) {
        transport.write(pattern(MUCH));
        assert.notEqual(transport.getWriteBufferSize(), 0);
        transport.writeEof();
        assert.equal((yield* peer.readAll()).length, MUCH);
        peer.write('answer');
        yield* recorder.untilText('answer');
        assert.equal(transport.isClosing(), false);
        peer.close();
        yield* recorder.untilEvent('lost');
        assert.equal(recorder.error, null);
        assert.deepEqual(recorder.events, ['made', 'pause', 'resume', 'data', 'eof', 'lost']);
      });
    }));

  it('stays open for writing when eofReceived() says so', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      recorder.keepOpen = true;
      yield* withRawPeer(recorder, function* (transport, peer) {
        peer.write('question');
        peer.shutdown();
        yield* recorder.untilEvent('eof');
        assert.equal(transport.isClosing(), false);
        // Pausing and resuming must not begin to look for bytes again.
        transport.pauseReading();
        transport.resumeReading();
        yield* someTurns();
        transport.write(pattern(MUCH));
        transport.close();
        assert.ok((yield* peer.readAll()).equals(pattern(MUCH)));
        yield* recorder.untilEvent('lost');
        assert.equal(recorder.events.filter((event) => event === 'eof').length, 1);
      });
    }));

  it('ends with the other when eofReceived() says nothing', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      yield* withRawPeer(recorder, function* (transport, peer) {
        transport.write(pattern(MUCH));
        peer.shutdown();
        yield* recorder.untilEvent('eof');
        assert.equal(transport.isClosing(), true);
        assert.ok((yield* peer.readAll()).equals(pattern(MUCH)));
        yield* recorder.untilEvent('lost');
        assert.equal(recorder.error, null);
      });
    }));

  it('may be closed on both sides at once', () =>
    onLoop(function* () {
      yield* withPair(new Recorder(), new Recorder(), function* ({ client, server }) {
        client.transport.writeEof();
        server.transport.writeEof();
        yield* client.untilEvent('lost');
        yield* server.untilEvent('lost');
        assert.deepEqual(client.events, ['made', 'eof', 'lost']);
        assert.deepEqual(server.events, ['made', 'eof', 'lost']);
      });
    }));
});

describe('the end of a connection', () => {
  it('comes after close() when nothing more is received', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      yield* withRawPeer(recorder, function* (transport, peer) {
        transport.write(pattern(MUCH));
        transport.close();
        peer.write('nobody hears this');
        yield* someTurns();
        assert.deepEqual(recorder.events, ['made', 'pause']);
        transport.abort();
        yield* recorder.untilEvent('lost');
        assert.equal(recorder.size, 0);
      });
    }));

  it('comes after close() when everything has been sent', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      yield* withRawPeer(recorder, function* (transport, peer) {
        transport.write(pattern(MUCH));
        transport.close();
        transport.close();
        yield* someTurns();
        assert.deepEqual(recorder.events, ['made', 'pause']);
        transport.write('still taken');
        const all = yield* drain(peer, MUCH + 11);
        assert.equal(all.subarray(MUCH).toString(), 'still taken');
        yield* recorder.untilEvent('lost');
        assert.equal(recorder.error, null);
        assert.deepEqual(recorder.events, ['made', 'pause', 'resume', 'lost']);
      });
    }));

  it('comes in the very handle that has sent the last byte, as in asyncio', () =>
    onLoop(function* () {
      const events: string[] = [];
      class Resumed extends Recorder {
        override resumeWriting(): void {
          events.push('resumed');
          getEventLoop().callSoon(() => events.push('next iteration'));
        }
        override connectionLost(error: Error | null): void {
          events.push('lost');
          super.connectionLost(error);
        }
      }
      const recorder = new Resumed();
      yield* withRawPeer(recorder, function* (transport, peer) {
        transport.setWriteBufferLimits({ high: 0 });
        transport.write(pattern(MUCH));
        transport.close();
        yield* drain(peer, MUCH);
        yield* recorder.untilEvent('lost');
        yield* someTurns();
        assert.deepEqual(events, ['resumed', 'lost', 'next iteration']);
      });
    }));

  it('comes at once with abort(), and what waits is dropped', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      yield* withRawPeer(recorder, function* (transport, peer) {
        transport.write(pattern(MUCH));
        transport.abort();
        assert.equal(transport.getWriteBufferSize(), 0);
        yield* recorder.untilEvent('lost');
        assert.equal(recorder.error, null);
        assert.ok((yield* peer.readAll()).length < MUCH);
      });
    }));

  it('comes once when abort() follows close()', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      yield* withRawPeer(recorder, function* (transport) {
        transport.write(pattern(MUCH));
        transport.close();
        transport.abort();
        transport.abort();
        yield* someTurns();
        assert.deepEqual(recorder.events, ['made', 'pause', 'lost']);
      });
    }));

  for (const method of ['close', 'abort'] as const) {
    it(`comes once when resumeWriting() calls ${method}()`, () =>
      onLoop(function* () {
        const recorder = new Recorder();
        recorder.resumeWriting = function () {
          this.events.push('resume');
          this.transport[method]();
        };
        yield* withRawPeer(recorder, function* (transport, peer) {
          // Nothing is left by the time of resumeWriting().
          transport.setWriteBufferLimits({ high: 0 });
          transport.write(pattern(MUCH));
          yield* peer.readAll();
          yield* someTurns();
          assert.deepEqual(recorder.events, ['made', 'pause', 'resume', 'lost']);
        });
      }));

    it(`comes once when pauseWriting() calls ${method}()`, () =>
      onLoop(function* () {
        const recorder = new Recorder();
        recorder.pauseWriting = function () {
          this.transport[method]();
        };
        yield* withRawPeer(recorder, function* (transport, peer) {
          transport.write(pattern(MUCH));
          yield* peer.readAll();
          yield* recorder.untilEvent('lost');
          yield* someTurns();
          assert.equal(recorder.events.filter((event) => event === 'lost').length, 1);
        });
      }));
  }

  it('comes once when connectionMade() aborts', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      recorder.connectionMade = function (transport) {
        this.events.push('made');
        transport.abort();
      };
      yield* withRawPeer(recorder, function* () {
        yield* someTurns();
        assert.deepEqual(recorder.events, ['made', 'lost']);
      });
    }));

  it('is an error when the other side resets the connection', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      yield* withRawPeer(recorder, function* (transport, peer) {
        peer.reset();
        yield* recorder.untilEvent('lost');
        const error = recorder.error as SystemError;
        const { address, port } = transport.getExtraInfo('peername');
        assert.equal(error.code, 'ECONNRESET');
        assert.equal(error.syscall, 'read');
        assert.ok(error.errno < 0);
        assert.equal(error.address, address);
        assert.equal(error.port, port);
        assert.deepEqual(recorder.events, ['made', 'lost']);
      });
    }));
});

describe('a reset', () => {
  const STAGES: [when: string, act: (transport: Transport) => void][] = [
    ['while nothing happens', () => {}],
    ['while much waits to be sent', (transport) => transport.write(pattern(MUCH))],
    [
      'while a closed connection still sends',
      (transport) => {
        transport.write(pattern(MUCH));
        transport.close();
      },
    ],
    ['after writeEof()', (transport) => transport.writeEof()],
    [
      'before writeEof() can be sent',
      (transport) => {
        transport.write(pattern(MUCH));
        transport.writeEof();
      },
    ],
  ];
  for (const [when, act] of STAGES) {
    it(`${when} ends the connection with an error, once`, () =>
      onLoop(function* () {
        const recorder = new Recorder();
        yield* withRawPeer(recorder, function* (transport, peer) {
          act(transport);
          peer.reset();
          yield* recorder.untilEvent('lost');
          yield* someTurns();
          assert.match((recorder.error as SystemError).code, /^(ECONNRESET|EPIPE)$/);
          assert.equal(recorder.events.filter((event) => event === 'lost').length, 1);
        });
      }));
  }

  it('that is noticed by write() ends the connection, too', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      yield* withRawPeer(recorder, function* (transport, peer) {
        transport.pauseReading();
        peer.reset();
        yield* someTurns();
        assert.deepEqual(recorder.events, ['made']);
        transport.write('x');
        assert.equal(transport.isClosing(), true);
        transport.write('y');
        yield* recorder.untilEvent('lost');
        const { code, syscall } = recorder.error as SystemError;
        assert.equal(code, 'ECONNRESET');
        assert.equal(syscall, 'write');
      });
    }));

  it('that is noticed by writelines() ends the connection, too', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      yield* withRawPeer(recorder, function* (transport, peer) {
        transport.pauseReading();
        peer.reset();
        yield* someTurns();
        transport.writelines(['x', 'y']);
        yield* recorder.untilEvent('lost');
        assert.equal((recorder.error as SystemError).code, 'ECONNRESET');
      });
    }));

  it('of a paused connection waits until it is noticed', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      yield* withRawPeer(recorder, function* (transport, peer) {
        transport.pauseReading();
        peer.reset();
        yield* someTurns();
        assert.deepEqual(recorder.events, ['made']);
        transport.resumeReading();
        yield* recorder.untilEvent('lost');
        assert.equal((recorder.error as SystemError).code, 'ECONNRESET');
      });
    }));

  it('of a half-closed connection is EPIPE for who writes on', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      recorder.keepOpen = true;
      yield* withRawPeer(recorder, function* (transport, peer) {
        peer.shutdown();
        yield* recorder.untilEvent('eof');
        peer.close();
        yield* untilTrue(() => {
          transport.write('x');
          return transport.isClosing();
        });
        yield* recorder.untilEvent('lost');
        assert.match((recorder.error as SystemError).code, /^(EPIPE|ECONNRESET)$/);
        assert.equal((recorder.error as SystemError).syscall, 'write');
      });
    }));
});

describe('a protocol that throws', () => {
  const oops = new Error('oops');
  const throws = (): never => {
    throw oops;
  };

  it('from dataReceived() or eofReceived() loses its connection, and is reported', async () => {
    for (const [method, act] of [
      ['dataReceived', (peer: RawSocket) => peer.write('x')],
      ['eofReceived', (peer: RawSocket) => peer.shutdown()],
    ] as const) {
      const recorder = new Recorder();
      recorder[method] = throws;
      let transport: Transport | undefined;
      const reports = await reported(function* () {
        yield* withRawPeer(recorder, function* (made, peer) {
          transport = made;
          act(peer);
          yield* recorder.untilEvent('lost');
        });
      });
      assert.deepEqual(reports, [
        {
          message: `Fatal error: protocol.${method}() call failed`,
          exception: oops,
          transport,
          protocol: recorder,
        },
      ]);
      assert.equal(recorder.error, oops);
    }
  });

  it('from getBuffer() or bufferUpdated() loses its connection, and is reported', async () => {
    for (const [method, give, message] of [
      ['getBuffer', throws, 'oops'],
      ['bufferUpdated', throws, 'oops'],
      ['getBuffer', () => new Uint8Array(0), 'getBuffer() returned an empty buffer'],
      ['getBuffer', () => 'text', 'getBuffer() must return a Uint8Array, got "text"'],
    ] as const) {
      class Buffered extends BufferedProtocol {
        lost: unknown;
        override getBuffer(): Uint8Array {
          return new Uint8Array(10);
        }
        override connectionLost(error: Error | null): void {
          this.lost = error;
        }
      }
      const protocol = new Buffered();
      Object.assign(protocol, { [method]: give });
      const reports = await reported(function* () {
        yield* withRawPeer(protocol, function* (_, peer) {
          peer.write('x');
          yield* untilTrue(() => protocol.lost !== undefined);
        });
      });
      assert.equal(reports.length, 1);
      assert.equal(reports[0]!.message, `Fatal error: protocol.${method}() call failed`);
      assert.equal((reports[0]!.exception as Error).message, message);
      assert.equal(protocol.lost, reports[0]!.exception);
    }
  });

  it('from connectionMade() is reported, and keeps its connection, as in asyncio', async () => {
    const recorder = new Recorder();
    recorder.connectionMade = throws;
    const reports = await reported(function* () {
      yield* withRawPeer(recorder, function* (_, peer) {
        peer.write('hello');
        yield* recorder.untilText('hello');
      });
    });
    assert.deepEqual(
      reports.map(({ exception }) => exception),
      [oops],
    );
  });

  it('from connectionLost() is reported, and the socket is closed', async () => {
    const recorder = new Recorder();
    recorder.connectionLost = throws;
    const reports = await reported(function* () {
      yield* withRawPeer(recorder, function* (transport, peer) {
        transport.close();
        assert.equal((yield* peer.read()).length, 0);
      });
    });
    assert.deepEqual(
      reports.map(({ exception }) => exception),
      [oops],
    );
  });

  it('from pauseWriting() or resumeWriting() is reported, and keeps its connection', async () => {
    const recorder = new Recorder();
    recorder.pauseWriting = throws;
    recorder.resumeWriting = throws;
    const reports = await reported(function* () {
      yield* withRawPeer(recorder, function* (transport, peer) {
        transport.write(pattern(MUCH));
        assert.equal((yield* drain(peer, MUCH)).length, MUCH);
        yield* untilTrue(() => transport.getWriteBufferSize() === 0);
        peer.write('alive');
        yield* recorder.untilText('alive');
      });
    });
    assert.deepEqual(
      reports.map(({ message, exception }) => [message, exception]),
      [
        ['protocol.pauseWriting() failed', oops],
        ['protocol.resumeWriting() failed', oops],
      ],
    );
  });

  it('something that is no Error loses its connection, too', async () => {
    const recorder = new Recorder();
    recorder.dataReceived = () => {
      throw 'text';
    };
    const reports = await reported(function* () {
      yield* withRawPeer(recorder, function* (_, peer) {
        peer.write('x');
        yield* recorder.untilEvent('lost');
      });
    });
    assert.equal(reports[0]!.exception, 'text');
    assert.equal(recorder.error?.message, 'text');
  });
});

describe('a BufferedProtocol', () => {
  it('receives into its own memory, piece by piece', () =>
    onLoop(function* () {
      const sizes: number[] = [];
      class Ring extends BufferedProtocol {
        readonly memory = new Uint8Array(1000);
        at = 0;
        ended = false;
        override getBuffer(sizeHint: number): Uint8Array {
          assert.equal(sizeHint, -1);
          return this.memory.subarray(this.at, this.at + 7);
        }
        override bufferUpdated(count: number): void {
          sizes.push(count);
          this.at += count;
        }
        override eofReceived(): boolean {
          this.ended = true;
          return false;
        }
      }
      const ring = new Ring();
      yield* withRawPeer(ring, function* (_, peer) {
        peer.write('twenty bytes in all.');
        peer.shutdown();
        yield* untilTrue(() => ring.ended);
        assert.deepEqual(sizes, [7, 7, 6]);
        assert.equal(Buffer.from(ring.memory.subarray(0, 20)).toString(), 'twenty bytes in all.');
      });
    }));

  it('can take over from a Protocol, and back', () =>
    onLoop(function* () {
      const recorder = new Recorder();
      class Once extends BufferedProtocol {
        readonly memory = Buffer.alloc(100);
        transport!: Transport;
        override getBuffer(): Uint8Array {
          return this.memory;
        }
        override bufferUpdated(count: number): void {
          assert.equal(this.memory.toString('utf8', 0, count), 'two');
          this.transport.setProtocol(recorder);
        }
      }
      yield* withRawPeer(recorder, function* (transport, peer) {
        peer.write('one');
        yield* recorder.untilText('one');
        const once = new Once();
        once.transport = transport;
        transport.setProtocol(once);
        peer.write('two');
        yield* untilTrue(() => transport.getProtocol() === recorder);
        peer.write('three');
        yield* recorder.untilText('onethree');
      });
    }));

  it('without getBuffer() receives into memory of the thread; what has to wait is copied', () =>
    onLoop(function* () {
      class Echo extends BufferedProtocol {
        transport!: Transport;
        override connectionMade(transport: Transport): void {
          this.transport = transport;
        }
        override bufferUpdated(count: number, data: Uint8Array): void {
          assert.equal(data.length, count);
          if (count % 3 === 0) this.transport.writelines([data.subarray(0, 1), data.subarray(1)]);
          else this.transport.write(data);
        }
      }
      const senders = [new Recorder(), new Recorder()];
      const sent = senders.map((_, i) => pattern(MUCH + i, i));
      yield* withPair(senders[0]!, new Echo(), function* () {
        yield* withPair(senders[1]!, new Echo(), function* () {
          for (const [i, { transport }] of senders.entries()) {
            transport.pauseReading();
            transport.write(sent[i]!);
            transport.writeEof();
          }
          yield* someTurns();
          for (const [i, sender] of senders.entries()) {
            sender.transport.resumeReading();
            yield* sender.until(() => sender.size === sent[i]!.length);
            assert.ok(Buffer.concat(sender.received).equals(sent[i]!));
          }
        });
      });
    }));
});

describe('what surrounds a callback', () => {
  class Surrounded extends Protocol {
    readonly seen = new Map<string, unknown>();
    transport!: Transport;
    constructor(private readonly look: () => unknown) {
      super();
    }
    override connectionMade(transport: Transport): void {
      this.transport = transport;
      this.seen.set('made', this.look());
      transport.setWriteBufferLimits({ high: 0 });
      transport.write(pattern(MUCH));
    }
    override dataReceived(): void {
      this.seen.set('data', this.look());
    }
    override resumeWriting(): void {
      this.seen.set('resume', this.look());
    }
    override eofReceived(): void {
      this.seen.set('eof', this.look());
    }
    override connectionLost(): void {
      this.seen.set('lost', this.look());
    }
  }

  const conversation = (protocol: Surrounded): ReturnType<Body> =>
    withRawPeer(protocol, function* (_, peer) {
      yield* drain(peer, MUCH);
      yield* untilTrue(() => protocol.seen.has('resume'));
      peer.write('x');
      yield* untilTrue(() => protocol.seen.has('data'));
      peer.close();
      yield* untilTrue(() => protocol.seen.has('lost'));
    });
  const EVENTS = ['made', 'resume', 'data', 'eof', 'lost'];

  it('are the context variables of whoever connected', () =>
    onLoop(function* () {
      const variable = new ContextVar('variable', { defaultValue: 'none' });
      variable.set('connected');
      const protocol = new Surrounded(() => variable.get());
      yield* conversation(protocol);
      assert.deepEqual(
        [...protocol.seen],
        EVENTS.map((event) => [event, 'connected']),
      );
    }));

  it('is the store of an AsyncLocalStorage of whoever connected', async () => {
    const storage = new AsyncLocalStorage<string>();
    const protocol = new Surrounded(() => storage.getStore());
    await storage.run('connected', () => onLoop(() => conversation(protocol)));
    assert.deepEqual(
      [...protocol.seen],
      EVENTS.map((event) => [event, 'connected']),
    );
    // And those who have none do not get their neighbour's.
    const other = new Surrounded(() => storage.getStore());
    await onLoop(() => conversation(other));
    assert.deepEqual(
      [...other.seen],
      EVENTS.map((event) => [event, undefined]),
    );
  });
});

describe('a loop that is closed', () => {
  it('closes the sockets of its connections and its servers', async () => {
    const own = new EventLoop();
    const recorder = new Recorder();
    let listening: { close(): void; addresses: unknown[]; isServing(): boolean } | undefined;
    await own.runUntilComplete(function* () {
      const { createServer, createConnection } = require('ringloop') as typeof import('ringloop');
      const server = yield* createServer(() => new Recorder(), '127.0.0.1', 0);
      listening = server;
      yield* createConnection(() => recorder, '127.0.0.1', server.port);
      recorder.transport.write(Buffer.alloc(MUCH));
    });
    const fd = recorder.transport.getExtraInfo('fd') as number;
    assert.notEqual(sockets.fileType(fd), -9);
    own.close();
    assert.ok(sockets.fileType(fd) < 0, 'the socket is still open');
    assert.equal(recorder.transport.isClosing(), true);
    recorder.transport.write('into the void');
    recorder.transport.close();
    recorder.transport.abort();
    assert.deepEqual(recorder.events, ['made', 'pause']);
    // Somebody else has the numbers now: closing again must not touch them.
    const others = Array.from({ length: 8 }, () => sockets.open(4, false));
    assert.equal(listening!.isServing(), false);
    assert.deepEqual(listening!.addresses, []);
    listening!.close();
    for (const other of others) assert.ok(sockets.fileType(other) >= 0, 'it closed a neighbour');
    for (const other of others) sockets.close(other);
    await turnOfNode();
  });
});
