import assert from 'node:assert/strict';
import { writeSync } from 'node:fs';

import { getEventLoop, Handle } from 'ringloop';
import { turnOfNode } from '../support/capture.js';
import { withPipe, withTwoWayFd } from './pipe.js';

const loop = getEventLoop();

/** Several turns: whatever is ready has been reported, more than once. */
async function someTurns(): Promise<void> {
  for (let i = 0; i < 4; i++) await turnOfNode();
}

describe('addReader', () => {
  it('calls back with its arguments when there is something to read', () =>
    withPipe(async (pipe) => {
      const got = new Promise((resolve) => {
        loop.addReader(pipe.readFd, (...args: unknown[]) => resolve([pipe.read(), ...args]), 1, 2);
      });
      pipe.write('hello');
      assert.deepEqual(await got, ['hello', 1, 2]);
      assert.equal(loop.removeReader(pipe.readFd), true);
    }));

  it('does not call back while there is nothing to read', () =>
    withPipe(async (pipe) => {
      let calls = 0;
      const handle = loop.addReader(pipe.readFd, () => calls++);
      await someTurns();
      assert.equal(calls, 0);
      handle.cancel();
    }));

  it('calls back again and again as long as the data is not read', () =>
    withPipe(async (pipe) => {
      pipe.write('stays');
      await new Promise<void>((resolve) => {
        let calls = 0;
        const handle = loop.addReader(pipe.readFd, () => {
          if (++calls < 5) return;
          handle.cancel();
          resolve();
        });
      });
    }));

  it('returns a handle that stops watching when it is cancelled', () =>
    withPipe(async (pipe) => {
      let calls = 0;
      const handle = loop.addReader(pipe.readFd, () => calls++);
      assert.ok(handle instanceof Handle);
      assert.equal(loop.statistics().watchers, 1);
      handle.cancel();
      handle.cancel();
      assert.equal(handle.cancelled(), true);
      assert.equal(loop.statistics().watchers, 0);
      pipe.write('x');
      await someTurns();
      assert.equal(calls, 0);
      assert.equal(loop.removeReader(pipe.readFd), false);
    }));

  it('replaces the callback that was there, and cancels its handle', () =>
    withPipe(async (pipe) => {
      const seen: string[] = [];
      const first = loop.addReader(pipe.readFd, () => seen.push('first'));
      const got = new Promise<void>((resolve) => {
        loop.addReader(pipe.readFd, () => {
          seen.push('second');
          loop.removeReader(pipe.readFd);
          resolve();
        });
      });
      assert.equal(first.cancelled(), true);
      first.cancel();
      assert.equal(loop.statistics().watchers, 1);
      pipe.write('x');
      await got;
      assert.deepEqual(seen, ['second']);
    }));

  it('calls back when the other end has hung up', () =>
    withPipe(async (pipe) => {
      const got = new Promise((resolve) => {
        loop.addReader(pipe.readFd, () => {
          loop.removeReader(pipe.readFd);
          resolve(pipe.read());
        });
      });
      pipe.closeWriter();
      assert.equal(await got, '');
    }));

  it('keeps what is queued before I/O, and timers behind it, within one iteration', () =>
    withPipe(async (pipe) => {
      pipe.write('x');
      const seen: string[] = [];
      await new Promise<void>((resolve) => {
        loop.callSoon(() => {
          loop.callLater(-1, () => seen.push('timer'));
          loop.addReader(pipe.readFd, () => {
            seen.push('reader');
            loop.removeReader(pipe.readFd);
            loop.callSoon(resolve);
          });
          loop.callSoon(() => seen.push('soon'));
        });
      });
      assert.deepEqual(seen, ['soon', 'reader', 'timer']);
    }));

  it('calls back in a storm of callbacks, in which libuv does not wait for us, and after it', () =>
    withPipe(async (pipe) => {
      let called: (text: string) => void;
      const next = () => new Promise<string>((resolve) => (called = resolve));
      loop.addReader(pipe.readFd, () => called(pipe.read()));
      let storm = true;
      const again = (): void => void (storm && loop.callSoon(again));
      again();
      await someTurns(); // each as long as we may take
      const inTheStorm = next();
      pipe.write('in the storm');
      assert.equal(await inTheStorm, 'in the storm');
      storm = false;
      await someTurns();
      const inTheCalm = next();
      pipe.write('in the calm'); // and nothing else that could wake the process
      assert.equal(await inTheCalm, 'in the calm');
      loop.removeReader(pipe.readFd);
    }));

  it('watches many fds at once and tells them apart', async () => {
    const seen: string[] = [];
    const nested = async (depth: number): Promise<void> => {
      if (depth === 0) return someTurns();
      await withPipe(async (pipe) => {
        loop.addReader(pipe.readFd, () => {
          seen.push(pipe.read());
          loop.removeReader(pipe.readFd);
        });
        pipe.write(`pipe ${depth}`);
        await nested(depth - 1);
      });
    };
    await nested(5);
    assert.deepEqual(
      seen.sort(),
      [1, 2, 3, 4, 5].map((depth) => `pipe ${depth}`),
    );
  });
});

describe('addWriter', () => {
  it('calls back while there is room', () =>
    withPipe(async (pipe) => {
      const got = new Promise((resolve) => {
        loop.addWriter(pipe.writeFd, (value) => resolve(value), 'room');
      });
      assert.equal(await got, 'room');
      assert.equal(loop.removeWriter(pipe.writeFd), true);
      assert.equal(loop.removeWriter(pipe.writeFd), false);
    }));

  it('does not call back while there is none', () =>
    withPipe(async (pipe) => {
      let calls = 0;
      pipe.write('x'.repeat(65_536));
      const writable = new Promise<void>((resolve) => {
        loop.addWriter(pipe.writeFd, () => {
          calls++;
          loop.removeWriter(pipe.writeFd);
          resolve();
        });
      });
      await someTurns();
      assert.equal(calls, 0);
      pipe.read();
      await writable;
      assert.equal(calls, 1);
    }));

  it('calls back when nobody is left to read', () =>
    withPipe(async (pipe) => {
      pipe.write('x'.repeat(65_536));
      const got = new Promise((resolve) => {
        loop.addWriter(pipe.writeFd, () => {
          loop.removeWriter(pipe.writeFd);
          try {
            pipe.write('y');
            resolve('written');
          } catch (error) {
            resolve((error as NodeJS.ErrnoException).code);
          }
        });
      });
      pipe.closeReader();
      assert.equal(await got, 'EPIPE');
    }));
});

describe('a reader and a writer of the same fd', () => {
  it('are called in that order, and are removed one by one', () =>
    withTwoWayFd(async (fd) => {
      const seen: string[] = [];
      await new Promise<void>((resolve) => {
        loop.addWriter(fd, () => {
          seen.push('writer');
          loop.removeWriter(fd);
        });
        loop.addReader(fd, () => {
          seen.push('reader');
          if (seen.length < 3) return;
          loop.removeReader(fd);
          resolve();
        });
        writeSync(fd, 'x');
        assert.equal(loop.statistics().watchers, 1);
      });
      assert.deepEqual(seen, ['reader', 'writer', 'reader']);
    }));

  it('can remove each other in the iteration in which both are ready', () =>
    withTwoWayFd(async (fd) => {
      writeSync(fd, 'x');
      const seen: string[] = [];
      loop.addReader(fd, () => {
        seen.push('reader');
        loop.removeWriter(fd);
        loop.removeReader(fd);
      });
      loop.addWriter(fd, () => seen.push('writer'));
      await someTurns();
      assert.deepEqual(seen, ['reader']);
    }));
});
