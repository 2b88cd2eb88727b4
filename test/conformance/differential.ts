/**
 * Random programs on CPython and on ringloop: no trace may differ, ticks included.
 *
 *     npm run conformance -- --seeds 1-2000 [--profiles core,cancel] [--async]
 */
import { divergence, explain } from './compare.js';
import { runProgram } from './interpreter.js';
import { Oracle } from './oracle.js';
import type { Program, Record_ } from './program.js';
import { shrink } from './shrink.js';

const BATCH = 50;

export interface DifferentialOptions {
  from: number;
  to: number;
  profiles: string[];
  async: boolean;
  /** Called with what is wrong with a program. */
  report: (text: string) => void;
}

/** Async functions follow the order; where an eager one ends is not theirs to say (differences.md). */
function comparable(program: Program, async: boolean): boolean {
  return !async || !/"eager":true/.test(JSON.stringify(program));
}

async function differs(oracle: Oracle, program: Program, async: boolean): Promise<boolean> {
  const [expected] = oracle.run([program]);
  if (expected === undefined || expected.status === 'error') return false;
  return divergence(expected, await runProgram(program, { async }), !async) >= 0;
}

async function reportSmallest(
  oracle: Oracle,
  program: Program,
  { async, report }: DifferentialOptions,
): Promise<void> {
  const smallest = await shrink(program, (candidate) => differs(oracle, candidate, async));
  const expected = oracle.run([smallest])[0] as Record_;
  const actual = await runProgram(smallest, { async });
  report(`${explain(expected, actual, !async)}\n${JSON.stringify(smallest)}`);
}

/** Returns how many programs were compared and how many differ. */
export async function differential(
  oracle: Oracle,
  options: DifferentialOptions,
): Promise<{ compared: number; different: number }> {
  let compared = 0;
  let different = 0;
  for (const profile of options.profiles) {
    for (let seed = options.from; seed <= options.to; seed += BATCH) {
      const count = Math.min(BATCH, options.to - seed + 1);
      const programs = oracle
        .programs(seed, count, profile)
        .filter((program) => comparable(program, options.async));
      const expected = oracle.run(programs);
      for (const [i, program] of programs.entries()) {
        if (expected[i]!.status === 'error') continue;
        compared++;
        const actual = await runProgram(program, { async: options.async });
        if (divergence(expected[i]!, actual, !options.async) < 0) continue;
        different++;
        await reportSmallest(oracle, program, options);
      }
    }
  }
  return { compared, different };
}

function option(args: string[], name: string, fallback: string): string {
  const at = args.indexOf(`--${name}`);
  return at < 0 ? fallback : (args[at + 1] ?? fallback);
}

async function main(args: string[]): Promise<void> {
  const [from = 1, to = from] = option(args, 'seeds', '1-200').split('-').map(Number);
  const oracle = await Oracle.start();
  const { compared, different } = await differential(oracle, {
    from,
    to,
    profiles: option(args, 'profiles', 'core,cancel').split(','),
    async: args.includes('--async'),
    report: console.log,
  });
  console.log(`CPython ${oracle.version}: ${compared} programs compared, ${different} differ`);
  process.exitCode = different > 0 ? 1 : 0;
}

if (require.main === module) void main(process.argv.slice(2));
