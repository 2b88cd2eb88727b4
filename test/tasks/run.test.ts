import assert from 'node:assert/strict';

import { createTask, run, sleep } from 'ringloop';

describe('run', () => {
  it('returns what a generator coroutine returns', async () => {
    assert.equal(
      await run(function* () {
        yield* sleep(1);
        return 42;
      }),
      42,
    );
  });

  it('returns what an async function returns', async () => {
    assert.equal(await run(async () => sleep(1, 'done')), 'done');
  });

  it('cancels what it spawned and did not await, and waits for it', async () => {
    const seen: string[] = [];
    await run(function* () {
      createTask(function* () {
        try {
          yield* sleep(60_000);
        } finally {
          seen.push('cleaned up');
        }
      });
      yield* sleep(0);
      seen.push('main ends');
    });
    assert.deepEqual(seen, ['main ends', 'cleaned up']);
  });
});
