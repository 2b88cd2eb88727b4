/**
 * Loads the addon: the one that was built in the checkout, or the prebuilt one of the package.
 *
 * Facts. npm 12, pnpm and Bun run no install scripts, so the binary must be in the package. Under
 * Bun every `uv_*` call ends the process, so the addon must not be reached there.
 * Decision. Two places are looked at, the fresh build first. Where neither fits, the error says in
 * one sentence what is wrong and which command builds the addon from the package's own source.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import type { CoreModule } from './core.js';

/** The folder with package.json, from dist/core/. */
const PACKAGE_ROOT = join(__dirname, '..', '..');
const TARGET = `${process.platform}-${process.arch}`;
const CANDIDATES = [
  join(PACKAGE_ROOT, 'build', 'Release', 'ringloop.node'),
  join(PACKAGE_ROOT, 'prebuilds', TARGET, 'ringloop.node'),
];

/** An error of which programs can ask `code`, and people can read the one sentence. */
function loadError(message: string, cause?: unknown): Error {
  const error = new Error(message, cause === undefined ? undefined : { cause });
  return Object.assign(error, { code: 'ERR_RINGLOOP_CORE' });
}

/** The command that builds the addon, fit to be pasted into a shell. */
function buildCommand(): string {
  const script = join(PACKAGE_ROOT, 'native', 'build.js');
  return `node ${/^[\w./@+:-]+$/.test(script) ? script : `"${script}"`}`;
}

function noBinary(): Error {
  return loadError(
    `ringloop has no native core for ${TARGET} with Node.js ${process.version} in its package: ` +
      `build it with \`${buildCommand()}\` (needs Python 3, make and a C++20 compiler).`,
  );
}

function binaryFails(path: string, cause: unknown): Error {
  const [reason] = String((cause as Error | undefined)?.message ?? cause).split('\n');
  return loadError(
    `ringloop's native core ${path} does not load on ${TARGET} with Node.js ${process.version} ` +
      `(${reason}): build another one with \`${buildCommand()}\` ` +
      '(needs Python 3, make and a C++20 compiler).',
    cause,
  );
}

/** Under `--permission` nothing is wrong with the addon, and no build would help. */
function forbidden(path: string, cause?: unknown): Error {
  const [flag, what] =
    cause === undefined
      ? [`--allow-fs-read=${path}`, 'may not read its native core']
      : ['--allow-addons', 'may not load its native core, which is an addon'];
  return loadError(
    `ringloop ${what}: Node.js runs with the permission model, start it with \`${flag}\` as well.`,
    cause,
  );
}

/** Whether the permission model hides a file, which then seems not to exist. */
function isHidden(path: string): boolean {
  const { permission } = process as { permission?: { has(scope: string, path: string): boolean } };
  return permission?.has('fs.read', path) === false;
}

function load(): CoreModule {
  if (process.versions['bun'] !== undefined) {
    throw loadError(
      `ringloop needs Node.js, this is Bun ${process.versions['bun']} on ${TARGET}: ` +
        'its native core runs on libuv, which Bun does not offer.',
    );
  }
  let failure: Error | undefined;
  for (const path of CANDIDATES) {
    if (isHidden(path)) {
      failure ??= forbidden(path);
      continue;
    }
    if (!existsSync(path)) continue;
    try {
      return require(path) as CoreModule;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_DLOPEN_DISABLED') {
        throw forbidden(path, error);
      }
      failure ??= binaryFails(path, error);
    }
  }
  throw failure ?? noBinary();
}

export const coreModule: CoreModule = load();
export const layout = coreModule.layout;
