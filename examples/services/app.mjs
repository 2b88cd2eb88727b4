// The app: node:http, as it has always been. Only `collect` knows of ringloop.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { isCancelledError, TimeoutError } from 'ringloop';

/** A signal that is aborted when the client goes away before it has its answer. */
function signalOf(response, log) {
  const client = new AbortController();
  response.on('close', () => {
    if (response.writableFinished) return;
    log.event('app', 'the client has disconnected: cancel the run');
    client.abort('the client has disconnected');
  });
  return client.signal;
}

function send(response, status, body, log) {
  log.event('app', `${status} to the client`);
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

/**
 * @param collect - from services.mjs or services-async.mjs
 * @param services - whom to ask: objects with `name` and `url`
 * @param limitMs - the time limit; `?limit=` in a request's URL takes its place
 * @returns an object with `url` and `close()`, once it listens
 */
export async function startApp({ collect, services, limitMs, log }) {
  const server = createServer(async (request, response) => {
    const query = new URL(request.url, 'http://app').searchParams;
    const limit = Number(query.get('limit') ?? limitMs);
    const signal = signalOf(response, log);
    log.event('app', `asks ${services.length} services, within ${limit} ms`);
    try {
      send(response, 200, await collect(services, { limitMs: limit, signal, log }), log);
    } catch (error) {
      if (isCancelledError(error)) log.event('app', `the run is over: ${error.message}`);
      else if (error instanceof TimeoutError) send(response, 504, { error: 'too slow' }, log);
      else send(response, 500, { error: String(error) }, log);
    }
    server.emit('request over');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    /** Waits for the next request to be over, whether or not somebody got its answer. */
    requestOver: () => once(server, 'request over'),
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
