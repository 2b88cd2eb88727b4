/**
 * Echo over TLS: `node bench/tls.js [ROUNDS [CONNECTIONS [BYTES]]]`.
 *
 * Compares node:tls alone with ringloop's transports and streams over it: each server is a process
 * of its own, the client another one that keeps one message under way on each connection. The
 * servers take turns, round by round; what counts is the ratio within a round. On a machine that
 * has other work the server's CPU time for a message says more than the rate.
 *
 *   node bench/tls.js server MODE     node, protocol or streams; prints {"port": N}
 *   node bench/tls.js client PORT CONNECTIONS BYTES SECONDS     prints {"messages", "rate"}
 */
'use strict';
const { execFile, spawn } = require('node:child_process');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const tls = require('node:tls');
const { promisify } = require('node:util');

const FIXTURES = join(__dirname, '..', 'test', 'net', 'fixtures');
const certificate = () => ({
  cert: readFileSync(join(FIXTURES, 'server.crt')),
  key: readFileSync(join(FIXTURES, 'server.key')),
});
const MODES = ['node', 'protocol', 'streams'];
const SECONDS = 2;

function listening(port) {
  console.log(JSON.stringify({ port }));
  const before = process.cpuUsage();
  process.on('SIGTERM', () => {
    const { user, system } = process.cpuUsage(before);
    process.stdout.write(`${JSON.stringify({ cpu: user + system })}\n`, () => process.exit());
  });
}

function serveNode() {
  const server = tls.createServer({ ...certificate(), noDelay: true }, (socket) => {
    socket.on('data', (data) => socket.write(data));
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1', () => listening(server.address().port));
}

function serveRingloop(mode) {
  const ringloop = require('..');
  class Echo extends ringloop.Protocol {
    connectionMade(transport) {
      this.transport = transport;
    }

    dataReceived(data) {
      this.transport.write(data);
    }
  }
  function* echo(reader, writer) {
    for (;;) {
      const data = yield* reader.read(65536);
      if (data.length === 0) return;
      writer.write(data);
      yield* writer.drain();
    }
  }
  const options = { ssl: certificate(), backlog: 1024 };
  ringloop.run(function* () {
    // Clients that reset their connection are none of a benchmark's business.
    ringloop.getRunningLoop().setExceptionHandler(() => {});
    const server =
      mode === 'streams'
        ? yield* ringloop.startServer(echo, '127.0.0.1', 0, options)
        : yield* ringloop.createServer(() => new Echo(), '127.0.0.1', 0, options);
    listening(server.port);
    yield* server.serveForever();
  });
}

/** One message at a time on each connection. */
function client(port, connections, bytes, seconds) {
  const message = Buffer.alloc(bytes, 'x');
  let messages = 0;
  let secure = 0;
  const warm = () => {
    const before = messages;
    const began = performance.now();
    setTimeout(() => {
      const rate = ((messages - before) / (performance.now() - began)) * 1000;
      console.log(JSON.stringify({ messages, rate }));
      process.exit();
    }, seconds * 1000);
  };
  for (let i = 0; i < connections; i++) {
    let received = 0;
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      socket.setNoDelay(true);
      socket.write(message);
      if (++secure === connections) setTimeout(warm, 300);
    });
    socket.on('data', (data) => {
      received += data.length;
      if (received < bytes) return;
      received -= bytes;
      messages++;
      socket.write(message);
    });
  }
}

async function measure(mode, connections, bytes) {
  const server = spawn(process.execPath, [__filename, 'server', mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const next = () => new Promise((resolve) => server.stdout.once('data', resolve));
    const { port } = JSON.parse(String(await next()));
    const args = [__filename, 'client', port, connections, bytes, SECONDS].map(String);
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const { messages, rate } = JSON.parse(stdout);
    const last = next();
    server.kill('SIGTERM');
    const { cpu } = JSON.parse(String(await last));
    return { rate, cpu: cpu / messages };
  } finally {
    server.kill('SIGKILL');
  }
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

async function compare(rounds, connections, bytes) {
  const all = [];
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? MODES : [...MODES].reverse();
    const results = {};
    for (const mode of order) results[mode] = await measure(mode, connections, bytes);
    all.push(results);
  }
  console.log(`${connections} connections, ${bytes} bytes, median of ${rounds} rounds`);
  console.log('            messages/s  ratio   CPU us/message  ratio');
  for (const mode of MODES) {
    const of = (word) => median(all.map((each) => each[mode][word]));
    const ratio = (word) =>
      median(all.map((each) => each[mode][word] / each.node[word])).toFixed(3);
    const rate = of('rate').toFixed(0).padStart(10);
    const cpu = of('cpu').toFixed(2).padStart(14);
    console.log(`${mode.padEnd(12)}${rate}  ${ratio('rate')} ${cpu}  ${ratio('cpu')}`);
  }
}

const [command, ...args] = process.argv.slice(2);
if (command === 'server' && args[0] === 'node') serveNode();
else if (command === 'server' && MODES.includes(args[0])) serveRingloop(args[0]);
else if (command === 'client') client(...args.map(Number));
else {
  const [rounds = 5, connections = 32, bytes = 64] = process.argv.slice(2).map(Number);
  compare(rounds, connections, bytes);
}
