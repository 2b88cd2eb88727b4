/**
 * Hurls hostile values at the addon: `node addon-fuzzer.js SEED OPERATIONS [JOURNAL]`.
 *
 * Facts. A crash leaves nothing but what was written before it.
 * Decision. The same seed does the same again. With a JOURNAL, a file, each operation is written
 * there before it is done, so that its last line is the one that crashed. The program ends with 0
 * if each operation returned or threw a TypeError, a system's error, or what the values themselves
 * throw.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { inspect } from 'node:util';

import type { Core, CoreModule, CoreOptions } from '../../dist/core/core.js';
import { Random } from './random.js';
import { rawAddon, rawOptions } from './raw-addon.js';

/** What the values of this program throw. */
class Mine extends Error {}

type Method = (...args: unknown[]) => unknown;

interface Resizable extends ArrayBuffer {
  readonly resizable?: boolean;
  resize(bytes: number): void;
}

const NUMBERS = [
  ...[0, 1, 2, 3, 4, 5, 7, 8, 16, 31, 32, 33, 63, 64, 255, 1023, 1024, 1025, 65535, 65536],
  ...[2 ** 28 - 1, 2 ** 28, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 2 ** 63, 1e300],
  ...[-1, -0, 0.5, NaN, Infinity, -Infinity, -(2 ** 31), -(2 ** 63), 5e-324],
];
const TEXTS = ['', '127.0.0.1', '::1', '::1%lo', '0.0.0.0', 'lo', 'a\0b', '\0x', 'x'.repeat(300)];
const MEMORY = ['header', 'ready', 'submissions'] as const;
const LOOPS = 4;

class Fuzzer {
  private readonly random: Random;
  private readonly addon: CoreModule = rawAddon();
  private readonly journal: number | null;
  private readonly loops: Core[] = [];
  private readonly buffers: ArrayBuffer[] = [];
  private readonly fds: number[] = [];
  private depth = 0;
  finished = false;

  constructor(
    seed: number,
    private left: number,
    journal: string | undefined,
  ) {
    this.random = new Random(seed);
    this.journal = journal === undefined ? null : openSync(journal, 'w');
    const { layout } = this.addon.sockets;
    for (const bytes of [layout.slabBytes, layout.datagramSlabBytes]) {
      const slab = this.remember(this.makeBuffer(bytes));
      this.attempt('attach', () => this.addon.sockets.attach(slab));
    }
    for (const datagram of [true, true, false, false]) this.open(datagram);
  }

  /** Some operations for each round of libuv, so that the loops are entered as well. */
  run(): void {
    for (let i = this.random.between(1, 40); i > 0 && this.left > 0; i--) this.operation();
    if (this.left > 0) setImmediate(() => this.run());
    else this.finish();
  }

  private finish(): void {
    for (const loop of this.loops) loop.close();
    for (const fd of this.fds) this.addon.sockets.close(fd);
    if (this.journal !== null) closeSync(this.journal);
    this.finished = true;
  }

  /** Whatever it does, but crash, is right if an error is of the right kind. */
  private operation(): void {
    if (this.left-- <= 0) return;
    try {
      this.pickOne();
    } catch (error) {
      const fine =
        error instanceof TypeError ||
        error instanceof RangeError ||
        error instanceof Mine ||
        typeof (error as NodeJS.ErrnoException)?.errno === 'number';
      if (!fine) throw new Error('an error of no kind that is meant', { cause: error });
    }
  }

  private pickOne(): void {
    const choice = this.random.below(100);
    if (choice < 10) this.construct();
    else if (choice < 45) this.callLoop();
    else if (choice < 65) this.scribble();
    else if (choice < 70) this.disturb();
    else if (choice < 98) this.callSockets();
    else this.attempt('postRemote', () => this.addon.postRemote(this.number(), this.number()));
  }

  private attempt(what: string, call: () => unknown): void {
    if (this.journal !== null) writeSync(this.journal, `${what}\n`);
    call();
  }

  private construct(): void {
    const options: Record<string, unknown> = { ...rawOptions(this.addon) };
    for (const name of MEMORY) {
      const bytes = (options[name] as ArrayBuffer).byteLength;
      options[name] = this.random.chance(0.1)
        ? this.random.pick(this.buffers)
        : this.remember(this.makeBuffer(bytes));
    }
    options['dispatch'] = () => this.dispatched();
    if (this.random.chance(0.3)) {
      const name = this.random.pick(Object.keys(options));
      const value = this.random.chance(0.3) ? options[name] : this.value();
      Object.defineProperty(options, name, { get: () => this.inside(value) });
    }
    this.attempt('new NativeLoop', () => {
      const loop = new this.addon.NativeLoop(options as unknown as CoreOptions);
      const at = this.random.below(LOOPS);
      this.loops[at]?.close();
      this.loops[at] = loop;
    });
  }

  private dispatched(): number {
    this.inside(undefined);
    if (this.random.chance(0.02)) throw this.random.pick<unknown>([new Mine(), 'mine', undefined]);
    return this.random.pick([0, 0, 0, 1, 2, 4, 5, this.value() as number]);
  }

  /** JavaScript that C++ has called: it does more of the same, and may throw. */
  private inside(value: unknown): unknown {
    if (this.depth < 2) {
      this.depth++;
      for (let i = this.random.below(3); i > 0; i--) this.operation();
      this.depth--;
    }
    if (this.random.chance(0.05)) throw new Mine();
    return value;
  }

  private callLoop(): void {
    const loop = this.loops[this.random.below(LOOPS)];
    if (loop === undefined) return;
    const name = this.random.pick(['turn', 'turn', 'submit', 'wake', 'watch', 'attachReady']);
    const args = name === 'turn' ? [this.number()] : [this.value(), this.value()];
    if (name === 'watch' && this.random.chance(0.5)) args[0] = this.random.pick(this.fds);
    if (name === 'attachReady' && this.random.chance(0.7)) {
      args[0] = this.remember(this.makeBuffer(2 ** this.random.between(2, 12)));
    }
    const target = this.random.chance(0.02) ? this.value() : loop;
    this.attempt(`${name}(${show(args)})`, () =>
      (Reflect.get(loop, name) as Method).apply(target, args),
    );
    if (this.random.chance(0.01)) this.attempt('close', () => loop.close());
    if (this.random.chance(0.01)) this.attempt('remoteKey', () => loop.remoteKey());
  }

  /** Writes to memory that C++ reads, more often where the counters stand. */
  private scribble(): void {
    const buffer = this.random.pick(this.buffers);
    if (buffer.byteLength < 8) return;
    const view = new DataView(buffer);
    for (let i = this.random.below(8); i >= 0; i--) {
      const most = this.random.chance(0.5) ? Math.min(buffer.byteLength, 64) : buffer.byteLength;
      const at = this.random.below(most - 7) & -4;
      if (this.random.chance(0.7)) view.setUint32(at, this.number(), true);
      else view.setFloat64(at, this.number(), true);
    }
  }

  /** Takes memory away, or gives it another size. */
  private disturb(): void {
    const buffer = this.random.pick(this.buffers) as Resizable;
    if (buffer.resizable === true) {
      const bytes = this.random.below(buffer.byteLength + 64);
      this.attempt(`resize to ${bytes}`, () => buffer.resize(bytes));
    } else if (buffer.byteLength > 0 && this.random.chance(0.3)) {
      this.attempt('detach', () => structuredClone(buffer, { transfer: [buffer] }));
    }
  }

  private callSockets(): void {
    const { sockets } = this.addon;
    const closing = new Set(['layout', 'close', 'open', 'injectFaults']);
    const name = this.random.pick(Object.keys(sockets).filter((each) => !closing.has(each)));
    const args = Array.from({ length: 5 }, () => this.value());
    if (this.random.chance(0.9)) args[0] = this.random.pick([...this.fds, -1, 2 ** 30]);
    if (name === 'attach' && this.random.chance(0.5)) {
      const { layout } = sockets;
      const bytes = this.random.pick([layout.slabBytes, layout.datagramSlabBytes]);
      args[0] = this.remember(this.makeBuffer(bytes));
    }
    // Other fds are the process's own: what they are told is not ours to try.
    if (typeof args[0] === 'number' && !this.fds.includes(args[0])) args[0] = -1;
    if (name === 'sendFile') args[1] = -1;
    this.attempt(`${name}(${show(args)})`, () => (Reflect.get(sockets, name) as Method)(...args));
  }

  private open(datagram: boolean): void {
    const fd = this.addon.sockets.open(4, datagram);
    if (fd < 0) return;
    this.fds.push(fd);
    this.addon.sockets.bind(fd, 4, '127.0.0.1', 0);
  }

  private number(): number {
    if (this.random.chance(0.3)) return this.random.below(64);
    return this.random.pick(NUMBERS);
  }

  private value(): unknown {
    switch (this.random.below(12)) {
      case 0:
        return this.random.pick<unknown>([undefined, null, true, false, 5n, Symbol('s'), {}]);
      case 1:
        return this.random.pick(TEXTS);
      case 2:
        return this.random.pick(this.buffers);
      case 3:
      case 4:
        return this.bytes();
      case 5:
      case 6:
        return this.parts();
      case 7:
        return () => this.inside(undefined);
      case 8:
        return new Proxy([], { get: () => this.inside(this.number()) });
      case 9:
        return this.random.pick<unknown>([4, 6, 1, true, false]);
      default:
        return this.number();
    }
  }

  /** A view of memory that may be gone or smaller by the time it is used. */
  private bytes(): unknown {
    const { random } = this;
    if (random.chance(0.05)) return new Uint8Array(new SharedArrayBuffer(random.below(5000)));
    if (random.chance(0.05)) return new Float64Array(random.below(50));
    const buffer = random.chance(0.5)
      ? random.pick(this.buffers)
      : this.makeBuffer(random.below(5000));
    const offset = random.below(buffer.byteLength + 1);
    const tracking = random.chance(0.5);
    return new Uint8Array(
      buffer,
      offset,
      tracking ? undefined : random.below(buffer.byteLength - offset + 1),
    );
  }

  private parts(): unknown[] {
    const parts = Array.from({ length: this.random.below(6) }, () => this.bytes());
    if (parts.length > 0 && this.random.chance(0.3)) {
      const value = this.bytes();
      Object.defineProperty(parts, this.random.below(parts.length), {
        get: () => this.inside(value),
      });
    }
    return parts;
  }

  private makeBuffer(bytes: number): ArrayBuffer {
    if (this.random.chance(0.7)) return new ArrayBuffer(bytes);
    const Growing = ArrayBuffer as unknown as new (
      bytes: number,
      options: { maxByteLength: number },
    ) => ArrayBuffer;
    return new Growing(bytes, { maxByteLength: bytes * 2 + 64 });
  }

  /** Some are kept, and come back as arguments. */
  private remember(buffer: ArrayBuffer): ArrayBuffer {
    if (this.buffers.length < 32) this.buffers.push(buffer);
    else this.buffers[this.random.below(this.buffers.length)] = buffer;
    return buffer;
  }
}

function show(args: unknown[]): string {
  return args
    .map((each) => inspect(each, { depth: 0, compact: true }).replace(/\s+/g, ' ').slice(0, 60))
    .join(', ');
}

if (require.main === module) {
  const [seed = '1', operations = '10000', journal] = process.argv.slice(2);
  process.on('uncaughtException', (error: unknown) => {
    // What dispatch throws comes here, and what C++ throws where nobody called.
    if (error instanceof Mine || error instanceof TypeError) return;
    if (error === 'mine' || error === undefined) return;
    console.error(error);
    process.exit(1);
  });
  const fuzzer = new Fuzzer(Number(seed), Number(operations), journal);
  process.on('exit', (code) => {
    if (code === 0 && !fuzzer.finished) process.exitCode = 2;
  });
  fuzzer.run();
}
