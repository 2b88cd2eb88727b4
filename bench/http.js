/**
 * The HTTP server of examples/http-server beside node:http, both with the same handler, measured by
 * wrk, one after the other in each round: `node bench/http.js [ROUNDS] [SECONDS] [PATH]`.
 *
 * PATH is `/` (the response is known at once) or `/later` (a coroutine, or an async function, that
 * waits for the next turn). Prints a line for each round, and then one JSON line: requests a second,
 * the CPU time of the server for each request, and their ratios (above 1: ringloop's is faster).
 * Flags of node, such as --cpu-prof, reach the servers, too.
 */
'use strict';
const { execFileSync, fork } = require('node:child_process');
const { once } = require('node:events');
const { join } = require('node:path');
const { pathToFileURL } = require('node:url');

const HOST = '127.0.0.1';
const CONNECTIONS = 64;
const BODY = 'Hello, World!\n';
const TYPE = 'text/plain; charset=utf-8';
const SERVERS = { ringloop: serveRingloop, node: serveNode };

// ---- the servers, each in a process of its own --------------------------------------------------

async function serveRingloop() {
  const { run, sleep } = require('..');
  const load = (name) => import(pathToFileURL(join(__dirname, '../examples/http-server', name)));
  const [{ startHttpServer }, { text }] = [await load('server.mjs'), await load('response.mjs')];
  function* later() {
    yield* sleep(0);
    return text(BODY);
  }
  const handle = ({ path }) => (path === '/later' ? later() : text(BODY));
  run(function* () {
    const server = yield* startHttpServer(handle, HOST, 0, { backlog: 511 });
    process.send({ port: server.port });
    yield* sleep(Infinity);
  });
}

async function serveNode() {
  function send(response) {
    response.setHeader('Content-Length', Buffer.byteLength(BODY));
    response.setHeader('Content-Type', TYPE);
    response.end(BODY);
  }
  async function later(response) {
    await new Promise((resolve) => setImmediate(resolve));
    send(response);
  }
  const server = require('node:http').createServer((request, response) => {
    if (request.url === '/later') later(response);
    else send(response);
  });
  server.listen(0, HOST);
  await once(server, 'listening');
  process.send({ port: server.address().port });
}

// ---- measuring ----------------------------------------------------------------------------------

class Served {
  #child;

  constructor(name) {
    this.name = name;
    this.#child = fork(__filename, ['serve', name]);
  }

  async start() {
    [{ port: this.port }] = await once(this.#child, 'message');
    return this;
  }

  async cpuMicroseconds() {
    this.#child.send('cpu');
    const [{ user, system }] = await once(this.#child, 'message');
    return user + system;
  }

  async measure(seconds, path) {
    const before = await this.cpuMicroseconds();
    const url = `http://${HOST}:${this.port}${path}`;
    const output = execFileSync('wrk', [
      '-t1',
      `-c${CONNECTIONS}`,
      `-d${seconds}s`,
      url,
    ]).toString();
    const cpu = (await this.cpuMicroseconds()) - before;
    const trouble = /^ +(Socket errors|Non-2xx).*$/m.exec(output);
    if (trouble !== null) throw new Error(`${this.name}: ${trouble[0].trim()}`);
    const requests = Number(/(\d+) requests in/.exec(output)[1]);
    const perSecond = Number(/^Requests\/sec: +([\d.]+)/m.exec(output)[1]);
    return { perSecond, cpuMicroseconds: cpu / requests };
  }

  stop() {
    this.#child.send('stop');
  }
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

function ratio(values) {
  const rounded = values.map((value) => Number(value.toFixed(2)));
  return { median: median(rounded), min: Math.min(...rounded), max: Math.max(...rounded) };
}

async function main(rounds, seconds, path) {
  const [ours, theirs] = await Promise.all(
    Object.keys(SERVERS).map((name) => new Served(name).start()),
  );
  for (const server of [ours, theirs]) await server.measure(1, path); // V8 has to compile
  const results = [];
  for (let round = 0; round < rounds; round++) {
    const [a, b] = [await ours.measure(seconds, path), await theirs.measure(seconds, path)];
    results.push([a, b]);
    const show = ({ perSecond, cpuMicroseconds }) =>
      `${Math.round(perSecond)}/s ${cpuMicroseconds.toFixed(1)} us`;
    console.log(`ringloop ${show(a)}, node:http ${show(b)}`);
  }
  for (const server of [ours, theirs]) server.stop();
  const line = {
    workload: 'http',
    path,
    connections: CONNECTIONS,
    ringloop_per_s: Math.round(median(results.map(([a]) => a.perSecond))),
    node_per_s: Math.round(median(results.map(([, b]) => b.perSecond))),
    ratio: ratio(results.map(([a, b]) => a.perSecond / b.perSecond)),
    cpu_ratio: ratio(results.map(([a, b]) => b.cpuMicroseconds / a.cpuMicroseconds)),
  };
  console.log(JSON.stringify(line));
}

if (process.argv[2] === 'serve') {
  process.on('message', (what) => {
    if (what === 'stop') process.exit();
    process.send(process.cpuUsage());
  });
  SERVERS[process.argv[3]]();
} else main(Number(process.argv[2] ?? 7), Number(process.argv[3] ?? 3), process.argv[4] ?? '/');
