import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';

import {
  connectReadPipe,
  connectWritePipe,
  Future,
  Protocol,
  type ReadPipeTransport,
  run,
  sleep,
  until,
  type WritePipeTransport,
} from 'ringloop';
import { openPipe } from '../loop/pipe.js';
import { errorOf } from '../support/both-kinds.js';

/** Remembers what it was told, and lets a test wait for its end. */
class Recorder extends Protocol {
  readonly events: string[] = [];
  readonly lost = new Future<Error | null>();
  bytes = 0;

  override connectionMade(): void {
    this.events.push('made');
  }

  override dataReceived(data: Buffer): void {
    this.bytes += data.length;
    this.events.push(`data ${data.length > 20 ? data.length : data}`);
  }

  override eofReceived(): void {
    this.events.push('eof');
  }

  override pauseWriting(): void {
    this.events.push('pause');
  }

  override resumeWriting(): void {
    this.events.push('resume');
  }

  override connectionLost(error: Error | null): void {
    this.events.push('lost');
    this.lost.setResult(error);
  }
}

function* makeBoth(): Generator<
  unknown,
  [[ReadPipeTransport, Recorder], [WritePipeTransport, Recorder]],
  any
> {
  const [readFd, writeFd] = openPipe();
  return [
    yield* connectReadPipe(() => new Recorder(), readFd),
    yield* connectWritePipe(() => new Recorder(), writeFd),
  ];
}

describe('connectReadPipe and connectWritePipe', () => {
  it('carry bytes from one end to the other, and the end after them', () =>
    run(function* () {
      const [[, reading], [writer, writing]] = yield* makeBoth();
      writer.write('hello');
      writer.writelines([' ', Buffer.from('world')]);
      writer.close();
      assert.equal(yield* reading.lost, null);
      assert.equal(yield* writing.lost, null);
      assert.deepEqual(reading.events, ['made', 'data hello world', 'eof', 'lost']);
      assert.deepEqual(writing.events, ['made', 'lost']);
    }));

  it('carry a megabyte through a pipe of 64 KiB, and pause the writer in between', () =>
    run(function* () {
      const [[, reading], [writer, writing]] = yield* makeBoth();
      writer.write(Buffer.alloc(1e6, 'x'));
      assert.ok(writer.getWriteBufferSize() > 64 * 1024);
      assert.deepEqual(writing.events, ['made', 'pause']);
      writer.writeEof();
      assert.equal(yield* reading.lost, null);
      assert.equal(reading.bytes, 1e6);
      assert.deepEqual(writing.events, ['made', 'pause', 'resume', 'lost']);
    }));

  it('tell the writer that its reader has gone', () =>
    run(function* () {
      const [[reader], [, writing]] = yield* makeBoth();
      reader.close();
      assert.equal(yield* writing.lost, null);
    }));

  it('tell the writer EPIPE if bytes were still to be written', () =>
    run(function* () {
      const [[reader], [writer, writing]] = yield* makeBoth();
      reader.pauseReading();
      writer.write(Buffer.alloc(1e6));
      reader.close();
      assert.equal(((yield* writing.lost) as NodeJS.ErrnoException).code, 'EPIPE');
    }));

  it('drop what waits when they are aborted', () =>
    run(function* () {
      const [[reader, reading], [writer, writing]] = yield* makeBoth();
      reader.pauseReading();
      writer.write(Buffer.alloc(1e6));
      writer.abort();
      assert.equal(writer.getWriteBufferSize(), 0);
      assert.equal(yield* writing.lost, null);
      reader.resumeReading();
      yield* reading.lost;
      assert.ok(reading.bytes < 1e6);
    }));

  it('deliver nothing while reading is paused', () =>
    run(function* () {
      const [[reader, reading], [writer]] = yield* makeBoth();
      reader.pauseReading();
      reader.pauseReading();
      assert.equal(reader.isReading(), false);
      writer.write('hello');
      yield* (function* () {
        for (let i = 0; i < 20; i++) yield;
      })();
      assert.deepEqual(reading.events, ['made']);
      reader.resumeReading();
      writer.close();
      yield* reading.lost;
      assert.deepEqual(reading.events, ['made', 'data hello', 'eof', 'lost']);
    }));

  it('read what a program writes into a FIFO', () =>
    run(function* () {
      const [readFd, writeFd] = openPipe();
      const [, reading] = yield* connectReadPipe(() => new Recorder(), readFd);
      const child = spawn('printf', ['from a child'], { stdio: ['ignore', writeFd, 'inherit'] });
      closeSync(writeFd);
      yield* reading.lost;
      assert.deepEqual(reading.events, ['made', 'data from a child', 'eof', 'lost']);
      if (child.exitCode === null) yield* until(once(child, 'close'));
    }));

  it('refuse what is no pipe, and say what it got', async () => {
    assert.throws(() => connectReadPipe(() => new Recorder(), -1), {
      name: 'TypeError',
      message: 'connectReadPipe: fd must be a file descriptor, got -1',
    });
    assert.throws(() => connectWritePipe(null as never, 1), { name: 'TypeError' });
    const fd = openSync(__filename, 'r');
    await assert.rejects(
      run(() => connectReadPipe(() => new Recorder(), fd)),
      { name: 'TypeError', message: /must be a pipe/ },
    );
    closeSync(fd);
    await assert.rejects(
      run(() => connectReadPipe(() => new Recorder(), fd)),
      { code: 'EBADF', syscall: 'fstat' },
    );
  });

  // A daemon's standard streams: epoll refuses the device, and the reader once waited for ever.
  it('find /dev/null at its end, and write to it', () =>
    run(function* () {
      const [, reader] = yield* connectReadPipe(() => new Recorder(), openSync('/dev/null', 'r'));
      assert.equal(yield* reader.lost, null);
      assert.deepEqual(reader.events, ['made', 'eof', 'lost']);
      const [out, writer] = yield* connectWritePipe(
        () => new Recorder(),
        openSync('/dev/null', 'w'),
      );
      out.write(Buffer.alloc(1_000_000));
      out.close();
      assert.equal(yield* writer.lost, null);
      assert.deepEqual(writer.events, ['made', 'lost']);
    }));

  it('tell a paused reader of /dev/null about the end when it goes on', () =>
    run(function* () {
      class Paused extends Recorder {
        override connectionMade(transport?: any): void {
          super.connectionMade();
          transport.pauseReading();
        }
      }
      const fd = openSync('/dev/null', 'r');
      const [input, reader] = yield* connectReadPipe(() => new Paused(), fd);
      yield* sleep(0);
      assert.deepEqual(reader.events, ['made']);
      input.resumeReading();
      input.pauseReading();
      input.resumeReading();
      yield* reader.lost;
      assert.deepEqual(reader.events, ['made', 'eof', 'lost']);
    }));

  it('tell the writer what a device answers', () =>
    run(function* () {
      const [out, writer] = yield* connectWritePipe(
        () => new Recorder(),
        openSync('/dev/full', 'w'),
      );
      out.write('x');
      assert.equal(((yield* writer.lost) as NodeJS.ErrnoException).code, 'ENOSPC');
    }));

  it('refuse at once a device that is always ready and has no end', async () => {
    const fd = openSync('/dev/zero', 'r');
    let made = 0;
    await assert.rejects(
      run(() =>
        connectReadPipe(() => {
          made++;
          return new Recorder();
        }, fd),
      ),
      { code: 'EPERM' },
    );
    assert.equal(made, 0);
    closeSync(fd); // it is still the caller's
  });

  it('refuse files and folders at once, by what they are', async () => {
    for (const [path, what] of [
      [__filename, /but \d+ is a plain file/],
      [__dirname, /but \d+ is a directory/],
    ] as const) {
      const fd = openSync(path, 'r');
      for (const connect of [connectReadPipe, connectWritePipe] as (typeof connectReadPipe)[]) {
        const steps = () => connect(() => new Recorder(), fd);
        await assert.rejects(run(steps), { name: 'TypeError', message: what });
        await assert.rejects(
          run(async () => await steps()),
          { name: 'TypeError', message: what },
        );
      }
      closeSync(fd);
    }
  });

  it('leave an fd to its owner when the factory throws, or when it has one already', async () => {
    const [readFd, writeFd] = openPipe();
    const broken = (): never => {
      throw new Error('no protocol');
    };
    await assert.rejects(
      run(() => connectReadPipe(broken, readFd)),
      { message: 'no protocol' },
    );
    await run(function* () {
      const [input, reader] = yield* connectReadPipe(() => new Recorder(), readFd);
      const again = connectReadPipe(() => new Recorder(), readFd);
      const error = yield* errorOf(again);
      assert.equal(error.name, 'RuntimeError');
      assert.match(error.message, /is used by <ReadPipeTransport/);
      closeSync(writeFd);
      yield* reader.lost;
      assert.ok(input.isClosing());
    });
  });
});
