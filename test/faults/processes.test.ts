import assert from 'node:assert/strict';

import { runProgram } from '../support/child.js';

const using = (names: string, body: string): string =>
  `const { ${names} } = require('ringloop');\n${body}`;

describe('how a process ends', () => {
  it('by itself, when only an idle loop is left', async () => {
    const { code, stdout } = await runProgram(
      using('getEventLoop', "getEventLoop().callSoon(() => console.log('ran'));"),
    );
    assert.deepEqual([code, stdout], [0, 'ran']);
  });

  it('not before a timer has fired, unless the timer is unreferenced', async () => {
    const { stdout } = await runProgram(
      using(
        'getEventLoop',
        `const loop = getEventLoop();
         loop.callLater(20, () => console.log('kept alive'));
         loop.callLater(60_000, () => console.log('never')).unref();`,
      ),
    );
    assert.equal(stdout, 'kept alive');
  });

  it('at once, when the only timer is cancelled from outside a turn', async () => {
    const { code, stdout } = await runProgram(
      using(
        'getEventLoop',
        `const timer = getEventLoop().callLater(60_000, () => {});
         setTimeout(() => { timer.cancel(); console.log('cancelled'); }, 5);`,
      ),
    );
    assert.deepEqual([code, stdout], [0, 'cancelled']);
  });

  it('with a DeadlockError that says who waits for whom, when nothing can wake a run()', async () => {
    const { code, stdout } = await runProgram(
      using(
        'createTask, Future, gather, run',
        `run(function* () {
           const inner = createTask(function* () { yield* new Future(); }, { name: 'inner' });
           const middle = createTask(function* () { yield* inner; }, { name: 'middle' });
           yield* gather(middle, new Future());
         }).catch((error) => console.log(error.name + ': ' + error.message));`,
      ),
    );
    assert.equal(code, 0);
    assert.deepEqual(stdout.split('\n'), [
      'DeadlockError: nothing is left that could wake this run(); who waits for whom:',
      '  main waits for gather(task middle, a future that nobody settles)',
      '  inner waits for a future that nobody settles',
      '  middle waits for task inner',
    ]);
  });

  it('in a callback that calls process.exit, with its code', async () => {
    const { code, stdout } = await runProgram(
      using(
        'createTask, getEventLoop, sleep',
        `getEventLoop().callSoon(() => process.exit(7));
         getEventLoop().callSoon(() => console.log('too late'));
         createTask(function* () { yield* sleep(0); console.log('too late'); });`,
      ),
    );
    assert.deepEqual([code, stdout], [7, '']);
  });

  it('uncaught, when SystemExit leaves a callback of the shared loop', async () => {
    const { code, stderr } = await runProgram(
      using(
        'getEventLoop, SystemExit',
        "getEventLoop().callSoon(() => { throw new SystemExit('enough'); });",
      ),
    );
    assert.notEqual(code, 0);
    assert.match(stderr, /SystemExit: enough/);
  });

  it('after what is queued has run, when the uncaught SystemExit is handled', async () => {
    const { code, stdout } = await runProgram(
      using(
        'getEventLoop, SystemExit',
        `process.on('uncaughtException', (error) => console.log(error.message));
         getEventLoop().callSoon(() => { throw new SystemExit('enough'); });
         getEventLoop().callSoon(() => console.log('next'));`,
      ),
    );
    assert.deepEqual([code, stdout], [0, 'enough\nnext']);
  });

  it('with a report of each error that nobody looked at, once, with the name of its task', async () => {
    const { code, stderr } = await runProgram(
      using(
        'createTask, getEventLoop',
        `createTask(function* () { throw new Error('lost'); }, { name: 'careless' });
         createTask(function* () { throw new Error('lost, too'); }, { name: 'async' });`,
      ),
    );
    assert.equal(code, 0);
    assert.equal(stderr.match(/never retrieved: careless/g)?.length, 1);
    assert.equal(stderr.match(/Error: lost\n/g)?.length, 1);
    assert.equal(stderr.match(/never retrieved: async/g)?.length, 1);
  });

  it('with the place where the task was created, in debug mode', async () => {
    const { stderr } = await runProgram(
      using(
        'createTask',
        `function careless() {
           createTask(function* () { throw new Error('lost'); }, { name: 'careless' });
         }
         careless();`,
      ),
      { env: { RINGLOOP_DEBUG: '1' } },
    );
    assert.match(stderr, /never retrieved: careless\ncreated at:\n(.*\n)*.*at careless/);
  });

  it('without a report, when somebody looked in time', async () => {
    const { stderr } = await runProgram(
      using(
        'createTask, run, sleep',
        `run(function* () {
           const task = createTask(function* () { throw new Error('seen'); });
           yield* sleep(1);
           try { yield* task; } catch {}
         });`,
      ),
    );
    assert.equal(stderr, '');
  });
});

describe('when the kernel has nothing left', () => {
  it('making a loop says EMFILE, and the program goes on', async () => {
    const { code, stdout } = await runProgram(
      using(
        'EventLoop, getEventLoop',
        `const loops = [];
         try {
           for (;;) loops.push(new EventLoop());
         } catch (error) {
           console.log(error.code, error.errno < 0, typeof error.syscall);
         }
         for (const loop of loops) loop.close();
         setImmediate(() => {
           new EventLoop().close();
           console.log('again');
         });`,
      ),
      { shell: 'ulimit -n 60;' },
    );
    assert.deepEqual([code, stdout], [0, 'EMFILE true string\nagain']);
  });
});

describe('the addon', () => {
  it('can be loaded twice into one thread', async () => {
    const { code, stdout } = await runProgram(
      `const first = require('ringloop');
       for (const key of Object.keys(require.cache)) delete require.cache[key];
       const second = require('ringloop');
       console.log(first === second, first.getEventLoop() === second.getEventLoop());
       second.run(function* () { yield* first.sleep(1); return 'ran'; }).then(console.log);`,
    );
    assert.deepEqual([code, stdout], [0, 'false true\nran']);
  });

  it('refuses arguments that make no sense, and lives on', async () => {
    const { code, stdout } = await runProgram(
      `const { coreModule, layout } = require('./dist/core/native.js');
       const say = (attempt) => { try { attempt(); } catch (error) { console.log(error.name); } };
       say(() => new coreModule.NativeLoop());
       say(() => new coreModule.NativeLoop({ header: new ArrayBuffer(3) }));
       say(() => coreModule.postRemote('x', -1));
       const header = new ArrayBuffer(layout.headerBytes);
       const loop = new coreModule.NativeLoop({
         header,
         ready: new ArrayBuffer(4096),
         submissions: new ArrayBuffer(layout.submissionBytes * layout.submissionCapacity),
         dispatch: () => 0,
         nowMs: 0,
       });
       say(() => loop.turn('now'));
       say(() => loop.watch(-1, 1));
       say(() => loop.attachReady(new ArrayBuffer(12)));
       new Uint32Array(header)[layout.submissionCount] = 0xffffffff;
       say(() => loop.turn(0));
       loop.close();
       say(() => loop.turn(0));
       loop.close();
       console.log('alive');`,
    );
    const names = stdout.split('\n');
    assert.deepEqual([code, names.pop()], [0, 'alive']);
    assert.deepEqual(names, new Array(8).fill('TypeError'));
  });
});
