import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import {
  createTask,
  Event,
  isCancelledError,
  openConnection,
  RuntimeError,
  type StreamReader,
  type StreamWriter,
  sendfile,
  startServer,
  until,
} from 'ringloop';
import { errorOf } from '../support/both-kinds.js';
import { LOCALHOST, onLoop, someTurns } from '../support/net.js';

/** More than the kernel's buffers of both sides take. */
const BYTES = 32_000_000;

describe('sendfile()', () => {
  let folder: string;
  let path: string;
  const content = Buffer.from(Uint32Array.from({ length: BYTES / 4 }, (_, i) => i * 7).buffer);

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'ringloop-'));
    path = join(folder, 'file');
    writeFileSync(path, content);
  });

  after(() => rmSync(folder, { recursive: true }));

  /** A connection to `serve`, whose reader and writer `body` gets, and the open file. */
  function withFile(
    serve: (writer: StreamWriter, file: FileHandle) => Generator<unknown, void, any>,
    body: (reader: StreamReader, writer: StreamWriter) => Generator<unknown, void, any>,
  ): Promise<void> {
    return onLoop(function* () {
      const file = yield* until(open(path));
      const server = yield* startServer((_reader, writer) => serve(writer, file), LOCALHOST, 0);
      const [reader, writer] = yield* openConnection(LOCALHOST, server.port);
      try {
        yield* body(reader, writer);
      } finally {
        writer.transport.abort();
        yield* server.shutdown(0);
        yield* until(file.close());
        yield* someTurns();
      }
    });
  }

  it('sends a whole file, behind what was written before and before what is written after', () =>
    withFile(
      function* (writer, file) {
        writer.write('before:');
        assert.equal(yield* sendfile(writer.transport, file), BYTES);
        writer.write(':after');
      },
      function* (reader) {
        const all = yield* reader.read();
        assert.equal(String(all.subarray(0, 7)), 'before:');
        assert.ok(all.subarray(7, 7 + BYTES).equals(content));
        assert.equal(String(all.subarray(7 + BYTES)), ':after');
      },
    ));

  it('sends a part of a file, and no more than there is', () =>
    withFile(
      function* (writer, { fd }) {
        const offset = 1000;
        assert.equal(yield* sendfile(writer.transport, fd, { offset, count: 500_000 }), 500_000);
        assert.equal(yield* sendfile(writer.transport, fd, { offset: BYTES - 5, count: 99 }), 5);
        assert.equal(yield* sendfile(writer.transport, fd, { offset: BYTES + 5 }), 0);
        assert.equal(yield* sendfile(writer.transport, fd, { count: 0 }), 0);
      },
      function* (reader) {
        const all = yield* reader.read();
        assert.ok(all.subarray(0, 500_000).equals(content.subarray(1000, 501_000)));
        assert.ok(all.subarray(500_000).equals(content.subarray(BYTES - 5)));
      },
    ));

  it('lets nobody write, or send another file, meanwhile', () => {
    const refused = new Event();
    return withFile(
      function* (writer, file) {
        const sending = createTask(sendfile(writer.transport, file));
        yield* someTurns();
        assert.throws(() => writer.write('x'), { message: /sendfile is in progress/ });
        const second = yield* errorOf(sendfile(writer.transport, file));
        assert.ok(second instanceof RuntimeError);
        refused.set();
        assert.equal(yield* sending, BYTES);
      },
      function* (reader) {
        yield* refused.wait();
        assert.equal((yield* reader.read()).length, BYTES);
      },
    );
  });

  it('can be cancelled in the middle; the connection goes on', () => {
    const cancelled = new Event();
    return withFile(
      function* (writer, file) {
        const sending = createTask(sendfile(writer.transport, file));
        yield* someTurns();
        sending.cancel();
        assert.ok(isCancelledError(yield* errorOf(sending)));
        writer.write('the end');
        cancelled.set();
      },
      function* (reader) {
        // Nobody reads before: the kernel cannot take all of it.
        yield* cancelled.wait();
        const all = yield* reader.read();
        const sent = all.length - 7;
        assert.ok(sent < BYTES);
        assert.ok(all.subarray(0, sent).equals(content.subarray(0, sent)));
        assert.equal(String(all.subarray(sent)), 'the end');
      },
    );
  });

  it('throws when the connection is lost in the middle', () => {
    const aborted = new Event();
    return withFile(
      function* (writer, file) {
        const sending = createTask(sendfile(writer.transport, file));
        yield* someTurns();
        writer.transport.abort();
        aborted.set();
        assert.ok((yield* errorOf(sending)) instanceof Error);
        const closed = yield* errorOf(sendfile(writer.transport, file));
        assert.equal(closed.message, 'Transport is closing');
      },
      function* (reader) {
        yield* aborted.wait();
        assert.ok((yield* reader.read()).length < BYTES);
      },
    );
  });

  it('refuses what is no transport, no file and no number, and says what it got', () => {
    assert.throws(() => sendfile(null as never, 1), {
      name: 'TypeError',
      message: 'sendfile: expected a transport, got null',
    });
    return withFile(
      function* (writer) {
        for (const wrong of [-1, 1.5, 'file', null, {}]) {
          assert.throws(() => sendfile(writer.transport, wrong as never), {
            name: 'TypeError',
            message: /^sendfile: file must be a file descriptor, got /,
          });
        }
        for (const count of [-1, 1.5, Number.NaN, '1']) {
          assert.throws(() => sendfile(writer.transport, 1, { count: count as never }), {
            name: 'TypeError',
            message: /^sendfile: count must be a number of bytes, got /,
          });
        }
        const error = yield* errorOf(sendfile(writer.transport, 9999));
        assert.deepEqual([error.code, error.syscall], ['EBADF', 'sendfile']);
      },
      function* (reader) {
        yield* reader.read();
      },
    );
  });
});
