// From a plain Node callback that settles something to the next line of the code that waits for it.
// Prints one JSON line: microseconds, median and p99.
//
//   generator     future.setResult() -> a generator task that waits with `yield*`
//   async         future.setResult() -> an async-function task that waits with `await`
//   promise       resolve()          -> an async function that awaits a native promise
//
// each from a setImmediate callback and from a socket's data event. The six take turns, so that
// whatever slows the machine down slows all of them. argv: N, wake-ups of each kind (default
// 20000).
'use strict';
const { once } = require('node:events');
const net = require('node:net');
const { performance } = require('node:perf_hooks');
const { getRunningLoop, run } = require('..');

const WARM_UP = 2000;

// A waiter is armed, and says how to wake it; the line behind its wait takes the time.
function waiters(onAwake) {
  const armed = { generator: null, async: null, promise: null };
  let over = false;
  function* generator() {
    while (!over) {
      const future = getRunningLoop().createFuture();
      armed.generator = () => future.setResult();
      yield* future;
      onAwake(performance.now());
    }
  }
  async function asyncFunction() {
    while (!over) {
      const future = getRunningLoop().createFuture();
      armed.async = () => future.setResult();
      await future;
      onAwake(performance.now());
    }
  }
  async function promise() {
    while (!over) {
      const { promise: awaited, resolve } = withResolvers();
      armed.promise = resolve;
      await awaited;
      onAwake(performance.now());
    }
  }
  const ended = [run(generator), run(asyncFunction), promise()];
  async function stop() {
    over = true;
    for (const wake of Object.values(armed)) wake();
    await Promise.all(ended);
  }
  return { armed, stop };
}

function withResolvers() {
  let resolve;
  const promise = new Promise((each) => {
    resolve = each;
  });
  return { promise, resolve };
}

/** Two ends of a connection over loopback. */
async function connection() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const near = net.connect(server.address().port, '127.0.0.1');
  const [[far]] = await Promise.all([once(server, 'connection'), once(near, 'connect')]);
  server.close();
  near.setNoDelay(true);
  return { near, far };
}

function percentile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

function figures(samplesMs) {
  const sorted = Float64Array.from(samplesMs, (ms) => ms * 1000).sort();
  return { median_us: percentile(sorted, 0.5), p99_us: percentile(sorted, 0.99) };
}

async function main(n) {
  let awake = () => {};
  const { armed, stop } = waiters((nowMs) => awake(nowMs));
  const { near, far } = await connection();
  let onData = () => {};
  far.on('data', () => onData());
  const sources = {
    immediate: (callback) => setImmediate(callback),
    socket: (callback) => {
      onData = callback;
      near.write('x');
    },
  };
  /** One wake-up; the next one starts from a fresh turn of Node's loop. */
  const measure = (provoke, kind) =>
    new Promise((resolve) => {
      let startMs = 0;
      awake = (nowMs) => setImmediate(resolve, nowMs - startMs);
      provoke(() => {
        startMs = performance.now();
        armed[kind]();
      });
    });
  await new Promise((resolve) => setImmediate(resolve));

  const samples = {};
  for (const source in sources) {
    samples[source] = {};
    for (const kind in armed) samples[source][kind] = new Float64Array(n);
  }
  for (let i = -WARM_UP; i < n; i++) {
    for (const source in sources) {
      for (const kind in armed) {
        const tookMs = await measure(sources[source], kind);
        if (i >= 0) samples[source][kind][i] = tookMs;
      }
    }
  }
  awake = () => {};
  await stop();
  near.destroy();
  far.destroy();

  const line = { peer: 'ringloop', workload: 'wakeup_latency', n };
  for (const source in sources) {
    line[source] = {};
    for (const kind in armed) line[source][kind] = figures(samples[source][kind]);
  }
  console.log(JSON.stringify(line));
}

main(Number(process.argv[2] ?? 20_000));
