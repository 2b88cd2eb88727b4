/** What leaves the loop for Node to deal with: any value, in any thread, and nothing when it ends. */
import assert from 'node:assert/strict';

import { runProgram } from '../support/child.js';
import { rawPrelude } from '../support/raw-addon.js';

describe('what a callback throws through the loop', () => {
  const VALUES = {
    "'text'": /\ntext\n/,
    42: /\n42\n/,
    undefined: /\nundefined\n/,
    null: /\nnull\n/,
    "Symbol('mine')": /\n\n/, // Node prints an empty line
    '{ a: 1 }': /\{ a: 1 \}/,
    "new Error('mine')": /Error: mine/,
  };
  const THROWING = `new addon.NativeLoop(options(() => { throw thrown; })).wake();`;

  // Anything but an object was dropped without a word, and the process ended with 0.
  for (const [value, said] of Object.entries(VALUES)) {
    it(`is an uncaught exception: ${value}`, async () => {
      const source = `${rawPrelude()} const thrown = ${value}; ${THROWING}`;
      const uncaught = await runProgram(source);
      assert.equal(uncaught.code, 1);
      assert.match(uncaught.stderr, said);
      const caught = await runProgram(
        `process.once('uncaughtException', (error) => {
           console.log(error === thrown);
           process.exit(0);
         });${source}`,
      );
      assert.deepEqual(caught, { code: 0, stdout: 'true', stderr: '' });
    });

    it(`is an uncaught exception of a worker: ${value}`, async () => {
      const worker = `${rawPrelude()} setInterval(() => {}, 1000);
        const thrown = ${value.startsWith('Symbol') ? '7' : value}; ${THROWING}`;
      const { code, stdout, stderr } = await runProgram(`
        const { Worker } = require('node:worker_threads');
        const worker = new Worker(${JSON.stringify(worker)}, { eval: true });
        worker.on('error', () => console.log('error'));
        worker.on('exit', (code) => console.log('exit', code));
      `);
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'error\nexit 1', stderr: '' });
    });
  }

  it('is nothing when a worker ends in the middle of it', async () => {
    for (const end of ['process.exit(0)', "parentPort.postMessage('now'); for (;;);"]) {
      // The second loop is entered for the first time while Node tears the worker down: it told the
      // hooks of its context, and Node printed "illegal access".
      const worker = `${rawPrelude()} const { parentPort } = require('node:worker_threads');
        require('node:async_hooks').createHook({ init() {} }).enable();
        new addon.NativeLoop(options(() => {
          new addon.NativeLoop(options(() => layout.verdictBusy)).wake();
          ${end}
        })).wake();`;
      const ending = await runProgram(`
        const { Worker } = require('node:worker_threads');
        const worker = new Worker(${JSON.stringify(worker)}, { eval: true });
        worker.on('message', () => worker.terminate());
        worker.on('error', (error) => console.log('error', error));
        worker.on('exit', () => console.log('exit'));
      `);
      assert.deepEqual(ending, { code: 0, stdout: 'exit', stderr: '' });
    }
  });
});
