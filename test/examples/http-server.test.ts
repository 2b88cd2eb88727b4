/** The HTTP server: what it answers, what it refuses, whom it waits for, and its end. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';

import { createTask, Event, run, until } from 'ringloop';
import { withReports } from '../support/capture.js';
import { loadExample, runExample } from '../support/examples.js';

/** What takes this long happens in no test. */
const NEVER_MS = 600_000;
const SHORT_MS = 20;
const PATIENT = {
  headBytes: 1000,
  bodyBytes: 100_000,
  keepAliveMs: NEVER_MS,
  requestMs: NEVER_MS,
  handlerMs: NEVER_MS,
  sendMs: NEVER_MS,
  lingerMs: NEVER_MS,
};
const CLOSE = 'Connection: close\r\n';

interface Request {
  method: string;
  url: string;
  path: string;
  headers: Map<string, string>;
  body: Buffer;
}

type Handler = (request: Request) => unknown;

interface Server {
  port: number;
  url: string;
  shutdown(graceMs: number): Generator<unknown, void, any>;
}

type Limits = Partial<typeof PATIENT>;

/** Runs `body` beside a server, and closes both. */
async function onLoop(
  handler: Handler,
  body: (server: Server) => Generator<unknown, void, any>,
  limits: Limits = {},
): Promise<void> {
  const { startHttpServer } = await loadExample('http-server/server.mjs');
  await run(function* () {
    const options = { limits: { ...PATIENT, ...limits } };
    const server: Server = yield* startHttpServer(handler, '127.0.0.1', 0, options);
    server.url = `http://127.0.0.1:${server.port}/`;
    try {
      yield* body(server);
    } finally {
      for (const client of clients.splice(0)) client.close();
      yield* server.shutdown(NEVER_MS);
    }
  });
}

/** As `onLoop`, for those who know nothing of loops. */
function withServer(
  handler: Handler,
  body: (server: Server) => Promise<void>,
  limits?: Limits,
): Promise<void> {
  const steps = function* (server: Server): Generator<unknown, void, any> {
    yield* until(body(server));
  };
  return onLoop(handler, steps, limits);
}

/** What the current test has opened. */
const clients: Client[] = [];

/** A client that sends what it is told, right or wrong. */
class Client {
  received = '';
  private readonly socket: Socket;

  constructor({ port }: { port: number }) {
    clients.push(this);
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    this.socket.on('data', (data) => (this.received += data.toString('latin1')));
    this.socket.on('error', () => {});
  }

  send(data: string): void {
    this.socket.write(data, 'latin1');
  }

  pause(): void {
    this.socket.pause();
  }

  /** Waits until it has received what matches. */
  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.received)) await once(this.socket, 'data');
  }

  /** Waits for the end of what the server sends. Returns all of it. */
  async all(): Promise<string> {
    if (!this.socket.readableEnded) await once(this.socket, 'end');
    return this.received;
  }

  /** Waits until nothing is left of the connection. */
  async gone(): Promise<void> {
    if (!this.socket.closed) await once(this.socket, 'close');
  }

  end(): void {
    this.socket.end();
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Sends something, and returns what comes until the server ends the connection. */
async function exchange(server: Server, data: string): Promise<string> {
  const client = new Client(server);
  client.send(data);
  const received = await client.all();
  client.close();
  return received;
}

function get(path: string, headers = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: test\r\n${headers}\r\n`;
}

const bodies = (received: string): string[] =>
  [...received.matchAll(/\r\n\r\n([\s\S]*?)(?=HTTP\/1\.1 |$)/g)].map(([, body]) => body!);

const plain = (body: string | Buffer): object => ({ status: 200, type: 'text/plain', body });
const echo: Handler = ({ body }) => plain(body);
const tellPath: Handler = ({ path }) => plain(path);

/** A handler that waits until it is told, and knows how it ended. */
class Slow {
  readonly asked = new Event();
  readonly go = new Event();
  ended = '';

  readonly handle: Handler = ({ path }) => (path === '/slow' ? this.answer() : plain(path));

  private *answer(): Generator<unknown, object, any> {
    this.ended = 'cancelled';
    this.asked.set();
    yield* this.go.wait();
    this.ended = 'answered';
    return plain('slow');
  }
}

describe('examples/http-server.mjs', () => {
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });

  describe('answers', () => {
    it('several requests of one connection', async () => {
      await withServer(tellPath, async ({ port }) => {
        const agent = new Agent({ keepAlive: true, maxSockets: 1 });
        const reused: boolean[] = [];
        for (const path of ['/one', '/two', '/three']) {
          const asked = request({ port, host: '127.0.0.1', path, agent }).end();
          const [response] = await once(asked, 'response');
          assert.equal(response.statusCode, 200);
          assert.equal(await text(response), path);
          reused.push(asked.reusedSocket);
        }
        assert.deepEqual(reused, [false, true, true]);
        agent.destroy();
      });
    });

    it('with the time, the length, the type, and what the handler adds', async () => {
      const handler: Handler = () => ({ ...plain('ünï'), headers: { 'X-Mine': 'yes' } });
      await withServer(handler, async ({ url }) => {
        const before = Math.floor(Date.now() / 1000);
        const { headers } = await fetch(url);
        const after = Date.now() / 1000;
        const second = Date.parse(headers.get('date')!) / 1000;
        assert.ok(before <= second && second <= after, headers.get('date')!);
        assert.deepEqual(
          ['content-length', 'content-type', 'connection', 'x-mine'].map((name) =>
            headers.get(name),
          ),
          ['5', 'text/plain', 'keep-alive', 'yes'],
        );
      });
    });

    it('what a client sends without waiting for answers, in its order', async () => {
      const slow = new Slow();
      await withServer(slow.handle, async (server) => {
        const client = new Client(server);
        client.send(get('/one') + get('/slow') + get('/three', CLOSE));
        await client.until(/one$/);
        slow.go.set();
        assert.deepEqual(bodies(await client.all()), ['/one', 'slow', '/three']);
      });
    });

    it('many small requests that come in one piece', async () => {
      await withServer(tellPath, async (server) => {
        const paths = Array.from({ length: 2000 }, (_, i) => `/${i}`);
        const requests = paths.map((path) => get(path)).join('');
        const received = await exchange(server, requests + get('/last', CLOSE));
        assert.deepEqual(bodies(received), [...paths, '/last']);
      });
    });

    it('a request that comes byte by byte', async () => {
      await withServer(echo, async (server) => {
        const client = new Client(server);
        const head = `POST / HTTP/1.1\r\nHost: test\r\n${CLOSE}Content-Length: 4\r\n\r\n`;
        for (const byte of `${head}body`) {
          client.send(byte);
          await new Promise((resolve) => setImmediate(resolve));
        }
        assert.deepEqual(bodies(await client.all()), ['body']);
      });
    });

    it('bodies with their length, and in chunks', async () => {
      await withServer(echo, async ({ url }) => {
        const large = 'x'.repeat(PATIENT.bodyBytes);
        const whole = await fetch(url, { method: 'POST', body: large });
        assert.equal(await whole.text(), large);
        const parts = ['some', 'ünï', 'parts'];
        const body = new ReadableStream({
          start(controller) {
            for (const part of parts) controller.enqueue(Buffer.from(part));
            controller.close();
          },
        });
        const how = { method: 'POST', body, duplex: 'half' } as RequestInit;
        assert.equal(await (await fetch(url, how)).text(), parts.join(''));
      });
    });

    it('HEAD without the body, and 204 without a length', async () => {
      const handler: Handler = ({ method }) =>
        method === 'HEAD' ? plain('1234') : { status: 204, body: '' };
      await withServer(handler, async (server) => {
        const head = await exchange(server, `HEAD / HTTP/1.1\r\nHost: test\r\n${CLOSE}\r\n`);
        assert.match(head, /\r\nContent-Length: 4\r\n[\s\S]*\r\n\r\n$/);
        const none = await exchange(server, get('/', CLOSE));
        assert.match(none, /^HTTP\/1\.1 204 No Content\r\n/);
        assert.doesNotMatch(none, /Content-Length/);
      });
    });

    it('once, and closes, if the client speaks HTTP/1.0', async () => {
      await withServer(tellPath, async (server) => {
        const received = await exchange(server, 'GET /old HTTP/1.0\r\n\r\n');
        assert.match(received, /\r\nConnection: close\r\n/);
        assert.deepEqual(bodies(received), ['/old']);
      });
    });

    it('a client that has closed its side already', async () => {
      await withServer(tellPath, async (server) => {
        const client = new Client(server);
        client.send(get('/last'));
        client.end();
        assert.deepEqual(bodies(await client.all()), ['/last']);
      });
    });

    it('"go on" to a client that asks before it sends the body', async () => {
      await withServer(echo, async (server) => {
        const client = new Client(server);
        const headers = `Host: test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n${CLOSE}`;
        client.send(`POST / HTTP/1.1\r\n${headers}\r\n`);
        await client.until(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
        client.send('body');
        assert.match(await client.all(), /HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nbody$/);
      });
    });

    it('what its own routes say', async () => {
      const { handle } = await loadExample('http-server.mjs');
      await withServer(handle, async ({ url }) => {
        assert.equal(await (await fetch(url)).text(), 'Hello, World!\n');
        const told: any = await (
          await fetch(`${url}request?a=1`, { headers: { 'x-b': '2' } })
        ).json();
        assert.deepEqual(
          [told.method, told.url, told.headers['x-b']],
          ['GET', '/request?a=1', '2'],
        );
        assert.equal(await (await fetch(`${url}later?ms=1`)).text(), 'that was 1 ms\n');
        assert.equal((await fetch(`${url}later?ms=no`)).status, 400);
        assert.equal((await fetch(`${url}nowhere`)).status, 404);
      });
    });
  });

  describe('refuses', () => {
    const post = (headers: string, body = ''): string =>
      `POST / HTTP/1.1\r\nHost: test\r\n${headers}\r\n\r\n${body}`;
    const chunked = (body: string): string => post('Transfer-Encoding: chunked', body);
    const hidden = get('/hidden');
    // What another program on the way may read otherwise, with a request hidden behind it.
    const SMUGGLED: [string, string, number][] = [
      ['the same length twice', post('Content-Length: 4\r\nContent-Length: 4', 'body'), 400],
      ['a list of lengths', post('Content-Length: 4, 4', 'body'), 400],
      ['a length with a space in it', post('Content-Length: 4 4', 'body'), 400],
      ['a length in hexadecimal', post('Content-Length: 0x4', 'body'), 400],
      ['a negative length', post('Content-Length: -4', 'body'), 400],
      [
        'two encodings',
        post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', '0\r\n\r\n'),
        400,
      ],
      ['chunks in chunks', post('Transfer-Encoding: chunked, chunked', '0\r\n\r\n'), 400],
      ['chunks that are not the last encoding', post('Transfer-Encoding: chunked, gzip'), 400],
      [
        'an encoding with a name that only looks like chunked',
        post('Transfer-Encoding: xchunked'),
        400,
      ],
      [
        'chunks in HTTP/1.0',
        `POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
        400,
      ],
      ['a request line that ends in a bare LF', `GET / HTTP/1.1\nHost: test\r\n\r\n`, 400],
      ['a header that ends in a bare LF', `GET / HTTP/1.1\r\nHost: test\n\r\n`, 400],
      ['a head that ends in a bare LF', `GET / HTTP/1.1\r\nHost: test\r\n\n`, 400],
      ['a bare CR in a header', get('/', 'X: a\rb\r\n'), 400],
      ['a NUL in a header', get('/', 'X: a\0b\r\n'), 400],
      ['a control character in a header', get('/', 'X: a\x01b\r\n'), 400],
      ['a NUL in the target', get('/a\0b'), 400],
      ['a header with a NUL in its name', get('/', 'X\0: a\r\n'), 400],
      ['a header whose name is no token', get('/', 'X(y): a\r\n'), 400],
      ['a header whose name has letters of no alphabet', get('/', 'X\xe9: a\r\n'), 400],
      ['a header without a name', get('/', ': a\r\n'), 400],
      ['a header without a colon', get('/', 'X\r\n'), 400],
      ['a host with a comma', 'GET / HTTP/1.1\r\nHost: a, b\r\n\r\n', 400],
      ['a host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400],
      ['a chunk head that ends in a bare LF', chunked(`1\nx\r\n0\r\n\r\n${hidden}`), 400],
      ['an extension that ends in a bare LF', chunked(`1;a\nx\r\n0\r\n\r\n${hidden}`), 400],
      ['an extension with a NUL', chunked(`1;a=\0\r\nx\r\n0\r\n\r\n${hidden}`), 400],
      ['an extension without a name', chunked(`1;=b\r\nx\r\n0\r\n\r\n${hidden}`), 400],
      ['a chunk head with spaces', chunked(`1 \r\nx\r\n0\r\n\r\n${hidden}`), 400],
      ['a chunk size with a sign', chunked(`+1\r\nx\r\n0\r\n\r\n${hidden}`), 400],
      ['a chunk size that overflows', chunked(`100000000000000001\r\nx\r\n${hidden}`), 400],
      ['a chunk that is longer than it says', chunked(`1\r\nxy\r\n0\r\n\r\n${hidden}`), 400],
      ['a chunk that ends in a bare LF', chunked(`1\r\nx\n0\r\n\r\n${hidden}`), 400],
      ['a trailer that ends in a bare LF', chunked(`0\r\nX: a\n\r\n${hidden}`), 400],
      ['a trailer whose name is no token', chunked(`0\r\nX y: a\r\n\r\n${hidden}`), 400],
    ];
    for (const [what, sent, status] of [
      ['what is no HTTP', 'hello\r\n\r\n', 400],
      ['a request without a host', 'GET / HTTP/1.1\r\n\r\n', 400],
      ['two hosts', get('/', 'Host: other\r\n'), 400],
      ['a length that is none', post('Content-Length: +4', 'body'), 400],
      ['two different lengths', post('Content-Length: 4\r\nContent-Length: 5', 'body'), 400],
      ['a length and chunks', post('Content-Length: 4\r\nTransfer-Encoding: chunked'), 400],
      ['an encoding it does not know', post('Transfer-Encoding: gzip, chunked'), 501],
      ['a chunk without a size', post('Transfer-Encoding: chunked', 'x\r\n'), 400],
      ...SMUGGLED,
      ['a header whose name ends in a space', post('Content-Length : 4', 'body'), 400],
      ['a header on two lines', post('X: 1\r\n 2'), 400],
      ['headers that are too long', get('/', `X: ${'x'.repeat(PATIENT.headBytes)}\r\n`), 431],
      ['too many headers', get('/', 'X: x\r\n'.repeat(PATIENT.headBytes)), 431],
      ['a line without an end', 'x'.repeat(10 * PATIENT.headBytes), 431],
      ['a body that will be too long', post(`Content-Length: ${PATIENT.bodyBytes + 1}`), 413],
      ['a tunnel', 'CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n', 501],
      ['another version', 'GET / HTTP/2.0\r\nHost: test\r\n\r\n', 505],
    ] as [string, string, number][]) {
      it(what, async () => {
        await withServer(tellPath, async (server) => {
          const received = await exchange(server, get('/before') + sent);
          assert.deepEqual(bodies(received)[0], '/before');
          assert.doesNotMatch(received, /\/hidden/);
          assert.match(
            received,
            new RegExp(`HTTP/1\\.1 ${status} .*\\r\\nConnection: close\\r\\n`, 's'),
          );
        });
      });
    }

    it('a body that is too long, and is heard though the client goes on sending', async () => {
      await withServer(echo, async (server) => {
        const client = new Client(server);
        client.send(post('Transfer-Encoding: chunked'));
        const chunk = `${(0x4000).toString(16)}\r\n${'x'.repeat(0x4000)}\r\n`;
        for (let i = 0; i < 200; i++) client.send(chunk);
        assert.match(await client.all(), /^HTTP\/1\.1 413 [\s\S]*too large\n$/i);
        client.end();
        await client.gone();
      });
    });

    it('a header with a line break in it', async () => {
      const handler: Handler = () => ({ ...plain(''), headers: { 'X-A': 'a\r\nX-B: b' } });
      await withReports(async (reports) => {
        await withServer(handler, async ({ url }) => {
          const { status, headers } = await fetch(url);
          assert.deepEqual([status, headers.get('x-b')], [500, null]);
        });
        assert.deepEqual(
          reports.map(({ message }) => message),
          ['GET / failed'],
        );
      });
    });
  });

  describe('waits', () => {
    it('for a handler only so long, and cancels it', async () => {
      const slow = new Slow();
      const body = async (server: Server): Promise<void> => {
        const client = new Client(server);
        client.send(get('/slow') + get('/next', CLOSE));
        const received = await client.all();
        assert.match(received, /^HTTP\/1\.1 503 /);
        assert.deepEqual(bodies(received), ['it takes too long\n', '/next']);
        assert.equal(slow.ended, 'cancelled');
      };
      await withServer(slow.handle, body, { handlerMs: SHORT_MS });
    });

    it('for the rest of a request only so long', async () => {
      const body = async (server: Server): Promise<void> => {
        const client = new Client(server);
        client.send('GET / HTTP/1.1\r\nHos');
        assert.match(await client.all(), /^HTTP\/1\.1 408 /);
      };
      await withServer(tellPath, body, { requestMs: SHORT_MS });
    });

    it('for the next request only so long', async () => {
      const body = async (server: Server): Promise<void> => {
        assert.equal(await exchange(server, ''), '');
      };
      await withServer(tellPath, body, { keepAliveMs: SHORT_MS });
    });

    it('only so long for a client that does not read', async () => {
      const large = Buffer.alloc(32 * 1024 * 1024);
      const asked = new Event();
      const handler: Handler = () => {
        asked.set();
        return plain(large);
      };
      const body = function* (server: Server): Generator<unknown, void, any> {
        const client = new Client(server);
        client.pause();
        client.send(get('/'));
        yield* asked.wait();
        // The client does not end the connection, and this waits for it as long as it takes.
        yield* server.shutdown(NEVER_MS);
      };
      await onLoop(handler, body, { sendMs: SHORT_MS });
    });

    it('for no client that is gone', async () => {
      await withReports(async (reports) => {
        const slow = new Slow();
        await withServer(slow.handle, async (server) => {
          const client = new Client(server);
          client.send(get('/slow') + get('/slow'));
          await run(() => slow.asked.wait());
          client.reset();
          await client.gone();
          slow.go.set();
        });
        assert.deepEqual(reports, []);
      });
    });
  });

  describe('fails', () => {
    it('for one request only, and says so', async () => {
      const handler: Handler = ({ path }) => {
        if (path === '/bad') throw new Error('no');
        return path === '/nothing' ? undefined : plain(path);
      };
      await withReports(async (reports) => {
        await withServer(handler, async (server) => {
          const received = await exchange(
            server,
            get('/bad') + get('/nothing') + get('/good', CLOSE),
          );
          const wrong = 'something is wrong here\n';
          assert.deepEqual(bodies(received), [wrong, wrong, '/good']);
        });
        assert.deepEqual(
          reports.map(({ message }) => message),
          ['GET /bad failed', 'GET /nothing failed'],
        );
      });
    });
  });

  describe('ends', () => {
    it('when the requests under way are answered; idle connections are closed', async () => {
      const slow = new Slow();
      await onLoop(slow.handle, function* (server) {
        const [idle, busy] = [new Client(server), new Client(server)];
        idle.send(get('/before'));
        busy.send(get('/slow'));
        yield* until(idle.until(/before$/));
        yield* slow.asked.wait();
        const over = createTask(server.shutdown(NEVER_MS));
        assert.deepEqual(bodies(yield* until(idle.all())), ['/before']);
        assert.equal(slow.ended, 'cancelled');
        slow.go.set();
        assert.match(yield* until(busy.all()), /\r\nConnection: close\r\n\r\nslow$/);
        assert.equal(slow.ended, 'answered');
        for (const client of [idle, busy]) client.end();
        yield* over;
      });
    });

    it('after a while also when they are not', async () => {
      const slow = new Slow();
      await onLoop(slow.handle, function* (server) {
        const client = new Client(server);
        client.send(get('/slow'));
        yield* slow.asked.wait();
        yield* server.shutdown(SHORT_MS);
        assert.equal(slow.ended, 'cancelled');
        client.end();
        yield* until(client.gone());
        assert.equal(client.received, '');
      });
    });

    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      it(`as a program with ${signal}, after the request under way`, async () => {
        let answered: Promise<string> | null = null;
        const onLine = async (line: string, child: ChildProcess): Promise<void> => {
          if (!line.startsWith('http:')) return;
          const client = new Client({ port: Number(new URL(line).port) });
          client.send(get('/') + get('/later?ms=300'));
          answered = client.all();
          // They came in one piece: when there is an answer to the first, the second is under way.
          await client.until(/World!\n$/);
          child.kill(signal);
        };
        const ended = await runExample('http-server.mjs', ['0'], onLine);
        assert.deepEqual([ended.code, ended.signal, ended.stderr], [0, null, '']);
        assert.match(ended.stdout, /^http:\/\/.*\nnothing more is accepted\nclosed\n$/);
        assert.deepEqual(bodies(await answered!), ['Hello, World!\n', 'that was 300 ms\n']);
      });
    }
  });
});
