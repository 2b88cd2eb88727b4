/** Which sockets the kernel tells us about once for each arrival: read from what it says itself. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import {
  BufferedProtocol,
  connectAcceptedSocket,
  createUnixConnection,
  createUnixServer,
  type Transport,
} from 'ringloop';
import {
  onLoop,
  RawListener,
  RawSocket,
  Recorder,
  someTurns,
  untilTrue,
  withPair,
  withRawPeer,
} from '../support/net.js';

const EPOLLET = 0x80000000;

/** Whether the transport's fd is watched by edges, as one of the process's epolls has it. */
function watchedByEdges(transport: Transport): boolean {
  const line = new RegExp(`^tfd:\\s+${transport.getExtraInfo('fd')} events:\\s+([0-9a-f]+)`, 'm');
  for (const fd of readdirSync('/proc/self/fdinfo')) {
    const found = infoOf(fd).match(line);
    if (found !== null) return (Number.parseInt(found[1]!, 16) & EPOLLET) !== 0;
  }
  throw new Error(`${transport} is not watched`);
}

/** Of the fds that are listed, one is that of the list itself, and is closed by now. */
function infoOf(fd: string): string {
  try {
    return readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
  } catch {
    return '';
  }
}

/** Takes four bytes at a time. */
class Small extends BufferedProtocol {
  text = '';
  private readonly memory = Buffer.alloc(4);

  override getBuffer(): Buffer {
    return this.memory;
  }

  override bufferUpdated(count: number): void {
    this.text += this.memory.toString('latin1', 0, count);
  }
}

describe('edges', () => {
  before(function () {
    // While faults are injected there are none.
    if (process.platform !== 'linux' || process.env['RINGLOOP_FAULTS'] !== undefined) this.skip();
  });

  it('are what TCP connections of our own are watched by, on both sides', () =>
    onLoop(function* () {
      yield* withPair(new Recorder(), new Recorder(), function* ({ client, server }) {
        for (const { transport } of [client, server]) {
          yield* someTurns();
          assert.equal(watchedByEdges(transport), true);
          transport.pauseReading();
          transport.resumeReading();
          assert.equal(watchedByEdges(transport), true);
        }
      });
    }));

  it('are given up for good by a read that fills its memory, which loses nothing', () =>
    onLoop(function* () {
      const small = new Small();
      yield* withRawPeer(small, function* (transport, peer) {
        yield* someTurns();
        peer.write('abc');
        yield* untilTrue(() => small.text === 'abc', 'a read with room');
        assert.equal(watchedByEdges(transport), true);
        peer.write('defghijklm');
        yield* untilTrue(() => small.text === 'abcdefghijklm', 'three reads');
        assert.equal(watchedByEdges(transport), false);
      });
    }));

  it('are left alone while something waits to be sent', () =>
    onLoop(function* () {
      yield* withRawPeer(new Recorder(), function* (transport, peer) {
        yield* someTurns();
        transport.write(Buffer.alloc(8 * 1024 * 1024));
        assert.ok(transport.getWriteBufferSize() > 0);
        assert.equal(watchedByEdges(transport), false);
        while (transport.getWriteBufferSize() > 0) yield* peer.read();
        yield* someTurns();
        assert.equal(watchedByEdges(transport), true);
      });
    }));

  it('are not for sockets that somebody else has opened', () =>
    onLoop(function* () {
      const listener = new RawListener();
      const peer = yield* RawSocket.connect(listener.port);
      const accepted = yield* listener.accept();
      const recorder = new Recorder();
      const [transport] = yield* connectAcceptedSocket(() => recorder, accepted.fd);
      yield* someTurns();
      assert.equal(watchedByEdges(transport), false);
      peer.close();
      yield* recorder.untilEvent('lost');
      listener.close();
    }));

  it('are not for unix sockets', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ringloop-'));
    return onLoop(function* () {
      const server = yield* createUnixServer(() => new Recorder(), join(folder, 'socket'));
      const [transport] = yield* createUnixConnection(() => new Recorder(), join(folder, 'socket'));
      yield* someTurns();
      assert.equal(watchedByEdges(transport), false);
      transport.close();
      server.close();
      server.closeClients();
      yield* server.waitClosed();
      yield* someTurns();
    }).finally(() => rmSync(folder, { recursive: true }));
  });
});
