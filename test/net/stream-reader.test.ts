import assert from 'node:assert/strict';

import {
  CancelledError,
  type Coroutine,
  createTask,
  IncompleteReadError,
  isCancelledError,
  LimitOverrunError,
  RuntimeError,
  StreamReader,
  sleep,
} from 'ringloop';
import { BOTH_KINDS, errorOf } from '../support/both-kinds.js';
import { Random } from '../support/random.js';
import { withVirtualTime } from '../support/virtual-time.js';

/** Where bytes come from: it notes who tells it to pause. */
class Source {
  paused = false;
  readonly calls: string[] = [];

  pauseReading(): void {
    assert.equal(this.paused, false, 'paused twice');
    this.paused = true;
    this.calls.push('pause');
  }

  resumeReading(): void {
    assert.equal(this.paused, true, 'resumed twice');
    this.paused = false;
    this.calls.push('resume');
  }
}

/** A reader with these bytes, and its end if there is nothing to come. */
function readerOf(bytes: string, options: { limit?: number; more?: boolean } = {}): StreamReader {
  const reader = new StreamReader(options.limit);
  reader.feedData(Buffer.from(bytes));
  if (options.more !== true) reader.feedEof();
  return reader;
}

function* textOf(reading: Coroutine<Buffer>): Generator<unknown, string, any> {
  return (yield* reading).toString();
}

describe('new StreamReader()', () => {
  it('refuses a limit that makes no sense', () => {
    for (const [limit, name] of [
      [0, 'RangeError'],
      [-5, 'RangeError'],
      ['5', 'TypeError'],
      [NaN, 'TypeError'],
      [1.5, 'TypeError'],
      [null, 'TypeError'],
    ] as const) {
      assert.throws(() => new StreamReader(limit as never), { name });
    }
    assert.equal(new StreamReader().statistics().limit, 65_536);
    assert.equal(new StreamReader(Infinity).statistics().limit, Infinity);
  });

  it('makes a reader that tells what is in it', () => {
    const reader = new StreamReader(5);
    assert.deepEqual(reader.statistics(), { size: 0, limit: 5, paused: false, waiters: 0 });
    reader.feedData(Buffer.from('hello world'));
    reader.setTransport(new Source());
    reader.feedData(Buffer.from('!'));
    assert.deepEqual(reader.statistics(), { size: 12, limit: 5, paused: true, waiters: 0 });
    assert.equal(String(reader), '<StreamReader 12 bytes>');
    reader.feedEof();
    assert.equal(String(reader), '<StreamReader 12 bytes, at its end>');
    assert.throws(() => reader.feedData(Buffer.from('x')), RuntimeError);
  });
});

for (const [kind, start] of BOTH_KINDS) {
  describe(`StreamReader in ${kind}`, () => {
    it('reads what has come, up to a number of bytes', () =>
      withVirtualTime(function* () {
        const reader = readerOf('hello world', { more: true });
        assert.equal((yield* start(() => reader.read(5))).toString(), 'hello');
        assert.equal((yield* start(() => reader.read(100))).toString(), ' world');
        const waiting = start(() => reader.read(3));
        yield* sleep(1);
        assert.equal(waiting.done(), false);
        assert.equal(reader.statistics().waiters, 1);
        reader.feedData(Buffer.from('more'));
        assert.equal((yield* waiting).toString(), 'mor');
        reader.feedEof();
        assert.equal(reader.atEof(), false);
        assert.equal((yield* start(() => reader.read(3))).toString(), 'e');
        assert.equal(reader.atEof(), true);
        assert.equal((yield* start(() => reader.read(3))).length, 0);
      }));

    it('waits for a number of bytes', () =>
      withVirtualTime(function* () {
        const reader = readerOf('ab', { more: true });
        const waiting = start(() => reader.readExactly(5));
        for (const piece of ['c', 'd', 'ef']) {
          yield* sleep(1);
          assert.equal(waiting.done(), false);
          reader.feedData(Buffer.from(piece));
        }
        assert.equal((yield* waiting).toString(), 'abcde');
        assert.equal((yield* start(() => reader.readExactly(0))).length, 0);
        const short = start(() => reader.readExactly(5));
        yield* sleep(1);
        reader.feedEof();
        const error: IncompleteReadError = yield* errorOf(short);
        assert.ok(error instanceof IncompleteReadError);
        assert.equal(error.partial.toString(), 'f');
        assert.equal(error.expected, 5);
        assert.equal(error.message, '1 bytes read on a total of 5 expected bytes');
      }));

    it('waits for a separator, wherever it is split', () =>
      withVirtualTime(function* () {
        const text = 'one--two--';
        for (let cut = 0; cut <= text.length; cut++) {
          const reader = new StreamReader();
          reader.feedData(Buffer.from(text.slice(0, cut)));
          const waiting = start(() => reader.readUntil('--'));
          yield* sleep(1);
          reader.feedData(Buffer.from(text.slice(cut)));
          assert.equal((yield* waiting).toString(), 'one--');
          assert.equal(
            (yield* start(() => reader.readUntil(Buffer.from('--')))).toString(),
            'two--',
          );
        }
      }));

    it('reads lines, the last of them without its newline', () =>
      withVirtualTime(function* () {
        const reader = readerOf('a\n\nbc');
        const lines: string[] = [];
        for (let i = 0; i < 4; i++) lines.push((yield* start(() => reader.readLine())).toString());
        assert.deepEqual(lines, ['a\n', '\n', 'bc', '']);
      }));

    it('reads everything until the end', () =>
      withVirtualTime(function* () {
        const reader = new StreamReader(4);
        const waiting = start(() => reader.read());
        for (const piece of ['a', 'bcdefghij', 'klm']) {
          yield* sleep(1);
          reader.feedData(Buffer.from(piece));
        }
        yield* sleep(1);
        reader.feedEof();
        assert.equal((yield* waiting).toString(), 'abcdefghijklm');
        assert.equal((yield* start(() => reader.read())).length, 0);
      }));

    it('throws the error of the connection, to who waits and to who comes', () =>
      withVirtualTime(function* () {
        const oops = new Error('oops');
        const operations = [
          (reader: StreamReader) => reader.read(1),
          (reader: StreamReader) => reader.read(),
          (reader: StreamReader) => reader.readExactly(9),
          (reader: StreamReader) => reader.readUntil(),
          (reader: StreamReader) => reader.readLine(),
        ];
        for (const operation of operations) {
          const reader = new StreamReader();
          const waiting = start(() => operation(reader));
          yield* sleep(1);
          reader.setException(oops);
          assert.equal(yield* errorOf(waiting), oops);
          assert.equal(reader.exception(), oops);
          assert.equal(yield* errorOf(start(() => operation(reader))), oops);
        }
      }));

    it('is for one at a time', () =>
      withVirtualTime(function* () {
        for (const [name, operation] of [
          ['read', (reader: StreamReader) => reader.read(1)],
          ['read', (reader: StreamReader) => reader.read()],
          ['readExactly', (reader: StreamReader) => reader.readExactly(1)],
          ['readUntil', (reader: StreamReader) => reader.readUntil('x')],
          ['readUntil', (reader: StreamReader) => reader.readLine()],
        ] as const) {
          const reader = new StreamReader();
          const first = start(() => reader.read(1));
          yield* sleep(1);
          const error = yield* errorOf(start(() => operation(reader)));
          assert.ok(error instanceof RuntimeError);
          assert.equal(
            error.message,
            `${name}() called while another coroutine is already waiting for incoming data`,
          );
          reader.feedData(Buffer.from('x'));
          assert.equal((yield* first).toString(), 'x');
        }
      }));

    it('loses nothing when a wait is cancelled or aborted', () =>
      withVirtualTime(function* () {
        for (const operation of [
          (reader: StreamReader, signal: AbortSignal) => reader.read(4, { signal }),
          (reader: StreamReader, signal: AbortSignal) => reader.read(-1, { signal }),
          (reader: StreamReader, signal: AbortSignal) => reader.readExactly(20, { signal }),
          (reader: StreamReader, signal: AbortSignal) => reader.readUntil('!', { signal }),
          (reader: StreamReader, signal: AbortSignal) => reader.readLine({ signal }),
        ]) {
          for (const how of ['cancel', 'abort'] as const) {
            const reader = new StreamReader(100);
            reader.setTransport(new Source());
            const controller = new AbortController();
            const reason = new Error('aborted');
            const task = start(() => operation(reader, controller.signal));
            yield* sleep(1);
            reader.feedData(Buffer.from('first'));
            if (how === 'cancel') task.cancel();
            else controller.abort(reason);
            let error = yield* errorOf(task);
            if (error === undefined) {
              // The bytes came before: the wait was over.
              assert.equal(task.result().toString(), 'firs');
              continue;
            }
            if (how === 'cancel') assert.ok(isCancelledError(error));
            else assert.equal(error, reason);
            assert.equal(reader.statistics().size, 5);

            const again = start(() => operation(reader, new AbortController().signal));
            yield* sleep(1);
            reader.feedData(Buffer.from(' and second'));
            yield* sleep(1);
            again.cancel();
            error = yield* errorOf(again);
            const taken = error === undefined ? again.result().length : 0;
            assert.equal(reader.statistics().size + taken, 16);
            assert.equal(reader.statistics().waiters, 0);
          }
        }
      }));
  });
}

describe('StreamReader.read()', () => {
  it('takes no number that makes no sense', () => {
    const reader = new StreamReader();
    for (const wrong of ['5', NaN, null, 1.5, {}]) {
      assert.throws(() => reader.read(wrong as never), {
        name: 'TypeError',
        message: /count must/,
      });
      assert.throws(() => reader.readExactly(wrong as never), TypeError);
    }
    assert.throws(() => reader.readExactly(-1), RangeError);
    assert.throws(() => reader.read(1, { signal: 5 as never }), TypeError);
  });

  it('returns nothing when nothing is asked for, without a wait', () =>
    withVirtualTime(function* () {
      assert.equal((yield* new StreamReader().read(0)).length, 0);
    }));

  it('takes Infinity for as much as there is', () =>
    withVirtualTime(function* () {
      assert.equal(yield* textOf(readerOf('abc', { more: true }).read(Infinity)), 'abc');
      const reader = readerOf('abc');
      const error: IncompleteReadError = yield* errorOf(reader.readExactly(Infinity));
      assert.equal(error.partial.toString(), 'abc');
    }));

  it('hands out bytes that nobody writes to any more', () =>
    withVirtualTime(function* () {
      const reader = new StreamReader();
      const seen: [Buffer, string][] = [];
      for (let i = 0; i < 200; i++) {
        reader.feedData(Buffer.from(`${i} and `));
        reader.feedData(Buffer.from('more;'));
        const piece = yield* reader.read(1 + (i % 9));
        seen.push([piece, piece.toString()]);
      }
      for (const [piece, text] of seen) assert.equal(piece.toString(), text);
    }));
});

describe('StreamReader.readUntil()', () => {
  it('takes the separator that ends first, of several', () =>
    withVirtualTime(function* () {
      for (const [text, separators, expected] of [
        ['a-b--c', ['--', '-'], 'a-'],
        ['a---c', ['---', '--'], 'a--'],
        ['abcXYZ', ['XYZ', 'cXY'], 'abcXY'],
        ['line\r\nnext', ['\r\n', '\n', '\r'], 'line\r'],
        ['xxab', ['ab', 'xxab'], 'xxab'],
        ['äöü', ['ü', 'ö'], 'äö'],
      ] as const) {
        assert.equal(yield* textOf(readerOf(text).readUntil(separators)), expected);
      }
    }));

  it('refuses separators that are none', () => {
    const reader = new StreamReader();
    assert.throws(() => reader.readUntil(''), RangeError);
    assert.throws(() => reader.readUntil([]), RangeError);
    assert.throws(() => reader.readUntil(['a', '']), RangeError);
    assert.throws(() => reader.readUntil(new Uint8Array(0)), RangeError);
    assert.throws(() => reader.readUntil(5 as never), {
      name: 'TypeError',
      message: 'readUntil: separator must be text or bytes, got 5',
    });
    assert.throws(() => reader.readUntil(['a', null] as never), TypeError);
  });

  it('does not mind when the separator is changed meanwhile', () =>
    withVirtualTime(function* () {
      const separator = Buffer.from('!');
      const reader = new StreamReader();
      const task = createTask(reader.readUntil(separator));
      yield* sleep(1);
      separator.fill('?');
      reader.feedData(Buffer.from('a?b!c'));
      assert.equal((yield* task).toString(), 'a?b!');
    }));

  it('leaves the bytes alone when there are more than the limit', () =>
    withVirtualTime(function* () {
      const found = readerOf('abcdef-g', { limit: 5 });
      const error: LimitOverrunError = yield* errorOf(found.readUntil('-'));
      assert.ok(error instanceof LimitOverrunError);
      assert.equal(error.message, 'Separator is found, but chunk is longer than limit');
      assert.equal(error.consumed, 6);
      assert.equal(yield* textOf(found.readExactly(error.consumed)), 'abcdef');
      assert.equal(yield* textOf(found.readUntil('-')), '-');

      const missing = readerOf('abcdefgh', { limit: 5, more: true });
      const other: LimitOverrunError = yield* errorOf(missing.readUntil('--'));
      assert.equal(other.message, 'Separator is not found, and chunk exceed the limit');
      assert.equal(other.consumed, 7);
      assert.equal(yield* textOf(missing.read(100)), 'abcdefgh');

      assert.equal(yield* textOf(readerOf('abcde-', { limit: 5 }).readUntil('-')), 'abcde-');
    }));

  it('throws what there is when the end comes first', () =>
    withVirtualTime(function* () {
      const reader = readerOf('abc');
      const error: IncompleteReadError = yield* errorOf(reader.readUntil('-'));
      assert.ok(error instanceof IncompleteReadError);
      assert.equal(error.partial.toString(), 'abc');
      assert.equal(error.expected, null);
      assert.equal(reader.atEof(), true);
    }));
});

describe('StreamReader.readLine()', () => {
  it('drops a line that is longer than the limit, and goes on with the next', () =>
    withVirtualTime(function* () {
      const reader = readerOf('much too long\nshort\n', { limit: 6 });
      assert.equal((yield* errorOf(reader.readLine())).name, 'RangeError');
      assert.equal(yield* textOf(reader.readLine()), 'short\n');
      const endless = readerOf('no newline at all', { limit: 6, more: true });
      assert.equal((yield* errorOf(endless.readLine())).name, 'RangeError');
      assert.equal(endless.statistics().size, 0);
    }));

  it('drops no more than there is, though a newline may be left in its memory', () =>
    withVirtualTime(function* () {
      // The memory that is allocated next is one that was given back, and full of newlines.
      const reader = new StreamReader(6);
      reader.feedData(Buffer.from('ab'));
      reader.feedData(Buffer.from('cd'));
      // @ts-expect-error the memory is nobody's business
      const memory: Buffer = reader.memory;
      memory.fill('\n', 4);
      reader.feedData(Buffer.from('efgh'));
      assert.equal((yield* errorOf(reader.readLine())).name, 'RangeError');
      assert.equal(reader.statistics().size, 0);
      reader.feedData(Buffer.from('next\n'));
      assert.equal(yield* textOf(reader.readLine()), 'next\n');
    }));

  it('is what `for await` does', async () => {
    await withVirtualTime(async () => {
      const reader = readerOf('one\ntwo\n\nthree');
      const lines: string[] = [];
      for await (const line of reader) lines.push(line.toString());
      assert.deepEqual(lines, ['one\n', 'two\n', '\n', 'three']);
    });
  });
});

describe('a StreamReader', () => {
  it('pauses its transport above twice the limit, and resumes it at the limit', () =>
    withVirtualTime(function* () {
      const reader = new StreamReader(10);
      const source = new Source();
      reader.setTransport(source);
      reader.feedData(Buffer.alloc(20));
      assert.deepEqual(source.calls, []);
      reader.feedData(Buffer.alloc(1));
      reader.feedData(Buffer.alloc(1));
      assert.deepEqual(source.calls, ['pause']);
      yield* reader.read(11);
      assert.deepEqual(source.calls, ['pause']);
      yield* reader.read(1);
      assert.deepEqual(source.calls, ['pause', 'resume']);
    }));

  it('resumes its transport when somebody waits for more than fits', () =>
    withVirtualTime(function* () {
      const reader = new StreamReader(10);
      const source = new Source();
      reader.setTransport(source);
      const task = createTask(reader.readExactly(100));
      for (let i = 0; i < 4; i++) {
        yield* sleep(1);
        reader.feedData(Buffer.alloc(25));
      }
      assert.equal((yield* task).length, 100);
      yield* sleep(1);
      assert.equal(source.paused, false);
    }));

  it('pauses its transport again when what was read comes back', () =>
    withVirtualTime(function* () {
      const reader = new StreamReader(10);
      const source = new Source();
      reader.setTransport(source);
      const task = createTask(reader.read());
      for (let i = 0; i < 3; i++) {
        yield* sleep(1);
        reader.feedData(Buffer.from('0123456789'));
      }
      yield* sleep(1);
      task.cancel();
      assert.ok((yield* errorOf(task)) instanceof CancelledError);
      assert.equal(source.paused, true);
      assert.equal(yield* textOf(reader.readExactly(30)), '0123456789'.repeat(3));
      assert.equal(source.paused, false);
    }));
});

// ---- random programs ------------------------------------------------------------------------------

const PROGRAMS = process.env['RINGLOOP_HEAVY'] === '1' ? 100_000 : 1000;
const REPLAY = process.env['RINGLOOP_SEED'];
const SEPARATORS = ['\n', 'b', 'ab', '\n\n', 'aab', 'ba\na', 'aaaaaab'];

/** Everything that will come, as one piece: what each read must return follows from it alone. */
class Model {
  readonly random: Random;
  readonly data: Buffer;
  readonly limit: number;
  readonly reader: StreamReader;
  readonly source = new Source();
  fed = 0;
  position = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
    const size = this.random.chance(0.1) ? 2000 : this.random.below(200);
    const letters = Array.from({ length: size }, () => this.random.pick([...'aaabbc\n']));
    this.data = Buffer.from(letters.join(''));
    this.limit = this.random.chance(0.3) ? 65_536 : this.random.between(1, 40);
    this.reader = new StreamReader(this.limit);
    this.reader.setTransport(this.source);
  }

  /** Brings the bytes, in pieces, with and without time in between. */
  *feed(): Generator<unknown, void, any> {
    const { random, reader, source } = this;
    const polite = random.chance(0.7);
    while (this.fed < this.data.length) {
      while (polite && source.paused) yield* sleep(1);
      if (random.chance(0.6)) yield* sleep(random.below(3));
      const most = random.pick([1, 3, 20, 500]);
      const piece = this.data.subarray(this.fed, this.fed + random.between(0, most));
      const wasPaused = source.paused;
      this.fed += piece.length;
      reader.feedData(Buffer.from(piece));
      if (piece.length === 0) continue;
      assert.equal(source.paused, wasPaused || reader.statistics().size > 2 * this.limit);
    }
    yield* sleep(random.below(3));
    reader.feedEof();
  }

  *readEverything(): Generator<unknown, void, any> {
    const { random, reader } = this;
    const operations = [
      () => this.read(),
      () => this.readExactly(),
      () => this.readUntil(),
      () => this.readLine(),
    ];
    while (!reader.atEof()) {
      if (random.chance(0.2)) yield* sleep(random.below(4));
      if (random.chance(0.03)) yield* this.readAll();
      else yield* random.pick(operations)();
      this.checkAccounts();
    }
    assert.equal(this.position, this.data.length);
  }

  private checkAccounts(): void {
    const { size, paused, waiters } = this.reader.statistics();
    assert.equal(this.position, this.fed - size, 'bytes are lost, or come twice');
    assert.equal(waiters, 0);
    assert.equal(paused, this.source.paused);
    assert.ok(!paused || size > this.limit, 'paused for nothing');
  }

  /** What an operation comes to; null: it was cancelled or aborted, and took nothing. */
  private *attempt(
    operation: (signal?: AbortSignal) => Coroutine<Buffer>,
  ): Generator<unknown, { value?: Buffer; error?: any } | null, any> {
    const { random } = this;
    const how = random.chance(0.7) ? 'runs' : random.pick(['cancel', 'abort'] as const);
    if (how === 'runs') {
      try {
        return { value: yield* operation() };
      } catch (error) {
        return { error };
      }
    }
    const controller = new AbortController();
    const coroutine = operation(controller.signal);
    const task = createTask(random.chance(0.5) ? coroutine : async () => await coroutine);
    for (let i = random.below(4); i > 0; i--) yield* sleep(random.below(2));
    if (how === 'cancel') task.cancel();
    else controller.abort(new Error('aborted'));
    const error = yield* errorOf(task);
    if (error === undefined) return { value: task.result() as Buffer };
    if (!isCancelledError(error) && error !== controller.signal.reason) return { error };
    assert.equal(this.position, this.fed - this.reader.statistics().size, 'it took something');
    return null;
  }

  private took(value: Buffer | undefined, count: number): void {
    const expected = this.data.subarray(this.position, this.position + count);
    assert.equal(value?.toString(), expected.toString());
    this.position += count;
  }

  private *read(): Generator<unknown, void, any> {
    const count = this.random.between(1, 30);
    const outcome = yield* this.attempt((signal) => this.reader.read(count, abortableBy(signal)));
    if (outcome === null) return;
    const { length } = outcome.value!;
    assert.ok(length <= count);
    assert.ok(length > 0 || this.position === this.data.length);
    this.took(outcome.value, length);
  }

  private *readAll(): Generator<unknown, void, any> {
    const outcome = yield* this.attempt((signal) => this.reader.read(-1, abortableBy(signal)));
    if (outcome !== null) this.took(outcome.value, this.data.length - this.position);
  }

  private *readExactly(): Generator<unknown, void, any> {
    const count = this.random.between(0, 50);
    const left = this.data.length - this.position;
    const { reader } = this;
    const outcome = yield* this.attempt((signal) => reader.readExactly(count, abortableBy(signal)));
    if (outcome === null) return;
    if (count <= left) {
      this.took(outcome.value, count);
      return;
    }
    assert.ok(outcome.error instanceof IncompleteReadError, String(outcome.error));
    assert.equal(outcome.error.expected, count);
    this.took(outcome.error.partial, left);
  }

  /** The separator that ends first; of those that end there, the shortest. */
  private find(separators: string[]): { start: number; end: number } | null {
    const rest = this.data.subarray(this.position);
    const matches = separators
      .map((separator) => ({ start: rest.indexOf(separator), length: separator.length }))
      .filter(({ start }) => start >= 0)
      .map(({ start, length }) => ({ start, end: start + length }))
      .sort((a, b) => a.end - b.end || b.start - a.start);
    return matches[0] ?? null;
  }

  private *readUntil(): Generator<unknown, void, any> {
    const { random, reader, limit } = this;
    const separators = SEPARATORS.filter(() => random.chance(0.3));
    if (separators.length === 0) separators.push(random.pick(SEPARATORS));
    const outcome = yield* this.attempt((signal) =>
      reader.readUntil(separators, abortableBy(signal)),
    );
    if (outcome === null) return;
    const match = this.find(separators);
    if (match !== null && match.start <= limit) {
      this.took(outcome.value, match.end);
      return;
    }
    const left = this.data.length - this.position;
    const longest = Math.max(...separators.map(({ length }) => length));
    if (match === null && left + 1 - longest <= limit) {
      assert.ok(outcome.error instanceof IncompleteReadError, String(outcome.error));
      this.took(outcome.error.partial, left);
      return;
    }
    const { error } = outcome;
    assert.ok(error instanceof LimitOverrunError, String(error));
    assert.ok(error.consumed > limit && error.consumed <= (match?.start ?? left));
    this.took(yield* reader.readExactly(error.consumed), error.consumed);
  }

  private *readLine(): Generator<unknown, void, any> {
    const { reader, limit } = this;
    const outcome = yield* this.attempt((signal) => reader.readLine(abortableBy(signal)));
    if (outcome === null) return;
    const match = this.find(['\n']);
    const left = this.data.length - this.position;
    const length = match?.end ?? left;
    if ((match?.start ?? left) <= limit) {
      this.took(outcome.value, length);
      return;
    }
    assert.equal(outcome.error?.name, 'RangeError');
    // The line is dropped, or as much of it as had come.
    const dropped = this.fed - reader.statistics().size - this.position;
    assert.ok(dropped > limit && dropped <= length);
    this.position += dropped;
  }
}

function abortableBy(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

async function runProgram(seed: number): Promise<void> {
  try {
    await withVirtualTime(function* () {
      const model = new Model(seed);
      const feeding = createTask(model.feed());
      yield* model.readEverything();
      yield* feeding;
    });
  } catch (error) {
    const { message } = error as Error;
    throw new Error(`RINGLOOP_SEED=${seed}: ${message}`, { cause: error });
  }
}

describe('a StreamReader under random reads', () => {
  it('returns every byte once, in order, as a model says', async function () {
    this.timeout(600_000);
    if (REPLAY !== undefined) return runProgram(Number(REPLAY));
    for (let seed = 1; seed <= PROGRAMS; seed++) await runProgram(seed);
    return undefined;
  });
});
