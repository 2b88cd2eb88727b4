// Whether a file was started, or imported by another one.
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export function isProgram(moduleUrl) {
  const started = process.argv[1];
  return started !== undefined && realpathSync(started) === fileURLToPath(moduleUrl);
}
