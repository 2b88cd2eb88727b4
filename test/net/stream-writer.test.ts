import assert from 'node:assert/strict';

import {
  createTask,
  gather,
  isCancelledError,
  openConnection,
  RuntimeError,
  type StreamReader,
  type StreamWriter,
  type SystemError,
  sleep,
  until,
  waitFor,
} from 'ringloop';
import { BOTH_KINDS, errorOf } from '../support/both-kinds.js';
import { LOCALHOST, onLoop, RawListener, type RawSocket, someTurns } from '../support/net.js';

const MUCH = 8 * 1024 * 1024;

/** A stream whose other side is a socket that does only what the test says. */
function* withStream(
  body: (
    writer: StreamWriter,
    peer: RawSocket,
    reader: StreamReader,
  ) => Generator<unknown, void, any>,
): Generator<unknown, void, any> {
  const listener = new RawListener();
  try {
    const [reader, writer] = yield* openConnection(LOCALHOST, listener.port);
    const peer = yield* listener.accept();
    try {
      yield* body(writer, peer, reader);
    } finally {
      peer.close();
      writer.transport.abort();
      yield* someTurns();
    }
  } finally {
    listener.close();
  }
}

describe('StreamWriter', () => {
  it('writes text and bytes, one piece or several', () =>
    onLoop(function* () {
      yield* withStream(function* (writer, peer) {
        writer.write('grüße ');
        writer.write(Uint8Array.from([49, 50]));
        writer.writelines([' and', Buffer.from(' more'), new Uint8Array([33])]);
        assert.equal(writer.canWriteEof(), true);
        writer.writeEof();
        assert.throws(() => writer.write('x'), RuntimeError);
        assert.throws(() => writer.write(5 as never), TypeError);
        assert.equal((yield* peer.readAll()).toString(), 'grüße 12 and more!');
      });
    }));

  it('knows its transport', () =>
    onLoop(function* () {
      yield* withStream(function* (writer) {
        assert.equal(writer.isClosing(), false);
        assert.equal(writer.getExtraInfo('peername').address, LOCALHOST);
        assert.equal(writer.getExtraInfo('nothing', 7), 7);
        assert.equal(writer.transport.getExtraInfo('fd'), writer.getExtraInfo('fd'));
        assert.match(String(writer), /^<StreamWriter <SocketTransport open fd=\d+ .*>>$/);
        writer.close();
        assert.equal(writer.isClosing(), true);
      });
    }));

  for (const [kind, start] of BOTH_KINDS) {
    describe(`in ${kind}`, () => {
      it('drain() does not wait below the high mark', () =>
        onLoop(function* () {
          yield* withStream(function* (writer) {
            writer.write('x');
            let ran = false;
            const task = start(() => writer.drain());
            task.addDoneCallback(() => assert.equal(ran, false));
            createTask(function* () {
              yield* sleep(0);
              ran = true;
            });
            yield* task;
            yield* start(() => writer.drain());
          });
        }));

      it('drain() waits above the high mark, whoever calls it', () =>
        onLoop(function* () {
          yield* withStream(function* (writer, peer) {
            writer.write(Buffer.alloc(MUCH));
            const waiting = [1, 2, 3].map(() => start(() => writer.drain()));
            yield* someTurns();
            assert.deepEqual(
              waiting.map((task) => task.done()),
              [false, false, false],
            );
            let size = 0;
            while (size < MUCH) size += (yield* peer.read()).length;
            yield* gather(...waiting);
            yield* start(() => writer.drain());
          });
        }));

      it('drain() can be cancelled or aborted, before it begins and while it waits', () =>
        onLoop(function* () {
          yield* withStream(function* (writer, peer) {
            const early = start(() => writer.drain());
            early.cancel();
            assert.ok(isCancelledError(yield* errorOf(early)));
            writer.write(Buffer.alloc(MUCH));
            const other = start(() => writer.drain());
            const cancelled = start(() => writer.drain());
            const controller = new AbortController();
            const aborted = start(() => writer.drain({ signal: controller.signal }));
            yield* someTurns();
            cancelled.cancel();
            controller.abort(new Error('aborted'));
            assert.ok(isCancelledError(yield* errorOf(cancelled)));
            assert.equal((yield* errorOf(aborted)).message, 'aborted');
            assert.equal(other.done(), false);
            let size = 0;
            while (size < MUCH) size += (yield* peer.read()).length;
            yield* other;
            const late = AbortSignal.abort(new Error('too late'));
            assert.equal(
              (yield* errorOf(start(() => writer.drain({ signal: late })))).message,
              'too late',
            );
          });
        }));

      it('drain() throws what happened to the connection', () =>
        onLoop(function* () {
          yield* withStream(function* (writer, peer) {
            writer.write(Buffer.alloc(MUCH));
            const waiting = start(() => writer.drain());
            yield* someTurns();
            peer.reset();
            const error: SystemError = yield* errorOf(waiting);
            assert.match(error.code, /^(ECONNRESET|EPIPE)$/);
            const again: SystemError = yield* errorOf(start(() => writer.drain()));
            assert.equal(again, error);
          });
        }));

      it('drain() after the end throws ECONNRESET, even if the end was in order', () =>
        onLoop(function* () {
          yield* withStream(function* (writer) {
            writer.close();
            const error: SystemError = yield* errorOf(start(() => writer.drain()));
            assert.equal(error.code, 'ECONNRESET');
            assert.equal(error.syscall, 'write');
          });
        }));

      it('waitClosed() waits until everything is sent and the connection is lost', () =>
        onLoop(function* () {
          yield* withStream(function* (writer, peer) {
            writer.write(Buffer.alloc(MUCH));
            writer.close();
            const waiting = [1, 2].map(() => start(() => writer.waitClosed()));
            const cancelled = start(() => writer.waitClosed());
            yield* someTurns();
            cancelled.cancel();
            assert.ok(isCancelledError(yield* errorOf(cancelled)));
            assert.equal(waiting[0]!.done(), false);
            assert.equal((yield* peer.readAll()).length, MUCH);
            yield* gather(...waiting);
            yield* start(() => writer.waitClosed());
          });
        }));

      it('waitClosed() throws what happened to the connection', () =>
        onLoop(function* () {
          yield* withStream(function* (writer, peer) {
            const before = start(() => writer.waitClosed());
            yield* someTurns();
            peer.reset();
            const error = yield* errorOf(before);
            assert.equal(error.code, 'ECONNRESET');
            assert.equal(yield* errorOf(start(() => writer.waitClosed())), error);
          });
        }));

      it('waitClosed() can be aborted', () =>
        onLoop(function* () {
          yield* withStream(function* (writer) {
            const controller = new AbortController();
            const task = start(() => writer.waitClosed({ signal: controller.signal }));
            yield* sleep(0);
            controller.abort(new Error('aborted'));
            assert.equal((yield* errorOf(task)).message, 'aborted');
          });
        }));
    });
  }

  it('drain() is a coroutine like any other', () =>
    onLoop(function* () {
      yield* withStream(function* (writer) {
        yield* waitFor(writer.drain(), 1000);
        yield* createTask(writer.drain());
        const cancelled = createTask(writer.drain());
        cancelled.cancel();
        assert.ok(isCancelledError(yield* errorOf(cancelled)));
        yield* gather(writer.drain(), writer.drain());
        assert.throws(() => writer.drain({ signal: 5 as never }), TypeError);
        assert.equal(yield* until(writer.drain().then(() => 'then')), 'then');
      });
    }));

  it('drain() with nothing to wait for takes an async function one microtask', () =>
    onLoop(function* () {
      yield* withStream(function* (writer) {
        const order: string[] = [];
        yield* createTask(async () => {
          const hops = Promise.resolve()
            .then(() => order.push('first hop'))
            .then(() => order.push('second hop'));
          await writer.drain();
          order.push('drained');
          await hops;
        });
        assert.deepEqual(order, ['first hop', 'drained', 'second hop']);
      });
    }));

  it('is closed at the end of a block with `await using`, whatever happened', () =>
    onLoop(function* () {
      yield* withStream(function* (writer, peer) {
        yield* createTask(async () => await writer[Symbol.asyncDispose]());
        assert.equal(writer.isClosing(), true);
        assert.equal((yield* peer.readAll()).length, 0);
      });
      yield* withStream(function* (writer, peer) {
        peer.reset();
        yield* someTurns();
        yield* createTask(async () => await writer[Symbol.asyncDispose]());
      });
    }));

  it('is aborted at the end of a block with `await using` that is cancelled while it waits', () =>
    onLoop(function* () {
      yield* withStream(function* (writer) {
        writer.write(Buffer.alloc(MUCH));
        const task = createTask(async () => await writer[Symbol.asyncDispose]());
        yield* someTurns();
        assert.equal(task.done(), false);
        task.cancel();
        assert.ok(isCancelledError(yield* errorOf(task)), 'the cancellation was swallowed');
        assert.equal(writer.transport.getWriteBufferSize(), 0);
      });
    }));
});
