/** The crawler: whatever ends it, every page is in one column, and nothing is left open. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

const EXAMPLES = join(__dirname, '..', '..', '..', 'examples');
/** What takes this long ends in no test. */
const NEVER_MS = 600_000;
const PLENTY = 10_000;
const TURNS_MAX = 1000;

const LIMITS = {
  concurrency: PLENTY,
  deadlineMs: NEVER_MS,
  pageMs: NEVER_MS,
  perHost: 8,
  rate: { count: PLENTY, perMs: 1 },
  retry: { attempts: 5, delayMs: 1 },
};

interface Page {
  id: number;
  kind: string;
  refusals: number;
  links: number[];
}

interface Columns {
  done: number;
  failed: number;
  cancelled: number;
  'not reached': number;
}

interface Audit {
  columns: Columns;
  problems: string[];
}

interface Site {
  atOnce: { most: number };
  hosts: { atOnce: { most: number } }[];
  urls(): string[];
  timesAsked(url: string): number;
  close(): Promise<unknown>;
}

interface Crawled extends Audit {
  stopped: unknown;
  site: Site;
  ledger: any;
}

interface Options {
  limits?: Partial<typeof LIMITS>;
  signal?: AbortSignal;
}

function load(file: string): Promise<any> {
  return import(pathToFileURL(join(EXAMPLES, file)).href);
}

async function makePages(count: number): Promise<Page[]> {
  const [{ makeSite }, { ADDRESSES }] = [
    await load('crawler/site.mjs'),
    await load('crawler/hosts.mjs'),
  ];
  return makeSite({ pages: count, seed: 1, hosts: ADDRESSES.length });
}

/** The same pages without the trouble. */
async function makeGoodPages(count: number): Promise<Page[]> {
  const pages = await makePages(count);
  return pages.map((page) => ({ ...page, kind: 'fast', refusals: 0 }));
}

/** What the current test has started: closed also when it has failed. */
const sites: Site[] = [];

async function startSite(pages: Page[]): Promise<Site> {
  const site: Site = await (await load('crawler/hosts.mjs')).startSite(pages);
  sites.push(site);
  return site;
}

async function crawl(pages: Page[], { limits: special, signal }: Options = {}): Promise<Crawled> {
  const limits = { ...LIMITS, ...special };
  const [crawler, { Ledger }, { audit }] = [
    await load('crawler.mjs'),
    await load('crawler/ledger.mjs'),
    await load('crawler/audit.mjs'),
  ];
  const site = await startSite(pages);
  const ledger = new Ledger();
  const log = { event: () => {} };
  const stopped = await crawler.crawl(site.urls()[0], { ledger, limits, signal, log });
  return { stopped, site, ledger, ...audit({ ledger, site, limits }) };
}

function mostAtOnce(site: Site): number[] {
  return site.hosts.map(({ atOnce }) => atOnce.most);
}

function countOf(pages: Page[], kind: string): number {
  return pages.filter((page) => page.kind === kind).length;
}

function sumOf(columns: Columns): number {
  return Object.values(columns).reduce((sum, count) => sum + count, 0);
}

function connections(): number {
  return process.getActiveResourcesInfo().filter((name) => name.startsWith('TCP')).length;
}

interface Ended {
  code: number | null;
  output: string;
  errors: string;
  columns: Columns;
}

/** The program. `onLine` sees what it prints, and can signal it. */
async function program(
  args: string[],
  onLine: (line: string, kill: (signal: NodeJS.Signals) => void) => void = () => {},
): Promise<Ended> {
  const child = spawn(process.execPath, [join(EXAMPLES, 'crawler.mjs'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  try {
    const exit = once(child, 'exit');
    createInterface(child.stdout).on('line', (line) => onLine(line, (name) => child.kill(name)));
    const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
    const [code] = await exit;
    const column = (name: string): number =>
      Number(new RegExp(`^ *(\\d+) {2}${name}\\b`, 'm').exec(output)?.[1]);
    const columns = {
      done: column('done'),
      failed: column('failed'),
      cancelled: column('cancelled'),
      'not reached': column('not reached'),
    };
    return { code, output, errors, columns };
  } finally {
    child.kill('SIGKILL');
  }
}

describe('examples/crawler.mjs', function () {
  this.timeout(60_000);

  afterEach(async () => {
    await Promise.all(sites.splice(0).map((site) => site.close()));
    // The crawler's ends of the connections learn of it in the next turns of the loop.
    for (let turn = 0; turn < TURNS_MAX && connections() > 0; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(connections(), 0, 'connections that are open');
  });

  it('visits every page once, those that are busy again', async () => {
    const pages = (await makePages(300)).map((page) =>
      page.kind === 'hanging' ? { ...page, kind: 'fast' } : page,
    );
    const failed = countOf(pages, 'missing');
    assert.ok(failed > 0 && countOf(pages, 'busy') > 0 && countOf(pages, 'slow') > 0);
    const { stopped, problems, columns, site, ledger } = await crawl(pages);
    assert.deepEqual([stopped, problems], [null, []]);
    const done = pages.length - failed;
    assert.deepEqual(columns, { done, failed, cancelled: 0, 'not reached': 0 });
    assert.deepEqual(ledger.failures(), [['status 404', failed]]);
    assert.deepEqual(
      site.urls().map((url) => site.timesAsked(url)),
      pages.map(({ refusals }) => refusals + 1),
    );
  });

  it('gives a page that hangs a second try, and up', async () => {
    const [page] = await makeGoodPages(1);
    const limits = { pageMs: 100 };
    const { problems, columns, site, ledger } = await crawl([{ ...page!, kind: 'hanging' }], {
      limits,
    });
    assert.deepEqual(problems, []);
    assert.deepEqual(columns, { done: 0, failed: 1, cancelled: 0, 'not reached': 0 });
    assert.deepEqual(ledger.failures(), [['TimeoutError', 1]]);
    assert.equal(ledger.tries, 2);
    assert.ok(site.timesAsked(site.urls()[0]!) <= 2);
  });

  it('asks no host for more at a time than it is allowed to', async () => {
    const pages = await makeGoodPages(300);
    const { site, columns } = await crawl(pages, { limits: { perHost: 3 } });
    assert.equal(columns.done, pages.length);
    assert.deepEqual(mostAtOnce(site), [3, 3, 3, 3]);
  });

  it('asks all hosts together for no more at a time than it is allowed to', async () => {
    const pages = await makeGoodPages(100);
    const { site, columns } = await crawl(pages, { limits: { concurrency: 5 } });
    assert.equal(columns.done, pages.length);
    assert.equal(site.atOnce.most, 5);
    assert.ok(Math.max(...mostAtOnce(site)) > 1);
  });

  it('starts no more requests in a time than a host allows', async () => {
    const pages = await makeGoodPages(200);
    const limits = { rate: { count: 1, perMs: NEVER_MS }, deadlineMs: 500 };
    const { ledger, site } = await crawl(pages, { limits });
    assert.ok(ledger.tries > 0 && ledger.tries <= site.hosts.length, `${ledger.tries} requests`);
  });

  for (const [what, options, reason] of [
    ['the deadline', { limits: { deadlineMs: 500 } }, 'the deadline has passed'],
    ['a signal', { signal: AbortSignal.abort('enough') }, 'enough'],
  ] as [string, Options, string][]) {
    it(`is stopped by ${what}, and knows what became of every page`, async () => {
      // The first page works, and what it links to hangs.
      const [first, ...others] = await makeGoodPages(500);
      const pages = [first!, ...others.map((page) => ({ ...page, kind: 'hanging' }))];
      const limits = { pageMs: NEVER_MS, ...options.limits };
      const { stopped, problems, columns } = await crawl(pages, { ...options, limits });
      assert.deepEqual([stopped, problems], [reason, []]);
      assert.equal(sumOf(columns), pages.length);
      assert.equal(columns.failed, 0);
      const found = new Set(first!.links.filter((id) => id !== 0)).size;
      assert.ok(columns.done <= 1 && columns.cancelled <= found);
      assert.ok(columns['not reached'] >= pages.length - 1 - found);
    });
  }

  it('sees when something does not add up', async () => {
    const { Ledger } = await load('crawler/ledger.mjs');
    const { audit } = await load('crawler/audit.mjs');
    const site = await startSite(await makeGoodPages(3));
    const [one, two] = site.urls();
    const ledger = new Ledger();
    for (const url of [one, two]) {
      ledger.find(url);
      ledger.ask(url);
    }
    ledger.answered(one);
    ledger.done(one);
    assert.throws(() => ledger.fail(one, new Error('no')), { message: /: done, now failed\?$/ });
    assert.deepEqual(audit({ ledger, site, limits: LIMITS }).problems, [
      `${one} is done, but nobody asked for it`,
      `${two} is still under way`,
      '2 pages instead of 3',
    ]);
  });

  it('crawls all pages as a program, and exits by itself', async () => {
    const { code, output, errors, columns } = await program(['--pages', '400', '--seed', '7']);
    assert.deepEqual([code, errors], [0, '']);
    assert.match(output, /no page is left\n.* closed, as are all connections\n/);
    assert.match(output, /Everything adds up\.\n$/);
    // Behind a page that a busy machine has served too late, some may not have been reached.
    assert.deepEqual([sumOf(columns), columns.cancelled], [400, 0]);
    assert.ok(columns.done > 0);
  });

  it('is stopped as a program by its deadline', async () => {
    // More pages than the hosts' rates allow in the time.
    const args = ['--pages', '3000', '--deadline', '1500'];
    const { code, output, errors, columns } = await program(args);
    assert.deepEqual([code, errors], [0, '']);
    assert.match(output, /stopped: the deadline has passed\n.* closed, as are all connections\n/);
    assert.match(output, /Everything adds up\.\n$/);
    assert.equal(sumOf(columns), 3000);
    assert.ok(columns.done > 0 && columns['not reached'] > 0);
  });

  it('is stopped as a program by Ctrl-C, with code 130', async () => {
    let killed = false;
    const onLine = (line: string, kill: (signal: NodeJS.Signals) => void): void => {
      if (killed || !/ [1-9]\d* done, /.test(line)) return;
      killed = true;
      kill('SIGINT');
    };
    const { code, output, errors, columns } = await program(['--pages', '3000'], onLine);
    assert.deepEqual([code, errors], [130, '']);
    assert.match(output, /Ctrl-C: cancel everything\n(.*\n)?.*stopped: Ctrl-C\n/);
    assert.match(output, /Everything adds up\.\n$/);
    assert.equal(sumOf(columns), 3000);
    assert.ok(columns.done > 0 && columns.cancelled > 0 && columns['not reached'] > 0);
  });
});
