/** NodeTransport over streams that are no sockets. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Duplex } from 'node:stream';

import { EventLoop, getEventLoop, run, until } from 'ringloop';
// The library's own copy, which a test must not have twice.
import type { NodeTransport as NodeTransportClass } from '../../lib/net/node-transport.js';
import { CHECKOUT, turnOfNode, withReports } from '../support/capture.js';
import { Recorder, type Steps, untilTrue } from '../support/tls.js';

const { NodeTransport } = require(join(CHECKOUT, 'dist', 'net', 'node-transport.js')) as {
  NodeTransport: typeof NodeTransportClass;
};

/** One end of a pair: what is written to it can be read from the other. */
class End extends Duplex {
  other!: End;
  /** Held back until `release()`. */
  held: (() => void)[] | null = null;

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const pass = (): void => {
      this.other.push(chunk);
      done();
    };
    if (this.held === null) pass();
    else this.held.push(pass);
  }

  override _final(done: () => void): void {
    this.other.push(null);
    done();
  }

  override _read(): void {}

  release(): void {
    const { held } = this;
    this.held = null;
    for (const pass of held ?? []) pass();
  }
}

function pair(options: { allowHalfOpen?: boolean } = {}): [End, End] {
  const ends: [End, End] = [new End(options), new End(options)];
  ends[0].other = ends[1];
  ends[1].other = ends[0];
  return ends;
}

function onLoop(body: () => Steps): Promise<void> {
  return withReports(async (reports) => {
    await run(body);
    assert.deepEqual(reports, []);
  });
}

function* connected(stream: Duplex): Steps<Recorder> {
  const protocol = new Recorder();
  new NodeTransport(getEventLoop() as never, stream, protocol as never).start();
  assert.deepEqual(protocol.events, []);
  yield* protocol.made;
  return protocol;
}

describe('NodeTransport', () => {
  it('delivers what comes, text too, and keeps half a connection open if it is told to', () =>
    onLoop(function* () {
      const [near, far] = pair();
      const protocol = yield* connected(near);
      far.write('one ');
      far.end('two');
      yield* untilTrue(() => protocol.events.includes('eof'));
      assert.equal(Buffer.concat(protocol.received).toString(), 'one two');
      protocol.transport.write('an answer');
      assert.equal(protocol.transport.canWriteEof(), true);
      protocol.transport.writeEof();
      protocol.transport.writeEof();
      assert.throws(() => protocol.transport.write('x'), /Cannot call write\(\) after writeEof/);
      yield* untilTrue(() => far.readableLength > 0);
      assert.equal(String(far.read()), 'an answer');
      protocol.transport.close();
      yield* protocol.lost;
      assert.deepEqual(protocol.events, ['made', 'data', 'eof', 'lost']);
      assert.equal(protocol.error, null);
    }));

  it('close() flushes, then the stream is destroyed and the protocol told', () =>
    onLoop(function* () {
      const [near, far] = pair();
      near.held = [];
      const protocol = yield* connected(near);
      protocol.transport.write('last words');
      protocol.transport.close();
      for (let i = 0; i < 5; i++) yield* until(turnOfNode());
      assert.deepEqual(protocol.events, ['made']);
      near.release();
      yield* protocol.lost;
      assert.equal(protocol.error, null);
      assert.equal(near.destroyed, true);
      assert.equal(String(far.read()), 'last words');
    }));

  it('pauses and resumes who writes', () =>
    onLoop(function* () {
      const [near] = pair();
      near.held = [];
      const protocol = yield* connected(near);
      const { transport } = protocol;
      transport.setWriteBufferLimits({ high: 10, low: 4 });
      transport.write('0123456789');
      assert.deepEqual(protocol.events, ['made']);
      transport.writelines(['', 'x', 'y']);
      assert.deepEqual(protocol.events, ['made', 'pause']);
      assert.equal(transport.getWriteBufferSize(), 12);
      near.release();
      assert.deepEqual(protocol.events, ['made', 'pause']);
      yield* untilTrue(() => protocol.events.includes('resume'));
      transport.abort();
      yield* protocol.lost;
      assert.deepEqual(protocol.events, ['made', 'pause', 'resume', 'lost']);
    }));

  it('delivers what has come before an error, then the error', () =>
    onLoop(function* () {
      const [near, far] = pair();
      const protocol = yield* connected(near);
      far.write('before');
      const error = new Error('broken');
      near.destroy(error);
      yield* protocol.lost;
      assert.equal(protocol.error, error);
      assert.equal(near.destroyed, true);
    }));

  it('is over when somebody destroys the stream, and says so', () =>
    onLoop(function* () {
      const [near] = pair();
      const protocol = yield* connected(near);
      near.destroy();
      yield* protocol.lost;
      assert.equal((protocol.error as NodeJS.ErrnoException).code, 'ERR_STREAM_PREMATURE_CLOSE');
      protocol.transport.write('dropped');
      const gone = yield* connected(near);
      yield* gone.lost;
      assert.deepEqual(gone.events, ['made', 'lost']);
    }));

  it('delivers everything and the end after a pause, also of a stream that is gone', () =>
    onLoop(function* () {
      const [near, far] = pair({ allowHalfOpen: false });
      const protocol = yield* connected(near);
      far.write('a');
      yield* untilTrue(() => protocol.size === 1);
      protocol.transport.pauseReading();
      far.end('b');
      for (let i = 0; i < 5; i++) yield* until(turnOfNode());
      assert.deepEqual(protocol.events, ['made', 'data']);
      protocol.transport.resumeReading();
      yield* protocol.lost;
      assert.deepEqual(protocol.events, ['made', 'data', 'eof', 'lost']);
    }));

  it('stops the stream while its loop does not run, and lets go of it when the loop is closed', async () => {
    const loop = new EventLoop();
    const [near, far] = pair();
    const protocol = new Recorder();
    const transport = new NodeTransport(loop as never, near, protocol as never).start();
    await loop.runUntilComplete(loop.createTask(() => protocol.made));
    for (let i = 0; i < 64; i++) far.write(Buffer.alloc(16 * 1024));
    await turnOfNode();
    assert.equal(near.isPaused(), true);
    assert.equal(protocol.size, 0);
    await loop.runUntilComplete(
      loop.createTask(function* () {
        yield* untilTrue(() => protocol.size === 1024 * 1024);
      }),
    );
    loop.close();
    far.write('nobody listens');
    await turnOfNode();
    assert.equal(near.destroyed, true);
    assert.equal(transport.isClosing(), true);
    assert.deepEqual(protocol.events, ['made', 'data']);
  });
});
