/** The example of two tasks that change one account. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { CHECKOUT, runBareProgram } from '../support/capture.js';

describe('examples/lost-update.mjs', () => {
  it('loses a withdrawal without the lock, and none with it', async () => {
    const source = readFileSync(join(CHECKOUT, 'examples', 'lost-update.mjs'), 'utf8');
    const ended = await runBareProgram(source, { flags: ['--input-type=module'] });
    assert.deepEqual(ended, {
      code: 0,
      signal: null,
      stdout: 'without a lock: 50, and 30 were lost\nwith a lock: 20\n',
      stderr: '',
    });
  });
});
