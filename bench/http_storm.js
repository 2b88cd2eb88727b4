// Two neighbours on one thread: the app's own node:http server, and ringloop. Prints one JSON line.
//
//   http_idle     latency of the server while ringloop has nothing to do
//   http_storm    latency of the server while 100,000 tasks are run again and again
//   timers_idle   lateness of 2000 callLater deadlines while the server has nothing to do
//   timers_http   lateness of the same deadlines while a client keeps the server as busy as it can
//                 (`server_utilization` says how busy that is: 1 is saturated)
//
// The client is a worker thread with a closed loop: on each connection the next request goes out
// when the answer to the last one is there. Latency is measured in the client. argv: SECONDS of
// each phase over HTTP (default 5).
'use strict';
const { once } = require('node:events');
const http = require('node:http');
const net = require('node:net');
const { performance } = require('node:perf_hooks');
const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads');

const TASKS = 100_000;
const YIELDS = 3;
const TIMERS = 2000;
const TIMERS_WITHIN_MS = 1000;
const FEW_CONNECTIONS = 4;
const MANY_CONNECTIONS = 32;
const WARM_UP_MS = 1000;
const BODY = 'ok';

function percentile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

function figures(samples) {
  const sorted = Float64Array.from(samples).sort();
  let total = 0;
  for (const sample of sorted) total += sample;
  return {
    mean_ms: total / sorted.length,
    p50_ms: percentile(sorted, 0.5),
    p99_ms: percentile(sorted, 0.99),
    max_ms: sorted[sorted.length - 1],
  };
}

// ---- the client, a worker thread ----------------------------------------------------------------

// A bare socket: the client must not cost more than the server.
function keepAsking(port, state) {
  const request = `GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`;
  const socket = net.connect(port, '127.0.0.1');
  let startMs = 0;
  let answer = '';
  function ask() {
    if (state.over) return void socket.end();
    startMs = performance.now();
    socket.write(request);
  }
  socket.setNoDelay(true);
  socket.setEncoding('latin1');
  socket.on('connect', ask);
  socket.on('data', (part) => {
    answer += part;
    if (!answer.endsWith(`\r\n\r\n${BODY}`)) return;
    if (!answer.startsWith('HTTP/1.1 200')) throw new Error(`wrong answer: ${answer}`);
    if (state.measuring) state.latencies.push(performance.now() - startMs);
    answer = '';
    ask();
  });
  return once(socket, 'close');
}

async function client({ port, connections, ms }) {
  const state = { measuring: false, over: false, latencies: [] };
  const sockets = Array.from({ length: connections }, () => keepAsking(port, state));
  await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
  state.measuring = true;
  parentPort.postMessage('measuring');
  const startMs = performance.now();
  if (ms !== null) await new Promise((resolve) => setTimeout(resolve, ms));
  else await once(parentPort, 'message');
  state.measuring = false;
  const seconds = (performance.now() - startMs) / 1000;
  state.over = true;
  await Promise.all(sockets);
  const { latencies } = state;
  const requests = latencies.length;
  return { connections, requests, requests_per_s: requests / seconds, ...figures(latencies) };
}

// ---- the app ------------------------------------------------------------------------------------

/** A client at work. `ms` null: until `stop()`. */
async function startClient(port, connections, ms) {
  const worker = new Worker(__filename, { workerData: { port, connections, ms } });
  await once(worker, 'message');
  const before = performance.eventLoopUtilization();
  const result = once(worker, 'message').then(([measured]) => {
    const { utilization } = performance.eventLoopUtilization(before);
    return { ...measured, server_utilization: utilization };
  });
  return { result, stop: () => worker.postMessage('stop') };
}

async function httpIdle(port, ms) {
  return await (await startClient(port, FEW_CONNECTIONS, ms)).result;
}

async function httpStorm({ run, gather, sleep }, port, ms) {
  function* task() {
    for (let i = 0; i < YIELDS; i++) yield* sleep(0);
  }
  let over = false;
  let measuring = false;
  const stormsMs = [];
  const spawnsMs = [];
  // Making the tasks is one step of one task: nothing comes in between, on any loop.
  function* storm() {
    const startMs = performance.now();
    const all = gather(Array.from({ length: TASKS }, task));
    if (measuring) spawnsMs.push(performance.now() - startMs);
    yield* all;
  }
  const storms = (async () => {
    while (!over) {
      const startMs = performance.now();
      await run(storm);
      if (measuring) stormsMs.push(performance.now() - startMs);
    }
  })();
  const { result } = await startClient(port, FEW_CONNECTIONS, ms);
  measuring = true;
  const measured = await result;
  over = true;
  await storms;
  return {
    ...measured,
    tasks: TASKS,
    yields: YIELDS,
    storms: stormsMs.length,
    storm_p50_ms: figures(stormsMs).p50_ms,
    spawn_p50_ms: figures(spawnsMs).p50_ms,
    spawn_max_ms: figures(spawnsMs).max_ms,
  };
}

// Whole milliseconds from xorshift32, the same in each run.
function delays() {
  let x = 12345;
  return Int32Array.from({ length: TIMERS }, () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % (TIMERS_WITHIN_MS + 1);
  });
}

async function timers({ run, getRunningLoop }) {
  const late = new Float64Array(TIMERS);
  await run(function* () {
    const loop = getRunningLoop();
    const done = loop.createFuture();
    let left = TIMERS;
    delays().forEach((ms, i) => {
      const deadlineMs = performance.now() + ms;
      loop.callLater(ms, () => {
        late[i] = performance.now() - deadlineMs;
        if (--left === 0) done.setResult();
      });
    });
    yield* done;
  });
  return { timers: TIMERS, ...figures(late) };
}

async function timersUnderHttp(ringloop, port) {
  const load = await startClient(port, MANY_CONNECTIONS, null);
  const late = await timers(ringloop);
  load.stop();
  const { requests_per_s, server_utilization } = await load.result;
  return { ...late, connections: MANY_CONNECTIONS, requests_per_s, server_utilization };
}

async function main(seconds) {
  const ringloop = require('..');
  const server = http.createServer((_request, response) => response.end(BODY));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  const ms = seconds * 1000;
  const line = {
    peer: 'ringloop',
    workload: 'http_storm',
    http_idle: await httpIdle(port, ms),
    http_storm: await httpStorm(ringloop, port, ms),
    timers_idle: await timers(ringloop),
    timers_http: await timersUnderHttp(ringloop, port),
  };
  server.close();
  console.log(JSON.stringify(line));
}

if (isMainThread) main(Number(process.argv[2] ?? 5));
else client(workerData).then((measured) => parentPort.postMessage(measured));
