import assert from 'node:assert/strict';

import {
  createDatagramEndpoint,
  createTask,
  DatagramProtocol,
  openConnection,
  openUnixConnection,
  type StreamReader,
  type StreamWriter,
  startServer,
  until,
} from 'ringloop';
import { LOCALHOST, onLoop, untilTrue } from '../support/net.js';

/** A server that reads all there is, and one connection to it. */
function* connected(
  body: (writer: StreamWriter, received: () => Buffer) => Generator<unknown, void, any>,
  reads = true,
): Generator<unknown, void, any> {
  const pieces: Buffer[] = [];
  const server = yield* startServer(
    function* (reader: StreamReader) {
      if (!reads) return yield* until(new Promise(() => {}));
      for (;;) {
        const data = yield* reader.read(65536);
        if (data.length === 0) return;
        pieces.push(data);
      }
    },
    LOCALHOST,
    0,
  );
  const [, writer] = yield* openConnection(LOCALHOST, server.port);
  try {
    yield* body(writer, () => Buffer.concat(pieces));
  } finally {
    writer.transport.abort();
    yield* server.shutdown(0);
  }
}

/** Views that say they are longer than they are. */
const LIARS: Record<string, () => Uint8Array> = {
  'a subclass with a length of its own': () => {
    class Liar extends Uint8Array {
      override get length(): number {
        return 16384;
      }
      override get byteLength(): number {
        return 16384;
      }
    }
    return new Liar(4).fill(120);
  },
  'a Buffer with a property of that name': () =>
    Object.defineProperty(Buffer.from('xxxx'), 'length', { value: 16384 }),
  'a subclass with a buffer of its own': () => {
    class Liar extends Uint8Array {
      override get byteOffset(): any {
        return 1000;
      }
    }
    return new Liar(4).fill(120);
  },
};

// What was sent behind the four bytes was memory that other connections had received into.
describe('bytes that lie about their length', () => {
  for (const [name, lie] of Object.entries(LIARS)) {
    it(`are sent as they stand in the memory: ${name}`, () =>
      onLoop(() =>
        connected(function* (writer, received) {
          writer.write(lie());
          writer.writelines([lie(), lie()]);
          writer.write('end');
          yield* untilTrue(() => received().includes('end'));
          assert.equal(String(received()), `${'x'.repeat(12)}end`);
        }),
      ));

    it(`are sent as a datagram: ${name}`, () =>
      onLoop(function* () {
        const got: string[] = [];
        class Receiver extends DatagramProtocol {
          override datagramReceived(data: Buffer): void {
            got.push(String(data));
          }
        }
        const [receiving] = yield* createDatagramEndpoint(() => new Receiver(), {
          localAddr: [LOCALHOST, 0],
        });
        const [sending] = yield* createDatagramEndpoint(() => new DatagramProtocol(), {
          remoteAddr: [LOCALHOST, receiving.getExtraInfo('sockname').port],
        });
        sending.sendTo(lie());
        yield* untilTrue(() => got.length > 0);
        assert.deepEqual(got, ['xxxx']);
        sending.close();
        receiving.close();
        yield* untilTrue(() => sending.getExtraInfo('fd') === undefined);
        yield* untilTrue(() => receiving.getExtraInfo('fd') === undefined);
      }));
  }
});

/** How a buffer is taken away from under a write that waits. */
const THEFTS: Record<string, (bytes: Uint8Array) => void> = {
  'transferred to a worker': (bytes) => {
    structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] });
  },
  resized: (bytes) => {
    (bytes.buffer as ArrayBuffer & { resize(length: number): void }).resize(1);
  },
};

// The queue went on trying to send nothing, at 100 % CPU, and close() never ended.
describe('a buffer that is taken away while it waits to be sent', () => {
  for (const [how, steal] of Object.entries(THEFTS)) {
    it(`ends the connection when it is ${how}`, () =>
      onLoop(() =>
        connected(function* (writer) {
          const memory = new (ArrayBuffer as any)(2 ** 24, { maxByteLength: 2 ** 24 });
          const bytes = new Uint8Array(memory);
          writer.write(bytes);
          assert.ok(writer.transport.getWriteBufferSize() > 0);
          steal(bytes);
          writer.close();
          yield* untilTrue(() => writer.transport.getWriteBufferSize() < 2 ** 24);
          writer.transport.abort();
        }, false),
      ));

    it(`is an error of EFAULT for a reader that comes back, ${how}`, () =>
      onLoop(() =>
        connected(function* (writer) {
          const first = Buffer.alloc(2 ** 23);
          const bytes = new Uint8Array(new (ArrayBuffer as any)(64, { maxByteLength: 64 }));
          writer.write(first);
          writer.write(bytes);
          steal(bytes);
          const error = yield* until(
            writer.drain().then(
              () =>
                writer.waitClosed().then(
                  () => null,
                  (reason) => reason,
                ),
              (reason: unknown) => reason,
            ),
          );
          assert.equal((error as NodeJS.ErrnoException).code, 'EFAULT');
        }),
      ));
  }
});

// A system call reads a text up to the first NUL: this was a connection to 127.0.0.1.
describe('a text with a NUL in it', () => {
  const EVIL = '127.0.0.1\0.evil.example';
  const message = /must not contain NUL/;
  it('is no host, no path and no name of an interface', () =>
    onLoop(function* () {
      const attempts = [
        () => createTask(() => openConnection(EVIL, 1)),
        () => createTask(() => startServer(() => {}, EVIL, 0)),
        () =>
          createTask(() =>
            openConnection(LOCALHOST, 1, { localAddr: { host: EVIL, port: 0 } } as any),
          ),
        () => createTask(() => openUnixConnection('/tmp/x\0y')),
        () =>
          createTask(() =>
            createDatagramEndpoint(() => new DatagramProtocol(), { localAddr: [EVIL, 0] }),
          ),
      ];
      for (const attempt of attempts) {
        yield* until(assert.rejects(async () => await attempt(), { name: 'TypeError', message }));
      }
      const [transport] = yield* createDatagramEndpoint(() => new DatagramProtocol(), {
        localAddr: [LOCALHOST, 0],
      });
      for (const attempt of [
        () => transport.addMembership(EVIL),
        () => transport.addMembership('224.0.0.1', EVIL),
        () => transport.setMulticastInterface(EVIL),
        () => transport.sendTo('x', [EVIL, 1]),
      ]) {
        assert.throws(attempt, { name: 'TypeError', message });
      }
      transport.close();
      yield* untilTrue(() => transport.getExtraInfo('fd') === undefined);
    }));
});
