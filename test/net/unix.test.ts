import assert from 'node:assert/strict';
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import {
  createTask,
  createUnixConnection,
  createUnixServer,
  isCancelledError,
  openUnixConnection,
  type Protocol,
  type Server,
  type SystemError,
  sleep,
  startUnixServer,
} from 'ringloop';
import { errorOf } from '../support/both-kinds.js';
import { runProgram } from '../support/capture.js';
import { onLoop, Recorder, sockets, someTurns } from '../support/net.js';

const LINUX = process.platform === 'linux';

class Echo extends Recorder {
  override dataReceived(data: Buffer): void {
    super.dataReceived(data);
    this.transport.write(data);
  }
}
const echo = (): Protocol => new Echo();

/** Runs a test with a path that is free. */
function withPath(body: (path: string) => Generator<unknown, void, any>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'ringloop-'));
  return onLoop(() => body(join(folder, 'socket'))).finally(() => {
    rmSync(folder, { recursive: true });
  });
}

function* closed(server: Server): Generator<unknown, void, any> {
  server.close();
  server.abortClients();
  yield* server.waitClosed();
  yield* someTurns();
}

function* ask(path: string): Generator<unknown, void, any> {
  const client = new Recorder();
  const [transport] = yield* createUnixConnection(() => client, path);
  transport.write('hello');
  yield* client.untilText('hello');
  transport.close();
}

/** A path whose socket nobody listens to any more. */
function leaveSocket(path: string): void {
  const fd = sockets.open(1, false);
  assert.equal(sockets.bind(fd, 1, path, 0), 0);
  sockets.close(fd);
}

/** Whoever has given up root's rights cannot write into root's folders. */
const WITHOUT_COVERAGE = { env: { NODE_V8_COVERAGE: '' } };

describe('a server on a unix socket', () => {
  it('answers, and its path is there as long as it listens', () =>
    withPath(function* (path) {
      const server = yield* createUnixServer(echo, path);
      assert.deepEqual(server.addresses, [path]);
      assert.equal(server.port, 0);
      assert.ok(lstatSync(path).isSocket());
      yield* ask(path);
      server.close();
      assert.equal(existsSync(path), false);
      server.close();
      yield* closed(server);
    }));

  it('has connections that know the path, on one side', () =>
    withPath(function* (path) {
      const accepted = new Recorder();
      const server = yield* createUnixServer(() => accepted, path);
      const [transport] = yield* createUnixConnection(() => new Recorder(), path);
      assert.equal(transport.getExtraInfo('peername'), path);
      assert.equal(transport.getExtraInfo('sockname'), '');
      yield* accepted.untilEvent('made');
      assert.equal(accepted.transport.getExtraInfo('sockname'), path);
      assert.equal(accepted.transport.getExtraInfo('peername'), '');
      transport.close();
      yield* closed(server);
    }));

  it('replaces a socket that is left from before', () =>
    withPath(function* (path) {
      leaveSocket(path);
      const server = yield* createUnixServer(echo, path);
      yield* ask(path);
      yield* closed(server);
      assert.equal(existsSync(path), false);
    }));

  it('does not replace any other file', () =>
    withPath(function* (path) {
      writeFileSync(path, 'precious');
      const error: SystemError = yield* errorOf(createUnixServer(echo, path));
      assert.equal(error.code, 'EADDRINUSE');
      assert.equal(error.syscall, 'bind');
      assert.equal(error.address, path);
      assert.equal(lstatSync(path).size, 8);
      rmSync(path);
      symlinkSync('/nowhere', path);
      assert.equal((yield* errorOf(createUnixServer(echo, path))).code, 'EADDRINUSE');
      assert.ok(lstatSync(path).isSymbolicLink());
    }));

  it('leaves the path alone at its end if it is somebody else’s by then', () =>
    withPath(function* (path) {
      const first = yield* createUnixServer(echo, path);
      const second = yield* createUnixServer(echo, path);
      yield* closed(first);
      assert.ok(existsSync(path));
      yield* ask(path);
      yield* closed(second);
      assert.equal(existsSync(path), false);

      const third = yield* createUnixServer(echo, path);
      rmSync(path);
      writeFileSync(path, 'precious');
      yield* closed(third);
      assert.ok(existsSync(path));
    }));

  it('does not mind when its path is gone at its end, with its folder', () =>
    withPath(function* (path) {
      const server = yield* createUnixServer(echo, path);
      renameSync(path, `${path}.moved`);
      yield* closed(server);
      rmSync(`${path}.moved`);
    }));

  it('may have a name in the abstract space, which is no file', function () {
    if (!LINUX) return this.skip();
    return onLoop(function* () {
      const name = `\0ringloop-test-${process.pid}`;
      const server = yield* createUnixServer(echo, name);
      assert.deepEqual(server.addresses, [name]);
      yield* ask(name);
      const error: SystemError = yield* errorOf(createUnixServer(echo, name));
      assert.equal(error.code, 'EADDRINUSE');
      yield* closed(server);
      assert.equal((yield* errorOf(ask(name))).code, 'ECONNREFUSED');
    });
  });

  it('says what is wrong with its path', () =>
    withPath(function* (path) {
      const missing: SystemError = yield* errorOf(createUnixServer(echo, `${path}/x/y`));
      assert.equal(missing.code, 'ENOENT');
      assert.equal(missing.address, `${path}/x/y`);
      for (const wrong of [5, '', null, undefined]) {
        assert.throws(() => createUnixServer(echo, wrong as never), TypeError);
        assert.throws(() => createUnixConnection(echo, wrong as never), TypeError);
      }
      assert.throws(() => createUnixServer(echo, '/tmp/'.padEnd(108, 'x')), RangeError);
      assert.throws(() => createUnixServer(echo, '/tmp/'.padEnd(60, 'ü')), RangeError);
      assert.throws(() => createUnixServer(5 as never, path), TypeError);
    }));

  it('is refused where the process may not write: EACCES', async function () {
    if (process.getuid?.() !== 0) return this.skip();
    const { stdout, stderr } = await runProgram(
      `
      process.setuid(65534);
      const { run, createUnixServer, Protocol } = ringloop;
      run(function* () {
        try {
          yield* createUnixServer(() => new Protocol(), '/ringloop-test-socket');
        } catch ({ code, errno, syscall, address }) {
          console.log(JSON.stringify({ code, errno: errno < 0, syscall, address }));
        }
      });`,
      WITHOUT_COVERAGE,
    );
    assert.equal(stderr, '');
    assert.deepEqual(JSON.parse(stdout), {
      code: 'EACCES',
      errno: true,
      syscall: 'bind',
      address: '/ringloop-test-socket',
    });
    return undefined;
  });
});

describe('a server that has given up its rights', () => {
  it('closes all the same; its path stays, and is replaced by the next', async function () {
    if (process.getuid?.() !== 0) return this.skip();
    const folder = mkdtempSync(join(tmpdir(), 'ringloop-'));
    const path = join(folder, 'socket');
    const { stdout, stderr } = await runProgram(
      `
      const { run, createUnixServer, Protocol } = ringloop;
      run(function* () {
        const server = yield* createUnixServer(() => new Protocol(), ${JSON.stringify(path)});
        process.setuid(65534);
        server.close();
        yield* server.waitClosed();
        console.log('closed');
      });`,
      WITHOUT_COVERAGE,
    );
    assert.equal(stderr, '');
    assert.equal(stdout, 'closed\n');
    assert.ok(lstatSync(path).isSocket());
    rmSync(folder, { recursive: true });
    return undefined;
  });
});

describe('a connection to a unix socket', () => {
  it('says who is not there', () =>
    withPath(function* (path) {
      const missing: SystemError = yield* errorOf(createUnixConnection(echo, path));
      assert.equal(missing.code, 'ENOENT');
      assert.equal(missing.syscall, 'connect');
      assert.equal(missing.address, path);
      assert.equal('port' in missing, false);
      leaveSocket(path);
      const refused: SystemError = yield* errorOf(createUnixConnection(echo, path));
      assert.equal(refused.code, 'ECONNREFUSED');
      assert.equal(refused.message, `connect ECONNREFUSED ${path}`);
    }));

  it('may be cancelled', () =>
    withPath(function* (path) {
      const server = yield* createUnixServer(echo, path);
      for (let steps = 0; steps < 5; steps++) {
        const task = createTask(createUnixConnection(echo, path));
        for (let i = 0; i < steps; i++) yield* sleep(0);
        task.cancel();
        const error = yield* errorOf(task);
        if (error === undefined) task.result()[0].close();
        else assert.ok(isCancelledError(error));
      }
      yield* closed(server);
    }));

  it('may have streams', () =>
    withPath(function* (path) {
      const server = yield* startUnixServer(function* (reader, writer) {
        writer.write(`you said ${yield* reader.readLine()}`);
      }, path);
      const [reader, writer] = yield* openUnixConnection(path);
      writer.write('hello\n');
      assert.equal((yield* reader.read()).toString(), 'you said hello\n');
      writer.close();
      yield* writer.waitClosed();
      yield* closed(server);
      assert.throws(() => startUnixServer(5 as never, path), TypeError);
      assert.throws(() => startUnixServer(() => {}, path, { limit: 0 }), RangeError);
      assert.throws(() => openUnixConnection(path, { limit: 'x' as never }), TypeError);
    }));
});
