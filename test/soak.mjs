// A soak: mixed load for some minutes, in rounds, and no slope. Usage: node --expose-gc test/soak.mjs [MINUTES]
//
// Every round opens and closes everything that ringloop can open: connections by protocol, by streams
// in both kinds of coroutine, over TLS and over unix sockets, datagrams, pipes of Node, node:http
// beside them, workers that are terminated while they serve, tasks that are cancelled, waits that are
// given up. Between two rounds nothing is open, so file descriptors, handles and the loop's own
// counts must be those of the first rounds exactly; resident memory may vary, and must not climb.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Worker } from 'node:worker_threads';

import {
  asCompleted,
  createConnection,
  createDatagramEndpoint,
  createServer,
  createTask,
  DatagramProtocol,
  Event,
  fromNodeStream,
  gather,
  getEventLoop,
  Lock,
  memoryChannel,
  openConnection,
  openUnixConnection,
  Protocol,
  Queue,
  run,
  shield,
  sleep,
  startServer,
  startUnixServer,
  taskGroup,
  timeout,
  until,
  withLock,
} from 'ringloop';

const MINUTES = Number(process.argv[2] ?? 10);
/** Rounds before anything is compared: code is compiled, pools are filled. */
const WARM_UP = 8;
/** What a minute may add to the memory of a process whose allocator and V8 are at rest. */
const SLOPE_MAX_KIB = 1024;
const HOST = '127.0.0.1';
const RINGLOOP = createRequire(import.meta.url).resolve('ringloop');

const fixture = (name) => readFileSync(new URL(`net/fixtures/${name}`, import.meta.url));
const serverTls = { cert: fixture('server.crt'), key: fixture('server.key') };
const clientTls = { ca: fixture('authority.crt') };

// ---- the load ------------------------------------------------------------------------------------

function* echo(reader, writer) {
  for (;;) {
    const data = yield* reader.read(65536);
    if (data.length === 0) return;
    writer.write(data);
    yield* writer.drain();
  }
}

async function echoAsync(reader, writer) {
  for (let data = await reader.read(65536); data.length > 0; data = await reader.read(65536)) {
    writer.write(data);
    await writer.drain();
  }
}

function* talk(reader, writer, size, messages) {
  const message = Buffer.alloc(size, 'x');
  for (let i = 0; i < messages; i++) {
    writer.write(message);
    yield* writer.drain();
    assert.equal((yield* reader.readExactly(size)).length, size);
  }
  writer.close();
  yield* writer.waitClosed();
}

function* streams(handler, options, clientOptions) {
  const server = yield* startServer(handler, HOST, 0, options);
  const { port } = server;
  yield* gather(
    Array.from({ length: 10 }, (_, i) =>
      (function* () {
        const [reader, writer] = yield* openConnection(HOST, port, clientOptions);
        yield* talk(reader, writer, [64, 1024, 100_000][i % 3], 20);
      })(),
    ),
  );
  server.close();
  yield* server.waitClosed();
}

function* unix(round) {
  const path = join(tmpdir(), `ringloop-soak-${process.pid}-${round}`);
  const server = yield* startUnixServer(echo, path);
  const [reader, writer] = yield* openUnixConnection(path);
  yield* talk(reader, writer, 4096, 50);
  server.close();
  yield* server.waitClosed();
}

class Echo extends Protocol {
  connectionMade(transport) {
    this.transport = transport;
  }
  dataReceived(data) {
    this.transport.write(data);
  }
}

class Client extends Protocol {
  closed = getEventLoop().createFuture();
  left = 100;
  connectionMade(transport) {
    this.transport = transport;
    transport.write(Buffer.alloc(512));
  }
  dataReceived(data) {
    if (--this.left > 0) this.transport.write(data);
    else this.transport.close();
  }
  connectionLost() {
    this.closed.setResult();
  }
}

function* protocols() {
  const server = yield* createServer(() => new Echo(), HOST, 0);
  const { port } = server;
  yield* gather(
    Array.from({ length: 10 }, () =>
      (function* () {
        const [, client] = yield* createConnection(() => new Client(), HOST, port);
        yield* client.closed;
      })(),
    ),
  );
  server.close();
  yield* server.waitClosed();
}

class Pong extends DatagramProtocol {
  got = 0;
  enough = new Event();
  closed = new Event();
  datagramReceived() {
    if (++this.got === 100) this.enough.set();
  }
  connectionLost() {
    this.closed.set();
  }
}

function* datagrams() {
  const [receiving, pong] = yield* createDatagramEndpoint(() => new Pong(), {
    localAddr: { host: HOST, port: 0 },
  });
  const [sending, sender] = yield* createDatagramEndpoint(() => new Pong(), {
    remoteAddr: { host: HOST, port: receiving.getExtraInfo('sockname').port },
  });
  for (let i = 0; i < 100; i++) {
    sending.sendTo(Buffer.alloc(256));
    if (i % 10 === 9) yield* sleep(0);
  }
  yield* pong.enough.wait();
  sending.close();
  receiving.close();
  yield* sender.closed.wait();
  yield* pong.closed.wait();
}

function* tasks() {
  const queue = new Queue(4);
  const lock = new Lock();
  yield* taskGroup(function* (group) {
    group.createTask(function* () {
      for (let i = 0; i < 500; i++) yield* queue.put(i);
    });
    group.createTask(async () => {
      for (let i = 0; i < 500; i++) await queue.get();
    });
    for (let i = 0; i < 20; i++) {
      group.createTask(() => withLock(lock, () => sleep(0)));
      group.createTask(async () => withLock(lock, async () => sleep(0)));
    }
  });
  const sleepers = Array.from({ length: 500 }, (_, i) =>
    i % 2 === 0
      ? createTask(function* () {
          yield* sleep(60_000);
        })
      : createTask(async () => sleep(60_000)),
  );
  yield* sleep(0);
  for (const sleeper of sleepers) sleeper.cancel('enough');
  yield* gather(sleepers, { returnExceptions: true });
}

/** Waits for what outlives them all, given up in every way. */
const never = new Promise(() => {});
// Not shielded where nothing is cancelled: a shield that nobody ends stays on what it shields, as in
// asyncio.
const everlasting = getEventLoop().createFuture();

async function givenUp() {
  const queue = new Queue();
  const [, receiver] = memoryChannel(1);
  for (let i = 0; i < 20; i++) {
    await Promise.race([sleep(0), queue.get(), receiver.receive(), sleep(60_000)]);
    await assert.rejects(async () => await timeout(0.1, () => until(never)));
    await assert.rejects(async () => await timeout(0.1, async () => await shield(everlasting)));
    for await (const first of asCompleted([() => sleep(0), () => sleep(60_000), everlasting])) {
      await first;
      break;
    }
  }
}

async function nodeHttp() {
  const server = http.createServer((_request, response) => {
    run(function* () {
      yield* sleep(1);
      response.end('served');
    });
  });
  await once(server.listen(0, HOST), 'listening');
  const { port } = server.address();
  // Not fetch: it keeps a pool for every port that it has ever seen.
  const ask = async () => {
    const [response] = await once(http.get({ host: HOST, port, agent: false }), 'response');
    return await text(response);
  };
  await run(function* () {
    yield* gather(Array.from({ length: 20 }, () => until(ask())));
  });
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
}

function* nodeStreams() {
  const through = new PassThrough();
  const [reader, writer] = fromNodeStream(through, { as: 'streams' });
  const read = createTask(reader.read(-1));
  for (let i = 0; i < 20; i++) {
    writer.write(Buffer.alloc(10_000));
    yield* writer.drain();
  }
  writer.writeEof();
  assert.equal((yield* read).length, 200_000);
  writer.close();
  yield* writer.waitClosed();
}

/** A worker that serves is terminated, or leaves, with clients on the line. */
async function workers(round) {
  const leaves = round % 2 === 0;
  const worker = new Worker(
    `const { run, startServer } = require(${JSON.stringify(RINGLOOP)});
     const { parentPort } = require('node:worker_threads');
     run(function* () {
       const server = yield* startServer(function* (reader, writer) {
         for (;;) {
           const data = yield* reader.read(1024);
           if (data.length === 0) return;
           writer.write(data);
           ${leaves ? 'process.exit(0);' : ''}
         }
       }, '${HOST}', 0);
       parentPort.postMessage(server.port);
       yield* server.serveForever();
     });`,
    { eval: true },
  );
  const [port] = await once(worker, 'message');
  const exit = once(worker, 'exit');
  await run(function* () {
    const connections = yield* gather(Array.from({ length: 5 }, () => openConnection(HOST, port)));
    for (const [, writer] of connections) writer.write(Buffer.from('x'));
    if (!leaves) {
      yield* gather(connections.map(([reader]) => reader.read(1)));
      worker.terminate();
    }
    for (const [reader, writer] of connections) {
      try {
        while ((yield* reader.read(1024)).length > 0);
      } catch {
        // A reset is an end, too.
      }
      writer.close();
    }
  });
  await exit;
}

async function round(number) {
  await Promise.all([
    run(() => streams(echo)),
    run(() => streams(echoAsync)),
    run(() => streams(echo, { ssl: serverTls }, { ssl: clientTls, serverHostname: 'localhost' })),
    run(() => unix(number)),
    run(protocols),
    run(datagrams),
    run(tasks),
    run(givenUp),
    run(nodeStreams),
    nodeHttp(),
    workers(number),
  ]);
}

// ---- what is measured ----------------------------------------------------------------------------

async function atRest() {
  // Node closes handles in the turn after, and collects what was waiting for that.
  for (let i = 0; i < 5; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    global.gc();
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
  const { timers, watchers, ready } = getEventLoop().statistics();
  return {
    fds: readdirSync('/proc/self/fd').length,
    handles: process.getActiveResourcesInfo().filter((each) => each !== 'Timeout').length,
    timers,
    watchers,
    ready,
  };
}

/** Theil and Sen's: the median of all slopes, which single jumps do not move. */
function slope(samples) {
  const slopes = [];
  for (let i = 0; i < samples.length; i++) {
    for (let j = i + 1; j < samples.length; j++) {
      slopes.push((samples[j].y - samples[i].y) / (samples[j].x - samples[i].x));
    }
  }
  return slopes.sort((a, b) => a - b)[slopes.length >> 1] ?? 0;
}

const began = performance.now();
const minutes = () => (performance.now() - began) / 60_000;
const samples = [];
const heap = [];
let first = null;
let rounds = 0;
while (minutes() < MINUTES || rounds < WARM_UP + 10) {
  await round(rounds++);
  const rest = await atRest();
  if (rounds < WARM_UP) continue;
  first ??= rest;
  assert.deepEqual(rest, first, `after round ${rounds} something is left open`);
  const { rss, heapUsed } = process.memoryUsage();
  samples.push({ x: minutes(), y: rss / 1024 });
  heap.push({ x: minutes(), y: heapUsed / 1024 });
  if (rounds % 50 === 0) console.log(`round ${rounds}: ${(rss / 2 ** 20).toFixed(1)} MiB`, rest);
}

// The allocator takes a while until it has seen the largest of everything.
const settled = (all) => all.slice(all.length >> 1);
const perMinute = { rss: slope(settled(samples)), heap: slope(settled(heap)) };
console.log(
  `${rounds} rounds in ${minutes().toFixed(1)} minutes; ` +
    `resident memory ${perMinute.rss.toFixed(0)} KiB a minute, ` +
    `heap ${perMinute.heap.toFixed(0)} KiB a minute`,
);
assert.ok(perMinute.rss < SLOPE_MAX_KIB, 'resident memory climbs');
assert.ok(perMinute.heap < SLOPE_MAX_KIB / 4, 'the heap climbs');
