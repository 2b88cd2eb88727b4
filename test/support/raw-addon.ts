/** The addon as a program gets it that requires the `.node` file itself. */
import assert from 'node:assert/strict';
import { join } from 'node:path';

import type { Core, CoreModule, CoreOptions } from '../../dist/core/core.js';
import { CHECKOUT } from './capture.js';

/** Where the addon is that the library has loaded. */
export function addonPath(): string {
  require(join(CHECKOUT, 'dist', 'core', 'native.js'));
  const path = Object.keys(require.cache).find((each) => each.endsWith('ringloop.node'));
  assert.ok(path);
  return path;
}

/** The addon once more: what is attached to it is nobody else's. */
export function rawAddon(): CoreModule {
  const module = { exports: {} as CoreModule };
  process.dlopen(module, addonPath());
  return module.exports;
}

/** A program's first lines: `addon`, `layout`, and `options(dispatch)` for a `new NativeLoop`. */
export function rawPrelude(): string {
  return `
    const addon = require(${JSON.stringify(addonPath())});
    const { layout } = addon;
    const options = (dispatch) => ({
      header: new ArrayBuffer(layout.headerBytes),
      ready: new ArrayBuffer(4 * 16),
      submissions: new ArrayBuffer(layout.submissionBytes * layout.submissionCapacity),
      dispatch,
      nowMs: 0,
    });
  `;
}

/** A loop by hand, and JavaScript's views of its memory. */
export class RawLoop {
  readonly options: CoreOptions;
  readonly core: Core;
  readonly words: Uint32Array;
  readonly doubles: Float64Array;
  readonly records: Uint32Array;
  readonly slots: Uint32Array;
  readonly deadlines: Float64Array;

  constructor(
    private readonly addon: CoreModule,
    changes: Partial<CoreOptions> = {},
  ) {
    this.options = { ...rawOptions(addon), ...changes };
    this.core = new addon.NativeLoop(this.options);
    this.words = new Uint32Array(this.options.header);
    this.doubles = new Float64Array(this.options.header);
    this.records = new Uint32Array(this.options.ready);
    this.slots = new Uint32Array(this.options.submissions);
    this.deadlines = new Float64Array(this.options.submissions);
  }

  /** Into the submission ring, unchecked. */
  submit(slot: number, deadlineNs: number): void {
    const { layout } = this.addon;
    const at = this.words[layout.submissionCount]!++;
    this.slots[(at * layout.submissionBytes) / 4 + layout.submissionSlot] = slot;
    this.deadlines[(at * layout.submissionBytes) / 8 + layout.submissionDeadline] = deadlineNs;
  }

  /** The payloads that are in the ready ring, which is empty afterwards. */
  take(): number[] {
    const { readyHead, readyTail, readyTagBits } = this.addon.layout;
    const taken: number[] = [];
    while (this.words[readyHead] !== this.words[readyTail]) {
      const at = this.words[readyHead]!++ & (this.records.length - 1);
      taken.push(this.records[at]! >>> readyTagBits);
    }
    return taken;
  }
}

/** What a NativeLoop takes. */
export function rawOptions({ layout }: CoreModule): CoreOptions {
  return {
    header: new ArrayBuffer(layout.headerBytes),
    ready: new ArrayBuffer(4 * 16),
    submissions: new ArrayBuffer(layout.submissionBytes * layout.submissionCapacity),
    dispatch: () => layout.verdictIdle,
    nowMs: 0,
  };
}
