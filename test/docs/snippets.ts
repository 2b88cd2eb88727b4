/**
 * The programs in docs/guide and docs/cancellation.md, and how they are run.
 *
 * Facts. A page shows complete programs: blocks fenced as js or ts, each followed, if it prints, by
 * a block fenced as text. `using` is syntax only from Node 24 on; everything else runs on Node 20.
 * Decision. A program is text for `node --input-type=module`, started in the checkout, where the
 * package finds itself as `ringloop`. What this Node cannot parse (types, `using`) is compiled
 * first, all of it by one tsc.
 */
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';

import { CHECKOUT, type Ended, runBareProgram } from '../support/capture.js';

export const GUIDE = join(CHECKOUT, 'docs', 'guide');
const BUILD = join(CHECKOUT, '.build');
const TSC = join(CHECKOUT, 'node_modules', 'typescript', 'bin', 'tsc');
const AT_ONCE = 4;

export interface Page {
  /** Seen from the guide: `locks.md`, `../cancellation.md`. */
  name: string;
  text: string;
}

/** One block that is run. */
export interface Snippet {
  page: string;
  /** Of its first line, in the page. */
  line: number;
  /** What stands behind the fence: `js`, `js using`, `ts`. */
  language: string;
  source: string;
  /** What it must print; undefined: nothing. */
  output: string | undefined;
}

export function readPages(): Page[] {
  const names = readdirSync(GUIDE).filter((name) => name.endsWith('.md'));
  return [...names, '../cancellation.md'].map((name) => ({
    name,
    text: readFileSync(join(GUIDE, name), 'utf8'),
  }));
}

interface Block {
  language: string;
  line: number;
  source: string;
}

function blocksOf(text: string): Block[] {
  const blocks: Block[] = [];
  let open: Block | null = null;
  for (const [i, line] of text.split('\n').entries()) {
    const fence = /^```(.*)$/.exec(line);
    if (fence === null) {
      if (open !== null) open.source += `${line}\n`;
    } else if (open === null) open = { language: fence[1]!, line: i + 2, source: '' };
    else {
      blocks.push(open);
      open = null;
    }
  }
  if (open !== null) throw new Error(`the block that begins in line ${open.line} has no end`);
  return blocks;
}

export function snippetsOf({ name, text }: Page): Snippet[] {
  const blocks = blocksOf(text);
  return blocks.flatMap(({ language, line, source }, i) => {
    if (!/^(js|ts)\b/.test(language)) return [];
    const next = blocks[i + 1];
    const output = next?.language === 'text' ? next.source : undefined;
    return [{ page: name, line, language, source, output }];
  });
}

function parsesUsing(): boolean {
  try {
    new Function('using nothing = null;');
    return true;
  } catch {
    return false;
  }
}

/** Those that this Node takes as they are stay as they are. */
async function compileAll(snippets: Snippet[]): Promise<Map<Snippet, string>> {
  const usable = parsesUsing();
  const compiled = new Map(snippets.map((snippet) => [snippet, snippet.source]));
  const rest = snippets.filter(
    ({ language }) => language.startsWith('ts') || (language === 'js using' && !usable),
  );
  if (rest.length === 0) return compiled;
  mkdirSync(BUILD, { recursive: true });
  const folder = mkdtempSync(join(BUILD, 'guide-'));
  try {
    const stems = rest.map(({ page, line }) => `${basename(page, '.md')}-${line}`);
    const files = rest.map(({ language }, i) =>
      join(folder, `${stems[i]}${language.startsWith('ts') ? '.mts' : '.mjs'}`),
    );
    for (const [i, { source }] of rest.entries()) writeFileSync(files[i]!, source);
    await compile(folder, files);
    for (const [i, snippet] of rest.entries()) {
      compiled.set(snippet, readFileSync(join(folder, 'out', `${stems[i]}.mjs`), 'utf8'));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return compiled;
}

/** As strictly as TypeScript can, and with the types of the package. */
async function compile(folder: string, files: string[]): Promise<void> {
  const compilerOptions = {
    strict: true,
    allowJs: true,
    skipLibCheck: true,
    module: 'nodenext',
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable', 'dom'],
    types: ['node'],
    typeRoots: [join(CHECKOUT, 'node_modules', '@types')],
    rootDir: folder,
    outDir: join(folder, 'out'),
  };
  const config = join(folder, 'tsconfig.json');
  writeFileSync(config, JSON.stringify({ compilerOptions, files }));
  const compiler = promisify(execFile)(process.execPath, [TSC, '-p', config]);
  await compiler.catch(({ stdout }) => {
    throw new Error(`the guide does not compile:\n${stdout}`);
  });
}

function runSnippet(source: string): Promise<Ended> {
  const flags = ['--no-warnings', '--input-type=module'];
  return runBareProgram(source, { flags, timeoutMs: 60_000 });
}

/** Runs all of them, some at a time. Each has a promise of its own of how it ended. */
export function runAll(snippets: Snippet[]): Map<Snippet, Promise<Ended>> {
  const compiled = compileAll(snippets);
  const places: Promise<unknown>[] = new Array(AT_ONCE).fill(compiled);
  return new Map(
    snippets.map((snippet, i) => {
      const ended = places[i % AT_ONCE]!.then(async () =>
        runSnippet((await compiled).get(snippet)!),
      );
      places[i % AT_ONCE] = ended.catch(() => {});
      return [snippet, ended];
    }),
  );
}

/** Links to other files that a page has, as paths; those that lead nowhere. */
export function brokenLinks({ name, text }: Page): string[] {
  const folder = dirname(join(GUIDE, name));
  const prose = text.replace(/^```.*?^```$/gms, '');
  const targets = [...prose.matchAll(/\]\(([^)#]+)(#[^)]*)?\)/g)].map(([, target]) => target!);
  return targets.filter((target) => !/^https?:/.test(target) && !existsSync(join(folder, target)));
}
