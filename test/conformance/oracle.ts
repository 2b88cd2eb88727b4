/** CPython's asyncio, as the judge: oracle.py and generate.py in pyodide. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Program, Record_ } from './program.js';

const SOURCES = join(__dirname, '..', '..', '..', 'test', 'conformance', 'oracle');

export class Oracle {
  private constructor(
    readonly version: string,
    private readonly runText: (programs: string) => string,
    private readonly makeText: (seed: number, count: number, profile: string) => string,
  ) {}

  static async start(): Promise<Oracle> {
    // By a variable: its types want a browser's.
    const packageName: string = 'pyodide';
    const python = await (await import(packageName)).loadPyodide();
    for (const name of ['oracle.py', 'generate.py']) {
      python.FS.writeFile(name, readFileSync(join(SOURCES, name), 'utf8'));
    }
    python.runPython('import sys; sys.path.insert(0, ".")\nimport platform, oracle, generate');
    const call = (name: string) => python.runPython(name);
    return new Oracle(
      call('platform.python_version()'),
      call('oracle.run_json'),
      call('generate.generate_json'),
    );
  }

  /** Random programs: number k depends on `seed + k` and the profile only. */
  programs(seed: number, count: number, profile: string): Program[] {
    return JSON.parse(this.makeText(seed, count, profile));
  }

  run(programs: Program[]): Record_[] {
    const lines = this.runText(JSON.stringify(programs)).split('\n');
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line));
  }
}
