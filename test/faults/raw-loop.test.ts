/**
 * The addon's loop in the hands of a hostile or careless caller, who has the `.node` file and all of
 * the memory that C++ works in: a TypeError is the answer, and the process lives on.
 */
import assert from 'node:assert/strict';
import { inspect } from 'node:util';

import type { CoreOptions } from '../../dist/core/core.js';
import { runProgram } from '../support/child.js';
import { RawLoop, rawAddon, rawOptions, rawPrelude } from '../support/raw-addon.js';

const addon = rawAddon();
const { layout, NativeLoop } = addon;

type MemoryName = 'header' | 'ready' | 'submissions';
const MEMORY: MemoryName[] = ['header', 'ready', 'submissions'];
const NO_OBJECT: unknown[] = [undefined, null, true, 5, NaN, 'text', 5n, Symbol('s')];
const NO_INTEGER: unknown[] = [undefined, null, '5', 5n, {}, NaN, Infinity, 0.5, -1, 2 ** 32];

type Resizable = ArrayBuffer & { resize(bytes: number): void };

function resizable(byteLength: number): Resizable {
  const Growing = ArrayBuffer as unknown as new (
    bytes: number,
    options: { maxByteLength: number },
  ) => Resizable;
  return new Growing(byteLength, { maxByteLength: byteLength * 2 });
}

function detach(buffer: ArrayBuffer): void {
  structuredClone(buffer, { transfer: [buffer] });
}

function detached(byteLength: number): ArrayBuffer {
  const buffer = new ArrayBuffer(byteLength);
  detach(buffer);
  return buffer;
}

/** A loop for the body, closed afterwards. */
function withLoop(body: (loop: RawLoop) => void, changes: Partial<CoreOptions> = {}): void {
  const loop = new RawLoop(addon, changes);
  try {
    body(loop);
  } finally {
    loop.core.close();
  }
}

/** What no NativeLoop takes for that option. */
function wrongFor(name: keyof CoreOptions): unknown[] {
  if (name === 'dispatch') return [...NO_OBJECT, {}, []];
  if (name === 'nowMs') return [...NO_OBJECT.slice(0, 3), '5', 5n, {}, NaN, Infinity, -1, 1e300];
  const bytes = rawOptions(addon)[name].byteLength;
  const sizes = name === 'ready' ? [0, 4, 12, 63, 2 ** 20 + 4] : [0, 1, bytes - 1, bytes + 1];
  return [
    ...[...NO_OBJECT, {}, new Uint8Array(bytes), new SharedArrayBuffer(bytes), detached(bytes)],
    ...sizes.map((size) => new ArrayBuffer(size)),
  ];
}

describe('the raw loop', () => {
  const names = Object.keys(rawOptions(addon)) as (keyof CoreOptions)[];

  it('is a class, and says so', () => {
    assert.throws(() => (NativeLoop as unknown as () => void)(), TypeError);
    for (const wrong of [...NO_OBJECT, {}]) {
      assert.throws(() => new NativeLoop(wrong as CoreOptions), TypeError, inspect(wrong));
    }
  });

  it('refuses each option of a wrong kind, size or value with a TypeError', () => {
    for (const name of names) {
      for (const wrong of wrongFor(name)) {
        const options = { ...rawOptions(addon), [name]: wrong };
        assert.throws(() => new NativeLoop(options), TypeError, `${name}: ${inspect(wrong)}`);
      }
    }
  });

  // Two errors were pending after the first, which ended the process.
  it('lets through what a getter of its options throws', () => {
    for (const name of names) {
      for (const thrown of [new RangeError('mine'), undefined, 'text']) {
        const options = rawOptions(addon);
        Object.defineProperty(options, name, {
          get() {
            throw thrown;
          },
        });
        let caught: unknown = 'nothing';
        try {
          new NativeLoop(options);
        } catch (error) {
          caught = error;
        }
        assert.equal(caught, thrown, name);
      }
    }
  });

  it('asks each option once, so that nobody answers twice in two ways', () => {
    const asked: string[] = [];
    const options = new Proxy(rawOptions(addon), {
      get(target, name) {
        asked.push(String(name));
        return Reflect.get(target, name);
      },
    });
    new NativeLoop(options).close();
    assert.deepEqual(asked.toSorted(), names.toSorted());
  });

  it('refuses memory that a later getter has detached', () => {
    for (const name of MEMORY) {
      const options = rawOptions(addon);
      const memory = options[name];
      Object.defineProperty(options, 'nowMs', {
        get() {
          detach(memory);
          return 0;
        },
      });
      assert.throws(() => new NativeLoop(options), TypeError, name);
    }
  });

  it('has methods for its own instances alone', () => {
    withLoop(({ core }) => {
      for (const name of ['turn', 'submit', 'wake', 'watch', 'attachReady', 'remoteKey', 'close']) {
        const method = Reflect.get(core, name) as () => void;
        for (const foreign of [undefined, 5, {}, Object.create(core), new Proxy(core, {})]) {
          assert.throws(() => method.call(foreign), TypeError, name);
        }
      }
    });
  });

  it('is of no use once it is closed', () => {
    const { core } = new RawLoop(addon);
    core.close();
    assert.throws(() => core.turn(0), TypeError);
    assert.throws(() => core.submit(), TypeError);
    assert.throws(() => core.watch(0, 1), TypeError);
    assert.throws(() => core.attachReady(new ArrayBuffer(64)), TypeError);
    assert.throws(() => core.remoteKey(), TypeError);
    core.wake();
    core.close();
  });

  // Written to after it was freed, or, when it was shrunk, where no memory was.
  it('uses no memory that was detached or resized', () => {
    for (const name of MEMORY) {
      const bytes = rawOptions(addon)[name].byteLength;
      withLoop((loop) => {
        loop.core.turn(0);
        detach(loop.options[name]);
        assert.throws(() => loop.core.turn(0), TypeError, name);
        assert.throws(() => loop.core.submit(), TypeError, name);
      });
      for (const size of [0, 4, bytes - 4, bytes + 4]) {
        const memory = resizable(bytes);
        withLoop(
          (loop) => {
            memory.resize(size);
            assert.throws(() => loop.core.turn(0), TypeError, `${name}: ${size}`);
            memory.resize(bytes);
            loop.submit(3, 0);
            loop.core.turn(1);
            assert.deepEqual(loop.take(), [3]);
          },
          { [name]: memory },
        );
      }
    }
  });

  it('believes no counter of the ready ring', () => {
    withLoop((loop) => {
      for (const [head, tail] of [
        [0, 17],
        [1, 0],
        [5, 2 ** 31],
        [2 ** 32 - 1, 2 ** 32 - 2],
      ]) {
        loop.words[layout.readyHead] = head!;
        loop.words[layout.readyTail] = tail!;
        loop.submit(0, 0);
        assert.throws(() => loop.core.turn(1), /the ready ring is damaged/, `${head} ${tail}`);
      }
      loop.words[layout.readyHead] = loop.words[layout.readyTail] = 2 ** 32 - 1;
      loop.core.turn(1);
      assert.deepEqual(loop.take(), [0]);
    });
  });

  it('believes no ring that is smaller than what is in it', () => {
    withLoop((loop) => {
      loop.words[layout.readyTail] = 16;
      loop.core.attachReady(new ArrayBuffer(8));
      assert.throws(() => loop.core.turn(1), /the ready ring is damaged/);
      for (const wrong of wrongFor('ready')) {
        assert.throws(() => loop.core.attachReady(wrong as ArrayBuffer), TypeError);
      }
    });
  });

  it('believes no submission', () => {
    const wrong = 'the submission ring is damaged';
    withLoop((loop) => {
      for (const count of [layout.submissionCapacity + 1, 2 ** 31, 2 ** 32 - 1]) {
        loop.words[layout.submissionCount] = count;
        assert.throws(() => loop.core.submit(), new RegExp(wrong), `${count}`);
      }
      // The highest one that could be written in a record had a table of a gigabyte made for it.
      for (const slot of [2 ** 32 - 1, 2 ** 28, 2 ** 28 - 1, 1_000_000]) {
        loop.submit(slot, 0);
        assert.throws(() => loop.core.turn(1), new RegExp(wrong), `${slot}`);
      }
    });
  });

  it('takes any time and any deadline that a double can be', () => {
    const times = [-Infinity, -1e308, -0, 5e-324, 2 ** 63, 1e308, NaN, Infinity];
    withLoop((loop) => {
      for (const [slot, deadline] of times.entries()) {
        loop.submit(slot, deadline);
        for (const now of times) {
          loop.core.turn(now);
          loop.take();
        }
      }
      loop.slots.fill(0xfff80001); // NaNs of other patterns, for slot 2 ** 32 - ...: refused
      loop.words[layout.submissionCount] = 1;
      assert.throws(() => loop.core.turn(0), TypeError);
      for (const now of [undefined, null, '5', 5n, {}]) {
        assert.throws(() => loop.core.turn(now as number), TypeError);
      }
    });
  });

  // NaN and 2 ** 32 became standard input, 0.5 as well.
  it('watches no number that is no fd', () => {
    withLoop(({ core }) => {
      for (const wrong of [...NO_INTEGER, 2 ** 28, 2 ** 31]) {
        assert.throws(() => core.watch(wrong as number, 1), TypeError, inspect(wrong));
        assert.throws(() => addon.postRemote(1, wrong as number), TypeError, inspect(wrong));
        if (wrong === 2 ** 28 || wrong === 2 ** 31) continue;
        assert.throws(() => core.watch(0, wrong as number), TypeError, inspect(wrong));
        assert.throws(() => addon.postRemote(wrong as number, 1), TypeError, inspect(wrong));
      }
      for (const interest of [4, 6, 7, 8]) assert.throws(() => core.watch(0, interest), TypeError);
      assert.throws(() => core.watch(2 ** 28 - 1, 1), { code: 'EBADF', syscall: 'epoll_ctl' });
    });
  });

  it("runs nobody's setter when it makes an error", () => {
    const names = ['code', 'errno', 'syscall'];
    const set = (): never => {
      throw new Error('a setter ran');
    };
    for (const name of names) {
      Object.defineProperty(Error.prototype, name, { set, configurable: true });
    }
    try {
      withLoop(({ core }) => {
        assert.throws(
          () => core.watch(2 ** 28 - 1, 1),
          (error: NodeJS.ErrnoException) => Object.hasOwn(error, 'code') && error.code === 'EBADF',
        );
      });
    } finally {
      for (const name of names) Reflect.deleteProperty(Error.prototype, name);
    }
  });

  it('may share its memory with another one', () => {
    withLoop((one) => {
      withLoop((other) => {
        one.submit(1, 0);
        other.core.turn(1);
        one.submit(2, 0);
        one.core.turn(1);
        assert.deepEqual(one.take(), [1, 2]);
      }, one.options);
    });
  });
});

describe('the raw loop under libuv', () => {
  /** A program's end that is neither an abort nor a crash, and what it said. */
  async function program(source: string): Promise<{ code: number; said: string }> {
    const { code, stdout, stderr } = await runProgram(rawPrelude() + source);
    return { code, said: stdout + stderr };
  }

  for (const name of MEMORY) {
    it(`throws a TypeError for all to see when ${name} is detached under it`, async () => {
      const source = `
        let entered = 0;
        const memory = options(() => {
          entered++;
          structuredClone(memory.${name}, { transfer: [memory.${name}] });
          return layout.verdictIdle;
        });
        new addon.NativeLoop(memory).wake();
      `;
      const uncaught = await program(source);
      assert.equal(uncaught.code, 1, uncaught.said);
      assert.match(uncaught.said, /TypeError: ringloop: memory of the loop was detached/);
      const caught = await program(
        `process.once('uncaughtException', (error) => console.log(error.name, entered));${source}`,
      );
      assert.deepEqual(caught, { code: 0, said: 'TypeError 1' });
    });
  }

  it('throws a TypeError for all to see when it finds a damaged submission', async () => {
    const { code, said } = await program(`
      const memory = options(() => {
        new Uint32Array(memory.header)[layout.submissionCount] = 2 ** 31;
        return layout.verdictIdle;
      });
      new addon.NativeLoop(memory).wake();
    `);
    assert.equal(code, 1, said);
    assert.match(said, /TypeError: ringloop: the submission ring is damaged/);
  });

  it('can be turned and closed by what it calls, and by who hears of an error', async () => {
    const closing = `(loop.turn(NaN), loop.wake(), loop.close(), loop.close(), loop.wake())`;
    for (const verdict of ['Idle', 'Busy', 'Drain', 'RenewContext']) {
      const { code, said } = await program(`
        const loop = new addon.NativeLoop(options(() => {
          ${closing};
          console.log('entered');
          return layout.verdict${verdict};
        }));
        loop.wake();
      `);
      assert.deepEqual({ code, said }, { code: 0, said: 'entered' }, verdict);
    }
    const { code, said } = await program(`
      process.once('uncaughtException', (error) => { console.log(error); ${closing}; });
      const loop = new addon.NativeLoop(options(() => { throw 'mine'; }));
      loop.wake();
    `);
    assert.deepEqual({ code, said }, { code: 0, said: 'mine' });
  });

  it('takes any answer of dispatch for a verdict, or for none', async () => {
    const { code, said } = await program(`
      const answers = [undefined, null, 'text', {}, Symbol('s'), 5n, NaN, 2 ** 40, -1];
      let rounds = 0;
      const loop = new addon.NativeLoop(options(() => {
        if (rounds++ < answers.length) { setImmediate(() => loop.wake()); return answers[rounds - 1]; }
        loop.close();
      }));
      loop.wake();
    `);
    assert.deepEqual({ code, said }, { code: 0, said: '' });
  });
});
