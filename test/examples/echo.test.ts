/** The smallest server with a client: who does what, and when. */
import assert from 'node:assert/strict';

import { runExample } from '../support/examples.js';

describe('examples/echo.mjs', () => {
  it('echoes two lines, and both sides come to an end', async () => {
    assert.deepEqual(await runExample('echo.mjs'), {
      code: 0,
      signal: null,
      stdout: `\
server: somebody is there
server: got Hello
client: got Hello back
server: got World
client: got World back
client: closed
server: nothing more will come
server: closed
`,
      stderr: '',
    });
  });
});
