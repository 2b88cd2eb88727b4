// The compiled test suite under every supported Node, and one line about each.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import versions from '../../.build/test/support/node-versions.js';

const { CHECKOUT, NODE_VERSIONS, nodeBinary } = versions;
const MOCHA = join(CHECKOUT, 'node_modules', 'mocha', 'bin', 'mocha.js');

/** A test that failed may leave something behind that keeps the process alive. */
const PATIENCE_MS = 15 * 60_000;

/** The line that scripts can read: `12 passed, 0 failed`. */
const summaryOf = (output) => output.match(/^\d+ passed, \d+ failed.*$/m)?.[0];

const lines = [];
for (const wanted of NODE_VERSIONS) {
  const node = await nodeBinary(wanted);
  if ('missing' in node) {
    lines.push(`Node ${wanted}: not run, ${node.missing}`);
    continue;
  }
  const { stdout: version } = spawnSync(node.path, ['--version'], { encoding: 'utf8' });
  const { status, signal, stdout, stderr } = spawnSync(
    node.path,
    [MOCHA, ...process.argv.slice(2)],
    { cwd: CHECKOUT, encoding: 'utf8', maxBuffer: Infinity, timeout: PATIENCE_MS },
  );
  if (status !== 0) {
    process.stdout.write(stdout + stderr);
    process.exitCode = 1;
  }
  const summary = summaryOf(stdout) ?? 'no summary';
  lines.push(`Node ${version.trim()}: ${summary}${status === 0 ? '' : ` (${signal ?? status})`}`);
}
console.log(lines.join('\n'));
