import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';

import { run, type StreamReader, type StreamWriter, startServer } from 'ringloop';
import { runProgram } from '../support/capture.js';
import { openSockets } from '../support/open-sockets.js';
import { messageOf, startWorker } from '../support/workers.js';

const COUNT = process.env['RINGLOOP_HEAVY'] === '1' ? 1000 : 40;
const AT_ONCE = 4;

/** A loop that is busy in every way: tasks that step, timers, a reader, an async function. */
const BUSY = `
  const { createTask, EventLoop, getEventLoop, run, sleep } = require('ringloop');
  const { parentPort } = require('node:worker_threads');
  const loop = getEventLoop();
  run(function* () {
    for (let i = 0; i < 50; i++) {
      createTask(function* () { for (;;) yield* sleep(Math.random()); });
      createTask(function* () { for (;;) yield* sleep(0); });
      createTask(async () => { for (;;) await sleep(Math.random()); });
      loop.callLater(60_000, () => {});
    }
    const isolated = new EventLoop();
    isolated.runForever();
    isolated.callLater(1, () => {});
    parentPort.postMessage('running');
    for (;;) yield* sleep(0);
  });
`;

/** Starts workers, a few at a time, and terminates each as soon as it is busy. */
const TERMINATE_MANY = `
  const { Worker } = require('node:worker_threads');
  const { once } = require('node:events');
  const busy = ${JSON.stringify(BUSY)};
  async function createAndTerminate() {
    const worker = new Worker(busy, { eval: true });
    await once(worker, 'message');
    await worker.terminate();
  }
  (async () => {
    for (let done = 0; done < ${COUNT}; done += ${AT_ONCE}) {
      await Promise.all(Array.from({ length: ${AT_ONCE} }, createAndTerminate));
    }
    console.log('all are gone');
  })();
`;

async function createAndTerminate(): Promise<void> {
  const worker = new Worker(BUSY, { eval: true });
  const [message] = await once(worker, 'message');
  assert.equal(message, 'running');
  await worker.terminate();
}

/** Both are waited for from the start: a quick worker's last message and its end come in one turn. */
async function lastWords(worker: Worker): Promise<unknown> {
  const [[message]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')]);
  return message;
}

const ENDINGS = {
  'terminate()': '',
  'process.exit()': 'process.exit(0)',
  'an uncaught error': 'throw new Error("on purpose")',
};
const KINDS = ['generator functions', 'async functions'] as const;

/** Owns sockets of each kind: one that listens, accepted ones, datagrams, a unix socket, TLS to come. */
function serverIn(kind: (typeof KINDS)[number]): string {
  const [begin, wait] =
    kind === 'async functions' ? ['async () =>', 'await'] : ['function* ()', 'yield*'];
  const handler = kind === 'async functions' ? 'async (r, w) =>' : 'function* (r, w)';
  return `
    const { run, sleep, startServer, startUnixServer, createDatagramEndpoint, openConnection } = ringloop;
    parentPort.on('message', (source) => { new Function(source)(); });
    run(${begin} {
      const server = ${wait} startServer(${handler} { w.write('hello'); ${wait} r.read(1); }, '127.0.0.1', 0);
      const unix = ${wait} startUnixServer(${handler} {}, '\\0ringloop-' + process.pid + '-' + Math.random());
      ${wait} createDatagramEndpoint(() => new ringloop.DatagramProtocol(), { localAddr: ['127.0.0.1', 0] });
      const pairs = [];
      for (let i = 0; i < 3; i++) pairs.push(${wait} openConnection('127.0.0.1', server.port));
      parentPort.postMessage({ port: server.port, pairs: pairs.length });
      ${wait} sleep(1e6);
    });
  `;
}

function* echo(reader: StreamReader, writer: StreamWriter): Generator<unknown, void, any> {
  writer.write(yield* reader.read());
  writer.close();
}

async function connected(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

describe('worker threads', function () {
  this.timeout(600_000);

  // libuv goes on calling while Node tears a worker down. JavaScript that is called then is refused,
  // and V8 says so on stderr.
  it(`${COUNT} of them can be terminated in the middle of a turn, without a word`, async () => {
    const { stdout, stderr } = await runProgram(TERMINATE_MANY, { timeoutMs: 500_000 });
    assert.equal(stderr, '');
    assert.equal(stdout, 'all are gone\n');
  });

  it('give their memory and their file descriptors back', async () => {
    const { readdirSync } = await import('node:fs');
    const fds = () => readdirSync('/proc/self/fd').length;
    await Promise.all(Array.from({ length: AT_ONCE }, createAndTerminate));
    const before = fds();
    for (let i = 0; i < 5; i++)
      await Promise.all(Array.from({ length: AT_ONCE }, createAndTerminate));
    assert.ok(fds() <= before + 2, `${before} fds before, ${fds()} after`);
  });

  // No `finally` runs in a worker that is ended from outside: the addon itself closes what it owns.
  for (const [how, kind] of Object.entries(ENDINGS).flatMap(([how]) =>
    KINDS.map((kind) => [how, kind] as const),
  )) {
    it(`close their sockets when they end by ${how}, in ${kind}`, async () => {
      const before = openSockets();
      const worker = startWorker(serverIn(kind));
      worker.on('error', () => {});
      const { port, pairs } = await messageOf(worker);
      assert.equal(pairs, 3);
      const client = connect(port, '127.0.0.1');
      const ended = once(client, 'close');
      await once(client, 'data');
      const gone = new Promise((resolve) => worker.once('exit', resolve));
      if (how === 'terminate()') await worker.terminate();
      else worker.postMessage(ENDINGS[how as keyof typeof ENDINGS]);
      await Promise.all([ended, gone]);
      await assert.rejects(connected(port), { code: 'ECONNREFUSED' });
      assert.deepEqual(openSockets(), before);
    });
  }

  it('leave alone what another thread has opened meanwhile', async () => {
    const worker = startWorker(serverIn('generator functions'));
    const { port } = await messageOf(worker);
    // Numbers that the worker has used and closed are used here.
    const server = await run(() => startServer(echo, '127.0.0.1', 0));
    const client = connect(server.port, '127.0.0.1');
    await once(client, 'connect');
    await worker.terminate();
    await assert.rejects(connected(port), { code: 'ECONNREFUSED' });
    client.end('still here');
    const [data] = await once(client, 'data');
    assert.equal(String(data), 'still here');
    server.close();
    await run(() => server.waitClosed());
  });

  it('have a loop of their own each', async () => {
    const worker = new Worker(
      `const { run, sleep, currentTask } = require('ringloop');
       run(function* () { yield* sleep(1); return currentTask().name; }, { name: 'in the worker' })
         .then((name) => require('node:worker_threads').parentPort.postMessage(name));`,
      { eval: true },
    );
    const name = await lastWords(worker);
    assert.equal(name, 'in the worker');
  });

  it('end by themselves when nothing is left, and say so to a run() that waits', async () => {
    const worker = new Worker(
      `const { Future, run } = require('ringloop');
       run(function* () { yield* new Future(); })
         .catch((error) => require('node:worker_threads').parentPort.postMessage(error.name));`,
      { eval: true },
    );
    const name = await lastWords(worker);
    assert.equal(name, 'DeadlockError');
  });
});
