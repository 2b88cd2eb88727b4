import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';

import { getEventLoop } from 'ringloop';
import { withPipe } from '../loop/pipe.js';
import { runProgram, turnOfNode } from '../support/capture.js';

const loop = getEventLoop();
const nothing = (): void => {};

describe('a file descriptor that cannot be watched', () => {
  it('is refused with EBADF when it is closed, in the form of Node errors', () => {
    const fd = openSync('/dev/null', 'r');
    closeSync(fd);
    for (const watch of [() => loop.addReader(fd, nothing), () => loop.addWriter(fd, nothing)]) {
      assert.throws(watch, (error: NodeJS.ErrnoException) => {
        assert.ok(error instanceof Error);
        assert.equal(error.code, 'EBADF');
        assert.equal(error.errno, -9);
        assert.equal(error.syscall, 'epoll_ctl');
        assert.match(error.message, /^EBADF: bad file descriptor, epoll_ctl/);
        return true;
      });
    }
    assert.equal(loop.statistics().watchers, 0);
  });

  it('is refused with EPERM when it is a plain file', () => {
    const fd = openSync(__filename, 'r');
    try {
      assert.throws(() => loop.addReader(fd, nothing), { code: 'EPERM', syscall: 'epoll_ctl' });
      assert.equal(loop.removeReader(fd), false);
      assert.equal(loop.statistics().watchers, 0);
    } finally {
      closeSync(fd);
    }
  });

  it('leaves the callback in place that was there before', () =>
    withPipe(async (pipe) => {
      const first = loop.addReader(pipe.readFd, nothing);
      pipe.closeReader();
      assert.throws(() => loop.addWriter(pipe.readFd, nothing), { code: 'EBADF' });
      assert.equal(first.cancelled(), false);
      assert.equal(loop.removeReader(pipe.readFd), true);
      assert.equal(loop.statistics().watchers, 0);
    }));
});

describe('a file descriptor that is closed while it is watched', () => {
  it('can still be removed, and is called back no more', () =>
    withPipe(async (pipe) => {
      let calls = 0;
      loop.addReader(pipe.readFd, () => calls++);
      pipe.write('x');
      pipe.closeReader();
      await turnOfNode();
      await turnOfNode();
      assert.equal(calls, 0);
      assert.equal(loop.removeReader(pipe.readFd), true);
      assert.equal(loop.statistics().watchers, 0);
    }));

  it('does not disturb another file that gets the same number', () =>
    withPipe(async (first) => {
      loop.addReader(first.readFd, () => assert.fail('the old callback'));
      const { readFd } = first;
      first.closeReader();
      loop.removeReader(readFd);
      await withPipe(async (second) => {
        assert.equal(second.readFd, readFd);
        const got = new Promise((resolve) => {
          loop.addReader(second.readFd, () => {
            loop.removeReader(second.readFd);
            resolve(second.read());
          });
        });
        second.write('new file');
        assert.equal(await got, 'new file');
      });
    }));

  it('is watched again when the same number is added again without a removal', () =>
    withPipe(async (first) => {
      loop.addReader(first.readFd, () => assert.fail('the old callback'));
      const { readFd } = first;
      first.closeReader();
      await withPipe(async (second) => {
        assert.equal(second.readFd, readFd);
        const got = new Promise((resolve) => {
          loop.addReader(second.readFd, () => {
            loop.removeReader(second.readFd);
            resolve(second.read());
          });
        });
        second.write('new file');
        assert.equal(await got, 'new file');
      });
    }));
});

describe('a callback of a file descriptor that throws', () => {
  it('is reported each time, and the others are called', () =>
    withPipe(async (pipe) => {
      const messages: string[] = [];
      loop.setExceptionHandler(({ exception }) => void messages.push((exception as Error).message));
      pipe.write('x');
      await new Promise<void>((resolve) => {
        let calls = 0;
        loop.addReader(pipe.readFd, () => {
          if (++calls === 3) {
            loop.removeReader(pipe.readFd);
            resolve();
          }
          throw new Error(`call ${calls}`);
        });
      });
      loop.setExceptionHandler(null);
      assert.deepEqual(messages, ['call 1', 'call 2', 'call 3']);
    }));
});

describe('a process without file descriptors', () => {
  it('gets EMFILE from new EventLoop(), leaks none, and works when there are some again', async () => {
    const { stdout, stderr, code } = await runProgram(
      `
      const { EventLoop, run, sleep } = ringloop;
      const { openSync, closeSync, readdirSync, readlinkSync } = require('node:fs');
      // Node opens and closes some of its own.
      const ours = (fd) => {
        try { return /eventpoll|timerfd|eventfd/.test(readlinkSync('/proc/self/fd/' + fd)); }
        catch { return false; }
      };
      const count = () => readdirSync('/proc/self/fd').filter(ours).length;
      const before = count();
      const fill = [];
      try { for (;;) fill.push(openSync('/dev/null', 'r')); } catch {}
      for (const spare of [0, 1, 2]) {
        for (let i = 0; i < spare; i++) closeSync(fill.pop());
        const made = [];
        try {
          for (let i = 0; i < 100; i++) made.push(new EventLoop());
        } catch (error) {
          const { name, code, errno, syscall } = error;
          console.log(JSON.stringify([name, code, errno, typeof syscall]));
        }
        for (const loop of made) loop.close();
      }
      for (const fd of fill) closeSync(fd);
      // Descriptors are given back when libuv has closed the handles.
      setTimeout(async () => {
        console.log(count() - before);
        console.log(await run(() => sleep(1, 'works')));
        console.log(count() - before <= 3);
      }, 5);
      `,
      { shell: 'ulimit -n 60' },
    );
    assert.equal(stderr, '');
    assert.equal(code, 0);
    const expected = JSON.stringify(['Error', 'EMFILE', -24, 'string']);
    const lines = stdout.trim().split('\n');
    assert.deepEqual(lines, [expected, expected, expected, '0', 'works', 'true']);
  });

  it('gives the descriptors of a loop back when it is closed', async () => {
    const { stdout, stderr } = await runProgram(
      `
      const { EventLoop } = ringloop;
      (async () => {
        for (let i = 0; i < 200; i++) {
          const loop = new EventLoop();
          loop.callLater(0, () => loop.stop());
          await loop.runForever();
          loop.close();
          await new Promise(setImmediate);
        }
        console.log('enough for all');
      })();
      `,
      { shell: 'ulimit -n 60' },
    );
    assert.equal(stderr, '');
    assert.equal(stdout, 'enough for all\n');
  });
});
