import assert from 'node:assert/strict';

import { type Ended, RINGLOOP, runProgram } from '../support/capture.js';

/** How either kind of coroutine is written. */
const KINDS = {
  'a generator': ['function* ()', 'yield*'],
  'an async function': ['async function ()', 'await'],
} as const;

/** Every function that waits and takes `{ signal }`, waiting for what never comes. */
const WAITS_WITH_SIGNAL: Record<string, string> = {
  sleep: 'sleep(Infinity, null, options)',
  until: 'until(new Promise(() => {}), options)',
  gather: 'gather([new Future()], options)',
  wait: 'wait([new Future()], options)',
  waitFor: 'waitFor(new Future(), null, options)',
  shield: 'shield(new Future(), options)',
  asCompleted: 'asCompleted([new Future()], options).next()',
  'event.wait': 'new Event().wait(options)',
  'queue.get': 'new Queue().get(options)',
  'queue.put': 'fullQueue().put(2, options)',
  'queue.join': 'fullQueue().join(options)',
  'lock.acquire': 'taken(new Lock()).acquire(options)',
  'semaphore.acquire': 'new Semaphore(0).acquire(options)',
  'semaphore.hold': 'new Semaphore(0).hold(options)',
  'condition.wait': 'withCondition((condition) => condition.wait(options))',
  'condition.waitFor': 'withCondition((condition) => condition.waitFor(() => false, options))',
  'barrier.wait': 'new Barrier(2).wait(options)',
  'sender.send': 'memoryChannel(0)[0].send(1, options)',
  'receiver.receive': 'memoryChannel(0)[1].receive(options)',
  limit: 'limit(1, [1], () => new Future(), options)',
  retry: 'retry(() => new Future(), options)',
};

/** Runs a program that ends by itself, with all of ringloop in scope; returns what it printed. */
async function linesOf(program: string): Promise<string[]> {
  const { code, signal, stdout, stderr } = await runProgram(`
    const { allTasks, asCompleted, Barrier, cancelScope, Condition, createTask, Event, EventLoop } =
      ringloop;
    const { Future, gather, limit, Lock, memoryChannel, Queue, retry, run, Runner, Semaphore } =
      ringloop;
    const { shield, sleep, until, wait, waitFor, withLock } = ringloop;
    function fullQueue() { const queue = new Queue(1); queue.putNowait(1); return queue; }
    function taken(lock) {
      const { acquire } = lock;
      return { acquire: (options) => withLock(lock, () => acquire.call(lock, options)) };
    }
    function withCondition(body) {
      const condition = new Condition();
      return withLock(condition, () => body(condition));
    }
    ${program}
  `);
  assert.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' });
  return stdout.trimEnd().split('\n');
}

/** Runs a program that ends in a deadlock; returns the message, line by line. */
async function deadlockOf(main: string): Promise<string[]> {
  const ended: Ended = await runProgram(`
    const { createTask, DeadlockError, Future, gather, run, shield, sleep, taskGroup } = ringloop;
    const { waitFor, asCompleted } = ringloop;
    run(${main}).catch((error) => {
      if (!(error instanceof DeadlockError)) throw error;
      console.log(JSON.stringify([error.code, ...error.message.split('\\n')]));
    });
  `);
  assert.equal(ended.stderr, '');
  assert.equal(ended.code, 0);
  const [code, first, ...lines] = JSON.parse(ended.stdout) as string[];
  assert.equal(code, 'ERR_RINGLOOP_DEADLOCK');
  assert.equal(first, 'nothing is left that could wake this run(); who waits for whom:');
  return lines;
}

describe('DeadlockError', () => {
  it('rejects a run() that waits for a future that nobody settles', async () => {
    const lines = await deadlockOf('function* () { yield* new Future(); }');
    assert.deepEqual(lines, ['  main waits for a future that nobody settles']);
  });

  it('says who waits for whom, task by task, by their names', async () => {
    const lines = await deadlockOf(`function* () {
      const leaf = createTask(function* () { yield* new Future(); }, { name: 'leaf' });
      yield* createTask(function* () { yield* leaf; }, { name: 'middle' });
    }`);
    assert.deepEqual(lines, [
      '  main waits for task middle',
      '  leaf waits for a future that nobody settles',
      '  middle waits for task leaf',
    ]);
  });

  it('names what a gather still waits for', async () => {
    const lines = await deadlockOf(`function* () {
      yield* gather(
        createTask(function* () {}, { name: 'done' }),
        createTask(function* () { yield* new Future(); }, { name: 'a' }),
        new Future(),
      );
    }`);
    assert.deepEqual(lines, [
      '  main waits for gather(task a, a future that nobody settles)',
      '  a waits for a future that nobody settles',
    ]);
  });

  it('names two tasks that wait for each other', async () => {
    const lines = await deadlockOf(`function* () {
      const a = createTask(function* () { yield* b; }, { name: 'a' });
      const b = createTask(function* () { yield* a; }, { name: 'b' });
      yield* a;
    }`);
    assert.deepEqual(lines, [
      '  main waits for task a',
      '  a waits for task b',
      '  b waits for task a',
    ]);
  });

  it('says of an async function what it awaits, all of it', async () => {
    const lines = await deadlockOf(`async () => {
      const a = createTask(async () => { await new Future(); }, { name: 'a' });
      await Promise.all([a, new Future()]);
    }`);
    assert.deepEqual(lines, [
      '  main waits for task a and a future that nobody settles',
      '  a waits for a future that nobody settles',
    ]);
  });

  it('says so when a foreign promise is awaited', async () => {
    const lines = await deadlockOf('async () => { await new Promise(() => {}); }');
    assert.equal(lines.length, 1);
    assert.match(lines[0]!, /^ {2}main waits for a promise /);
  });

  it('comes for an endless sleep, which nothing can end either', async () => {
    const lines = await deadlockOf('function* () { yield* sleep(Infinity); }');
    assert.equal(lines.length, 1);
    assert.match(lines[0]!, /^ {2}main waits for /);
  });

  it('rejects every run() that is pending, each with its own tasks', async () => {
    const { stdout, stderr } = await runProgram(`
      const { Future, run } = ringloop;
      for (const name of ['first', 'second']) {
        run(() => new Future(), { name }).catch((error) => console.log(error.message));
      }
    `);
    assert.equal(stderr, '');
    assert.equal(stdout.match(/first waits/g)!.length, 1);
    assert.equal(stdout.match(/second waits/g)!.length, 1);
    assert.equal(stdout.match(/nothing is left/g)!.length, 2);
  });

  it('ends the process as an unhandled rejection when nobody catches it', async () => {
    const { code, stderr } = await runProgram(`
      ringloop.run(function* () { yield* new ringloop.Future(); });
    `);
    assert.equal(code, 1);
    assert.match(stderr, /DeadlockError: nothing is left that could wake this run\(\)/);
  });

  it('does not come while something else keeps the process alive', async () => {
    const { stdout, stderr } = await runProgram(`
      const { Future, run } = ringloop;
      const future = new Future();
      setTimeout(() => future.setResult('settled by node'), 10);
      run(function* () { return yield* future; }).then(console.log);
    `);
    assert.equal(stderr, '');
    assert.equal(stdout, 'settled by node\n');
  });

  it('lets the program go on: a later run() works, and can deadlock again', async () => {
    const { stdout, stderr } = await runProgram(`
      const { Future, run, sleep } = ringloop;
      const deadlock = () => run(() => new Future()).catch((error) => console.log(error.name));
      deadlock()
        .then(() => run(() => sleep(1, 'works')))
        .then(console.log)
        .then(deadlock);
    `);
    assert.equal(stderr, '');
    assert.equal(stdout, 'DeadlockError\nworks\nDeadlockError\n');
  });

  it('leaves no listeners behind, however often it comes', async () => {
    const { stdout, stderr } = await runProgram(`
      const { Future, run } = ringloop;
      (async () => {
        for (let i = 0; i < 15; i++) await run(() => new Future()).catch(() => {});
        console.log(process.listenerCount('beforeExit') <= 1);
      })();
    `);
    assert.equal(stderr, '');
    assert.equal(stdout, 'true\n');
  });

  // They stayed as zombies, and went on when what they waited for came after all.
  for (const [kind, main] of [
    [
      'a generator coroutine',
      `function* () {
        createTask(function* () { try { yield* event.wait(); } finally { log.push('child'); } });
        try { yield* event.wait(); log.push('went on'); } finally {
          yield* sleep(1);
          log.push('main');
        }
      }`,
    ],
    [
      'an async function',
      `async () => {
        createTask(async () => { try { await event.wait(); } finally { log.push('child'); } });
        try { await event.wait(); log.push('went on'); } finally {
          await sleep(1);
          log.push('main');
        }
      }`,
    ],
  ] as const) {
    it(`comes after the tasks were cancelled and have cleaned up, in ${kind}`, async () => {
      const { stdout, stderr } = await runProgram(`
        const { allTasks, createTask, Event, run, sleep } = ringloop;
        const event = new Event();
        const log = [];
        run(${main}).catch((error) => {
          console.log(error.name, log.join(), allTasks().size);
          event.set();
          setTimeout(() => console.log(log.length), 5);
        });
      `);
      assert.deepEqual([stdout, stderr], ['DeadlockError main,child 0\n2\n', '']);
    });
  }

  it('comes though a task swallows its cancellation and waits again', async () => {
    const { stdout } = await runProgram(`
      const { Future, run } = ringloop;
      run(function* () {
        for (;;) try { yield* new Future(); } catch {}
      }).catch((error) => console.log(error.name));
    `);
    assert.equal(stdout, 'DeadlockError\n');
  });

  for (const [what, wait] of Object.entries({
    'an event': 'new Event().wait({ signal })',
    'a queue': 'new Queue().get({ signal })',
    'an endless sleep': 'sleep(Infinity, null, { signal })',
    'a promise': 'until(new Promise(() => {}), { signal })',
  })) {
    it(`does not come while AbortSignal.timeout() may end the wait for ${what}`, async () => {
      const { stdout, stderr } = await runProgram(`
        const { Event, Queue, run, sleep, until } = ringloop;
        const signal = AbortSignal.timeout(30);
        run(() => ${wait}).catch((error) => console.log(error.name));
      `);
      assert.deepEqual([stdout, stderr], ['TimeoutError\n', '']);
    });
  }

  it('does not come while the signal of run() may end it', async () => {
    const { stdout } = await runProgram(`
      const { Event, run } = ringloop;
      run(() => new Event().wait(), { signal: AbortSignal.timeout(30) })
        .catch((error) => console.log(error.name));
    `);
    assert.equal(stdout, 'CancelledError\n');
  });

  it('does not come while the process listens to a signal of the system', async () => {
    const { stdout, code } = await runProgram(`
      const { Event, run } = ringloop;
      const stop = new Event();
      run(() => stop.wait()).then(() => console.log('stopped'));
      process.once('SIGTERM', () => stop.set());
      require('node:child_process').spawn('sh', ['-c', 'sleep 0.2; kill -TERM ' + process.pid], {
        detached: true,
        stdio: 'ignore',
      }).unref();
    `);
    assert.deepEqual([stdout, code], ['stopped\n', 0]);
  });

  it('does not come before another listener of beforeExit has had its say', async () => {
    const { stdout } = await runProgram(`
      const { Event, run } = ringloop;
      const event = new Event();
      let once = false;
      run(() => event.wait()).then(() => console.log('woken'));
      process.on('beforeExit', async () => {
        if (once) return;
        once = true;
        await null;
        setTimeout(() => event.set(), 10);
      });
    `);
    assert.equal(stdout, 'woken\n');
  });

  // It used to reject while its tasks stayed behind: their finally blocks never ran, and an event
  // that was set later woke them.
  for (const [kind, [fn, wait]] of Object.entries(KINDS)) {
    it(`ends its tasks before it rejects, what they clean up included: ${kind}`, async () => {
      const lines = await linesOf(`
        const event = new Event();
        const worker = (name) => ${fn} {
          try { ${wait} event.wait(); console.log('a zombie'); }
          finally { ${wait} sleep(2); console.log(name); }
        };
        run(${fn} {
          createTask(worker('child'));
          ${wait} worker('main')();
        }).catch((error) => {
          console.log(error.name, allTasks().size);
          event.set();
        });
      `);
      assert.deepEqual(lines, ['main', 'child', 'DeadlockError 0']);
    });

    it(`cancels again what waits for nothing in cleaning up: ${kind}`, async () => {
      const lines = await linesOf(`
        const never = () => new Event().wait();
        run(${fn} {
          try { ${wait} never(); } finally {
            try { ${wait} never(); } finally {
              try { ${wait} never(); } finally { console.log('cleaned up'); }
            }
          }
        }).catch((error) => console.log(error.name, allTasks().size));
      `);
      assert.deepEqual(lines, ['cleaned up', 'DeadlockError 0']);
    });

    it(`does not wait for a task that refuses, nor do the others: ${kind}`, async () => {
      const lines = await linesOf(`
        const refuse = ${fn} {
          for (;;) { try { ${wait} new Event().wait(); } catch {} }
        };
        const clean = ${fn} {
          try { ${wait} new Event().wait(); } finally { ${wait} sleep(1); console.log('clean'); }
        };
        run(${fn} { createTask(clean); ${wait} refuse(); }).catch((error) => {
          console.log('main:', error.name);
          return run(${fn} { createTask(refuse); createTask(clean); ${wait} new Event().wait(); });
        }).catch((error) => console.log('child:', error.name));
      `);
      assert.deepEqual(lines, ['clean', 'main: DeadlockError', 'clean', 'child: DeadlockError']);
    });
  }

  it('ends the others where one awaits a foreign promise', async () => {
    const lines = await linesOf(`
      run(async () => {
        createTask(async () => {
          try { await new Event().wait(); } finally { await sleep(1); console.log('clean'); }
        });
        await new Promise(() => {});
      }).catch((error) => console.log(error.name));
    `);
    assert.deepEqual(lines, ['clean', 'DeadlockError']);
  });

  it('is the reason of the cancellation, and wins over what becomes of it', async () => {
    const lines = await linesOf(`
      ringloop.getEventLoop().setExceptionHandler(({ exception }) => console.log(exception.message));
      run(async () => {
        try { await new Event().wait(); }
        catch (error) { console.log(error.reason.name); return 'a result'; }
      }).catch((error) => {
        console.log(error.name);
        return run(async () => {
          try { await new Event().wait(); } catch { throw new Error('in cleaning up'); }
        });
      }).catch((error) => console.log(error.name));
    `);
    const expected = ['DeadlockError', 'DeadlockError', 'in cleaning up', 'DeadlockError'];
    assert.deepEqual(lines, expected);
  });

  it('comes to the youngest run() first, so that one that awaits another hears of it', async () => {
    const lines = await linesOf(`
      run(async () => {
        const inner = run(() => new Event().wait());
        return await inner.catch((error) => 'heard of ' + error.name);
      }).then(console.log);
    `);
    assert.deepEqual(lines, ['heard of DeadlockError']);
  });

  it('leaves a run() alone that what another one cleans up wakes', async () => {
    const lines = await linesOf(`
      const lock = new Lock();
      run(async () => {
        await sleep(1);
        return await withLock(lock, async () => 'has the lock');
      }).then(console.log);
      run(() => withLock(lock, () => new Event().wait())).catch((error) => console.log(error.name));
    `);
    assert.deepEqual(lines, ['DeadlockError', 'has the lock']);
  });

  it('comes to a Runner and to runUntilComplete(), whose other tasks stay', async () => {
    const lines = await linesOf(`
      (async () => {
        const runner = new Runner();
        const main = async () => {
          createTask(async () => {
            try { await new Event().wait(); } finally { console.log('closed'); }
          });
          try { await new Event().wait(); } finally { console.log('main'); }
        };
        await runner.run(main).catch((error) => console.log(error.name));
        await runner.close();
        const loop = new EventLoop();
        const future = loop.createFuture();
        await loop.runUntilComplete(future).catch((error) => console.log(error.name));
        loop.close();
      })();
    `);
    assert.deepEqual(lines, ['main', 'DeadlockError', 'closed', 'DeadlockError']);
  });
});

/** Whatever may still wake a run() though it does not hold the process open. */
describe('no DeadlockError', () => {
  it('while a wait has a signal of somebody else, whatever waits', async () => {
    const names = Object.keys(WAITS_WITH_SIGNAL);
    const lines = await linesOf(`
      const waits = { ${Object.entries(WAITS_WITH_SIGNAL).map(([name, text]) => `'${name}': (options) => ${text}`)} };
      (async () => {
        for (const [name, wait] of Object.entries(waits)) {
          const options = () => ({ signal: AbortSignal.timeout(2) });
          const kinds = [() => wait(options()), async () => await wait(options())];
          for (const kind of kinds) await run(kind).catch((error) => console.log(name, error.name));
        }
        const body = () => cancelScope(() => new Event().wait(), { signal: AbortSignal.timeout(2) });
        console.log('cancelScope', await run(body));
        await run(() => new Event().wait(), { signal: AbortSignal.timeout(2) })
          .catch((error) => console.log('run', error.name, error.reason.name));
        const runner = new Runner();
        await runner.run(() => new Event().wait({ signal: AbortSignal.timeout(2) }))
          .catch((error) => console.log('Runner', error.name));
        await runner.close();
        await run(() => new Event().wait()).catch((error) => console.log('then', error.name));
      })();
    `);
    assert.deepEqual(lines, [
      ...names.flatMap((name) => [`${name} TimeoutError`, `${name} TimeoutError`]),
      'cancelScope undefined',
      'run CancelledError TimeoutError',
      'Runner TimeoutError',
      'then DeadlockError',
    ]);
  });

  it('although the signal is that of another run()', async () => {
    const lines = await linesOf(`
      const event = new Event();
      run(() => event.wait()).then(() => console.log('woken'));
      run(() => new Event().wait({ signal: AbortSignal.timeout(2) })).catch(() => event.set());
    `);
    assert.deepEqual(lines, ['woken']);
  });

  it('while the process listens for a signal of the system, from the start or later', async () => {
    const lines = await linesOf(`
      const { spawn } = require('node:child_process');
      // From outside, and later than anything that might happen at once.
      const send = (signal) => spawn('sh', ['-c', 'sleep 0.1; kill -' + signal + ' ' + process.pid], {
        detached: true, stdio: 'ignore',
      }).unref();
      const stop = new Event();
      process.on('SIGTERM', () => stop.set());
      send('TERM');
      run(() => stop.wait()).then(() => {
        process.removeAllListeners('SIGTERM');
        console.log('SIGTERM');
        const again = new Event();
        return run(async () => {
          await sleep(1);
          process.once('SIGUSR2', () => again.set());
          send('USR2');
          await again.wait();
          console.log('SIGUSR2');
          await new Event().wait();
        });
      }).catch((error) => console.log(error.name));
    `);
    assert.deepEqual(lines, ['SIGTERM', 'SIGUSR2', 'DeadlockError']);
  });

  it('until the process listens for its signals no more', async () => {
    const lines = await linesOf(`
      const listener = () => {};
      process.on('SIGUSR2', listener);
      setTimeout(() => process.off('SIGUSR2', listener), 20).unref();
      run(() => new Event().wait()).catch((error) => console.log(error.name));
    `);
    assert.deepEqual(lines, ['DeadlockError']);
  });

  it('does not hold a process whose run() is over', async () => {
    const lines = await linesOf(`
      process.on('SIGUSR2', () => {});
      const event = new Event();
      setTimeout(() => event.set(), 20).unref();
      run(() => event.wait()).then(() => console.log('over'));
      const [runner, other] = [new Runner(), new Event()];
      setTimeout(() => other.set(), 40).unref();
      runner.run(() => other.wait()).then(() => runner.close()).then(() => console.log('so is this'));
    `);
    assert.deepEqual(lines, ['over', 'so is this']);
  });

  const LISTENERS = {
    'at once': 'event.set();',
    'with a timer': 'setTimeout(() => event.set(), 2);',
    'with an immediate': 'setImmediate(() => event.set());',
    'behind promises': `(async () => {
      for (let i = 0; i < 20; i++) await null;
      await new Promise((resolve) => setImmediate(resolve));
      setTimeout(() => event.set(), 2);
    })();`,
    'behind ticks of promises of ticks': `process.nextTick(() => queueMicrotask(() =>
      process.nextTick(() => queueMicrotask(() => process.nextTick(() => queueMicrotask(() =>
        setTimeout(() => event.set(), 2)))))));`,
  };
  for (const [how, work] of Object.entries(LISTENERS)) {
    it(`while a listener of beforeExit that came later has work: ${how}`, async () => {
      const lines = await linesOf(`
        const event = new Event();
        run(() => event.wait()).then(() => console.log('woken'));
        let times = 0;
        process.on('beforeExit', () => { if (times++ === 0) { ${work} } });
      `);
      assert.deepEqual(lines, ['woken']);
    });
  }

  it('while such a listener has work again and again', async () => {
    const lines = await linesOf(`
      const event = new Event();
      run(() => event.wait()).then(() => console.log('woken'));
      let times = 0;
      process.on('beforeExit', () => {
        if (++times < 5) setImmediate(() => {});
        else if (times === 5) event.set();
      });
    `);
    assert.deepEqual(lines, ['woken']);
  });

  it('in a worker whose port is listened to, but in one that listens for a signal', async () => {
    const lines = await linesOf(`
      const { Worker } = require('node:worker_threads');
      const worker = new Worker(${JSON.stringify(`
        const { Event, run } = require(process.env.RINGLOOP);
        const { parentPort } = require('node:worker_threads');
        const event = new Event();
        parentPort.once('message', () => event.set());
        process.on('SIGTERM', () => {}); // never comes: workers hear of no signals
        run(() => event.wait())
          .then(() => parentPort.postMessage('woken'))
          .then(() => run(() => new Event().wait({ signal: AbortSignal.timeout(2) })))
          .catch((error) => parentPort.postMessage(error.name))
          .then(() => run(() => new Event().wait()))
          .catch((error) => parentPort.postMessage(error.name));
      `)}, { eval: true, env: { ...process.env, RINGLOOP: ${JSON.stringify(RINGLOOP)} } });
      worker.on('online', () => worker.postMessage('wake up'));
      worker.on('message', console.log);
    `);
    assert.deepEqual(lines, ['woken', 'TimeoutError', 'DeadlockError']);
  });
});
