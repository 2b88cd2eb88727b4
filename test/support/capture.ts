/** What a loop reports, what the console shows, what a process does: caught, to be looked at. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { type EventLoop, type ExceptionContext, getEventLoop } from 'ringloop';

export const CHECKOUT = join(__dirname, '..', '..', '..');
/** What `require('ringloop')` loads, for code that runs elsewhere. */
export const RINGLOOP = join(CHECKOUT, 'dist', 'index.js');

/** Runs `body` with a list of everything the loop's exception handler is told meanwhile. */
export async function withReports<T>(
  body: (reports: ExceptionContext[]) => T | Promise<T>,
  loop: EventLoop = getEventLoop(),
): Promise<T> {
  const reports: ExceptionContext[] = [];
  const before = loop.getExceptionHandler();
  loop.setExceptionHandler((report) => void reports.push(report));
  try {
    return await body(reports);
  } finally {
    loop.setExceptionHandler(before);
  }
}

/** Runs `body` with a list of everything that is written with one method of the console. */
export async function withConsole<T>(
  method: 'error' | 'warn',
  body: (lines: unknown[][]) => T | Promise<T>,
): Promise<T> {
  const lines: unknown[][] = [];
  const before = console[method];
  console[method] = (...args: unknown[]) => void lines.push(args);
  try {
    return await body(lines);
  } finally {
    console[method] = before;
  }
}

/** Runs `body` with a list of the promises that were rejected and caught by nobody. */
export async function withUnhandledRejections<T>(
  body: (errors: unknown[]) => T | Promise<T>,
): Promise<T> {
  const errors: unknown[] = [];
  const before = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', (error) => void errors.push(error));
  try {
    return await body(errors);
  } finally {
    await turnOfNode();
    process.removeAllListeners('unhandledRejection');
    for (const listener of before) process.on('unhandledRejection', listener);
  }
}

/** A few turns of libuv: what is ready now has happened, though the loop's budget be used up. */
export async function turnOfNode(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** What cannot be reached is gone, and its finalizers have run. */
export async function collectGarbage(until: () => boolean = () => false): Promise<void> {
  for (let i = 0; i < 10 && !until(); i++) {
    await turnOfNode(); // what a WeakRef showed is kept until the end of the turn
    global.gc!();
    await turnOfNode();
  }
}

/** How a child process ended. */
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface ChildOptions {
  flags?: string[];
  env?: Record<string, string>;
  /** What the shell does first, such as `ulimit -n 50`. */
  shell?: string;
  /** It is killed after this. */
  timeoutMs?: number;
}

/** Runs a program in a process of its own, where `ringloop` is loaded already. */
export function runProgram(source: string, options: ChildOptions = {}): Promise<Ended> {
  return runBareProgram(`const ringloop = require(${JSON.stringify(RINGLOOP)});${source}`, options);
}

/** Runs a program in a process of its own. */
export async function runBareProgram(source: string, options: ChildOptions = {}): Promise<Ended> {
  const { flags = [], env = {}, shell, timeoutMs = 15_000 } = options;
  const args = [...flags, '-e', source];
  const spawnOptions = { env: { ...process.env, ...env }, timeout: timeoutMs };
  const child =
    shell === undefined
      ? spawn(process.execPath, args, spawnOptions)
      : spawn('sh', ['-c', `${shell}; exec "$0" "$@"`, process.execPath, ...args], spawnOptions);
  const ended = new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.on('close', (code, signal) => resolve([code, signal]));
    child.on('error', reject);
  });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code, signal] = await ended;
  return { code, signal, stdout, stderr };
}
