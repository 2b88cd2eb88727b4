// One port, many cores: each worker thread has a loop and a server of its own, and all of them
// listen on the same port, which the kernel allows with `reusePort`. The main thread is the clients.
// `node examples/many-cores.mjs [WORKERS] [REQUESTS]` tells who served how much, and how fast, and
// does the same with one worker to compare. (macOS gives all connections to the last that listens.)
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { gather, openConnection, run, until } from 'ringloop';
import { isProgram } from './services/program.mjs';

const WORKERS = 2;
const REQUESTS = 4000;
const CONNECTIONS = 64;
const ROUNDS = 500; // of a hash for each request
const GRACE_MS = 5000;

/** A worker that listens. Port 0: the kernel chooses. */
async function startWorker(port, rounds) {
  const worker = new Worker(new URL('./many-cores/worker.mjs', import.meta.url), {
    workerData: { port, graceMs: GRACE_MS, rounds },
  });
  const [ready] = await once(worker, 'message');
  return { worker, port: ready.port };
}

/** Closes its server in good order. Returns how many requests it served, once the thread is gone. */
async function stopWorker(worker) {
  const ended = once(worker, 'exit');
  const message = once(worker, 'message');
  worker.postMessage('stop');
  const [{ served }] = await message;
  await ended;
  return served;
}

/** One connection: the next request goes out when the last one is answered. */
function* client(port, requests, answered) {
  const [reader, writer] = yield* openConnection('127.0.0.1', port);
  for (let i = 0; i < requests; i++) {
    writer.write(`request ${i}\n`);
    const line = yield* reader.readLine();
    if (line.length === 0) throw new Error('the server has closed the connection');
    const [thread] = line.toString().split(' ');
    answered.set(thread, (answered.get(thread) ?? 0) + 1);
  }
  writer.close();
  yield* writer.waitClosed();
}

/**
 * Runs all clients against so many workers.
 *
 * @returns `served`: what each worker counted; `answered`: what the clients did, by thread;
 *   `perSecond`
 */
export function* measure(count, { requests, connections = CONNECTIONS, rounds = ROUNDS }) {
  const workers = [];
  const answered = new Map();
  let served = [];
  let ms = 0;
  try {
    for (let port = 0; workers.length < count; ) {
      const started = yield* until(startWorker(port, rounds));
      port = started.port;
      workers.push(started);
    }
    const { port } = workers[0];
    const each = Math.ceil(requests / connections);
    const startMs = performance.now();
    yield* gather(Array.from({ length: connections }, () => client(port, each, answered)));
    ms = performance.now() - startMs;
  } finally {
    served = yield* until(Promise.all(workers.map(({ worker }) => stopWorker(worker))));
  }
  const total = served.reduce((sum, number) => sum + number, 0);
  return { served, answered, perSecond: (total / ms) * 1000 };
}

function* compare(count, requests) {
  const one = yield* measure(1, { requests });
  const all = yield* measure(count, { requests });
  for (const [name, { served, perSecond }] of [
    ['1 worker', one],
    [`${count} workers`, all],
  ]) {
    console.log(`${name}: ${Math.round(perSecond)} requests a second (${served.join(' + ')})`);
  }
  console.log(`${(all.perSecond / one.perSecond).toFixed(2)} times as many`);
}

if (isProgram(import.meta.url)) {
  const [workers = WORKERS, requests = REQUESTS] = process.argv.slice(2).map(Number);
  await run(compare(workers, requests));
}
