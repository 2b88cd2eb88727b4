/** The guide: every program in it runs and prints what the page says, and no word is left out. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { CHECKOUT, type Ended } from '../support/capture.js';
import { brokenLinks, readPages, runAll, type Snippet, snippetsOf } from './snippets.js';

/** What lib/index.ts exports, types included. */
function publicWords(): string[] {
  const index = readFileSync(join(CHECKOUT, 'lib', 'index.ts'), 'utf8');
  const lists = [...index.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].map(([, list]) => list!);
  return lists.flatMap((list) =>
    list
      .split(',')
      .map((word) => word.replace(/^\s*type\s/, '').trim())
      .filter((word) => word !== ''),
  );
}

function testsIn(file: string): string {
  const folder = ['tasks', 'sync'].find((each) => existsSync(join(CHECKOUT, 'test', each, file)));
  return folder === undefined ? '' : readFileSync(join(CHECKOUT, 'test', folder, file), 'utf8');
}

describe('docs/guide', function () {
  this.timeout(180_000);
  const pages = readPages();
  const snippets = pages.map((page) => [page, snippetsOf(page)] as const);
  let endings: Map<Snippet, Promise<Ended>>;

  before(async () => {
    endings = runAll(snippets.flatMap(([, ofPage]) => ofPage));
    // Each is looked at by a test of its own, later.
    await Promise.allSettled(endings.values());
  });

  it('has every public word on some page', () => {
    const text = pages.map((page) => page.text).join('\n');
    const words = publicWords();
    assert.ok(words.length > 100 && words.includes('gather') && words.includes('Awaitable'));
    const missing = words.filter((word) => !new RegExp(`\\b${word}\\b`).test(text));
    assert.deepEqual(missing, []);
  });

  it('lists every page in its README', () => {
    const { text } = pages.find(({ name }) => name === 'README.md')!;
    const missing = pages.filter(({ name }) => name !== 'README.md' && !text.includes(`(${name})`));
    assert.deepEqual(missing, []);
  });

  it('names tests that exist, where rules are said to be tested', () => {
    const { text } = pages.find(({ name }) => name === '../cancellation.md')!;
    const rows = [...text.matchAll(/^\| \d+ \| ([\w-]+\.test\.ts) \| (.+) \|$/gm)];
    assert.ok(rows.length > 30);
    const missing = rows.filter(([, file, title]) => !testsIn(file!).includes(title!));
    assert.deepEqual(missing, []);
  });

  for (const [page, ofPage] of snippets) {
    describe(page.name, () => {
      it('begins with a program', () => {
        assert.match(page.text, /^# .*\n\n(?:[^\n`]+\n){0,4}\n?```(js|ts)/);
      });

      it('has no link that leads nowhere', () => assert.deepEqual(brokenLinks(page), []));

      for (const snippet of ofPage) {
        it(`the program in line ${snippet.line} prints what the page says`, async () => {
          const { code, signal, stdout, stderr } = await endings.get(snippet)!;
          const expected = { code: 0, signal: null, stdout: snippet.output ?? '', stderr: '' };
          assert.deepEqual({ code, signal, stdout, stderr }, expected);
        });
      }
    });
  }
});
