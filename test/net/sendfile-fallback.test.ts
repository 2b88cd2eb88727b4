/** sendfile() where the kernel cannot do it: a file over TLS, piece by piece. */
import assert from 'node:assert/strict';
import { close, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tls from 'node:tls';

import {
  BufferedProtocol,
  getEventLoop,
  isCancelledError,
  type Protocol,
  RuntimeError,
  run,
  sendfile,
  type Task,
} from 'ringloop';
import { BOTH_KINDS, errorOf } from '../support/both-kinds.js';
import { withReports } from '../support/capture.js';
import {
  ca,
  identity,
  LOCALHOST,
  Recorder,
  type Steps,
  untilTrue,
  withProtocol,
} from '../support/tls.js';

/** More than the kernel's buffers of both sides take, and both streams of Node's. */
const BYTES = 24_000_000;

/** It has buffers of its own, and writes down what comes. */
class Buffered extends BufferedProtocol {
  readonly inner = new Recorder();
  private readonly memory = Buffer.alloc(100);
  override connectionMade = this.inner.connectionMade.bind(this.inner);
  override eofReceived = this.inner.eofReceived.bind(this.inner);
  override connectionLost = this.inner.connectionLost.bind(this.inner);
  override getBuffer(): Uint8Array {
    return this.memory;
  }
  override bufferUpdated(count: number): void {
    this.inner.dataReceived(Buffer.from(this.memory.subarray(0, count)));
  }
}

for (const [kind, start] of BOTH_KINDS) {
  describe(`${kind} that sends a file over TLS`, () => {
    const content = Buffer.from(Uint32Array.from({ length: BYTES / 4 }, (_, i) => i * 7).buffer);
    let folder: string;
    let fd: number;

    before(() => {
      folder = mkdtempSync(join(tmpdir(), 'ringloop-'));
      writeFileSync(join(folder, 'file'), content);
      fd = openSync(join(folder, 'file'), 'r');
    });

    after((done) => {
      rmSync(folder, { recursive: true });
      close(fd, done);
    });

    /** A connection whose client does not read before somebody listens. */
    function withConnection(
      body: (server: Recorder, client: tls.TLSSocket) => Steps,
      protocol: Protocol | BufferedProtocol = new Recorder(),
    ): Promise<void> {
      const recorder = protocol instanceof Recorder ? protocol : (protocol as Buffered).inner;
      return withReports(async (reports) => {
        await run(() =>
          withProtocol(
            () => protocol as Protocol,
            { ssl: identity('server') },
            function* (port) {
              const client = tls.connect({ port, host: LOCALHOST, ca });
              client.on('error', () => {});
              try {
                yield* recorder.made;
                yield* body(recorder, client);
              } finally {
                client.destroy();
                recorder.transport.abort();
                yield* recorder.lost;
              }
            },
          ),
        );
        assert.deepEqual(reports, []);
      });
    }

    /** Starts to send; the client takes only a part. */
    function* sendUntilFull({ transport }: Recorder): Steps<Task<number>> {
      const sending = start(() => sendfile(transport, fd));
      const { high } = transport.getWriteBufferLimits();
      yield* untilTrue(() => transport.getWriteBufferSize() > high);
      return sending;
    }

    function collect(client: tls.TLSSocket): { chunks: Buffer[]; size: number } {
      const got = { chunks: [] as Buffer[], size: 0 };
      client.on('data', (data) => {
        got.chunks.push(data);
        got.size += data.length;
      });
      return got;
    }

    it('sends all of it, in order, to a client that is slow', () =>
      withConnection(function* (server, client) {
        server.transport.write('before:');
        const sending = yield* sendUntilFull(server);
        const got = collect(client);
        assert.equal(yield* sending, BYTES);
        server.transport.write(':after');
        const size = BYTES + 'before::after'.length;
        yield* untilTrue(() => got.size === size);
        const all = Buffer.concat(got.chunks);
        assert.equal(String(all.subarray(0, 7)), 'before:');
        assert.ok(all.subarray(7, 7 + BYTES).equals(content));
        assert.equal(String(all.subarray(7 + BYTES)), ':after');
        assert.deepEqual(server.events, ['made'], 'its pauses are none of the protocol');
      }));

    it('is woken when there is room, and looks for none until then', () =>
      withConnection(function* (server, client) {
        const sending = yield* sendUntilFull(server);
        assert.equal(getEventLoop().statistics().timers, 0, 'it looks again and again');
        collect(client);
        assert.equal(yield* sending, BYTES);
      }));

    it('can be cancelled in the middle; the connection goes on', () =>
      withConnection(function* (server, client) {
        const sending = yield* sendUntilFull(server);
        sending.cancel();
        assert.ok(isCancelledError(yield* errorOf(sending)));
        assert.equal(server.transport.getProtocol(), server);
        assert.equal(server.events.at(-1), 'pause', 'there is no room, and the protocol knows');
        server.transport.write('the end');
        const got = collect(client);
        yield* untilTrue(() => String(got.chunks.at(-1)?.subarray(-7)) === 'the end');
        yield* untilTrue(() => server.events.at(-1) === 'resume');
        const all = Buffer.concat(got.chunks);
        assert.ok(all.length < BYTES);
        assert.ok(all.subarray(0, -7).equals(content.subarray(0, all.length - 7)));
        assert.deepEqual(server.events, ['made', 'pause', 'resume']);
      }));

    it('tells the protocol that there is room again, if it had been told that there is none', () =>
      withConnection(function* (server, client) {
        const { transport } = server;
        transport.write(Buffer.alloc(BYTES));
        assert.deepEqual(server.events, ['made', 'pause']);
        const sending = start(() => sendfile(transport, fd, { count: 5 }));
        collect(client);
        assert.equal(yield* sending, 5);
        assert.deepEqual(server.events, ['made', 'pause', 'resume']);
      }));

    it('throws when the connection is lost in the middle, of which the protocol is told once', () =>
      withConnection(function* (server) {
        const sending = yield* sendUntilFull(server);
        server.transport.abort();
        assert.ok((yield* errorOf(sending)) instanceof RuntimeError);
        assert.deepEqual(server.events, ['made', 'lost']);
        const again = yield* errorOf(start(() => sendfile(server.transport, fd)));
        assert.equal(again.message, 'Transport is closing');
      }));

    it('throws when the client resets the connection', () =>
      withConnection(function* (server, client) {
        const sending = yield* sendUntilFull(server);
        client.destroy();
        assert.ok((yield* errorOf(sending)) instanceof Error);
        yield* server.lost;
        assert.deepEqual(server.events, ['made', 'lost']);
      }));

    it('sends one file after the other', () =>
      withConnection(function* (server, client) {
        const sending = yield* sendUntilFull(server);
        const second = yield* errorOf(start(() => sendfile(server.transport, fd)));
        assert.equal(second.message, 'sendfile is in progress');
        collect(client);
        assert.equal(yield* sending, BYTES);
        assert.equal(yield* start(() => sendfile(server.transport, fd, { count: 9 })), 9);
      }));

    for (const make of [() => new Recorder(), () => new Buffered()]) {
      it(`receives nothing meanwhile, and loses nothing: ${make().constructor.name}`, () => {
        const protocol = make();
        return withConnection(function* (server, client) {
          const sending = yield* sendUntilFull(server);
          client.write('one ');
          yield* untilTrue(() => client.writableLength === 0);
          assert.equal(server.size, 0);
          server.transport.resumeReading(); // somebody knows better
          yield* untilTrue(() => server.size > 0);
          server.transport.pauseReading();
          client.write('two');
          collect(client);
          assert.equal(yield* sending, BYTES);
          yield* untilTrue(() => server.size >= 7);
          assert.equal(String(Buffer.concat(server.received)), 'one two');
        }, protocol);
      });
    }

    it('is no task any more when the file cannot be read', () =>
      withConnection(function* (server) {
        const error = yield* errorOf(start(() => sendfile(server.transport, 9999)));
        assert.deepEqual([error.code, error.syscall], ['EBADF', 'read']);
        assert.equal(server.transport.getProtocol(), server);
        assert.equal(server.transport.isReading(), true);
      }));
  });
}
