/**
 * Memory for what was received: how much of it a small piece may keep alive.
 *
 * Facts. A view keeps all of the memory that it is a view of: a line of 20 bytes the 128 KiB that
 * it came in, for as long as somebody has the line. V8 keeps up to 64 bytes inside of the object,
 * which costs no more than a view; memory of its own costs 0.6 us, and Node's pool of 8 KiB a tenth
 * of that.
 * Decision. What was received in one piece is copied once, into the pool if it is larger than 64
 * bytes, as every small Buffer of Node's. A part of a piece is a view where the piece is not much
 * larger; otherwise a copy in memory of its own, so that the rest can go.
 * Invariants. A part of n bytes keeps no more than 2 n + 200 bytes alive.
 */
// The global is a getter of Node's: 30 ns each time.
import { Buffer } from 'node:buffer';

/** V8's typed_array_max_size_in_heap. */
const IN_OBJECT_MAX = 64;
/** What a small part may keep alive beside twice its own size. */
const SLACK = 200;

/** Memory for a piece that was received. */
export function memoryFor(count: number): Buffer {
  return count <= IN_OBJECT_MAX ? Buffer.allocUnsafeSlow(count) : Buffer.allocUnsafe(count);
}

/** A piece that somebody else has made: the same, or a copy if it keeps too much alive. */
export function compact(piece: Buffer): Buffer {
  const { length } = piece;
  const small = length <= IN_OBJECT_MAX || piece.buffer.byteLength > 2 * length + SLACK;
  return small ? partOf(piece, 0, length) : piece;
}

/** A part of a piece: a view, unless that would keep too much alive. */
export function partOf(memory: Buffer, start: number, end: number): Buffer {
  const count = end - start;
  // Asking a small one for its buffer would move it out of the object.
  if (count > IN_OBJECT_MAX && memory.buffer.byteLength <= 2 * count + SLACK) {
    return memory.subarray(start, end);
  }
  const part = Buffer.allocUnsafeSlow(count);
  memory.copy(part, 0, start, end);
  return part;
}

/** Several pieces as one, in memory of its own. */
export function joined(pieces: readonly Uint8Array[], size: number): Buffer {
  const all = Buffer.allocUnsafeSlow(size);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
