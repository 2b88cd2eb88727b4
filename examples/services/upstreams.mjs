// The four services that the app asks: each a node:http server of its own, as slow as it is told.
import { once } from 'node:events';
import { createServer } from 'node:http';

export const NAMES = ['users', 'orders', 'prices', 'weather'];

class Upstream {
  url = '';
  #server = createServer((_request, response) => this.#answer(response));
  #unanswered = 0;

  constructor(name, latencyMs, log) {
    this.name = name;
    this.latencyMs = latencyMs;
    this.log = log;
  }

  async start() {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.url = `http://127.0.0.1:${this.#server.address().port}/`;
    return this;
  }

  /** Waits until there is no request that is neither answered nor aborted. */
  async idle() {
    while (this.#unanswered > 0) await once(this.#server, 'request over');
  }

  /** The app's fetch keeps its connections for later: they have to be closed. */
  close() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #answer(response) {
    const { name, log } = this;
    const latencyMs = this.latencyMs(name);
    const startMs = performance.now();
    this.#unanswered++;
    const timer = setTimeout(() => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ name, latencyMs }));
    }, latencyMs);
    response.on('close', () => {
      const tookMs = Math.round(performance.now() - startMs);
      if (response.writableFinished) log.event(name, `answered after ${tookMs} ms`);
      else log.event(name, `aborted after ${tookMs} ms of ${latencyMs} ms`);
      clearTimeout(timer);
      this.#unanswered--;
      this.#server.emit('request over');
    });
  }
}

/**
 * @param latencyMs - called with the service's name for each request
 * @returns objects with `name`, `url`, `idle()`, `close()`, once all of them listen
 */
export function startUpstreams({ latencyMs, log }) {
  return Promise.all(NAMES.map((name) => new Upstream(name, latencyMs, log).start()));
}
