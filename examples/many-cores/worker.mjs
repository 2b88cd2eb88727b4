// A worker thread: a loop of its own, and a server on a port that it shares with the others. The
// kernel gives each new connection to one of those who listen.
import { pbkdf2Sync } from 'node:crypto';
import { once } from 'node:events';
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { run, startServer, until } from 'ringloop';

const { port, graceMs, rounds } = workerData;
const SALT = 'ringloop';
const KEY_BYTES = 16;
let served = 0;

/** Work that keeps a core busy, as a template or a query's result would. */
function hash(line) {
  return pbkdf2Sync(line, SALT, rounds, KEY_BYTES, 'sha256').toString('hex');
}

function* serve(reader, writer) {
  for (;;) {
    const line = yield* reader.readLine();
    if (line.length === 0) return;
    served++;
    writer.write(`${threadId} ${hash(line)}\n`);
    yield* writer.drain();
  }
}

await run(function* () {
  const server = yield* startServer(serve, '127.0.0.1', port, { reusePort: true });
  const told = once(parentPort, 'message');
  parentPort.postMessage({ port: server.port });
  yield* until(told);
  yield* server.shutdown(graceMs);
  parentPort.postMessage({ served });
});
