/** The examples: as modules, and as programs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

import { CHECKOUT, type Ended } from './capture.js';

const EXAMPLES = join(CHECKOUT, 'examples');

/** What an example exports. */
export function loadExample(file: string): Promise<any> {
  return import(pathToFileURL(join(EXAMPLES, file)).href);
}

/** Runs an example to its end. `onLine` sees what it prints, and may signal it. */
export async function runExample(
  file: string,
  args: string[] = [],
  onLine: (line: string, child: ChildProcess) => void = () => {},
): Promise<Ended> {
  const child = spawn(process.execPath, [join(EXAMPLES, file), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  try {
    const exit = once(child, 'exit');
    createInterface(child.stdout).on('line', (line) => onLine(line, child));
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    const [code, signal] = await exit;
    return { code, signal, stdout, stderr };
  } finally {
    child.kill('SIGKILL');
  }
}
