/**
 * Puts the addon that was just built where the package carries it.
 *
 *   build/Release/ringloop.node -> prebuilds/<platform>-<arch>/ringloop.node
 *   binding.gyp                 -> dist/binding.gyp
 *
 * Facts. Package managers run no install scripts any more, so the binary travels in the tarball. A
 * binding.gyp in the root of a tarball makes npm build, or warn, on every install; below the root
 * it does not.
 * Decision. One binary for each platform serves every Node, for it speaks Node-API. It is stripped
 * on Linux only: Apple's linker signs what it writes, and stripping would break the signature. The
 * recipe goes along under dist/, where build.js finds it.
 */
'use strict';
const { spawnSync } = require('node:child_process');
const { copyFileSync, mkdirSync, renameSync, rmSync } = require('node:fs');
const { dirname, join } = require('node:path');

const PACKAGE_ROOT = join(__dirname, '..');
const TARGET = `${process.platform}-${process.arch}`;
const PREBUILT = join(PACKAGE_ROOT, 'prebuilds', TARGET, 'ringloop.node');

/** A binary with symbols works as well, so a machine without `strip` is no reason to fail. */
function strip(path) {
  if (process.platform !== 'linux') return;
  spawnSync('strip', ['--strip-unneeded', path], { stdio: 'ignore' });
}

/**
 * Copies a built addon into prebuilds/.
 *
 * By rename: a process that has the old file loaded keeps it, and nobody sees half a file.
 */
function placeBinary(built) {
  const temporary = `${PREBUILT}.${process.pid}`;
  mkdirSync(dirname(PREBUILT), { recursive: true });
  try {
    copyFileSync(built, temporary);
    strip(temporary);
    renameSync(temporary, PREBUILT);
  } finally {
    rmSync(temporary, { force: true });
  }
  return PREBUILT;
}

/** The error with which a binary does not load in this Node, or null. */
function loadFailure(path) {
  const { status, stderr } = spawnSync(
    process.execPath,
    ['-e', `require(${JSON.stringify(path)})`],
    {
      encoding: 'utf8',
    },
  );
  return status === 0 ? null : stderr;
}

module.exports = { PACKAGE_ROOT, TARGET, loadFailure, placeBinary };

if (require.main === module) {
  const placed = placeBinary(join(PACKAGE_ROOT, 'build', 'Release', 'ringloop.node'));
  const failure = loadFailure(placed);
  if (failure !== null) throw new Error(`${placed} does not load:\n${failure}`);
  mkdirSync(join(PACKAGE_ROOT, 'dist'), { recursive: true });
  copyFileSync(join(PACKAGE_ROOT, 'binding.gyp'), join(PACKAGE_ROOT, 'dist', 'binding.gyp'));
}
