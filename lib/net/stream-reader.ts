/**
 * StreamReader: bytes, as they are asked for.
 *
 * Facts. Most reads find nothing, wait, and then take exactly what has come. `readUntil` looks at
 * the same bytes again and again if it starts from the front each time.
 * Decision. asyncio's algorithms. The bytes are one piece of memory: what comes while it is empty
 * is taken over as it is and, where it is asked for as a whole, handed out as it is, so most bytes
 * are never copied; small parts of it are (memory.ts). What comes behind other bytes is appended,
 * and the memory doubles. The reader is its own `Operation`, so `read`
 * needs no generator.
 * Invariants. One coroutine waits at a time. Above twice the limit the transport is paused.
 *
 *   memory   |  taken  | start ... bytes ... end |  room  |
 */
// The global is a getter of Node's: 30 ns each time.
import { Buffer } from 'node:buffer';

import { IncompleteReadError, LimitOverrunError, RuntimeError, show } from '../errors.js';
import { type Abortable, abortable } from '../tasks/abortable.js';
import { Coroutine } from '../tasks/coroutine.js';
import { type Operation, Waiting } from '../tasks/waiting.js';
import { joined, partOf } from './memory.js';

/** Where bytes come from, as far as a reader is concerned. */
export interface ReadSource {
  pauseReading(): void;
  resumeReading(): void;
}

/** The default of `limit`. */
const DEFAULT_LIMIT = 64 * 1024;

const EMPTY: Buffer = Buffer.alloc(0);
const NEWLINE = Buffer.from('\n');

/** What `reader.statistics()` tells. */
export interface StreamReaderStatistics {
  /** Bytes that have come and were not read. */
  size: number;
  limit: number;
  /** Whether the other side is being held up. */
  paused: boolean;
  /** Coroutines that wait: 0 or 1. */
  waiters: number;
}

/** The reading side of a stream. Counterpart: `asyncio.StreamReader`. */
export class StreamReader implements AsyncIterable<Buffer> {
  private memory: Buffer = EMPTY;
  private start = 0;
  private end = 0;
  private ended = false;
  private paused = false;
  private error: Error | null = null;
  private waiter: Waiting<any> | null = null;
  private source: ReadSource | null = null;

  /** @param limit - bytes that may wait before the other side is held up: twice as many */
  constructor(private readonly limit: number = DEFAULT_LIMIT) {
    checkLimit('StreamReader', limit);
  }

  // ---- for whoever brings the bytes -------------------------------------------------------------

  /** Who is told to pause and to resume. */
  setTransport(source: ReadSource): void {
    this.source = source;
  }

  /** Bytes have come. They belong to the reader from now on. */
  feedData(data: Uint8Array): void {
    if (this.ended) throw new RuntimeError('feedData after feedEof');
    if (data.length === 0) return;
    if (this.start === this.end) {
      this.memory =
        data instanceof Buffer ? data : Buffer.from(data.buffer, data.byteOffset, data.length);
      this.start = 0;
      this.end = data.length;
    } else this.append(data);
    this.wake();
    this.pauseIfFull();
  }

  /** Nothing more will come. */
  feedEof(): void {
    this.ended = true;
    this.wake();
  }

  /** Reading throws from now on. */
  setException(error: Error): void {
    this.error = error;
    const { waiter } = this;
    this.waiter = null;
    if (waiter?.waits()) waiter.fail(error);
  }

  /** @internal What nobody has read: it belongs to the caller. */
  takeUnread(): Buffer {
    return this.takeAll();
  }

  // ---- for whoever reads ------------------------------------------------------------------------

  /** The error that reading throws, or null. */
  exception(): Error | null {
    return this.error;
  }

  /** Whether everything has been read, and nothing more will come. */
  atEof(): boolean {
    return this.ended && this.start === this.end;
  }

  /**
   * Reads up to `count` bytes, as soon as there are any.
   *
   * @param count - at most so many; left out or negative: everything until the end
   * @param options - `signal` ends the wait
   * @returns when awaited, the bytes: none only at the end, or if none were asked for
   * @throws TypeError if an argument has the wrong type; when awaited: the connection's error,
   *   RuntimeError if somebody else reads, CancelledError, the reason of the signal
   *
   * Order: bytes are not lost by a cancellation. Counterpart: `StreamReader.read`.
   */
  read(count = -1, options?: Abortable): Coroutine<Buffer> {
    checkCount('read', count);
    if (count < 0) return abortable('read', options, new Coroutine(this.readAllSteps()));
    return abortable('read', options, new Waiting<Buffer>(this, count));
  }

  /**
   * Reads exactly `count` bytes.
   *
   * @param count - how many
   * @param options - `signal` ends the wait
   * @throws TypeError or RangeError if an argument is wrong; when awaited: IncompleteReadError if
   *   the end comes before, with `partial`; otherwise as `read`
   *
   * Counterpart: `StreamReader.readexactly`.
   */
  readExactly(count: number, options?: Abortable): Coroutine<Buffer> {
    checkCount('readExactly', count);
    if (count < 0) throw new RangeError('readExactly: count must be >= 0');
    return abortable('readExactly', options, new Coroutine(this.readExactlySteps(count)));
  }

  /**
   * Reads up to a separator, which is at the end of what is returned.
   *
   * @param separator - text or bytes, or several of them: the one that ends first counts
   * @param options - `signal` ends the wait
   * @throws TypeError or RangeError if an argument is wrong; when awaited: IncompleteReadError if
   *   the end comes before, LimitOverrunError if more than `limit` bytes stand before it (they stay
   *   in the reader); otherwise as `read`
   *
   * Counterpart: `StreamReader.readuntil`.
   */
  readUntil(
    separator: string | Uint8Array | readonly (string | Uint8Array)[] = NEWLINE,
    options?: Abortable,
  ): Coroutine<Buffer> {
    const separators = separatorsOf(separator);
    return abortable('readUntil', options, new Coroutine(this.readUntilSteps(separators)));
  }

  /**
   * Reads a line, with its newline. At the end: what is left, or nothing.
   *
   * @throws when awaited: RangeError if a line is longer than `limit`; it is dropped. Otherwise as
   *   `read`
   *
   * Counterpart: `StreamReader.readline`.
   */
  readLine(options?: Abortable): Coroutine<Buffer> {
    return abortable('readLine', options, new Coroutine(this.readLineSteps()));
  }

  /** `for await (const line of reader)`, until the end. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    for (let line = await this.readLine(); line.length > 0; line = await this.readLine()) {
      yield line;
    }
  }

  /** How much is in it, and who waits. */
  statistics(): StreamReaderStatistics {
    const { size, limit, paused } = this;
    return { size, limit, paused, waiters: this.waiter === null ? 0 : 1 };
  }

  /** For messages. */
  toString(): string {
    return `<StreamReader ${this.size} bytes${this.ended ? ', at its end' : ''}>`;
  }

  // ---- Operation: read(count) -------------------------------------------------------------------

  /** @internal */
  begin(waiting: Waiting<Buffer>): boolean {
    if (this.error !== null) throw this.error;
    return this.takeFor(waiting) || this.register('read', waiting);
  }

  /** @internal */
  woken(waiting: Waiting<Buffer>): boolean {
    return this.takeFor(waiting) || this.register('read', waiting);
  }

  /** @internal */
  abandoned(waiting: Waiting<Buffer>): boolean {
    if (this.waiter === waiting) this.waiter = null;
    return false;
  }

  /** `value` is how much was asked for, and then what there is. */
  private takeFor(waiting: Waiting<Buffer>): boolean {
    const count = waiting.value as number;
    if (count === 0) waiting.value = EMPTY;
    else if (this.start < this.end) waiting.value = this.take(Math.min(count, this.size));
    else if (this.ended) waiting.value = EMPTY;
    else return false;
    return true;
  }

  // ---- inside -----------------------------------------------------------------------------------

  private get size(): number {
    return this.end - this.start;
  }

  private append(data: Uint8Array): void {
    const { memory, start, end } = this;
    if (end + data.length > memory.length || !this.grown) {
      const needed = end - start + data.length;
      const larger = Buffer.allocUnsafeSlow(Math.max(2 * (end - start), needed, 1024));
      memory.copy(larger, 0, start, end);
      this.memory = larger;
      this.grown = true;
      this.start = 0;
      this.end = end - start;
    }
    this.memory.set(data, this.end);
    this.end += data.length;
  }

  /** Whether `memory` is our own, with room behind the bytes. */
  private grown = false;

  /** The first bytes. They may be a view of our memory, which is never written to again. */
  private take(count: number): Buffer {
    const { memory, start } = this;
    const whole = start === 0 && count === memory.length;
    const taken = whole ? memory : partOf(memory, start, start + count);
    this.start += count;
    if (this.start === this.end) {
      this.memory = EMPTY;
      this.start = this.end = 0;
      this.grown = false;
    }
    if (this.paused && this.size <= this.limit) this.resume();
    return taken;
  }

  private pauseIfFull(): void {
    if (this.source === null || this.paused || this.size <= 2 * this.limit) return;
    this.paused = true;
    this.source.pauseReading();
  }

  private resume(): void {
    this.paused = false;
    this.source?.resumeReading();
  }

  private wake(): void {
    const { waiter } = this;
    this.waiter = null;
    // `value` stays what it is: how much was asked for.
    if (waiter?.waits()) waiter.wake(waiter.value);
  }

  private register(name: string, waiting: Waiting<any>): false {
    if (this.waiter !== null) {
      throw new RuntimeError(
        `${name}() called while another coroutine is already waiting for incoming data`,
      );
    }
    if (this.paused) this.resume();
    this.waiter = waiting;
    return false;
  }

  /** For those who look at the bytes themselves. */
  private waitForData(name: string): Waiting<void> {
    return new Waiting<void>(new DataWait((waiting) => this.register(name, waiting), this), null);
  }

  /** @internal */
  forget(waiting: Waiting<any>): void {
    if (this.waiter === waiting) this.waiter = null;
  }

  private throwError(): void {
    if (this.error !== null) throw this.error;
  }

  private *readAllSteps(): Generator<unknown, Buffer, any> {
    const blocks: Buffer[] = [];
    let size = 0;
    try {
      for (;;) {
        const block = yield* this.read(this.limit);
        if (block.length === 0) return blocks.length === 1 ? blocks[0]! : joined(blocks, size);
        blocks.push(block);
        size += block.length;
      }
    } catch (error) {
      if (blocks.length > 0) this.putBack(blocks);
      throw error;
    }
  }

  private putBack(blocks: readonly Buffer[]): void {
    const pieces = [...blocks, this.memory.subarray(this.start, this.end)];
    const size = pieces.reduce((sum, { length }) => sum + length, 0);
    this.memory = joined(pieces, size);
    this.start = 0;
    this.end = size;
    this.grown = false;
    this.pauseIfFull();
  }

  private *readExactlySteps(count: number): Generator<unknown, Buffer, any> {
    this.throwError();
    while (this.size < count) {
      if (this.ended) throw new IncompleteReadError(this.takeAll(), count);
      yield* this.waitForData('readExactly');
      this.throwError();
    }
    return count === 0 ? EMPTY : this.take(count);
  }

  private takeAll(): Buffer {
    return this.size === 0 ? EMPTY : this.take(this.size);
  }

  private *readUntilSteps(separators: readonly Buffer[]): Generator<unknown, Buffer, any> {
    this.throwError();
    const longest = separators[separators.length - 1]!.length;
    for (let offset = 0; ; ) {
      const match = this.find(separators, offset);
      if (match !== null) {
        if (match.start <= this.limit) return this.take(match.end);
        const text = 'Separator is found, but chunk is longer than limit';
        throw new LimitOverrunError(text, match.start);
      }
      offset = Math.max(0, this.size + 1 - longest);
      if (offset > this.limit) {
        throw new LimitOverrunError('Separator is not found, and chunk exceed the limit', offset);
      }
      if (this.ended) throw new IncompleteReadError(this.takeAll(), null);
      yield* this.waitForData('readUntil');
      this.throwError();
    }
  }

  /** Where the separator that ends first stands, counted from the first byte. */
  private find(
    separators: readonly Buffer[],
    offset: number,
  ): { start: number; end: number } | null {
    const bytes = this.grown ? this.memory.subarray(0, this.end) : this.memory;
    let match: { start: number; end: number } | null = null;
    for (const separator of separators) {
      const start = bytes.indexOf(separator, this.start + offset) - this.start;
      const end = start + separator.length;
      if (start >= 0 && (match === null || end < match.end)) match = { start, end };
    }
    return match;
  }

  private *readLineSteps(): Generator<unknown, Buffer, any> {
    try {
      return yield* this.readUntilSteps([NEWLINE]);
    } catch (error) {
      if (error instanceof IncompleteReadError) return error.partial;
      if (!(error instanceof LimitOverrunError)) throw error;
      // What stands behind the end is left from before.
      const { consumed } = error;
      const found = consumed < this.size && this.memory[this.start + consumed] === NEWLINE[0];
      if (found) this.take(consumed + 1);
      else this.takeAll();
      throw new RangeError(error.message);
    }
  }
}

/** Waits until there is something new, whatever it is. */
class DataWait implements Operation {
  constructor(
    private readonly register: (waiting: Waiting<any>) => false,
    private readonly reader: StreamReader,
  ) {}

  begin(waiting: Waiting<any>): boolean {
    return this.register(waiting);
  }

  woken(): boolean {
    return true;
  }

  abandoned(waiting: Waiting<any>): boolean {
    this.reader.forget(waiting);
    return false;
  }
}

/** @throws TypeError, RangeError */
export function checkLimit(name: string, limit: unknown): void {
  if (limit === undefined) return;
  if (!Number.isInteger(limit) && limit !== Infinity) {
    throw new TypeError(`${name}: limit must be an integer, got ${show(limit)}`);
  }
  if ((limit as number) < 1) throw new RangeError(`${name}: limit must be >= 1, got ${limit}`);
}

function checkCount(name: string, count: unknown): void {
  if (Number.isInteger(count) || count === Infinity || count === -Infinity) return;
  throw new TypeError(`${name}: count must be an integer, got ${show(count)}`);
}

/** Shortest first. */
function separatorsOf(separator: unknown): Buffer[] {
  const list = Array.isArray(separator) ? separator : [separator];
  if (list.length === 0) throw new RangeError('Separator should contain at least one element');
  const separators = list.map((each) => {
    if (typeof each === 'string') return Buffer.from(each);
    if (each instanceof Uint8Array) return Buffer.from(each);
    throw new TypeError(`readUntil: separator must be text or bytes, got ${show(each)}`);
  });
  separators.sort((a, b) => a.length - b.length);
  if (separators[0]!.length === 0) {
    throw new RangeError('Separator should be at least one-byte string');
  }
  return separators;
}
