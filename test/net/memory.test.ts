/**
 * What a small piece keeps alive. A line of 20 bytes was a view of the 128 KiB it had come in, and a
 * program that kept a thousand lines kept 138 MB.
 */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';

import {
  type Coroutine,
  createDatagramEndpoint,
  DatagramProtocol,
  Future,
  fromNodeStream,
  fromWebStreams,
  openConnection,
  StreamReader,
  startServer,
  until,
} from 'ringloop';
import { BOTH_KINDS, errorOf } from '../support/both-kinds.js';
import { LOCALHOST, onLoop } from '../support/net.js';
import { withVirtualTime } from '../support/virtual-time.js';

const CHUNK = 128 * 1024;

function assertSmall(data: Uint8Array): void {
  const kept = data.buffer.byteLength;
  assert.ok(kept <= 2 * data.length + 200, `${data.length} bytes keep ${kept} alive`);
}

/** A reader over one large chunk with a line of so many bytes in front. */
function readerWith(line: number, chunk = CHUNK): StreamReader {
  const bytes = Buffer.alloc(chunk, 'x');
  bytes[line - 1] = 10;
  const reader = new StreamReader(CHUNK);
  reader.feedData(bytes);
  return reader;
}

const READS: [name: string, (reader: StreamReader, count: number) => Coroutine<Buffer>][] = [
  ['read', (reader, count) => reader.read(count)],
  ['readExactly', (reader, count) => reader.readExactly(count)],
  ['readLine', (reader) => reader.readLine()],
  ['readUntil', (reader) => reader.readUntil('\n')],
];

describe('a small piece of what was received', () => {
  for (const [kind, start] of BOTH_KINDS) {
    for (const [name, read] of READS) {
      it(`keeps little more alive than itself: ${name}() in ${kind}`, () =>
        withVirtualTime(function* () {
          for (const count of [1, 20, 63, 64, 65, 100, 1000, 4096, 30_000]) {
            for (const chunk of [count + 1, 2 * count + 201, 4095, CHUNK]) {
              if (chunk < count) continue;
              const data = yield* start(() => read(readerWith(count, chunk), count));
              assert.equal(data.length, count);
              assert.equal(data.subarray(0, -1).toString(), 'x'.repeat(count - 1));
              assertSmall(data);
            }
          }
        }));
    }
  }

  it('keeps little: for await, the partial bytes of an error, what has come in pieces', () =>
    withVirtualTime(function* () {
      const reader = readerWith(20);
      const [first] = yield* until(
        (async () => {
          for await (const line of reader) return [line];
          return [];
        })(),
      );
      assertSmall(first!);
      yield* reader.readExactly(CHUNK - 40);
      reader.feedEof();
      const { partial } = yield* errorOf(reader.readExactly(21));
      assert.equal(partial.length, 20);
      assertSmall(partial);
      const pieces = new StreamReader();
      for (let i = 0; i < 30; i++) pieces.feedData(Buffer.from('x'));
      pieces.feedEof();
      assertSmall(yield* pieces.read(30));
      const all = new StreamReader(1);
      for (let i = 0; i < 300; i++) all.feedData(Buffer.from('x'));
      all.feedEof();
      const text = yield* all.read();
      assert.equal(text.length, 300);
      assertSmall(text);
    }));

  it('is not copied where the chunk is not much larger', () =>
    withVirtualTime(function* () {
      const chunk = Buffer.alloc(CHUNK);
      const reader = new StreamReader(CHUNK);
      reader.feedData(chunk);
      const most = yield* reader.readExactly(100_000);
      assert.equal(most.buffer, chunk.buffer);
      const whole = Buffer.alloc(1000);
      const other = new StreamReader();
      other.feedData(whole);
      assert.equal(yield* other.read(1000), whole);
    }));

  it('keeps little behind a connection, whatever size it comes in', () =>
    onLoop(function* () {
      const server = yield* startServer(
        function* (reader, writer) {
          for (
            let line = yield* reader.readLine();
            line.length > 0;
            line = yield* reader.readLine()
          ) {
            writer.write(Buffer.alloc(Number(line), 'x'));
            yield* writer.drain();
          }
        },
        LOCALHOST,
        0,
      );
      const [reader, writer] = yield* openConnection(LOCALHOST, server.port);
      for (const size of [20, 64, 60_000, 100_000, 300_000]) {
        writer.write(`${size}\n`);
        for (let got = 0; got < size; ) {
          const data = yield* reader.read(size - got);
          got += data.length;
          assertSmall(data);
        }
      }
      writer.close();
      yield* server.shutdown();
    }));

  it('keeps little behind the adapters', () =>
    onLoop(function* () {
      const large = Buffer.alloc(CHUNK, 'x');
      const stream = new PassThrough();
      stream.end(large.subarray(1000, 1020));
      const reader = fromNodeStream(stream);
      assertSmall(yield* reader.read(20));
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(new Uint8Array(large.buffer, 7, 500));
          controller.close();
        },
      });
      assertSmall(yield* fromWebStreams({ readable: body as never }).read(500));
    }));

  it('keeps little: a datagram', () =>
    onLoop(function* () {
      const received = new Future<Buffer>();
      class Receiver extends DatagramProtocol {
        override datagramReceived(data: Buffer): void {
          received.setResult(data);
        }
      }
      const options = { localAddr: [LOCALHOST, 0] as const };
      const [transport] = yield* createDatagramEndpoint(() => new Receiver(), options);
      transport.sendTo('20 bytes of a message', transport.getExtraInfo('sockname'));
      assertSmall(yield* received);
      transport.close();
    }));
});
