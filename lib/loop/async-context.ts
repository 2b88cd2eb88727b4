/**
 * AsyncLocalStorage: the stores of whoever schedules are the stores of what runs.
 *
 * Facts. A shared queue loses them: a callback would see the stores of the loop, or of its
 * neighbour. Capturing costs 54 to 200 ns with AsyncResource (Node 26 to 20), more than a callback.
 * Node 24 keeps stores in an immutable frame; Node 20 and 22 write them into the resource that
 * happens to run, in place. Most programs and most moments have no store at all.
 * Decision. Nothing is captured until a store has been seen. The first `run()` or `enterWith()` in
 * the process is seen by a tripwire on the prototype, which takes itself away; stores that were
 * there before ringloop was loaded are seen by a probe, taken when the module loads and (where
 * frames are, and so cheaply) whenever work is scheduled from outside a turn. From then on every
 * callback and every task captures.
 * Cost. Nothing before the first store; then one AsyncResource for each callback and task.
 * `RINGLOOP_ASYNC_CONTEXT=off` in the environment turns it all off.
 */
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';

import { state } from './state.js';

const TYPE = 'RINGLOOP';
const DISABLED = process.env['RINGLOOP_ASYNC_CONTEXT'] === 'off';
const storage = AsyncLocalStorage.prototype;
const originalRun = storage.run;

/** The own symbol of every AsyncResource with this description, on Nodes that have it. */
function ownSymbol(resource: AsyncResource, description: string): symbol | undefined {
  return Object.getOwnPropertySymbols(resource).find((key) => key.description === description);
}

const newResource = (): AsyncResource => new AsyncResource(TYPE, { requireManualDestroy: true });
const probe = newResource();
const frameKey = ownSymbol(probe, 'context_frame');

/**
 * Whether stores live in immutable frames (Node 24 and later). Node 22 has the symbol, and the
 * frames only behind a flag: there the storage has to be enabled first.
 */
export const hasFrames = frameKey !== undefined && !('_enable' in storage);

function frameOf(resource: AsyncResource): unknown {
  return (resource as unknown as Record<symbol, unknown>)[frameKey!];
}

export const asyncContext = {
  /** Whether any store has been seen. */
  inUse:
    !DISABLED &&
    (hasFrames ? frameOf(probe) !== undefined : ownSymbol(probe, 'kResourceStore') !== undefined),
  /** Node 20 and 22: enterWith() wrote into the loop's own resource; the core makes a new one. */
  polluted: false,
};

/** Whether a frame holds a store of the application: ours (see runInTask) does not count. */
function hasForeignStore(frame: unknown): boolean {
  if (frame === undefined) return false;
  return !(taskOfFlow() !== undefined && (frame as Map<unknown, unknown>).size === 1);
}

/** The stores of right now, or null where there are none. */
export function captureStores(): AsyncResource | null {
  const resource = newResource();
  return hasFrames && !hasForeignStore(frameOf(resource)) ? null : resource;
}

/** Nothing entered: in its scope there is no store. For Nodes with frames. */
const noStores = newResource();
if (hasFrames) (noStores as unknown as Record<symbol, unknown>)[frameKey!] = undefined;

/**
 * Runs a callback that was scheduled where there were no stores. What it enters must not reach its
 * neighbours.
 */
export function runWithoutStores<T>(body: () => T): T {
  return noStores.runInAsyncScope(body);
}

/** Looks for stores that were there before ringloop was; for callers outside a turn. */
export function probeStores(): void {
  if (hasFrames && !DISABLED && hasForeignStore(frameOf(newResource()))) asyncContext.inUse = true;
}

function installTripwire(): void {
  const methods = ['run', 'enterWith', 'withScope'] as const;
  const table = storage as unknown as Record<string, unknown>;
  const originals = methods.map((name) => table[name]);
  const restore = (): void => {
    methods.forEach((name, i) => {
      if (table[name] === wires[i]) table[name] = originals[i];
    });
  };
  const wires = methods.map((name, i) => {
    const original = originals[i] as (...args: unknown[]) => unknown;
    return function tripwire(this: unknown, ...args: unknown[]): unknown {
      // Node's own run() may go through the prototype: ours must not count.
      if (this === state.flow) return original.apply(this, args);
      restore();
      asyncContext.inUse = true;
      // The next callback must not run before the core has left the callback's context, which on
      // Node 20 and 22 takes a new resource.
      asyncContext.polluted = name !== 'run' && !hasFrames;
      if (name !== 'run') state.loop?.requestDrain();
      return original.apply(this, args);
    };
  });
  methods.forEach((name, i) => {
    if (typeof originals[i] === 'function') table[name] = wires[i];
  });
}

if (!DISABLED && !asyncContext.inUse) installTripwire();

/**
 * Runs `body`, and everything it awaits, with `task` as the task of this asynchronous flow. Only
 * async functions need it: after an `await` of a foreign promise nothing else says whose code runs.
 */
export function runInTask<T>(task: unknown, body: () => T): T {
  state.flow ??= new AsyncLocalStorage();
  return originalRun.call(state.flow, task, body) as T;
}

/** The task of this asynchronous flow, when no callback of the loop is running synchronously. */
export function taskOfFlow(): unknown {
  return state.flow === null ? undefined : state.flow.getStore();
}

/** Runs `body` with captured stores, and with `task` as the task of the flow. */
export function runWithStores<T>(stores: AsyncResource, task: unknown, body: () => T): T {
  if (state.flow === null) return stores.runInAsyncScope(body);
  return stores.runInAsyncScope(() => runInTask(task, body));
}
