/**
 * The addon under hostile values, in processes of their own: a crash is seen, and can be replayed by
 * the command that the failure names. `RINGLOOP_HEAVY=1` tries many more.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

const FUZZER = join(__dirname, '..', 'support', 'addon-fuzzer.js');
const HEAVY = process.env['RINGLOOP_HEAVY'] === '1';
const SEEDS = HEAVY ? 300 : 6;
const OPERATIONS = HEAVY ? 50_000 : 8_000;

describe('the addon under hostile values', function () {
  this.timeout(SEEDS * 60_000);

  for (let seed = 1; seed <= SEEDS; seed++) {
    it(`answers with a result or an error, and lives: seed ${seed}`, async () => {
      const args = ['--expose-gc', FUZZER, String(seed), String(OPERATIONS)];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
      const [said, [code, signal]] = await Promise.all([text(child.stderr), once(child, 'close')]);
      const replay = `node ${args.join(' ')} /tmp/journal`;
      assert.deepEqual({ code, signal }, { code: 0, signal: null }, `${replay}\n${said}`);
    });
  }
});
