import assert from 'node:assert/strict';

import { differential } from './differential.js';
import { Oracle } from './oracle.js';

const PROFILES = ['core', 'cancel', 'groups', 'sync', 'queues', 'mixed'];

describe('random programs on CPython 3.14 and here', function () {
  this.timeout(120_000);
  let oracle: Oracle;
  before(async () => {
    oracle = await Oracle.start();
  });

  for (const async of [false, true]) {
    const kind = async ? 'async functions' : 'generators';
    it(`leave the same traces with ${kind}`, async () => {
      const reports: string[] = [];
      const options = { from: 1, to: 60, profiles: PROFILES, async };
      const result = await differential(oracle, {
        ...options,
        report: (text) => reports.push(text),
      });
      assert.equal(result.different, 0, reports.join('\n'));
      assert.ok(result.compared > 150, `only ${result.compared} programs were compared`);
    });
  }
});
