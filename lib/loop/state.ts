/**
 * What is current on this thread: the loop that runs, the task, the context.
 *
 * Facts. Two copies of ringloop can be loaded into one thread (ESM and CommonJS consumers share
 * one, but npm may install two). Two loops would mean two orders of events.
 * Decision. One object for each thread under a registered symbol of `globalThis`; whichever copy
 * comes first makes it, all use it. Everything that is "current" lives in it and nowhere else.
 */
import type { AsyncLocalStorage } from 'node:async_hooks';

import type { Context } from './context.js';
import type { Scheduler } from './scheduler.js';

export interface ThreadState {
  /** The loop whose callback or task runs right now, synchronously. */
  loop: Scheduler | null;
  /** The task whose step runs right now, synchronously. */
  task: unknown;
  /** Says after an `await` which task's code runs; made with the first async function. */
  flow: AsyncLocalStorage<unknown> | null;
  /** Context variables of what runs right now; null: none set yet. */
  context: Context | null;
  /** The thread's own loop, made on first use. */
  threadLoop: Scheduler | null;
  /** Numbers for names: `Task-1`, `Task-2`, ... */
  lastTaskNumber: number;
}

const KEY = Symbol.for('ringloop.v1');
type Shared = { [KEY]?: ThreadState };

export const state: ThreadState = ((globalThis as Shared)[KEY] ??= {
  loop: null,
  task: null,
  flow: null,
  context: null,
  threadLoop: null,
  lastTaskNumber: 0,
});
