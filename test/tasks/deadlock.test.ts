import assert from 'node:assert/strict';

import { type Ended, runProgram } from '../support/capture.js';

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
});
