// The hosts of the site: a node:http server each, on an address of its own. They keep books of what
// they were asked, against which the crawler's can be held.
import { once } from 'node:events';
import { createServer } from 'node:http';

export const ADDRESSES = ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4'];

/** When a page that hangs is answered. */
const NEVER = null;

/** How many requests there are at a time. */
class AtOnce {
  now = 0;
  most = 0;

  look() {
    this.most = Math.max(this.most, this.now);
  }
}

class Host {
  url = '';
  atOnce = new AtOnce();
  #server = createServer((request, response) => this.#answer(request, response));
  #counters;

  /**
   * @param answerTo - called with a path; returns `status`, `body` and `delayMs`
   * @param atAllHosts - counts the requests of all hosts
   */
  constructor(address, answerTo, atAllHosts) {
    this.address = address;
    this.answerTo = answerTo;
    this.#counters = [this.atOnce, atAllHosts];
  }

  async start() {
    await this.#listen(this.address).catch((error) => {
      // Where 127.0.0.1 is the only one (macOS), hosts differ by their ports.
      if (error.code !== 'EADDRNOTAVAIL') throw error;
      return this.#listen(ADDRESSES[0]);
    });
    const { address, port } = this.#server.address();
    this.url = `http://${address}:${port}`;
    return this;
  }

  /** The crawler's fetch keeps its connections for later: they have to be closed. */
  async close() {
    const closed = once(this.#server, 'close'); // when no connection is left
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #listen(address) {
    this.#server.listen(0, address);
    await once(this.#server, 'listening');
  }

  #answer(request, response) {
    const { status, body, delayMs } = this.answerTo(request.url);
    for (const counter of this.#counters) counter.now++;
    const answer = () => {
      // Looked at here, not when the request comes: of a connection that the crawler has closed just
      // before, the news may arrive after the next request.
      for (const counter of this.#counters) counter.look();
      response.writeHead(status, { 'content-type': 'text/html' });
      response.end(body);
    };
    const timer = delayMs === NEVER ? null : setTimeout(answer, delayMs);
    // Also when the crawler has gone away before there was an answer.
    response.on('close', () => {
      clearTimeout(timer);
      for (const counter of this.#counters) counter.now--;
    });
  }
}

/** A site that is up. */
class Site {
  /** The hosts, once they listen. */
  hosts = [];
  atOnce = new AtOnce();
  #pages;
  #pageAt;
  #asked = new Map();

  constructor(pages) {
    this.#pages = pages;
    this.#pageAt = new Map(pages.map((page) => [page.path, page]));
  }

  async start() {
    const answerTo = (path) => this.#answerTo(path);
    const hosts = ADDRESSES.map((address) => new Host(address, answerTo, this.atOnce));
    this.hosts = await Promise.all(hosts.map((host) => host.start()));
    return this;
  }

  /** Of all pages, the first one first. */
  urls() {
    return this.#pages.map((page) => this.#urlOf(page));
  }

  /** How often the page at a URL was asked for. */
  timesAsked(url) {
    return this.#asked.get(new URL(url).pathname) ?? 0;
  }

  /** @returns a promise that is fulfilled when no connection is left */
  close() {
    return Promise.all(this.hosts.map((host) => host.close()));
  }

  #urlOf({ host, path }) {
    return this.hosts[host].url + path;
  }

  #answerTo(path) {
    const page = this.#pageAt.get(path);
    const before = this.#asked.get(path) ?? 0;
    this.#asked.set(path, before + 1);
    const { kind, delayMs, refusals } = page;
    if (kind === 'hanging') return { delayMs: NEVER };
    if (kind === 'missing') return { status: 404, body: 'There is no such page.', delayMs };
    if (before < refusals) return { status: 503, body: 'Come back later.', delayMs };
    return { status: 200, body: this.#bodyOf(page), delayMs };
  }

  // A link to the same host is relative; every third one is to a place on the page.
  #bodyOf(page) {
    const anchors = page.links.map((id) => {
      const target = this.#pages[id];
      const href = target.host === page.host ? target.path : this.#urlOf(target);
      return `<a href="${href}${id % 3 === 0 ? '#here' : ''}">page ${id}</a>`;
    });
    return `<h1>Page ${page.id}</h1>\n${anchors.join('\n')}\n`;
  }
}

/** @param pages - of makeSite(), with as many hosts as there are ADDRESSES */
export function startSite(pages) {
  return new Site(pages).start();
}
