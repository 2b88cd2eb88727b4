// Everything that takes too long for every day: `npm run check:full [-- NAME...]`.
//
// Each check is a command of its own; the last lines say which passed. Needs cmake; other versions
// of Node come from the npm registry.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

function command(line, options = {}) {
  console.log(`$ ${line}`);
  const env = { ...process.env, ...options.env };
  const result = spawnSync('bash', ['-c', line], { cwd: root, stdio: 'inherit', ...options, env });
  return result.status === 0;
}

/** The JavaScript suite on an addon that was built with other flags, in a folder of its own. */
function suiteOnAddon(name, flags, environment = '') {
  const folder = mkdtempSync(join(tmpdir(), `ringloop-${name}-`));
  const parts = ['binding.gyp', 'native', 'package.json', 'dist', '.build', 'test'];
  for (const part of parts) cpSync(join(root, part), join(folder, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const built = command('npx node-gyp rebuild', { cwd: folder, env: flags });
  const mocha = 'node --expose-gc node_modules/mocha/bin/mocha.js --no-config';
  const suite =
    "'.build/test/{conformance,loop,tasks,sync,net}/**/*.test.js' " +
    "'.build/test/faults/{addon-fuzz,raw-loop,raw-sockets}.test.js'";
  const tested =
    built &&
    command(
      `${environment} ${mocha} --require .build/test/support/hooks.js --timeout 120000 ` +
        `--reporter dot ${suite}`,
      { cwd: folder },
    );
  rmSync(folder, { recursive: true, force: true });
  return tested;
}

function suiteUnderAsan() {
  const flags = {
    CXXFLAGS: '-fsanitize=address -fno-omit-frame-pointer -g',
    LDFLAGS: '-fsanitize=address',
  };
  const preload = 'LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0';
  return suiteOnAddon('asan', flags, preload);
}

function nativePreset(preset) {
  const cmake = 'cd native && cmake';
  return (
    command(`${cmake} --preset ${preset}`) &&
    command(`${cmake} --build --preset ${preset} -j 2`) &&
    command(`cd native && ctest --preset ${preset} --output-on-failure`)
  );
}

/** libFuzzer over the native core, a minute for each target. */
function fuzzers() {
  if (spawnSync('clang++', ['--version']).status !== 0) return 'there is no clang++';
  return nativePreset('fuzz');
}

const MOCHA = 'npx mocha --no-config --expose-gc --require .build/test/support/hooks.js';
const PROFILES = 'core,cancel,groups,sync,queues,mixed';

const CHECKS = {
  lint: () => command('npm run -s lint'),
  test: () => command('npm test'),
  'workers, a thousand': () =>
    command(
      "RINGLOOP_HEAVY=1 npx mocha --no-config --expose-gc '.build/test/faults/workers.test.js'",
    ),
  'simulations, 100,000 programs each': () =>
    command(
      `RINGLOOP_HEAVY=1 ${MOCHA} --timeout 1200000 '.build/test/{sync,tasks}/*simulation.test.js'`,
    ),
  'the addon under hostile values, 300 seeds': () =>
    command(`RINGLOOP_HEAVY=1 ${MOCHA} .build/test/faults/addon-fuzz.test.js`),
  'network, 10,000 connections and a hundred thousand reads': () =>
    command(
      `RINGLOOP_HEAVY=1 ${MOCHA} --timeout 1200000 .build/test/faults/network.test.js ` +
        '.build/test/net/stream-reader.test.js',
    ),
  'network, a third of the system calls interrupted': () =>
    command(`RINGLOOP_FAULTS=7,300,0,0 ${MOCHA} --timeout 120000 '.build/test/net/*.test.js'`),
  conformance: () => command(`npm run -s conformance -- --seeds 1-5000 --profiles ${PROFILES}`),
  'conformance, async functions': () =>
    command(`npm run -s conformance -- --seeds 1-2000 --async --profiles ${PROFILES}`),
  'native debug': () => nativePreset('debug'),
  'native release': () => nativePreset('release'),
  'native without assertions': () => nativePreset('noassert'),
  'native asan': () => nativePreset('asan'),
  'native ubsan': () => nativePreset('ubsan'),
  'native tsan': () => nativePreset('tsan'),
  'native fuzzers': fuzzers,
  'suite under asan': suiteUnderAsan,
  'suite without assertions': () => suiteOnAddon('noassert', { CXXFLAGS: '-DRINGLOOP_NO_ASSERT' }),
  'soak, ten minutes': () => command('node --expose-gc test/soak.mjs 10'),
  'node versions': () => command('npm run -s test:versions'),
  coverage: () => command('npm run -s coverage'),
};

const wanted = process.argv.slice(2);
const outcomes = Object.entries(CHECKS)
  .filter(([name]) => wanted.length === 0 || wanted.some((each) => name.includes(each)))
  .map(([name, check]) => {
    console.log(`\n==== ${name}`);
    const began = Date.now();
    const passed = check(); // or, as a text, why it was skipped
    return { name, passed, seconds: Math.round((Date.now() - began) / 1000) };
  });

console.log('');
for (const { name, passed, seconds } of outcomes) {
  const said = typeof passed === 'string' ? 'skipped' : passed ? 'passed ' : 'FAILED ';
  const reason = typeof passed === 'string' ? `: ${passed}` : '';
  console.log(`${said} ${name.padEnd(30)} ${seconds} s${reason}`);
}
process.exitCode = outcomes.every(({ passed }) => passed) ? 0 : 1;
