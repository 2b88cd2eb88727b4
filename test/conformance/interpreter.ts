/** Runs a scenario program; returns its record. */
import './ops.js';

import { Machine } from './machine.js';
import type { Program, Record_ } from './program.js';

export function runProgram(program: Program, options: { async?: boolean } = {}): Promise<Record_> {
  return new Machine(program, options.async ?? false).execute();
}
