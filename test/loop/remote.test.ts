import assert from 'node:assert/strict';
import { once } from 'node:events';
import { threadId } from 'node:worker_threads';

import { callRemote, EventLoop, getEventLoop, type RemoteAddress } from 'ringloop';
import { runProgram, turnOfNode } from '../support/capture.js';
import { messageOf, runWorker, startWorker } from '../support/workers.js';

const loop = getEventLoop();

async function someTurns(): Promise<void> {
  for (let i = 0; i < 4; i++) await turnOfNode();
}

describe('createRemote and callRemote', () => {
  it('call back once for each call, from the same thread too', async () => {
    let calls = 0;
    const remote = loop.createRemote(() => calls++);
    assert.equal(callRemote(remote.address), true);
    assert.equal(callRemote(remote.address), true);
    assert.equal(calls, 0);
    await someTurns();
    assert.equal(calls, 2);
    remote.close();
  });

  it('call back on the thread that made the callback when a worker calls', async () => {
    let remote: ReturnType<typeof loop.createRemote>;
    const called = new Promise((resolve) => {
      remote = loop.createRemote(() => resolve(threadId));
    });
    const workerData = remote!.address;
    const posted = await runWorker('parentPort.postMessage(ringloop.callRemote(workerData));', {
      workerData,
    });
    assert.deepEqual(posted, [true]);
    assert.equal(await called, threadId);
    remote!.close();
  });

  it('reach the loop of a worker', async () => {
    const worker = startWorker(`
      const loop = ringloop.getEventLoop();
      const remote = loop.createRemote(() => {
        parentPort.postMessage('called');
        remote.close();
      });
      parentPort.postMessage(remote.address);
    `);
    const exited = once(worker, 'exit');
    const address = (await messageOf(worker)) as RemoteAddress;
    const called = messageOf(worker);
    assert.equal(callRemote(address), true);
    assert.equal(await called, 'called');
    await exited;
    assert.equal(callRemote(address), false);
  });

  it('lose no call of a burst that is larger than any queue', async () => {
    const COUNT = 20_000;
    let calls = 0;
    let remote: ReturnType<typeof loop.createRemote>;
    const all = new Promise<void>((resolve) => {
      remote = loop.createRemote(() => {
        if (++calls === COUNT) resolve();
      });
    });
    const workerData = { address: remote!.address, count: COUNT };
    await runWorker(
      'for (let i = 0; i < workerData.count; i++) ringloop.callRemote(workerData.address);',
      { workerData },
    );
    await all;
    await someTurns();
    assert.equal(calls, COUNT);
    remote!.close();
  });

  it('keep the order of the calls of one thread', async () => {
    const seen: string[] = [];
    const a = loop.createRemote(() => seen.push('a'));
    const b = loop.createRemote(() => seen.push('b'));
    for (const remote of [a, b, b, a, b]) callRemote(remote.address);
    await someTurns();
    assert.deepEqual(seen, ['a', 'b', 'b', 'a', 'b']);
    a.close();
    b.close();
  });

  it('do nothing for a remote that was closed, also when the call was on its way', async () => {
    let calls = 0;
    const remote = loop.createRemote(() => calls++);
    callRemote(remote.address);
    remote.close();
    remote.close();
    assert.equal(callRemote(remote.address), true);
    await someTurns();
    assert.equal(calls, 0);
  });

  it('return false when the loop has been closed', () => {
    const other = new EventLoop();
    const { address } = other.createRemote(() => {});
    assert.equal(callRemote(address), true);
    other.close();
    assert.equal(callRemote(address), false);
  });

  it('close the remote at the end of a using block', async () => {
    let calls = 0;
    let address: RemoteAddress;
    {
      using remote = loop.createRemote(() => calls++);
      address = remote.address;
    }
    callRemote(address);
    await someTurns();
    assert.equal(calls, 0);
  });

  it('have an address that is a plain value', () => {
    using remote = loop.createRemote(() => {});
    assert.deepEqual(structuredClone(remote.address), remote.address);
    assert.deepEqual(JSON.parse(JSON.stringify(remote.address)), remote.address);
  });

  it('refuse what is no address', () => {
    for (const address of [null, undefined, 5, {}, { loop: 1 }, { loop: 1.5, callback: 1 }]) {
      assert.throws(() => callRemote(address as never), { name: 'TypeError', message: /address/ });
    }
  });

  it('do not take a number that is too large for one of a loop', () => {
    let calls = 0;
    using remote = loop.createRemote(() => calls++);
    const { address } = remote;
    const far = { ...address, loop: address.loop + 2 ** 32 };
    let reached: boolean | string;
    try {
      reached = callRemote(far);
    } catch (error) {
      reached = (error as Error).name;
    }
    assert.ok(reached === false || reached === 'TypeError', `reached: ${reached}`);
    assert.equal(calls, 0);
  });

  it('keep the process alive until the remote is closed', async () => {
    const { stdout, code } = await runProgram(`
      const remote = ringloop.getEventLoop().createRemote(() => {});
      setTimeout(() => { console.log('still here'); remote.close(); }, 20).unref();
    `);
    assert.equal(stdout, 'still here\n');
    assert.equal(code, 0);
  });
});
