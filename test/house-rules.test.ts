/**
 * House rules, as a test: what reviewers would otherwise say again and again. Each rule has a sample
 * that breaks it, so that no rule can fall asleep.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';

const ROOT = join(__dirname, '..', '..');
const LINE_MAX = 100;
const FUNCTION_LINES_MAX = 70;

interface Source {
  path: string;
  text: string;
}

/** Returns `line: what is wrong - what to do instead`. */
type Rule = (source: Source) => string[];

function sources(folder: string, pattern: RegExp): Source[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => pattern.test(path) && !path.includes('node_modules'))
    .map((path) => join(folder, path))
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));
}

function banned(pattern: RegExp, instead: string): Rule {
  return ({ text }) =>
    text
      .split('\n')
      .flatMap((line, i) => (pattern.test(line) ? [`${i + 1}: ${line.trim()} - ${instead}`] : []));
}

const shortLines: Rule = ({ text }) =>
  text
    .split('\n')
    .flatMap((line, i) => (line.length > LINE_MAX ? [`${i + 1}: ${line.length} columns`] : []));

/** The formatter puts a function's closing brace under its first line: no parser is needed. */
const shortFunctions: Rule = ({ text }) => {
  const lines = text.split('\n');
  return lines.flatMap((line, start) => {
    const [, indent = '', keyword = 'if'] = /^(\s*)(\w+)/.exec(line) ?? [];
    if (!/\)[^;]*\{$/.test(line) || /^(if|for|while|switch|describe|class)$/.test(keyword)) {
      return [];
    }
    const length = lines.slice(start).findIndex((each) => each.startsWith(`${indent}}`));
    return length > FUNCTION_LINES_MAX ? [`${start + 1}: a function of ${length} lines`] : [];
  });
};

const headed: Rule = ({ text }) =>
  /^(\/\*\*|\/\/)/.test(text) ? [] : ['1: no header - say what the file is for, and why so'];

const documentedExports: Rule = ({ text }) => {
  const lines = text.split('\n');
  return lines.flatMap((line, i) => {
    if (!/^export (abstract class|class|function|interface|type|const) \w/.test(line)) return [];
    let above = i - 1;
    while (/^export function \w+.*;$|^\s*(biome|\/\/)|^\): /.test(lines[above] ?? '')) above--;
    return /\*\/$/.test(lines[above] ?? '') || isOverload(lines, i)
      ? []
      : [`${i + 1}: ${line} - TSDoc`];
  });
};

/** The declarations of one overloaded function share the comment above the first. */
function isOverload(lines: string[], index: number): boolean {
  const name = /^export function (\w+)/.exec(lines[index]!)?.[1];
  if (name === undefined) return false;
  const pattern = new RegExp(`^export function ${name}\\b`);
  return lines.slice(0, index).some((line) => pattern.test(line));
}

/** Folders of one floor do not import each other. */
const LIB_FLOORS = [['core'], ['loop'], ['tasks'], ['sync', 'net'], ['debug']];
const NATIVE_FLOORS = [['base'], ['ring', 'timer'], ['sys'], ['loop'], ['net'], ['binding']];

function libFloor(path: string): number {
  const [folder, rest] = relative('lib', path).split('/');
  if (rest !== undefined) return LIB_FLOORS.findIndex((floor) => floor.includes(folder!)) + 1;
  return /^index\./.test(folder!) ? LIB_FLOORS.length + 1 : 0;
}

function importsOf({ path, text }: Source): { target: string; typeOnly: boolean }[] {
  const found = text.matchAll(/^(?:import|export) (type )?([^;]*?) from '(\.[^']+)\.js';/gms);
  return [...found].map(([, type, names = '', target]) => ({
    target: normalize(join(dirname(path), `${target}.ts`)),
    typeOnly: type !== undefined || /^\{(\s*type \w+( as \w+)?,?)+\s*\}$/.test(names),
  }));
}

function isBelow(target: string, importer: string): boolean {
  const [to, from] = [libFloor(target), libFloor(importer)];
  return to < from || (to === from && dirname(target) === dirname(importer));
}

const libFloors: Rule = (source) =>
  importsOf(source)
    .filter(({ target }) => !isBelow(target, source.path))
    .map(({ target }) => `1: imports ${target} - imports go down the floors`);

function nativeFloor(path: string): number {
  const folder = path.replace(/^native\//, '').split('/')[0]!;
  return NATIVE_FLOORS.findIndex((floor) => floor.includes(folder));
}

const nativeFloors: Rule = ({ path, text }) =>
  [...text.matchAll(/^#include "([^"]+)"/gm)]
    .map(([, included]) => included!)
    .filter((included) => nativeFloor(included) > nativeFloor(path))
    .map((included) => `1: includes ${included} - includes go down the floors`);

const noNode = banned(/#include <(napi|node_api|uv)\.h>/, 'only binding/ speaks to Node');
const noSystem = banned(
  /#(if|elif).*__(linux|APPLE)__/,
  'selector_default.h, sockets.cc and wakeup.cc decide',
);
const noLoopholes = banned(/FIXME|\.only\(|TODO/, 'do it now, or write it into an issue');
const noConsole = banned(/console\.log\(/, 'a library prints nothing by itself');
const noLayoutCopies = banned(
  /2 \*\* 28|1 << 28|268_?435_?45[56]/,
  'the numbers of layout.h are read from the addon: layout.readyPayloadMax',
);
const noHostTime = banned(
  /\b(setTimeout|setInterval|Date\.now|Math\.random)\b\(/,
  'time and chance are handed in',
);

const lib = (): Source[] => sources('lib', /\.m?ts$/);
const native = (): Source[] => sources('native', /\.(h|cc)$/);
const tests = (): Source[] =>
  sources('test', /\.ts$/).filter(({ path }) => !path.includes('house-rules'));

const RULES: [name: string, rule: Rule, files: () => Source[], breaks: Source][] = [
  [
    'lines are short',
    shortLines,
    () => [...lib(), ...native()],
    { path: 'lib/x.ts', text: 'x'.repeat(101) },
  ],
  [
    'functions are short',
    shortFunctions,
    () => [...lib(), ...native()],
    { path: 'lib/x.ts', text: `function f() {\n${'  x();\n'.repeat(71)}}` },
  ],
  ['files say what they are for', headed, () => [...lib(), ...native()], { path: 'x', text: 'x' }],
  [
    'exports have a docstring',
    documentedExports,
    () => lib().filter(({ path }) => /lib\/(tasks|sync|net|errors)/.test(path)),
    { path: 'lib/tasks/x.ts', text: 'export function bare() {}' },
  ],
  [
    'imports go down the floors',
    libFloors,
    lib,
    { path: 'lib/loop/x.ts', text: "import { Task } from '../tasks/task.js';" },
  ],
  [
    'includes go down the floors',
    nativeFloors,
    () => native().filter(({ path }) => !path.includes('test/')),
    { path: 'native/ring/x.h', text: '#include "loop/loop.h"' },
  ],
  [
    'only binding/ knows Node',
    noNode,
    () => native().filter(({ path }) => !path.includes('binding/')),
    { path: 'native/loop/x.h', text: '#include <uv.h>' },
  ],
  [
    'three files know the operating system',
    noSystem,
    () =>
      native().filter(
        ({ path }) => !/selector_default\.h|wakeup\.cc|sockets\.cc|test\//.test(path),
      ),
    { path: 'native/loop/x.cc', text: '#if defined(__linux__)' },
  ],
  [
    'nothing is left over',
    noLoopholes,
    () => [...lib(), ...native(), ...tests()],
    { path: 'lib/x.ts', text: '// FIXME' },
  ],
  [
    'no number of layout.h is repeated',
    noLayoutCopies,
    lib,
    { path: 'lib/x.ts', text: 'const FD_MAX = 2 ** 28 - 1;' },
  ],
  ['the library prints nothing', noConsole, lib, { path: 'lib/x.ts', text: 'console.log(1)' }],
  [
    'the library asks nobody for the time',
    noHostTime,
    lib,
    { path: 'x', text: 'setTimeout(f, 1)' },
  ],
];

describe('house rules', () => {
  for (const [name, rule, files, breaks] of RULES) {
    it(name, () => {
      const found = files().flatMap((source) =>
        rule(source).map((problem) => `${source.path}:${problem}`),
      );
      assert.deepEqual(found, []);
      assert.notDeepEqual(rule(breaks), [], 'the rule does not see what breaks it');
    });
  }

  it('there are no import cycles', () => {
    const graph = new Map(
      lib().map((source) => [
        source.path,
        importsOf(source).flatMap(({ target, typeOnly }) => (typeOnly ? [] : [target])),
      ]),
    );
    assert.deepEqual(findCycle(graph), null);
    assert.notDeepEqual(
      findCycle(
        new Map([
          ['a', ['b']],
          ['b', ['a']],
        ]),
      ),
      null,
    );
  });

  it('sources.json lists what is on the disk', () => {
    const list = JSON.parse(readFileSync(join(ROOT, 'native', 'sources.json'), 'utf8'));
    const listed = [...list.core, ...list.selector.epoll, ...list.selector.kqueue, ...list.binding];
    const present = native()
      .map(({ path }) => relative('native', path))
      .filter((path) => path.endsWith('.cc') && !path.startsWith('test/'));
    assert.deepEqual(listed.sort(), present.sort());
  });
});

function findCycle(graph: Map<string, string[]>): string[] | null {
  const done = new Set<string>();
  const visit = (node: string, path: string[]): string[] | null => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node];
    if (done.has(node)) return null;
    for (const next of graph.get(node) ?? []) {
      const cycle = visit(next, [...path, node]);
      if (cycle !== null) return cycle;
    }
    done.add(node);
    return null;
  };
  for (const node of graph.keys()) {
    const cycle = visit(node, []);
    if (cycle !== null) return cycle;
  }
  return null;
}
