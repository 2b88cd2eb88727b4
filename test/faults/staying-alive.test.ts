import assert from 'node:assert/strict';

import { runProgram as start } from '../support/capture.js';

/** Runs a program, which must end by itself; returns what it wrote. */
async function runProgram(source: string): Promise<string> {
  const { code, signal, stdout, stderr } = await start(source, { timeoutMs: 5000 });
  assert.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' });
  return stdout;
}

/** A program with a pipe that nobody writes to. */
const WITH_PIPE = `
  const { execFileSync } = require('node:child_process');
  const { constants, openSync, rmSync, writeSync } = require('node:fs');
  const path = require('node:os').tmpdir() + '/ringloop-' + process.pid;
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  rmSync(path);
  const loop = ringloop.getEventLoop();
`;

describe('what keeps a process alive', () => {
  it('is not a reader that is unreferenced', async () => {
    const stdout = await runProgram(`${WITH_PIPE}
      loop.addReader(fd, () => {}).unref();
      process.on('exit', () => console.log('ended'));
    `);
    assert.equal(stdout, 'ended\n');
  });

  it('is a reader, until it is removed', async () => {
    const stdout = await runProgram(`${WITH_PIPE}
      loop.addReader(fd, () => { loop.removeReader(fd); console.log('read'); });
      setTimeout(() => writeSync(fd, 'x'), 20).unref();
    `);
    assert.equal(stdout, 'read\n');
  });

  it('is a reader that is referenced again', async () => {
    const stdout = await runProgram(`${WITH_PIPE}
      loop.addReader(fd, () => loop.removeReader(fd)).unref().ref();
      setTimeout(() => { console.log('still here'); writeSync(fd, 'x'); }, 20).unref();
    `);
    assert.equal(stdout, 'still here\n');
  });

  it('is a reader also after another one of the same fd was replaced or removed', async () => {
    const stdout = await runProgram(`${WITH_PIPE}
      loop.addReader(fd, () => {}).unref();
      loop.addReader(fd, () => loop.removeReader(fd));
      loop.addWriter(fd, () => loop.removeWriter(fd)).unref();
      setTimeout(() => { console.log('still here'); writeSync(fd, 'x'); }, 20).unref();
    `);
    assert.equal(stdout, 'still here\n');
  });

  const endings: Record<string, string> = {
    'removed with removeReader()': 'loop.removeReader(fd)',
    'removed with cancel() of its handle': 'handle.cancel()',
    unreferenced: 'handle.unref()',
  };
  for (const [how, end] of Object.entries(endings)) {
    it(`is not a reader that is ${how} while the loop waits`, async () => {
      const stdout = await runProgram(`${WITH_PIPE}
        const handle = loop.addReader(fd, () => {});
        setTimeout(() => { ${end}; console.log('let go'); }, 5);
      `);
      assert.equal(stdout, 'let go\n');
    });
  }

  it('is a timer that is referenced again', async () => {
    const stdout = await runProgram(`
      const loop = ringloop.getEventLoop();
      loop.callLater(10, () => console.log('fired')).unref().ref();
      loop.callLater(60_000, () => {}).ref().unref();
    `);
    assert.equal(stdout, 'fired\n');
  });

  it('is not a timer that is unreferenced while the loop waits for it', async () => {
    const stdout = await runProgram(`
      const timer = ringloop.getEventLoop().callLater(60_000, () => {});
      setTimeout(() => timer.unref(), 5);
    `);
    assert.equal(stdout, '');
  });

  it('is not a sleep with ref: false; the run() that waits for it rejects', async () => {
    const stdout = await runProgram(`
      const { run, sleep } = ringloop;
      run(() => sleep(60_000, undefined, { ref: false })).catch(({ name }) => console.log(name));
    `);
    assert.equal(stdout, 'DeadlockError\n');
  });

  it('is a sleep, in a task that nobody waits for too', async () => {
    const stdout = await runProgram(`
      const { createTask, sleep } = ringloop;
      createTask(function* () { yield* sleep(20); console.log('slept'); });
    `);
    assert.equal(stdout, 'slept\n');
  });

  it('is not a sleep whose task was cancelled', async () => {
    const stdout = await runProgram(`
      const { createTask, sleep } = ringloop;
      const task = createTask(() => sleep(60_000));
      setTimeout(() => task.cancel(), 5);
    `);
    assert.equal(stdout, '');
  });

  it('is not a loop of its own that was never closed', async () => {
    const stdout = await runProgram(`
      const loop = new ringloop.EventLoop();
      loop.runForever();
      new ringloop.EventLoop().callLater(60_000, () => {});
    `);
    assert.equal(stdout, '');
  });

  it('is a timer on a loop of its own that runs', async () => {
    const stdout = await runProgram(`
      const loop = new ringloop.EventLoop();
      loop.callLater(20, () => { console.log('fired'); loop.stop(); });
      loop.runForever().then(() => loop.close());
    `);
    assert.equal(stdout, 'fired\n');
  });
});
