/** Worker threads that share a port: all of them serve, and nothing is lost. Not how fast. */
import assert from 'node:assert/strict';

import { run } from 'ringloop';
import { loadExample, runExample } from '../support/examples.js';

const CONNECTIONS = 40; // that all of them go to one of two workers happens in no test
const LITTLE_WORK = 1;

interface Measured {
  served: number[];
  answered: Map<string, number>;
}

type Measure = (workers: number, how: object) => Generator<unknown, Measured, any>;

const ascending = (numbers: Iterable<number>): number[] => [...numbers].sort((a, b) => a - b);

describe('examples/many-cores.mjs', () => {
  it('shares the connections among the workers, and counts the same on both sides', async () => {
    const { measure }: { measure: Measure } = await loadExample('many-cores.mjs');
    const how = { requests: 10 * CONNECTIONS, connections: CONNECTIONS, rounds: LITTLE_WORK };
    const { served, answered } = await run(measure(2, how));
    assert.equal(served.length, 2);
    assert.ok(
      served.every((count) => count > 0),
      served.join(),
    );
    assert.equal(served[0]! + served[1]!, 10 * CONNECTIONS);
    assert.deepEqual(ascending(answered.values()), ascending(served));
  });

  it('compares as a program, and exits by itself', async () => {
    const { code, stdout, stderr } = await runExample('many-cores.mjs', ['3', '200']);
    assert.deepEqual([code, stderr], [0, '']);
    const [one, three, times] = stdout.split('\n');
    assert.match(one!, /^1 worker: \d+ requests a second \(\d+\)$/);
    assert.match(three!, /^3 workers: \d+ requests a second \(\d+ \+ \d+ \+ \d+\)$/);
    assert.match(times!, /^\d+\.\d\d times as many$/);
  });
});
