/**
 * Holds many connections open, each with a heartbeat: `node bench/hold_connections.js [COUNT]`.
 *
 * Facts. A process may open so many files (`ulimit -n`), and one address has 28,000 ports to
 * connect from.
 * Decision. As many servers and clients, each a process, as the limit asks for; every client uses
 * an address of its own. Every connection sends 8 bytes every 10 seconds and expects them back.
 *
 * Prints one JSON line: connections held, bytes of memory for each in the servers, heartbeats sent
 * and answered, and how long they took.
 */
'use strict';
const { fork, execSync } = require('node:child_process');
const { once } = require('node:events');
const { readFileSync } = require('node:fs');
const { createConnection, createServer, gather, Protocol, run, sleep } = require('..');

const HEARTBEAT_MS = 10_000;
const HOLD_MS = 3 * HEARTBEAT_MS;
const CONNECTING = 200;

function residentKb() {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
}

class Echo extends Protocol {
  connectionMade(transport) {
    this.transport = transport;
  }

  dataReceived(data) {
    this.transport.write(data);
  }
}

async function serve() {
  await run(function* () {
    const server = yield* createServer(() => new Echo(), '127.0.0.1', 0, { backlog: 4096 });
    const before = residentKb();
    process.on('message', () => {
      const { connections } = server.statistics();
      process.send({ connections, residentKb: residentKb() - before });
    });
    process.send({ port: server.port });
    yield* server.serveForever();
  });
}

class Beating extends Protocol {
  constructor(latenciesMs) {
    super();
    this.latenciesMs = latenciesMs;
    this.sentAt = 0;
    this.waits = 0;
  }

  connectionMade(transport) {
    this.transport = transport;
  }

  beat(now) {
    if (this.waits > 0) return;
    this.waits = 8;
    this.sentAt = now;
    this.transport.write('beating!');
  }

  dataReceived(data) {
    this.waits -= data.length;
    if (this.waits === 0) this.latenciesMs.push(performance.now() - this.sentAt);
  }

  connectionLost() {
    this.transport = null;
  }
}

function* connectAll(port, count, host, latenciesMs) {
  const clients = [];
  function* some(first) {
    for (let i = first; i < count; i += CONNECTING) {
      const localAddr = { host };
      const make = () => new Beating(latenciesMs);
      clients.push((yield* createConnection(make, '127.0.0.1', port, { localAddr }))[1]);
    }
  }
  yield* gather(...Array.from({ length: CONNECTING }, (_, i) => some(i)));
  return clients;
}

async function beat(port, count, host) {
  await run(function* () {
    const latenciesMs = [];
    const clients = yield* connectAll(port, count, host, latenciesMs);
    process.send({ connected: clients.length });
    const end = performance.now() + HOLD_MS;
    let sent = 0;
    for (let next = 0; performance.now() < end; ) {
      // A slice every 10 ms: evenly spread over the whole period.
      const slice = Math.ceil((count * 10) / HEARTBEAT_MS);
      const now = performance.now();
      for (let i = 0; i < slice; i++, next = (next + 1) % count, sent++) clients[next].beat(now);
      yield* sleep(10);
    }
    yield* sleep(1000);
    const alive = clients.filter((client) => client.transport !== null).length;
    latenciesMs.sort((a, b) => a - b);
    const at = (part) => latenciesMs[Math.floor(latenciesMs.length * part)];
    process.send({ alive, sent, answered: latenciesMs.length, p50: at(0.5), p99: at(0.99) });
  });
}

function filesAllowed() {
  return Number(execSync('ulimit -n', { shell: '/bin/bash' })) - 500;
}

async function started(...args) {
  const child = fork(__filename, args);
  const [message] = await once(child, 'message');
  return { child, message };
}

async function main(count) {
  const each = Math.min(count, filesAllowed());
  const sizes = [];
  for (let left = count; left > 0; left -= each) sizes.push(Math.min(left, each));
  const servers = await Promise.all(sizes.map(() => started('server')));
  const clients = await Promise.all(
    sizes.map((size, i) => started('client', servers[i].message.port, size, `127.0.0.${10 + i}`)),
  );
  const held = [];
  for (const { child } of servers) {
    child.send('report');
    held.push((await once(child, 'message'))[0]);
  }
  const ended = await Promise.all(clients.map(({ child }) => once(child, 'message')));
  for (const { child } of [...servers, ...clients]) child.kill();
  const sum = (list, key) => list.reduce((total, each_) => total + each_[key], 0);
  const reports = ended.map(([report]) => report);
  const connections = sum(held, 'connections');
  console.log(
    JSON.stringify({
      connections,
      serverBytesEach: Math.round((sum(held, 'residentKb') * 1024) / connections),
      alive: sum(reports, 'alive'),
      heartbeats: sum(reports, 'sent'),
      answered: sum(reports, 'answered'),
      p50Ms: Math.max(...reports.map(({ p50 }) => p50)),
      p99Ms: Math.max(...reports.map(({ p99 }) => p99)),
    }),
  );
}

const [role, ...args] = process.argv.slice(2);
if (role === 'server') serve();
else if (role === 'client') beat(Number(args[0]), Number(args[1]), args[2]);
else main(Number(role ?? 50_000));
