/** Makes a failing program smaller, as long as it goes on failing. */
import type { Program } from './program.js';

/** Every program with one op, or one optional part of an op, left out. */
function* smaller(program: Program): Generator<Program> {
  for (const path of removablePaths(program, [])) {
    const copy = structuredClone(program);
    const parent = path.slice(0, -1).reduce<any>((node, key) => node[key], copy);
    const last = path.at(-1)!;
    if (typeof last === 'number') parent.splice(last, 1);
    else delete parent[last];
    yield copy;
  }
}

const OPTIONAL = new Set(['else', 'finally', 'except', 'eager', 'raise', 'into', 'context', 'msg']);

function* removablePaths(node: any, path: (string | number)[]): Generator<(string | number)[]> {
  if (Array.isArray(node)) {
    for (let i = node.length - 1; i >= 0; i--) {
      if (typeof node[i] === 'object' && node[i] !== null && 'op' in node[i]) yield [...path, i];
      yield* removablePaths(node[i], [...path, i]);
    }
  } else if (typeof node === 'object' && node !== null) {
    for (const key of Object.keys(node)) {
      if (OPTIONAL.has(key)) yield [...path, key];
      yield* removablePaths(node[key], [...path, key]);
    }
  }
}

/** The smallest program found that still makes `fails` true. */
export async function shrink(
  program: Program,
  fails: (candidate: Program) => Promise<boolean>,
): Promise<Program> {
  let best = program;
  for (let improved = true; improved; ) {
    improved = false;
    for (const candidate of smaller(best)) {
      if (!(await fails(candidate))) continue;
      best = candidate;
      improved = true;
      break;
    }
  }
  return best;
}
