/**
 * Calls from other threads of the process.
 *
 * Facts. A function cannot leave its thread, a number can. The core keeps an inbox for each loop
 * that any thread may post to; an eventfd wakes the loop.
 * Decision. The callback stays here under an id; its address is the loop's key and that id.
 */
import type { Core } from '../core/core.js';
import { coreModule, layout } from '../core/native.js';
import { show } from '../errors.js';
import type { Context } from './context.js';
import { type Callback, Handle } from './handle.js';

/** Where a callback of another thread can be reached. A plain value: it can be posted. */
export interface RemoteAddress {
  readonly loop: number;
  readonly callback: number;
}

/** A callback that other threads can ask for. */
export interface Remote {
  readonly address: RemoteAddress;
  /** Takes the callback back: calls that arrive later find nothing. */
  close(): void;
  [Symbol.dispose](): void;
}

export class Remotes {
  private readonly callbacks = new Map<number, Handle>();
  private lastId = 0;

  constructor(
    private readonly core: Core,
    private readonly header: Uint32Array,
  ) {}

  create(callback: Callback, context: Context | null): Remote {
    const id = ++this.lastId;
    this.callbacks.set(id, new Handle(callback, null, context));
    this.header[layout.referenceCount]!++;
    const close = (): void => {
      if (!this.callbacks.delete(id)) return;
      this.header[layout.referenceCount]!--;
      this.core.wake();
    };
    return {
      address: { loop: this.core.remoteKey(), callback: id },
      close,
      [Symbol.dispose]: close,
    };
  }

  /** The handle to queue for a call; null: closed meanwhile. */
  called(id: number): Handle | null {
    return this.callbacks.get(id) ?? null;
  }

  clear(): void {
    this.callbacks.clear();
  }
}

/**
 * Asks a loop, possibly of another thread, for one call of a callback.
 *
 * @param address - from `loop.createRemote(callback).address`
 * @returns false if that loop is gone
 * @throws TypeError if it is no address
 */
export function callRemote(address: RemoteAddress): boolean {
  if (!fitsRecord(address?.loop) || !fitsRecord(address?.callback)) {
    throw new TypeError(`callRemote: expected the address of a remote, got ${show(address)}`);
  }
  return coreModule.postRemote(address.loop, address.callback);
}

/** C++ takes 32 bits: a larger number would become another one. */
function fitsRecord(value: unknown): boolean {
  const number = value as number;
  return Number.isInteger(number) && number >= 0 && number <= layout.readyPayloadMax;
}
