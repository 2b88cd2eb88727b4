/** Programs that must run in a process of their own: how they end is what is tested. */
import { execFile } from 'node:child_process';

export interface Ending {
  code: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs a CommonJS program that finds ringloop as `ringloop`, and waits for its end.
 *
 * @param source - the program's text
 * @param options - `shell`: a command in front, such as `ulimit -n 20;`; `env`: added to ours
 */
export function runProgram(
  source: string,
  options: { shell?: string; env?: Record<string, string>; timeoutMs?: number } = {},
): Promise<Ending> {
  const { shell = '', env = {}, timeoutMs = 20_000 } = options;
  const command = `${shell} exec "$NODE" --expose-gc -e "$SOURCE"`;
  return new Promise((resolve) => {
    execFile(
      'bash',
      ['-c', command],
      {
        cwd: process.cwd(),
        timeout: timeoutMs,
        env: { ...process.env, ...env, NODE: process.execPath, SOURCE: source },
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code, stdout: stdout.trim(), stderr });
      },
    );
  });
}
