// An HTTP server: keep-alive, pipelining, bodies, limits and time limits, and an end in good order.
// `node examples/http-server.mjs [PORT]` serves until Ctrl-C or SIGTERM. Try
//
//   curl -i http://127.0.0.1:8080/
//   curl -d 'some text' http://127.0.0.1:8080/echo
//   curl -i http://127.0.0.1:8080/later?ms=9000
//   wrk -c 64 http://127.0.0.1:8080/
//
// The bytes of a request are read by http-parser-js, from npm. The server around it, in
// http-server/, is a coroutine for each connection, and has no state machine of its own.
import { Event, run, sleep } from 'ringloop';
import { HttpError, json, text } from './http-server/response.mjs';
import { startHttpServer } from './http-server/server.mjs';
import { isProgram } from './services/program.mjs';

const PORT = 8080;
const GRACE_MS = 5000;

/** Waits first. It is cancelled when that takes too long, or when the server is closed. */
function* later(request) {
  const ms = Number(request.query.get('ms') ?? 100);
  if (!(ms >= 0)) throw new HttpError(400, 'ms must be a number');
  yield* sleep(ms);
  return text(`that was ${ms} ms\n`);
}

const ROUTES = {
  'GET /': () => text('Hello, World!\n'),
  'GET /request': ({ method, url, headers }) =>
    json({ method, url, headers: Object.fromEntries(headers) }),
  'POST /echo': ({ body, headers }) => ({ status: 200, type: headers.get('content-type'), body }),
  'GET /later': later,
};

/** What is known at once is returned at once; `later` returns a coroutine. */
export function handle(request) {
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const route = ROUTES[`${method} ${request.path}`];
  if (route === undefined) throw new HttpError(404);
  return route(request);
}

/** Waits for Ctrl-C, or a polite kill. The second one is not caught, and ends the process. */
function* untilTold() {
  const told = new Event();
  const tell = () => told.set();
  for (const name of ['SIGINT', 'SIGTERM']) process.on(name, tell);
  yield* told.wait();
  for (const name of ['SIGINT', 'SIGTERM']) process.off(name, tell);
}

function* main(port) {
  const server = yield* startHttpServer(handle, '127.0.0.1', port);
  console.log(`http://127.0.0.1:${server.port}/`);
  yield* untilTold();
  console.log('nothing more is accepted');
  yield* server.shutdown(GRACE_MS);
  console.log('closed');
}

if (isProgram(import.meta.url)) await run(main(Number(process.argv[2] ?? PORT)));
