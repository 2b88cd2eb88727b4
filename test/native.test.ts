/** The native core's own tests (native/test), where cmake is at hand; a sanitizer build has more. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const FOLDER = join(__dirname, '..', '..', 'native');

async function cmake(...args: string[]): Promise<void> {
  await execute('cmake', args, { cwd: FOLDER, maxBuffer: 1 << 26 });
}

describe('the native core', function () {
  this.timeout(600_000);

  it('passes its own tests, on epoll and on the emulated kqueue', async function () {
    try {
      await cmake('--version');
    } catch {
      this.skip();
    }
    await cmake('--preset', 'release');
    await cmake('--build', '--preset', 'release', '-j', '2');
    await execute('ctest', ['--preset', 'release', '--output-on-failure'], { cwd: FOLDER });
  });
});
