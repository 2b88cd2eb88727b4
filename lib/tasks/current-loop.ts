/**
 * Which loop is meant when none is named.
 *
 * Decision. The loop whose callback or task is running; in an async function the loop of its task;
 * else the thread's own loop, which is made on first use and always runs.
 */
import { RuntimeError } from '../errors.js';
import { taskOfFlow } from '../loop/async-context.js';
import { state } from '../loop/state.js';
import type { EventLoop } from './event-loop.js';

let makeThreadLoop: () => EventLoop;

/** @internal Set by event-loop.ts, which stands above this file. */
export function setThreadLoopFactory(make: () => EventLoop): void {
  makeThreadLoop = make;
}

/** @internal The loop that runs right now, or null. */
export function runningLoop(): EventLoop | null {
  const loop = state.loop ?? (taskOfFlow() as { loop: EventLoop } | undefined)?.loop ?? null;
  return loop as EventLoop | null;
}

/** @internal */
export function currentLoop(): EventLoop {
  return runningLoop() ?? threadLoop();
}

/** @internal The thread's own loop. */
export function threadLoop(): EventLoop {
  return (state.threadLoop ??= makeThreadLoop()) as EventLoop;
}

/**
 * The loop whose callback or task is running.
 *
 * @throws RuntimeError if none is. Counterpart: `asyncio.get_running_loop`.
 */
export function getRunningLoop(): EventLoop {
  const loop = runningLoop();
  if (loop === null) throw new RuntimeError('no running event loop');
  return loop;
}

/**
 * The loop that is meant when none is named: the running one, else the thread's own.
 * Counterpart: `asyncio.get_event_loop`.
 */
export function getEventLoop(): EventLoop {
  return currentLoop();
}
