/** After each test everything is back at zero: callbacks, timers, fds, tasks. */
import assert from 'node:assert/strict';

import { allTasks, getEventLoop } from 'ringloop';

export const mochaHooks = {
  async afterEach(): Promise<void> {
    // What the test settled last may still be on its way through the loop.
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    const { ready, timers, watchers } = getEventLoop().statistics();
    const tasks = [...allTasks()].map((task) => task.name);
    assert.deepEqual(
      { ready, timers, watchers, tasks },
      { ready: 0, timers: 0, watchers: 0, tasks: [] },
    );
  },
};
