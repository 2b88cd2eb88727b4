// Micro workloads in the idiom of ringloop's users. argv: WORKLOAD N; prints one JSON line.
//
// Same work as the peers do: an untimed run of n/10 first (not for timers_fire and sleepers_memory),
// delays from xorshift32 seeded with 12345, results checked. `*_async` are the same workloads with
// async functions.
'use strict';
const { readFileSync } = require('node:fs');
const { createTask, gather, getRunningLoop, Queue, run, sleep } = require('..');

const BATCH = 1000;
const NOT_WARMED = new Set(['timers_fire', 'sleepers_memory']);

function* xorshift32(seed = 12345) {
  let x = seed >>> 0;
  for (;;) {
    x ^= x << 13;
    x >>>= 0;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    yield x;
  }
}

const RANGES = { timers_fire: [0, 1000], timers_cancel: [30_000, 60_000] };
const made = new Map();

// Whole milliseconds, made before the clock starts.
function delays(workload, n) {
  const key = `${workload} ${n}`;
  if (!made.has(key)) {
    const [lo, hi] = RANGES[workload];
    const numbers = xorshift32();
    made.set(
      key,
      Int32Array.from({ length: n }, () => lo + (numbers.next().value % (hi - lo))),
    );
  }
  return made.get(key);
}

function statusKb(field) {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0);
}

function check(ok, what) {
  if (ok) return;
  console.error(`wrong result in ${what}`);
  process.exit(3);
}

function noop() {}

function* callSoon(n) {
  const loop = getRunningLoop();
  const done = loop.createFuture();
  let left = n;
  function batch() {
    left -= BATCH;
    if (left < 0) return done.setResult();
    for (let i = 1; i < BATCH; i++) loop.callSoon(noop);
    loop.callSoon(batch);
  }
  batch();
  yield* done;
}

function* yieldOnce(i) {
  yield* sleep(0);
  return i;
}

async function yieldOnceAsync(i) {
  await sleep(0);
  return i;
}

function sum(values) {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

function* spawn(n) {
  const coroutines = new Array(n);
  for (let i = 0; i < n; i++) coroutines[i] = yieldOnce(i);
  check(sum(yield* gather(coroutines)) === (n * (n - 1)) / 2, 'spawn');
}

async function spawnAsync(n) {
  const tasks = new Array(n);
  for (let i = 0; i < n; i++) tasks[i] = createTask(() => yieldOnceAsync(i));
  check(sum(await gather(tasks)) === (n * (n - 1)) / 2, 'spawn_async');
}

function* waitFor(future) {
  return yield* future;
}

function* gatherFanout(n) {
  const width = 100;
  const loop = getRunningLoop();
  for (let done = 0; done < n; done += width) {
    const futures = new Array(width);
    for (let i = 0; i < width; i++) {
      const future = loop.createFuture();
      loop.callSoon(() => future.setResult(1));
      futures[i] = future;
    }
    check(sum(yield* gather(futures.map(waitFor))) === width, 'gather_fanout');
  }
}

function lateness(late) {
  const sorted = Float64Array.from(late).sort();
  const n = sorted.length;
  return {
    late_mean_ms: sum(sorted) / n,
    late_p99_ms: sorted[Math.min(n - 1, Math.floor(n * 0.99))],
    late_max_ms: sorted[n - 1],
    late_min_ms: sorted[0],
  };
}

function* timersFire(n) {
  const loop = getRunningLoop();
  const ms = delays('timers_fire', n);
  const late = new Float64Array(n);
  const done = loop.createFuture();
  let left = n;
  function fire(i, deadline) {
    late[i] = performance.now() - deadline;
    if (--left === 0) done.setResult();
  }
  for (let i = 0; i < n; i++) loop.callLater(ms[i], fire, i, performance.now() + ms[i]);
  yield* done;
  return () => lateness(late);
}

function* timersCancel(n) {
  const loop = getRunningLoop();
  const ms = delays('timers_cancel', n);
  const armed = new Array(BATCH);
  for (let done = 0; done < n; done += BATCH) {
    for (let i = 0; i < BATCH; i++) armed[i] = loop.callLater(ms[done + i], noop);
    yield* sleep(0);
    for (let i = 0; i < BATCH; i++) armed[i].cancel();
  }
}

function* sleepersMemory(n) {
  let live = 0;
  let liveMax = 0;
  function* sleeper() {
    if (++live > liveMax) liveMax = live;
    yield* sleep(5000);
    live--;
  }
  const tasks = new Array(n);
  for (let i = 0; i < n; i++) tasks[i] = createTask(sleeper());
  yield* gather(tasks);
  return () => ({ live_max: liveMax });
}

function* pingpong(n) {
  const rounds = n >> 1;
  const a = new Queue(1);
  const b = new Queue(1);
  function* pong() {
    for (let i = 0; i < rounds; i++) yield* b.put(yield* a.get());
  }
  function* ping() {
    let total = 0;
    for (let i = 0; i < rounds; i++) {
      yield* a.put(i);
      total += yield* b.get();
    }
    return total;
  }
  const [, total] = yield* gather(pong(), ping());
  check(total === (rounds * (rounds - 1)) / 2, 'pingpong');
}

async function pingpongAsync(n) {
  const rounds = n >> 1;
  const a = new Queue(1);
  const b = new Queue(1);
  async function pong() {
    for (let i = 0; i < rounds; i++) await b.put(await a.get());
  }
  async function ping() {
    let total = 0;
    for (let i = 0; i < rounds; i++) {
      await a.put(i);
      total += await b.get();
    }
    return total;
  }
  const [, total] = await gather(pong, ping);
  check(total === (rounds * (rounds - 1)) / 2, 'pingpong_async');
}

const WORKLOADS = {
  call_soon: callSoon,
  spawn,
  spawn_async: spawnAsync,
  pingpong,
  pingpong_async: pingpongAsync,
  gather_fanout: gatherFanout,
  timers_fire: timersFire,
  timers_cancel: timersCancel,
  sleepers_memory: sleepersMemory,
};

async function main(workload, n) {
  const body = WORKLOADS[workload];
  if (body === undefined) {
    console.error(`no workload ${workload}; there are ${Object.keys(WORKLOADS).join(', ')}`);
    process.exit(2);
  }
  if (!NOT_WARMED.has(workload)) await run(() => body(Math.max(1000, Math.floor(n / 10))));
  if (RANGES[workload] !== undefined) delays(workload, n);
  const baseKb = statusKb('VmRSS');
  const cpuBefore = process.cpuUsage();
  const before = process.hrtime.bigint();
  const extra = await run(() => body(n));
  const seconds = Number(process.hrtime.bigint() - before) / 1e9;
  const cpu = process.cpuUsage(cpuBefore);
  const cpuSeconds = (cpu.user + cpu.system) / 1e6;
  const peakKb = statusKb('VmHWM');
  const line = {
    peer: 'ringloop',
    workload,
    n,
    seconds,
    ops_per_s: n / (workload === 'timers_fire' ? cpuSeconds : seconds),
    peak_rss_kb: peakKb,
    cpu_s: cpuSeconds,
  };
  if (workload === 'sleepers_memory') line.bytes_per_task = ((peakKb - baseKb) * 1024) / n;
  console.log(JSON.stringify({ ...line, ...extra?.() }));
}

main(process.argv[2], Number(process.argv[3]));
