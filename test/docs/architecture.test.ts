import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import { CHECKOUT } from '../support/capture.js';

const TEXT = readFileSync(join(CHECKOUT, 'ARCHITECTURE.md'), 'utf8');

function filesOf(...folders: string[]): string[] {
  return folders
    .flatMap((folder) => readdirSync(join(CHECKOUT, folder), { recursive: true, encoding: 'utf8' }))
    .map((path) => basename(path));
}

/** The files that the page names. */
function named(): string[] {
  return [...TEXT.matchAll(/`(?:[\w/]+\/)?([\w.-]+\.(?:m?ts|h|cc|json|gyp))`/g)].map(
    (each) => each[1]!,
  );
}

describe('ARCHITECTURE.md', () => {
  it('names no file that does not exist', () => {
    const nodes = ['napi.h', 'uv.h'];
    const there = new Set([...filesOf('lib', 'native'), ...readdirSync(CHECKOUT), ...nodes]);
    assert.deepEqual(
      named().filter((file) => !there.has(file)),
      [],
    );
  });

  it('has every file of lib/ on its map', () => {
    const on = new Set(named());
    const files = filesOf('lib').filter((file) => /\.m?ts$/.test(file));
    assert.ok(files.length > 90);
    assert.deepEqual(
      files.filter((file) => !on.has(file)),
      [],
    );
  });
});
