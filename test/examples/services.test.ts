/** The example that `npm start` runs, as generators and as async functions. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

import { allTasks } from 'ringloop';

const EXAMPLES = join(__dirname, '..', '..', '..', 'examples');
const NAMES = ['users', 'orders', 'prices', 'weather'];
/** A service that takes this long answers in no test. */
const NEVER_MS = 600_000;

type Collect = (services: unknown, options: object) => Promise<unknown>;

interface Upstream {
  idle(): Promise<void>;
  close(): void;
}

interface App {
  url: string;
  requestOver(): Promise<unknown>;
  close(): void;
}

interface Stage {
  app: App;
  services: Upstream[];
  /** Who did what, without the times. */
  events: string[];
}

interface Options {
  limitMs?: number;
  latencyMs: (name: string) => number;
}

function load(file: string): Promise<any> {
  return import(pathToFileURL(join(EXAMPLES, file)).href);
}

/** What the current test has started: closed also when it has timed out, or mocha would not end. */
const servers: { close(): void }[] = [];

/** Runs `body` with the app and its four services up. */
async function onStage(
  program: string,
  { latencyMs, limitMs = NEVER_MS }: Options,
  body: (stage: Stage) => Promise<void>,
): Promise<void> {
  const { collect }: { collect: Collect } = await load(program);
  const [{ Log }, { startUpstreams }, { startApp }] = await Promise.all(
    ['log', 'upstreams', 'app'].map((name) => load(`services/${name}.mjs`)),
  );
  const events: string[] = [];
  const log = new Log((line: string) =>
    events.push(line.replace(/^ *\d+ ms +/, '').replace(/ +/g, ' ')),
  );
  const services: Upstream[] = await startUpstreams({ latencyMs, log });
  servers.push(...services);
  const app: App = await startApp({ collect, services, limitMs, log });
  servers.push(app);
  await body({ app, services, events });
}

function allIdle(services: Upstream[]): Promise<unknown> {
  return Promise.all(services.map((service) => service.idle()));
}

/** The services whose connection was closed before they had answered. */
function aborted(events: string[]): string[] {
  return NAMES.filter((name) => events.some((event) => event.startsWith(`${name} aborted after`)));
}

/** The tasks that ended cancelled, in the order in which they did. */
function cancelled(events: string[]): string[] {
  return events.flatMap((event) => /^app task (\w+) cancelled$/.exec(event)?.[1] ?? []);
}

/** The parts of what the program printed, each under its heading. */
function partsOf(output: string): string[] {
  return output.split(/^(?=Request \d|All closed)/m).slice(1);
}

for (const program of ['services.mjs', 'services-async.mjs']) {
  describe(`examples/${program}`, () => {
    afterEach(async () => {
      for (const server of servers.splice(0)) server.close();
      // What the test left behind ends with its connections.
      while (allTasks().size > 0) await new Promise((resolve) => setImmediate(resolve));
    });

    it('answers as soon as the slowest service has, not after the sum of all', async () => {
      const latencies = new Map(NAMES.map((name, i) => [name, 200 + 100 * i]));
      let warm = false;
      const latencyMs = (name: string): number => (warm ? latencies.get(name)! : 0);
      await onStage(program, { latencyMs }, async ({ app, events }) => {
        // The first fetch of a process loads the HTTP client: not what is measured here.
        await (await fetch(app.url)).json();
        warm = true;
        const startMs = performance.now();
        const response = await fetch(app.url);
        const answers = await response.json();
        const totalMs = performance.now() - startMs;
        assert.equal(response.status, 200);
        assert.deepEqual(
          answers,
          NAMES.map((name) => ({ name, latencyMs: latencies.get(name) })),
        );
        // The slowest takes 500 ms, all together 1400 ms.
        assert.ok(totalMs >= 495 && totalMs < 950, `it took ${totalMs} ms`);
        assert.deepEqual([cancelled(events), aborted(events)], [[], []]);
      });
    });

    it('aborts the request to every service when the client disconnects', async () => {
      const client = new AbortController();
      let asked = 0;
      const latencyMs = (): number => {
        if (++asked === NAMES.length) client.abort();
        return NEVER_MS;
      };
      await onStage(program, { latencyMs }, async ({ app, services, events }) => {
        const over = app.requestOver();
        await assert.rejects(fetch(app.url, { signal: client.signal }), { name: 'AbortError' });
        await over;
        await allIdle(services);
        assert.deepEqual(cancelled(events), NAMES);
        assert.deepEqual(aborted(events), NAMES);
        assert.ok(events.includes('app the run is over: the client has disconnected'));
      });
    });

    it('answers 504 at the time limit, and aborts the request to every service', async () => {
      const latencyMs = (): number => NEVER_MS;
      await onStage(program, { latencyMs, limitMs: 1000 }, async ({ app, services, events }) => {
        const response = await fetch(app.url);
        assert.equal(response.status, 504);
        assert.deepEqual(await response.json(), { error: 'too slow' });
        await allIdle(services);
        assert.deepEqual(cancelled(events), NAMES);
        assert.deepEqual(aborted(events), NAMES);
      });
    });

    it('cancels nothing of one request when the client of another disconnects', async () => {
      const client = new AbortController();
      let asked = 0;
      // The second four are those of the client that leaves.
      const latencyMs = (): number => {
        if (++asked === 2 * NAMES.length) client.abort();
        return asked <= NAMES.length ? 300 : NEVER_MS;
      };
      await onStage(program, { latencyMs }, async ({ app, services, events }) => {
        const staying = fetch(app.url);
        while (asked < NAMES.length) await new Promise((resolve) => setImmediate(resolve));
        await assert.rejects(fetch(app.url, { signal: client.signal }), { name: 'AbortError' });
        assert.equal((await staying).status, 200);
        await allIdle(services);
        assert.deepEqual(cancelled(events), NAMES);
      });
    });

    it('shows three requests as a program, and exits by itself', async () => {
      const child = spawn(process.execPath, [join(EXAMPLES, program)], {
        env: { ...process.env, SCALE: '0.4', SEED: '1' },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      try {
        const exit = once(child, 'exit');
        const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
        assert.deepEqual(await exit, [0, null]);
        assert.equal(errors, '');
        const [first, second, third, last, ...rest] = partsOf(output);
        assert.match(first!, /client {4}got 200\n/);
        assert.match(second!, /hangs up\n.*has disconnected: cancel the run\n/);
        assert.match(second!, /the run is over: the client has disconnected\n/);
        assert.match(third!, /client {4}got 504, too slow\n/);
        const abortedIn = (part: string): number => part.match(/ aborted after /g)?.length ?? 0;
        assert.deepEqual([first!, second!, third!].map(abortedIn), [0, 4, 4]);
        assert.equal(last, 'All closed; nothing keeps the process alive.\n');
        assert.deepEqual(rest, []);
      } finally {
        child.kill();
      }
    });
  });
}
