import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { getEventLoop } from 'ringloop';
import { withPipe } from '../loop/pipe.js';
import { runProgram, turnOfNode } from '../support/capture.js';
import { runProgram as runUnderBash } from '../support/child.js';

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

  // The tables once grew up to the number before the kernel was asked: 1.5 GB, or the process's end.
  it('costs no memory, however large its number', async () => {
    const { code, stdout } = await runUnderBash(`
      const { getEventLoop, run, connectReadPipe, connectWritePipe, connectAcceptedSocket, Protocol } =
        require('ringloop');
      const loop = getEventLoop();
      const before = process.memoryUsage().rss;
      const seen = new Set();
      const note = (error) => seen.add(error.code);
      (async () => {
        for (const fd of [100_000, 30_000_000, 2 ** 28 - 1]) {
          for (const name of ['addReader', 'addWriter']) {
            try { loop[name](fd, () => {}); } catch (error) { note(error); }
          }
          loop.removeReader(fd);
          for (const connect of [connectReadPipe, connectWritePipe, connectAcceptedSocket]) {
            await run(() => connect(() => new Protocol(), fd)).catch(note);
          }
        }
        const grown = process.memoryUsage().rss - before;
        console.log([...seen].join(), grown < 30e6 ? 'small' : grown);
      })();
    `);
    assert.equal(stdout, 'EBADF small');
    assert.equal(code, 0);
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

describe('a file descriptor with a large number', () => {
  it('is watched like any other, and costs a table of pages', async () => {
    const { stdout, stderr } = await runUnderBash(
      `
      const { getEventLoop } = require('ringloop');
      const loop = getEventLoop();
      const before = process.memoryUsage();
      loop.addReader(19_000, () => {
        console.log(String(require('node:fs').readFileSync('/dev/fd/19000')));
        loop.removeReader(19_000);
        const { heapUsed } = process.memoryUsage();
        if (heapUsed - before.heapUsed > 400_000) console.log(heapUsed - before.heapUsed);
      });
      `,
      { shell: 'ulimit -n 20000 && exec 19000< <(printf ready);' },
    );
    assert.equal(stdout, 'ready', stderr);
  });
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

  // epoll watches files under numbers: with a duplicate the file lives on, and the entry with it,
  // which no number names any more. It woke the loop for ever, without a watcher to be called.
  for (const [what, forget] of Object.entries({
    'is forgotten before the loop waits again': (fd: number) => loop.removeReader(fd),
    'is forgotten when its number has gone to another file': (fd: number) => {
      const other = openSync('/dev/null', 'r');
      assert.equal(other, fd);
      loop.removeReader(fd);
      closeSync(other);
    },
    'is replaced by another file of the same number': (fd: number) => {
      const folder = mkdtempSync(join(tmpdir(), 'ringloop-'));
      execFileSync('mkfifo', [join(folder, 'fifo')]);
      const other = openSync(join(folder, 'fifo'), constants.O_RDWR | constants.O_NONBLOCK);
      rmSync(folder, { recursive: true });
      assert.equal(other, fd);
      loop.addReader(fd, () => assert.fail('nothing was written to the new file'));
      loop.removeReader(fd);
      closeSync(other);
    },
  })) {
    it(`${what}, though a duplicate lives`, () =>
      withPipe(async (pipe) => {
        const child = spawn('cat', { stdio: [pipe.readFd, 'ignore', 'ignore'] });
        child.kill('SIGSTOP');
        loop.addReader(pipe.readFd, nothing);
        pipe.write('x'); // nobody reads it: the child, which has the duplicate, stands still
        pipe.closeReader();
        forget(pipe.readFd);
        await turnOfNode();
        await turnOfNode();
        const before = loop.statistics().wakeups;
        for (let i = 0; i < 20; i++) await turnOfNode();
        const { wakeups, watchers } = loop.statistics();
        assert.deepEqual({ wakeups: wakeups - before, watchers }, { wakeups: 0, watchers: 0 });
        await withPipe(async (other) => {
          const read = new Promise<string>((resolve) => {
            loop.addReader(other.readFd, () => {
              loop.removeReader(other.readFd);
              resolve(other.read());
            });
          });
          other.write('others are watched as before');
          assert.equal(await read, 'others are watched as before');
        });
        child.kill('SIGKILL');
        await once(child, 'exit');
      }));
  }
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
