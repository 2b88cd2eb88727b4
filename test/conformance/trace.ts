/** Reads files of scenario programs and prints their traces as NDJSON: `[--async] FILE...` */
import { readFileSync } from 'node:fs';

import { runProgram } from './interpreter.js';
import { programsOf } from './program.js';

async function main(args: string[]): Promise<void> {
  const async = args.includes('--async');
  const files = args.filter((arg) => !arg.startsWith('--'));
  if (files.length === 0) {
    console.error('usage: npm run -s conformance:trace -- [--async] FILE...');
    process.exitCode = 2;
    return;
  }
  for (const file of files) {
    for (const program of programsOf(JSON.parse(readFileSync(file, 'utf8')))) {
      process.stdout.write(`${JSON.stringify(await runProgram(program, { async }))}\n`);
    }
  }
}

void main(process.argv.slice(2));
