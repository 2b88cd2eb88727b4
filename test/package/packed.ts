/**
 * The package as `npm pack` makes it, and apps that have it installed.
 *
 * Decision. The checkout is copied and packed there, so that the real scripts run and the checkout
 * stays as it is. Its node_modules are lent by a link.
 */
import { execFile } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { CHECKOUT } from '../support/node-versions.js';

const run = promisify(execFile);
const FIXTURES = join(CHECKOUT, 'test', 'package', 'fixtures');
const TSC = join(CHECKOUT, 'node_modules', 'typescript', 'bin', 'tsc');
/** Made by the build, or of no use to it. */
const NOT_COPIED = new Set(['.build', '.git', 'build', 'dist', 'node_modules', 'prebuilds']);

export interface Packed {
  tarball: string;
  /** Paths in the tarball. */
  files: string[];
}

/** Runs a program to its end and returns what it wrote; its errors are part of the rejection. */
export async function output(command: string, args: string[], cwd?: string): Promise<string> {
  const { NODE_OPTIONS: _, ...env } = process.env;
  try {
    return (await run(command, args, { cwd, env, maxBuffer: 1 << 26 })).stdout;
  } catch (error) {
    const failed = error as Error & { stdout: string };
    failed.message += failed.stdout; // tsc reports there
    throw failed;
  }
}

/** A folder of its own for each process; whoever makes it removes it. */
export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'ringloop-package-'));
}

/** Copies the checkout into `folder` and packs it there. */
export async function pack(folder: string): Promise<Packed> {
  const checkout = join(folder, 'checkout');
  mkdirSync(join(checkout, 'dist'), { recursive: true });
  for (const name of readdirSync(CHECKOUT).filter((entry) => !NOT_COPIED.has(entry))) {
    cpSync(join(CHECKOUT, name), join(checkout, name), { recursive: true });
  }
  symlinkSync(join(CHECKOUT, 'node_modules'), join(checkout, 'node_modules'));
  writeFileSync(join(checkout, 'dist', 'stale.js'), '// From a source file that is no more.');
  const args = ['pack', '--json', '--foreground-scripts=false', '--pack-destination', folder];
  const [made] = JSON.parse(await output('npm', args, checkout)) as [
    { filename: string; files: { path: string }[] },
  ];
  return { tarball: join(folder, made.filename), files: made.files.map(({ path }) => path) };
}

/** An app with the package installed and the fixtures in its folder. Returns the folder. */
export async function makeApp(folder: string, packed: Packed, manifest: object): Promise<string> {
  cpSync(FIXTURES, folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, ...manifest }));
  const quiet = ['--ignore-scripts', '--offline', '--no-audit', '--no-fund'];
  await output('npm', ['install', ...quiet, packed.tarball], folder);
  return folder;
}

/** Another app, like one that is there, without asking npm again. Returns the folder. */
export function copyApp(app: string, folder: string): string {
  cpSync(app, folder, { recursive: true });
  return folder;
}

/** Compiles main.mts of an app, as strictly as TypeScript can. */
export async function compileApp(folder: string): Promise<void> {
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    module: 'nodenext',
    target: 'es2022',
    lib: ['es2022', 'esnext.disposable'],
    types: ['node'],
    typeRoots: [join(CHECKOUT, 'node_modules', '@types')],
  };
  const config = { compilerOptions, files: ['main.mts'] };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  await output(process.execPath, [TSC, '-p', folder]);
}

/** The installed package of an app. */
export function packageOf(app: string): string {
  return join(app, 'node_modules', 'ringloop');
}

/** The same package once more, as another package's own. */
export function addSecondCopy(app: string): void {
  const other = join(app, 'node_modules', 'other');
  cpSync(packageOf(app), join(other, 'node_modules', 'ringloop'), { recursive: true });
  writeFileSync(join(other, 'package.json'), '{ "name": "other", "main": "index.js" }');
  writeFileSync(join(other, 'index.js'), '');
}

export function removePrebuilds(app: string): void {
  rmSync(join(packageOf(app), 'prebuilds'), { recursive: true });
}
