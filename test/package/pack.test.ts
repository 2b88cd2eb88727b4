/** The tarball: what is in it, and whether apps can use it on every supported Node. */
import assert from 'node:assert/strict';
import {
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { CHECKOUT, NODE_VERSIONS, nodeBinary } from '../support/node-versions.js';
import {
  addSecondCopy,
  compileApp,
  copyApp,
  makeApp,
  output,
  type Packed,
  pack,
  packageOf,
  removePrebuilds,
  temporaryFolder,
} from './packed.js';

const TARGET = `${process.platform}-${process.arch}`;
const BINARY = `prebuilds/${TARGET}/ringloop.node`;
/** The newest glibc that the prebuilt binary may ask for: RHEL 9 and Amazon Linux 2023 have it. */
const GLIBC_MAX = 34;
/** From here on the compiler's own libraries may ask for more than that. */
const GLIBC_TOO_NEW_TO_TELL = 37;

describe('the package', function () {
  this.timeout(300_000);
  let folder: string;
  let packed: Packed;
  let esmApp: string;
  let cjsApp: string;

  before(async () => {
    folder = realpathSync(temporaryFolder());
    packed = await pack(folder);
    esmApp = await makeApp(join(folder, 'esm-app'), packed, { type: 'module' });
    cjsApp = await makeApp(join(folder, 'cjs-app'), packed, { type: 'commonjs' });
    addSecondCopy(cjsApp);
    await compileApp(esmApp);
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  /** What a fixture printed. */
  async function seen(app: string, script: string, ...args: string[]): Promise<any> {
    return JSON.parse(await output(process.execPath, [join(app, script), ...args]));
  }

  describe('tarball', () => {
    it('has the binary, the compiled files, their types, the source and the recipe', () => {
      const sources = readdirSync(join(CHECKOUT, 'lib'), { recursive: true, encoding: 'utf8' });
      const compiled = sources
        .filter((path) => path.endsWith('.ts'))
        .flatMap((path) => [`dist/${path.slice(0, -3)}.js`, `dist/${path.slice(0, -3)}.d.ts`]);
      const needed = [
        BINARY,
        'dist/binding.gyp',
        'dist/index.d.mts',
        'dist/index.mjs',
        'docs/cancellation.md',
        'docs/differences.md',
        'docs/guide/README.md',
        'lib/index.ts',
        'native/build.js',
        'native/binding/addon.cc',
        'native/sources.json',
        'package.json',
        ...compiled,
        ...['CHANGELOG.md', 'LICENSE', 'README.md'].filter((name) =>
          existsSync(join(CHECKOUT, name)),
        ),
      ];
      assert.deepEqual(
        needed.filter((path) => !packed.files.includes(path)),
        [],
      );
    });

    it('has nothing else: no tests, no recipe in the root, no file without a source', () => {
      const code = /^(dist|lib|native|prebuilds)\/|^package\.json$/;
      const texts = /^[A-Z]+(\.md)?$|^docs\/(cancellation|differences|guide\/[\w-]+)\.md$/;
      assert.deepEqual(
        packed.files.filter((path) => !code.test(path) && !texts.test(path)),
        [],
      );
      assert.deepEqual(
        packed.files.filter((path) => /\btest\b|CMake|stale/.test(path)),
        [],
      );
    });

    it('asks for no script on install and for no other package', () => {
      const manifest = JSON.parse(readFileSync(join(packageOf(esmApp), 'package.json'), 'utf8'));
      const onInstall = ['preinstall', 'install', 'postinstall'];
      assert.deepEqual(
        onInstall.filter((name) => name in manifest.scripts),
        [],
      );
      assert.equal(manifest.gypfile, false);
      for (const kind of ['dependencies', 'optionalDependencies', 'peerDependencies']) {
        assert.equal(manifest[kind], undefined, kind);
      }
    });

    it('has a binary that brings its own C++ library and runs on older systems', async function () {
      if (process.platform !== 'linux') this.skip();
      const needs = await output('objdump', ['-p', join(packageOf(esmApp), BINARY)]);
      assert.doesNotMatch(needs, /libstdc\+\+/);
      const header = (process.report.getReport() as any).header;
      const here = Number(/^2\.(\d+)/.exec(header.glibcVersionRuntime)?.[1]);
      if (!(here < GLIBC_TOO_NEW_TO_TELL)) this.skip();
      const minors = [...needs.matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
      assert.ok(Math.max(...minors) <= GLIBC_MAX, `needs glibc 2.${Math.max(...minors)}`);
    });
  });

  const results = { pair: [1, 'two'], tuple: true, wrong: 1, result: 1 };
  const one = {
    copies: true,
    loop: true,
    future: true,
    task: true,
    cancelled: true,
    asyncTask: true,
    coroutine: true,
  };

  for (const version of ['current', ...NODE_VERSIONS] as const) {
    describe(`on Node ${version}`, () => {
      let node: string;

      before(async function () {
        const lookup =
          version === 'current' ? { path: process.execPath } : await nodeBinary(version);
        if ('missing' in lookup) {
          console.log(`      skipped: ${lookup.missing}`);
          this.skip();
        }
        node = lookup.path;
      });

      const print = async (app: string, script: string): Promise<unknown> =>
        JSON.parse(await output(node, [join(app, script)]));

      it('runs a TypeScript app of ES modules', async () => {
        assert.deepEqual(await print(esmApp, 'main.mjs'), results);
      });

      it('runs a CommonJS app', async () => {
        assert.deepEqual(await print(cjsApp, 'main.cjs'), results);
      });

      it('gives ES modules and CommonJS modules of one process the same loop', async () => {
        const same = { names: [], loop: true, future: true, task: true, asyncTask: true };
        assert.deepEqual(await print(esmApp, 'both.mjs'), same);
      });

      it('gives two copies in one process one loop for each thread', async () => {
        assert.deepEqual(await print(cjsApp, 'copies.mjs'), { inMain: one, inWorker: one });
      });
    });
  }

  describe('where the binary does not fit', () => {
    let app: string;
    let command: string;

    beforeEach(() => {
      app = copyApp(esmApp, join(folder, 'no-binary'));
      command = `node ${join(packageOf(app), 'native', 'build.js')}`;
    });

    afterEach(() => rmSync(app, { recursive: true }));

    it('says in one sentence that there is none, and how to build one', async () => {
      removePrebuilds(app);
      assert.deepEqual(await seen(app, 'load.cjs'), {
        code: 'ERR_RINGLOOP_CORE',
        message:
          `ringloop has no native core for ${TARGET} with Node.js ${process.version} in its ` +
          `package: build it with \`${command}\` (needs Python 3, make and a C++20 compiler).`,
      });
    });

    it('says in one sentence that it does not load, and keeps the cause', async () => {
      const binary = join(packageOf(app), BINARY);
      writeFileSync(binary, 'not a binary');
      const { cause, code, message } = await seen(app, 'load.cjs');
      assert.equal(code, 'ERR_RINGLOOP_CORE');
      assert.ok(cause.includes(binary), cause);
      assert.equal(
        message,
        `ringloop's native core ${binary} does not load on ${TARGET} with Node.js ` +
          `${process.version} (${cause.split('\n')[0]}): build another one with ` +
          `\`${command}\` (needs Python 3, make and a C++20 compiler).`,
      );
    });

    it('says which permission is missing, and not to build another one', async function () {
      const node = await nodeBinary('24');
      if ('missing' in node) this.skip();
      const load = async (...flags: string[]) => {
        const source =
          "try { require('ringloop') } catch (e) { console.log(e.code + ' ' + e.message) }";
        const args = ['--permission', ...flags, '--eval', source];
        return (await output(node.path, args, app)).trim();
      };
      assert.match(
        await load('--allow-fs-read=*'),
        /^ERR_RINGLOOP_CORE ringloop may not load .* with `--allow-addons` as well\.$/,
      );
      const package_ = packageOf(app);
      const readable = [join(package_, 'dist', '*'), join(package_, 'package.json')];
      assert.match(
        await load('--allow-addons', ...readable.map((path) => `--allow-fs-read=${path}`)),
        /^ERR_RINGLOOP_CORE ringloop may not read .* with `--allow-fs-read=.*ringloop\.node` as well\.$/,
      );
      assert.equal(await load('--allow-addons', '--allow-fs-read=*'), '');
    });

    it('does not reach for the binary under Bun, and says why', async () => {
      const { cause, code, message } = await seen(app, 'load.cjs', '1.3.0');
      assert.equal(code, 'ERR_RINGLOOP_CORE');
      assert.match(message, /^ringloop needs Node\.js, this is Bun 1\.3\.0 on .*libuv.*\.$/);
      assert.equal(cause, undefined);
    });

    it('builds one from the source in the package, by the command of the error', async function () {
      removePrebuilds(app);
      const script = join(packageOf(app), 'native', 'build.js');
      try {
        await output(process.execPath, [script], app);
      } catch (error) {
        if (!/npm registry reachable/.test((error as { stderr: string }).stderr)) throw error;
        console.log('      skipped: the npm registry cannot be reached');
        this.skip();
      }
      assert.deepEqual(readdirSync(join(packageOf(app), 'prebuilds', TARGET)), ['ringloop.node']);
      assert.deepEqual(await seen(app, 'main.cjs'), results);
    });
  });
});
