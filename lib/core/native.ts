/**
 * Loads the addon: the prebuilt one of the package, or the one that was built in the checkout.
 *
 * Facts. npm 12, pnpm and Bun run no install scripts, so the binary must be in the package. Under
 * Bun every `uv_*` call ends the process, so the addon must not be reached there.
 * Decision. Two places are looked at, the fresh build first. Where neither fits, the error says in
 * one sentence how to get one.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import type { CoreModule } from './core.js';

/** The folder with package.json, from dist/core/. */
const PACKAGE_ROOT = join(__dirname, '..', '..');
const TARGET = `${process.platform}-${process.arch}`;

function load(): CoreModule {
  if (process.versions['bun'] !== undefined) {
    throw new Error('ringloop needs Node.js: its native core uses libuv, which Bun does not offer');
  }
  const candidates = [
    join(PACKAGE_ROOT, 'build', 'Release', 'ringloop.node'),
    join(PACKAGE_ROOT, 'prebuilds', TARGET, 'ringloop.node'),
  ];
  let cause: unknown;
  for (const path of candidates) {
    if (!existsSync(path)) continue;
    try {
      return require(path) as CoreModule;
    } catch (error) {
      cause = error;
    }
  }
  throw new Error(
    `ringloop has no native core that loads on ${TARGET} with Node.js ${process.version}; ` +
      `build it with "node ${join(PACKAGE_ROOT, 'native', 'build.js')}" (needs python3 and a C++20 compiler)`,
    { cause },
  );
}

export const coreModule: CoreModule = load();
export const layout = coreModule.layout;
