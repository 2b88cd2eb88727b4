/**
 * The addon's socket calls in the hands of somebody who means no good: a TypeError or a negative
 * errno is the answer, and the process lives on. The library's own slabs are left alone: the addon
 * is initialised once more, which makes it a second set of calls.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';

import type { Sockets } from '../../dist/core/sockets.js';
import { CHECKOUT } from '../support/capture.js';
import { Random } from '../support/random.js';

type Kind = keyof typeof WRONG;
type Calls = Record<string, (...args: unknown[]) => unknown>;

const NO_OBJECT: unknown[] = [undefined, null, true, 5, NaN, 'text', 5n, Symbol('s'), () => {}];
const NO_INTEGER: unknown[] = [
  ...[undefined, null, true, '5', 5n, Symbol('s'), {}, [], [5], new Date(5), { valueOf: () => 5 }],
  ...[NaN, Infinity, -Infinity, 0.5, 5e-324, 2 ** 53, 2 ** 63, 2 ** 64, -(2 ** 63), 1e300],
];
const NO_BYTES: unknown[] = [
  ...[...NO_OBJECT, {}, [], new ArrayBuffer(8), new DataView(new ArrayBuffer(8))],
  ...[new Uint16Array(8), new Int8Array(8), new Float64Array(8), new Proxy(new Uint8Array(8), {})],
];

/** What no call takes for an argument of that kind. */
const WRONG = {
  fd: [...NO_INTEGER, 2 ** 31, 2 ** 32, -(2 ** 31) - 1],
  size: [...NO_INTEGER, -1, 2 ** 32, -(2 ** 31)],
  position: [...NO_INTEGER, -1],
  number: [...NO_INTEGER, 2 ** 31, -(2 ** 31) - 1],
  flag: [undefined, null, 0, 1, 'true', {}, []],
  family: [...NO_INTEGER, 0, -1, 2, 10, 46, 2 ** 32 + 4],
  text: [undefined, null, true, 5, 5n, Symbol('s'), {}, ['127.0.0.1'], Buffer.from('127.0.0.1')],
  bytes: NO_BYTES,
  parts: [...NO_OBJECT, {}, [], new Uint8Array(8), ...NO_BYTES.map((part) => [part])],
};

const NOTHING = new Uint8Array(0);
const RIGHT: Record<Kind, unknown> = {
  ...{ fd: -1, size: 0, position: 0, number: 0, flag: true, family: 4, text: '127.0.0.1' },
  ...{ bytes: NOTHING, parts: [NOTHING] },
};

/** Which arguments each takes. Where there are none that are wrong, none is looked at. */
const ARGUMENTS: Record<string, Kind[]> = {
  receive: ['fd'],
  receiveInto: ['fd', 'bytes', 'size'],
  read: ['fd'],
  send: ['fd', 'size', 'size'],
  sendBytes: ['fd', 'bytes', 'size'],
  sendVector: ['fd', 'parts', 'size'],
  write: ['fd', 'size', 'size'],
  writeBytes: ['fd', 'bytes', 'size'],
  writeVector: ['fd', 'parts', 'size'],
  sendFile: ['fd', 'fd', 'position', 'size'],
  shutdown: ['fd'],
  close: ['fd'],
  open: ['family', 'flag'],
  setOption: ['fd', 'size', 'family', 'number'],
  bind: ['fd', 'family', 'text', 'size'],
  connect: ['fd', 'family', 'text', 'size'],
  membership: ['fd', 'flag', 'family', 'text', 'text'],
  multicastInterface: ['fd', 'family', 'text'],
  listen: ['fd', 'number'],
  accept: ['fd'],
  localName: ['fd'],
  peerName: ['fd'],
  socketError: ['fd'],
  fileType: ['fd'],
  adopt: ['fd'],
  release: ['fd'],
  addressText: [],
  parseAddress: ['family', 'text', 'size'],
  receiveBatch: ['fd', 'size'],
  sendBatch: ['fd', 'size', 'flag'],
  sendDatagram: ['fd', 'bytes'],
  canSegment: ['fd'],
  injectFaults: ['size', 'size', 'size', 'size'],
};

interface Fresh {
  sockets: Sockets;
  calls: Calls;
  slabs: ArrayBuffer[];
  /** Where each of them begins. */
  starts: number[];
}

/** The calls once more, with slabs of their own if they get any. */
function fresh(attached: boolean): Fresh {
  require(join(CHECKOUT, 'dist', 'core', 'native.js'));
  const path = Object.keys(require.cache).find((each) => each.endsWith('ringloop.node'));
  assert.ok(path);
  const module = { exports: {} as { sockets: Sockets } };
  process.dlopen(module, path);
  const { sockets } = module.exports;
  const { slabBytes, datagramSlabBytes } = sockets.layout;
  const slabs = attached ? [new ArrayBuffer(slabBytes), new ArrayBuffer(datagramSlabBytes)] : [];
  const starts = slabs.map((slab) => sockets.attach(slab));
  return { sockets, calls: sockets as unknown as Calls, slabs, starts };
}

/** What the call answers; a socket that it opened is closed again. */
function answerOf({ calls, sockets }: Fresh, name: string, args: unknown[]): unknown {
  const result = calls[name]!(...args);
  if (name === 'open') sockets.close(result as number);
  return result;
}

function rightArguments(name: string): unknown[] {
  return ARGUMENTS[name]!.map((kind, i) =>
    // A batch of none is no batch.
    kind === 'size' && i === 1 && /Batch$/.test(name) ? 1 : RIGHT[kind],
  );
}

function refused(call: () => unknown, what: string): void {
  assert.throws(call, TypeError, what);
}

/** An answer is a count, a negative errno, or what the call says it returns. */
function answers(call: () => unknown, what: string): void {
  let result: unknown;
  try {
    result = call();
  } catch (error) {
    assert.ok(error instanceof TypeError, `${what}: ${error}`);
    return;
  }
  assert.ok(/^(number|boolean|string)$/.test(typeof result), `${what}: ${String(result)}`);
}

function detach(buffer: ArrayBuffer): void {
  structuredClone(buffer, { transfer: [buffer] });
}

/** A datagram socket that the body may misuse. */
function withSocket(sockets: Sockets, body: (fd: number) => void): void {
  const fd = sockets.open(4, true);
  try {
    assert.equal(sockets.bind(fd, 4, '127.0.0.1', 0), 0);
    body(fd);
  } finally {
    assert.equal(sockets.close(fd), 0);
  }
}

describe('the raw socket calls', () => {
  const own = fresh(true);
  const { sockets, calls, slabs, starts } = own;
  const { layout } = sockets;
  const names = Object.keys(sockets).filter((name) => name !== 'layout' && name !== 'attach');

  it('are all known here', () => {
    assert.deepEqual(
      names.filter((name) => ARGUMENTS[name] === undefined),
      [],
    );
  });

  it('answer the right arguments, on a closed fd with EBADF', () => {
    for (const name of names) {
      const result = answerOf(own, name, rightArguments(name));
      if (ARGUMENTS[name]![0] !== 'fd') continue;
      // One says it of each datagram, one of none.
      const expected = { sendBatch: 1, canSegment: false }[name] ?? -9;
      assert.equal(result, expected, name);
    }
  });

  it('refuse each argument of a wrong type or out of range with a TypeError', () => {
    for (const name of names) {
      ARGUMENTS[name]!.forEach((kind, at) => {
        for (const wrong of WRONG[kind]) {
          const args = rightArguments(name);
          args[at] = wrong;
          refused(() => calls[name]!(...args), `${name}: ${inspect(wrong)} as ${kind} ${at}`);
        }
      });
    }
  });

  it('refuse arguments that are missing, and ignore those that are too many', () => {
    for (const name of names) {
      const args = rightArguments(name);
      for (let count = 0; count < args.length; count++) {
        refused(() => calls[name]!(...args.slice(0, count)), `${name} with ${count}`);
      }
      answers(() => answerOf(own, name, [...args, ...new Array(50).fill({})]), name);
    }
  });

  it('need a slab where they use one', () => {
    const bare = fresh(false).calls;
    const users = ['read', 'send', 'write', 'accept', 'localName', 'peerName', 'addressText'];
    for (const name of [...users, 'parseAddress', 'receiveBatch', 'sendBatch', 'sendDatagram']) {
      refused(() => bare[name]!(...rightArguments(name)), name);
    }
  });

  it('refuse slabs of another size or kind', () => {
    const size = layout.slabBytes;
    for (const wrong of [
      ...[...NO_OBJECT, {}, new ArrayBuffer(0), new ArrayBuffer(size - 1)],
      ...[new ArrayBuffer(size + 1), new Uint8Array(size), new SharedArrayBuffer(size)],
    ]) {
      refused(() => calls['attach']!(wrong), inspect(wrong));
    }
    const gone = new ArrayBuffer(size);
    detach(gone);
    refused(() => calls['attach']!(gone), 'detached');
    assert.equal(sockets.read(-1), -9);
  });

  it('begin a slab at a cache line, wherever its memory begins', () => {
    for (let i = 0; i < 10; i++) {
      const memory = new ArrayBuffer(layout.slabBytes);
      const start = sockets.attach(memory);
      assert.ok(start >= 0 && start < 64, `${start}`);
      withSocket(sockets, (fd) => sockets.localName(fd));
      const address = new Uint32Array(memory, start + layout.addressOffset, 4);
      assert.equal(address[layout.family / 4], 4);
    }
    starts[0] = sockets.attach(slabs[0]!);
  });

  it('do not use a slab that was detached, until there is another', () => {
    const other = fresh(true);
    for (const slab of other.slabs) detach(slab);
    for (const name of ['read', 'send', 'localName', 'addressText', 'receiveBatch', 'sendBatch']) {
      refused(() => other.calls[name]!(...rightArguments(name)), name);
    }
    other.sockets.attach(new ArrayBuffer(layout.slabBytes));
    assert.equal(other.sockets.read(-1), -9);
  });

  it('work without the object that they came in', () => {
    let other: Fresh | null = fresh(true);
    const { read } = other.sockets;
    other = null;
    for (let i = 0; i < 5; i++) global.gc?.();
    assert.equal(read(-1), -9);
  });

  it('stay within the slab', () => {
    const end = layout.addressOffset;
    for (const call of [sockets.send, sockets.write]) {
      assert.equal(call(-1, end, 0), -9);
      assert.equal(call(-1, 0, end), -9);
      for (const [offset, length] of [
        [end, 1],
        [end + 1, 0],
        [1, end],
        [0, end + 1],
        [2 ** 32 - 1, 1],
        [1, 2 ** 32 - 1],
        [2 ** 31, 2 ** 31],
      ] as [number, number][]) {
        refused(() => call(-1, offset, length), `${offset}, ${length}`);
      }
    }
    for (const count of [0, layout.datagramBatch + 1, 2 ** 32 - 1]) {
      refused(() => sockets.receiveBatch(-1, count), `receive ${count}`);
      refused(() => calls['sendBatch']!(-1, count, false), `send ${count}`);
    }
  });

  it('stay within the bytes, also when those were detached', () => {
    const bytes = new Uint8Array(10);
    for (const call of [sockets.receiveInto, sockets.sendBytes, sockets.writeBytes]) {
      assert.equal(call(-1, bytes, 10), -9);
      refused(() => call(-1, bytes, 11), 'offset');
      refused(() => call(-1, bytes, 2 ** 32 - 1), 'offset');
    }
    for (const call of [sockets.sendVector, sockets.writeVector]) {
      refused(() => call(-1, [bytes, bytes], 11), 'skip');
    }
    detach(bytes.buffer);
    refused(() => sockets.receiveInto(-1, bytes, 1), 'detached');
    assert.equal(sockets.receiveInto(-1, bytes, 0), -9);
    assert.equal(sockets.sendVector(-1, [bytes], 0), -9);
  });

  it('see memory that a getter of the array has detached as empty', () => {
    withSocket(sockets, (fd) => {
      sockets.localName(fd);
      assert.equal(sockets.connect(fd, 4, '127.0.0.1', portOf(slabs[0]!)), 0);
      const bytes = new Uint8Array(1000).fill(7);
      const parts = [bytes, NOTHING];
      Object.defineProperty(parts, 1, {
        get() {
          detach(bytes.buffer as ArrayBuffer);
          return new Uint8Array(3);
        },
      });
      assert.equal(sockets.sendVector(fd, parts, 0), 3);
    });
  });

  it('let through what a getter of the array throws', () => {
    const parts = [NOTHING];
    const error = new RangeError('mine');
    Object.defineProperty(parts, 0, {
      get() {
        throw error;
      },
    });
    assert.throws(() => sockets.sendVector(-1, parts, 0), error);
  });

  /** The port in the address page. */
  function portOf(slab: ArrayBuffer): number {
    return new Uint32Array(slab, starts[0]! + layout.addressOffset, 4)[layout.port / 4]!;
  }

  it('take no text for an address that is none', () => {
    const long = 'x'.repeat(100_000);
    for (const text of ['', 'localhost', '127.0.0.1\0', '127.0.0.1\0.evil', '1.2.3', long]) {
      for (const family of [4, 6] as const) {
        assert.equal(sockets.parseAddress(family, text, 0), false, text.slice(0, 20));
        assert.equal(sockets.bind(-1, family, text, 0), -22);
        assert.equal(sockets.connect(-1, family, text, 0), -22);
        assert.equal(sockets.membership(-1, true, family, text, ''), -22);
      }
    }
    for (const text of ['/tmp/a\0b', 'x'.repeat(108), '\0'.repeat(109), 'ü'.repeat(54), long]) {
      assert.equal(sockets.parseAddress(1, text, 0), false, text.slice(0, 20));
    }
    assert.equal(sockets.multicastInterface(-1, 4, 'lo\0'), -22);
    refused(() => sockets.parseAddress(4, '127.0.0.1', 65536), 'port');
  });

  it('believe no address record', () => {
    const page = new Uint32Array(slabs[0]!, starts[0]! + layout.addressOffset, 4);
    for (const family of [0, 1, 2, 4, 5, 6, 10, 2 ** 31, 2 ** 32 - 1]) {
      for (const rawLength of [0, 1, 2, 3, 16, 28, 110, 128, 129, 2 ** 31, 2 ** 32 - 1]) {
        page[layout.family / 4] = family;
        page[layout.port / 4] = 2 ** 32 - 1;
        page[layout.rawLength / 4] = rawLength;
        assert.equal(sockets.addressText(), '');
      }
    }
  });

  it('send to no address that a record makes up', () => {
    withSocket(sockets, (fd) => {
      const random = new Random(11);
      const view = new DataView(slabs[1]!, starts[1]!);
      const record = layout.datagramSendRecords;
      const address = record + layout.datagramAddress;
      for (let i = 0; i < 1000; i++) {
        for (let at = 0; at < layout.datagramRecordBytes; at++) {
          view.setUint8(record + at, random.below(256));
        }
        const put = (at: number, ...values: number[]): void =>
          view.setUint32(at, random.pick(values), true);
        put(record + layout.datagramLength, 0, 1, 2 ** 31, 2 ** 32 - 1);
        put(address + layout.family, 1, 6, 7, 2 ** 32 - 1);
        put(address + layout.rawLength, 2, 28, 110, 128, 129, 2 ** 31);
        view.setUint16(address + layout.raw, random.pick([1, 2, 10]), true);
        answers(() => calls['sendBatch']!(fd, 1, false), 'sendBatch');
        answers(() => sockets.sendDatagram(fd, NOTHING), 'sendDatagram');
      }
    });
  });

  it('live through arguments that were thrown together', () => {
    const random = new Random(7);
    const file = openSync('/dev/null', 'r+');
    const pool: unknown[] = Object.values(WRONG).flat().concat(Object.values(RIGHT));
    const more = [file, 0x7fffffff, -5, 1, 31, 32, 4096, '::1', '', new Uint8Array(100), [NOTHING]];
    // What is open stays open: standard output is an fd like any other.
    const closing = new Set(['close', 'open', 'injectFaults']);
    try {
      for (const name of names.filter((each) => !closing.has(each))) {
        for (let i = 0; i < 1000; i++) {
          const args = rightArguments(name).map((right) =>
            random.chance(0.4) ? right : random.pick(random.chance(0.5) ? pool : more),
          );
          if (ARGUMENTS[name]![0] === 'fd') args[0] = random.pick([file, -1, -5, 0x7fffffff]);
          answers(() => calls[name]!(...args), name);
        }
      }
    } finally {
      closeSync(file);
    }
  });
});

describe('injected faults', () => {
  const { sockets } = fresh(true);

  it('are refused where no call would ever be made', () => {
    refused(() => sockets.injectFaults(1, 1000, 0, 0), 'interrupted');
    refused(() => sockets.injectFaults(1, 0, 1000, 0), 'again');
  });

  it('replay for the same seed', () => {
    const outcomes = (seed: number): number[] => {
      sockets.injectFaults(seed, 300, 300, 0);
      try {
        return Array.from({ length: 200 }, () => sockets.read(-1));
      } finally {
        sockets.injectFaults(0, 0, 0, 0);
      }
    };
    assert.deepEqual(outcomes(9), outcomes(9));
    assert.notDeepEqual(outcomes(9), outcomes(10));
    assert.deepEqual([...new Set(outcomes(9))].sort(), [-11, -9]);
    assert.equal(sockets.read(-1), -9);
  });
});
