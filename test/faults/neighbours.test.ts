/** The loop is a guest: what else runs in the process goes on, and reaches it from everywhere. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { performance } from 'node:perf_hooks';
import { text } from 'node:stream/consumers';

import {
  createTask,
  Event,
  Future,
  gather,
  getEventLoop,
  memoryChannel,
  Queue,
  run,
  sleep,
  type Task,
} from 'ringloop';
import { withReports } from '../support/capture.js';
import { messageOf, startWorker } from '../support/workers.js';

const loop = getEventLoop();
/** Generous: what is tested is that somebody is not starved for good. */
const SOON_MS = 1000;

/** Keeps the loop busy with callbacks that queue callbacks, until `body` is done. */
async function duringStorm(body: () => Promise<unknown>): Promise<number> {
  let on = true;
  let calls = 0;
  const storm = (): void => {
    calls++;
    if (on) loop.callSoon(storm);
  };
  for (let i = 0; i < 100; i++) loop.callSoon(storm);
  try {
    await body();
  } finally {
    on = false;
  }
  return calls;
}

async function takes(body: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await body();
  return performance.now() - began;
}

describe('a storm of callSoon', () => {
  it('does not starve setTimeout, setImmediate and nextTick', async () => {
    const ms = await takes(() =>
      duringStorm(async () => {
        for (let i = 0; i < 5; i++) {
          await new Promise((resolve) => setTimeout(resolve, 1));
          await new Promise((resolve) => setImmediate(resolve));
          await new Promise((resolve) => process.nextTick(resolve));
        }
      }),
    );
    assert.ok(ms < SOON_MS, `${ms} ms`);
  });

  it('goes on meanwhile', async () => {
    const calls = await duringStorm(() => new Promise((resolve) => setTimeout(resolve, 10)));
    assert.ok(calls > 1000, `${calls} calls`);
  });

  it('does not starve timers of the loop itself', async () => {
    const ms = await takes(() =>
      duringStorm(() => new Promise((resolve) => loop.callLater(2, resolve))),
    );
    assert.ok(ms >= 2 && ms < SOON_MS, `${ms} ms`);
  });

  it('does not starve an HTTP server', async () => {
    const server = createServer((_request, response) => response.end('served'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const bodies: string[] = [];
    await duringStorm(async () => {
      for (let i = 0; i < 3; i++) {
        const [response] = await once(get({ port, host: '127.0.0.1', agent: false }), 'response');
        bodies.push(await text(response));
      }
    });
    server.close();
    await once(server, 'close');
    assert.deepEqual(bodies, ['served', 'served', 'served']);
  });

  it('does not starve tasks, nor do tasks starve the storm', async () => {
    let steps = 0;
    await duringStorm(() =>
      run(function* () {
        for (; steps < 1000; steps++) yield* sleep(0);
      }),
    );
    assert.equal(steps, 1000);
  });
});

describe('a storm of tasks that never wait for anything real', () => {
  it('does not starve setTimeout', async () => {
    let storms: Task<void>[] = [];
    const ms = await takes(async () => {
      storms = Array.from({ length: 20 }, (_, i) =>
        i % 2 === 0
          ? createTask(function* () {
              for (;;) yield* sleep(0);
            })
          : createTask(async () => {
              for (;;) await sleep(0);
            }),
      );
      await new Promise((resolve) => setTimeout(resolve, 5));
    });
    for (const storm of storms) storm.cancel();
    await Promise.allSettled(storms);
    assert.ok(ms < SOON_MS, `${ms} ms`);
  });
});

/** Ends by itself, so that what is starved fails instead of hanging. */
const STEPS_MAX = 100_000;

/** Async functions that never wait for anything real, as long as `goOn()` says so. */
const ASYNC_STORMS: Record<string, (goOn: () => boolean) => Promise<unknown>> = {
  'sleep(0) in a task': async (goOn) => {
    while (goOn()) await sleep(0);
  },
  'tasks that are made and awaited': async (goOn) => {
    while (goOn()) await createTask(async () => 1);
  },
  'gathers of two': async (goOn) => {
    while (goOn())
      await gather(
        async () => 1,
        async () => 2,
      );
  },
  'two tasks with a queue between them': async (goOn) => {
    const queue = new Queue<number>(1);
    const consumer = createTask(async () => {
      for (;;) await queue.get();
    });
    while (goOn()) await queue.put(1);
    consumer.cancel();
  },
  'two tasks with a channel between them': async (goOn) => {
    const [sender, receiver] = memoryChannel<number>(0);
    const consumer = createTask(async () => {
      for (;;) await receiver.receive();
    });
    while (goOn()) await sender.send(1);
    consumer.cancel();
  },
  'two tasks with an event between them': async (goOn) => {
    const event = new Event();
    const setter = createTask(async () => {
      for (;;) {
        event.set();
        event.clear();
        await sleep(0);
      }
    });
    while (goOn()) await event.wait();
    setter.cancel();
  },
};

/** What a Node program expects to be served beside them. */
const NEIGHBOURS: Record<string, (served: () => void) => void> = {
  setTimeout: (served) => setTimeout(served, 1),
  setImmediate: (served) => setImmediate(served),
  'a signal handler': (served) => {
    process.once('SIGUSR2', served);
    process.kill(process.pid, 'SIGUSR2');
  },
  'an HTTP server': (served) => {
    const server = createServer((_request, response) => response.end('served'));
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      get({ port, host: '127.0.0.1', agent: false }, (response) => {
        response.resume();
        response.on('end', () => server.close(served));
      });
    });
  },
};

// A step that asks for microtasks leaves the dispatcher before the time budget is looked at, and an
// idle loop that microtasks wake is entered again at once: both went on for ever.
describe('a storm of async functions', () => {
  for (const [storm, blow] of Object.entries(ASYNC_STORMS)) {
    for (const [neighbour, ask] of Object.entries(NEIGHBOURS)) {
      it(`of ${storm} does not starve ${neighbour}`, async () => {
        let steps = 0;
        let served = false;
        const end = new Promise<void>((resolve) => {
          ask(() => {
            served = true;
            resolve();
          });
        });
        let servedInTime = false;
        await run(async () => {
          await blow(() => !served && ++steps < STEPS_MAX);
          servedInTime = served;
        });
        await end;
        assert.ok(servedInTime, `not served within ${steps} steps`);
      });
    }
  }

  it('of ten thousand tasks at once is interrupted again and again', async () => {
    let immediates = 0;
    const seen = new Set<number>();
    let on = true;
    const tick = (): void => {
      immediates++;
      if (on) setImmediate(tick);
    };
    setImmediate(tick);
    await run(async () => {
      const one = async (): Promise<void> => {
        seen.add(immediates);
        await sleep(0);
        seen.add(immediates);
      };
      await gather(Array.from({ length: 10_000 }, () => () => one()));
    });
    on = false;
    assert.ok(seen.size > 3, `${seen.size} parts`);
  });

  it('of run() after run() from plain code is interrupted, too', async () => {
    let served = false;
    const timeout = new Promise<void>((resolve) => {
      setTimeout(() => {
        served = true;
        resolve();
      }, 1);
    });
    let runs = 0;
    while (!served && ++runs < STEPS_MAX / 10) await run(async () => sleep(0));
    assert.ok(served, `not served within ${runs} runs`);
    await timeout;
  });
});

describe('slow callbacks', () => {
  it('give other code its turn in between', async () => {
    const block = (ms: number): void => {
      for (const end = performance.now() + ms; performance.now() < end; );
    };
    const seen: string[] = [];
    for (let i = 0; i < 40; i++) {
      loop.callSoon(() => {
        block(1);
        seen.push('slow');
      });
    }
    await new Promise<void>((resolve) => {
      setImmediate(() => {
        seen.push('immediate');
        resolve();
      });
    });
    await new Promise<void>((resolve) => void loop.callSoon(resolve));
    assert.ok(seen.indexOf('immediate') < 35, `${seen.indexOf('immediate')} came first`);
    assert.equal(seen.length, 41);
  });
});

describe('an idle loop', () => {
  /** How long a callback takes that is queued from inside of `from`, while the loop waits. */
  async function delayFrom(from: (queue: () => void) => void): Promise<number> {
    await new Promise((resolve) => setTimeout(resolve, 2));
    return new Promise((resolve) => {
      from(() => {
        const queued = performance.now();
        loop.callSoon(() => resolve(performance.now() - queued));
      });
    });
  }
  // Something that keeps libuv waiting for long, if nothing wakes it.
  let patience: NodeJS.Timeout;
  beforeEach(() => {
    patience = setTimeout(() => {}, 60_000);
  });
  afterEach(() => clearTimeout(patience));

  const places: Record<string, (queue: () => void) => void> = {
    'the main program': (queue) => queue(),
    'a setTimeout callback': (queue) => void setTimeout(queue, 1),
    'a setImmediate callback': (queue) => void setImmediate(queue),
    'a microtask': (queue) => queueMicrotask(queue),
    'a microtask of a setTimeout callback': (queue) =>
      void setTimeout(() => Promise.resolve().then(queue), 1),
    'a process.nextTick callback': (queue) => process.nextTick(queue),
    'a callback of the file system': (queue) =>
      void import('node:fs').then(({ stat }) => stat('.', () => queue())),
    'a microtask behind a callback of the loop': (queue) =>
      void loop.callSoon(() => void Promise.resolve().then(queue)),
    'a microtask behind a timer of the loop': (queue) =>
      void loop.callLater(1, () => void Promise.resolve().then(queue)),
    'a done callback of a future': (queue) => {
      const future = new Future<void>();
      future.addDoneCallback(queue);
      setTimeout(() => future.setResult(), 1);
    },
  };
  for (const [place, from] of Object.entries(places)) {
    it(`runs a callback promptly that is queued from ${place}`, async () => {
      const ms = await delayFrom(from);
      assert.ok(ms < SOON_MS, `${ms} ms`);
    });
  }

  it('runs a callback promptly that is queued from an HTTP request', async () => {
    let ms = Infinity;
    const server = createServer((_request, response) => {
      const queued = performance.now();
      loop.callSoon(() => {
        ms = performance.now() - queued;
        response.end('done');
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const [response] = await once(get({ port, host: '127.0.0.1', agent: false }), 'response');
    assert.equal(await text(response), 'done');
    server.close();
    await once(server, 'close');
    assert.ok(ms < SOON_MS, `${ms} ms`);
  });

  it('runs a callback promptly that is queued from a message of a worker', async () => {
    const worker = startWorker("parentPort.on('message', () => parentPort.postMessage('pong'));");
    await once(worker, 'online');
    const ms = await delayFrom((queue) => {
      worker.once('message', queue);
      worker.postMessage('ping');
    });
    await worker.terminate();
    assert.ok(ms < SOON_MS, `${ms} ms`);
  });

  it('runs a callback promptly in a worker that gets a message', async () => {
    const worker = startWorker(`
      parentPort.on('message', () => {
        const queued = performance.now();
        ringloop.getEventLoop().callSoon(() => parentPort.postMessage(performance.now() - queued));
      });
    `);
    await once(worker, 'online');
    worker.postMessage('go');
    const ms = (await messageOf(worker)) as number;
    await worker.terminate();
    assert.ok(ms < SOON_MS, `${ms} ms`);
  });
});

describe('microtasks', () => {
  it('of a handle that settles promises run to the end before the next handle', async () => {
    const seen: string[] = [];
    const future = new Future<void>();
    const follow = async (): Promise<void> => {
      await future;
      seen.push('awaited');
      await null;
      await Promise.resolve().then(() => Promise.resolve());
      seen.push('ten microtasks later');
    };
    const following = follow();
    await new Promise<void>((resolve) => {
      loop.callSoon(() => {
        future.setResult();
        loop.callSoon(() => {
          seen.push('next handle');
          resolve();
        });
      });
    });
    await following;
    assert.deepEqual(seen, ['awaited', 'ten microtasks later', 'next handle']);
  });

  it('of an async task run to the end before the next task takes its step', () =>
    run(async () => {
      const seen: string[] = [];
      const tasks = ['a', 'b'].map((name) =>
        createTask(async () => {
          await sleep(0);
          seen.push(`${name}1`);
          for (let i = 0; i < 20; i++) await null;
          seen.push(`${name}2`);
        }),
      );
      await Promise.all(tasks);
      assert.deepEqual(seen, ['a1', 'a2', 'b1', 'b2']);
    }));

  it('may queue callbacks without end and are not starved by them', async () => {
    let rounds = 0;
    await new Promise<void>((resolve) => {
      const again = (): void => {
        if (++rounds === 500) resolve();
        else void Promise.resolve().then(() => loop.callSoon(again));
      };
      again();
    });
    assert.equal(rounds, 500);
  });
});

describe('callbacks that throw, among neighbours', () => {
  it('are reported once each, and leave timers, tasks and microtasks alone', () =>
    withReports(async (reports) => {
      const seen: string[] = [];
      const running = run(async () => {
        await sleep(1);
        seen.push('async task');
        return 'result';
      });
      for (let i = 0; i < 10; i++) {
        loop.callSoon(() => {
          Promise.resolve().then(() => seen.push('microtask'));
          throw new Error(`callback ${i}`);
        });
      }
      assert.equal(await running, 'result');
      assert.deepEqual(
        reports.map(({ exception }) => (exception as Error).message),
        Array.from({ length: 10 }, (_, i) => `callback ${i}`),
      );
      assert.equal(seen.filter((each) => each === 'microtask').length, 10);
      assert.equal(seen.at(-1), 'async task');
    }));
});
