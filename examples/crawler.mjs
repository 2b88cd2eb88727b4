// A crawler: it follows every link of a site that is spread over several hosts, visits every page
// once, and can be stopped at any time. `node examples/crawler.mjs` crawls a site of its own, and
// takes options: see `--help`.
//
// A page is a task, and finding a link makes the next one. All of them belong to one group, which
// is over when nobody has found anything new. The group lies in a scope with a deadline: when it
// has passed, or with Ctrl-C, every task is cancelled at the wait it is in, whichever that is.
//
// Here are the coroutines. The site, the list of what became of every page, and the program around
// them are ordinary Node code, and lie in crawler/.
import {
  createTask,
  failAfter,
  isCancelledError,
  moveOnAfter,
  rateLimit,
  retry,
  run,
  Semaphore,
  sleep,
  TimeoutError,
  taskGroup,
  until,
  withLock,
} from 'ringloop';
import { demonstrate } from './crawler/demonstrate.mjs';
import { linksIn } from './crawler/links.mjs';
import { isProgram } from './services/program.mjs';

const REPORT_MS = 500;
const BUSY = 503;

class HttpError extends Error {
  constructor(status) {
    super(`status ${status}`);
    this.status = status;
  }
}

// What is missing will be missing again. Who was busy may have time; who was slow gets a chance.
function isWorthAnotherTry(error, attempt) {
  if (error instanceof TimeoutError) return attempt === 1;
  return error instanceof HttpError && error.status === BUSY;
}

// When time is up, the scope's signal closes the connection: a page that hangs costs nothing more.
function* download(url, limitMs) {
  return yield* failAfter(limitMs, function* ({ signal }) {
    const response = yield* until(fetch(url, { signal }));
    // Also the text of an error is read to its end, so that the connection can be used again.
    const text = yield* until(response.text());
    if (!response.ok) throw new HttpError(response.status);
    return text;
  });
}

class Crawler {
  #hosts = new Map();
  #places;

  /** @param group - gets a task for each page */
  constructor(group, ledger, limits) {
    this.group = group;
    this.ledger = ledger;
    this.limits = limits;
    this.#places = new Semaphore(limits.concurrency);
  }

  /** Makes sure that a page is visited; a page that is known already is not visited again. */
  meet(url) {
    if (this.ledger.find(url)) this.group.createTask(this.#visit(url));
  }

  *#visit(url) {
    const { ledger, limits } = this;
    const tries = { ...limits.retry, retryIf: isWorthAnotherTry };
    let text;
    try {
      text = yield* retry(() => this.#ask(url), tries);
    } catch (error) {
      // A page that fails is no failure of the crawl. A cancellation is nobody's failure: it is
      // written down, and goes on its way.
      if (!isCancelledError(error)) return ledger.fail(url, error);
      ledger.cancel(url);
      throw error;
    }
    ledger.done(url);
    for (const link of linksIn(text, url)) this.meet(link);
  }

  // One try. Places that everybody wants come last: who waits for a slow host keeps none of them
  // from the pages of the others. Who waits for another try is outside, and holds nothing at all.
  *#ask(url) {
    const { permits, pace } = this.#hostOf(url);
    const { ledger, limits } = this;
    const places = this.#places;
    return yield* withLock(permits, function* () {
      yield* pace.acquire();
      return yield* withLock(places, function* () {
        ledger.ask(url);
        try {
          return yield* download(url, limits.pageMs);
        } finally {
          ledger.answered(url);
        }
      });
    });
  }

  #hostOf(url) {
    const { host } = new URL(url);
    const { perHost, rate } = this.limits;
    if (!this.#hosts.has(host)) {
      this.#hosts.set(host, {
        permits: new Semaphore(perHost),
        pace: rateLimit(rate.count, rate.perMs),
      });
    }
    return this.#hosts.get(host);
  }
}

function* report(ledger, log) {
  for (;;) {
    yield* sleep(REPORT_MS);
    log.event('crawler', ledger.summary());
  }
}

/**
 * Crawls until there is no page left, the deadline has passed, or `signal` is aborted. Afterwards
 * nothing is under way any more, and `ledger` knows what became of every page that was found.
 *
 * @param start - the URL of the first page
 * @param limits - see crawler/settings.mjs
 * @returns a promise: null if no page is left, otherwise why it was stopped
 */
export function crawl(start, { ledger, limits, signal, log }) {
  return run(function* () {
    createTask(report(ledger, log)); // ends with the run
    let scope;
    yield* moveOnAfter(
      limits.deadlineMs,
      function* (own) {
        scope = own;
        yield* taskGroup(function* (group) {
          new Crawler(group, ledger, limits).meet(start);
        });
      },
      { signal, reason: 'the deadline has passed' },
    );
    return scope.cancelledCaught ? scope.reason : null;
  });
}

if (isProgram(import.meta.url)) await demonstrate(crawl);
