/**
 * AbortSignals: those that ringloop listens to, and those that it makes.
 *
 * Facts. A thousand waits may hang on one signal. EventTarget searches its list for each listener
 * that comes or goes, and warns of a leak at eleven. Nothing tells who may abort a signal that a
 * program has made: `AbortSignal.timeout` keeps no process alive.
 * Decision. One listener for each signal, with a set behind it. A wait that a foreign signal may
 * end is counted: as long as there is one, something outside may still wake its task.
 * Invariants. A signal that nobody waits for has no listener of ours. Listeners are called in the
 * order in which they came.
 */
import { setMaxListeners } from 'node:events';

import { keepAlive } from './keep-alive.js';

/** Everybody who listens to one signal. */
class Audience {
  readonly listeners = new Set<() => void>();
  private readonly onAbort = (): void => {
    for (const listener of [...this.listeners]) {
      if (this.listeners.has(listener)) tell(listener);
    }
  };

  constructor(private readonly signal: AbortSignal) {}

  add(listener: () => void): void {
    if (this.listeners.size === 0) this.signal.addEventListener('abort', this.onAbort);
    this.listeners.add(listener);
  }

  delete(listener: () => void): boolean {
    if (!this.listeners.delete(listener)) return false;
    if (this.listeners.size === 0) this.signal.removeEventListener('abort', this.onAbort);
    return true;
  }
}

/** As of an EventTarget: an error of one, whose loop is closed, is nobody else's matter. */
function tell(listener: () => void): void {
  try {
    listener();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

const audiences = new WeakMap<AbortSignal, Audience>();
const ours = new WeakSet<AbortSignal>();
let foreignWaits = 0;

/** @internal Calls `listener` when `signal` is aborted, until `ignoreAbort`. Each once. */
export function listenToAbort(signal: AbortSignal | undefined, listener: () => void): void {
  if (signal === undefined) return;
  let audience = audiences.get(signal);
  if (audience === undefined) audiences.set(signal, (audience = new Audience(signal)));
  audience.add(listener);
  if (!ours.has(signal)) foreignWaits++;
}

/** @internal Takes `listenToAbort` back, if it was called. */
export function ignoreAbort(signal: AbortSignal | undefined, listener: () => void): void {
  if (signal === undefined || !audiences.get(signal)?.delete(listener)) return;
  if (ours.has(signal)) return;
  foreignWaits--;
  keepAlive.release();
}

/** @internal Whether a signal that ringloop did not make may end some wait. */
export function abortIsAwaited(): boolean {
  return foreignWaits > 0;
}

/** @internal For a signal that we hand out: any number may listen to it. */
export function makeAbortController(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  ours.add(controller.signal);
  return controller;
}
