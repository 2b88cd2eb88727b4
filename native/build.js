/**
 * Builds the addon from the source in the package, where no prebuilt binary fits:
 *
 *   node node_modules/ringloop/native/build.js
 *
 * Facts. The package has no dependencies, and node-gyp and node-addon-api are needed for this
 * alone. Most machines never run it.
 * Decision. Both are installed into a temporary folder, together with a copy of the source; only
 * the binary comes back, to prebuilds/<platform>-<arch>/. Nothing else in node_modules changes.
 * Cost. npm's registry must be reachable. The headers are those beside the running Node, if they
 * are there; else node-gyp downloads them.
 */
'use strict';
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const { tmpdir } = require('node:os');
const { delimiter, dirname, join } = require('node:path');

const { PACKAGE_ROOT, TARGET, loadFailure, placeBinary } = require('./prebuild.js');

/** The last line of node-gyp that takes every Node this package takes. */
const NODE_GYP = '^12.1.0';
const PLATFORMS = ['linux', 'darwin', 'freebsd', 'openbsd', 'netbsd'];

/** What went wrong, in one sentence for people; anything else is a bug and keeps its stack. */
class BuildError extends Error {}

function say(message) {
  console.log(`ringloop: ${message}`);
}

/** The recipe: in the checkout's root, and in dist/ of the package. */
function recipe() {
  const places = [join(PACKAGE_ROOT, 'binding.gyp'), join(PACKAGE_ROOT, 'dist', 'binding.gyp')];
  const found = places.find((path) => fs.existsSync(path));
  if (found === undefined) {
    throw new BuildError(`${places[1]} is missing: the package is not complete, install it again`);
  }
  return found;
}

/** A project of its own: the source, the recipe, and the two packages the build needs. */
function writeProject(folder) {
  const { devDependencies } = require(join(PACKAGE_ROOT, 'package.json'));
  const manifest = {
    private: true,
    scripts: { rebuild: 'node-gyp rebuild --release' },
    dependencies: {
      'node-addon-api': devDependencies['node-addon-api'],
      'node-gyp': NODE_GYP,
    },
  };
  fs.copyFileSync(recipe(), join(folder, 'binding.gyp'));
  fs.cpSync(join(PACKAGE_ROOT, 'native'), join(folder, 'native'), { recursive: true });
  fs.writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
}

/** Headers that came with the running Node fit it exactly and need no network. */
function headerArguments() {
  const prefix = join(dirname(process.execPath), '..');
  const there = fs.existsSync(join(prefix, 'include', 'node', 'node_api.h'));
  return there ? ['--', `--nodedir=${prefix}`] : [];
}

/** npm, with the Node that runs this first in the path. */
function npm(folder, args, failed) {
  const path = `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ''}`;
  const { error, signal, status } = spawnSync('npm', args, {
    cwd: folder,
    env: { ...process.env, PATH: path },
    stdio: 'inherit',
  });
  if (error?.code === 'ENOENT') throw new BuildError('npm is needed, and is not in the PATH');
  if (error !== undefined) throw error;
  if (status !== 0) throw new BuildError(`${failed} (npm ended with ${signal ?? status})`);
}

function place(built) {
  try {
    return placeBinary(built);
  } catch (error) {
    if (!['EACCES', 'EPERM', 'EROFS'].includes(error.code)) throw error;
    throw new BuildError(`the binary was built, but cannot be written: ${error.message}`);
  }
}

function build(folder) {
  say(`building the native core for ${TARGET} with Node.js ${process.version} in ${folder}`);
  writeProject(folder);
  npm(
    folder,
    ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'],
    'node-gyp and node-addon-api could not be installed: is the npm registry reachable?',
  );
  npm(
    folder,
    ['run', 'rebuild', ...headerArguments()],
    'the compiler did not succeed: Python 3, make and a C++20 compiler are needed',
  );
  const placed = place(join(folder, 'build', 'Release', 'ringloop.node'));
  const failure = loadFailure(placed);
  if (failure !== null) throw new BuildError(`${placed} was built, but does not load:\n${failure}`);
  say(`built ${placed}`);
}

function main() {
  if (!PLATFORMS.includes(process.platform)) {
    throw new BuildError(
      `the native core has no selector for ${process.platform}: nothing to build`,
    );
  }
  const folder = fs.mkdtempSync(join(tmpdir(), 'ringloop-build-'));
  try {
    build(folder);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

try {
  main();
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(`ringloop: ${error.message}`);
  process.exitCode = 1;
}
