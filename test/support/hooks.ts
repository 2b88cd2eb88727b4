/**
 * After each test everything is back at zero: callbacks, timers, fds, tasks, sockets.
 *
 *   RINGLOOP_FAULTS=7,300,0,0    system calls fail on demand in every test: a seed, and how many of
 *                                a thousand are interrupted, find nothing, and do less than asked
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';

import { allTasks, getEventLoop } from 'ringloop';
import { openSockets } from './open-sockets.js';

/** Child processes and workers are gone some turns after the test has heard of their end. */
const PATIENCE_TURNS = 200;

const FAULTS = process.env['RINGLOOP_FAULTS']?.split(',').map(Number);
const CORE = join(__dirname, '..', '..', '..', 'dist', 'core', 'native.js');

let socketsBefore: string[] = [];

async function socketsLeftOpen(): Promise<string[]> {
  const before = new Set(socketsBefore);
  for (let turn = 0; ; turn++) {
    const left = openSockets().filter((socket) => !before.has(socket));
    if (left.length === 0 || turn === PATIENCE_TURNS) return left;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export const mochaHooks = {
  beforeEach(): void {
    socketsBefore = openSockets();
    if (FAULTS !== undefined) require(CORE).coreModule.sockets.injectFaults(...FAULTS);
  },

  async afterEach(): Promise<void> {
    // What the test settled last may still be on its way through the loop.
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    const { ready, timers, watchers } = getEventLoop().statistics();
    const tasks = [...allTasks()].map((task) => task.name);
    assert.deepEqual(
      { ready, timers, watchers, tasks, sockets: await socketsLeftOpen() },
      { ready: 0, timers: 0, watchers: 0, tasks: [], sockets: [] },
    );
  },
};
