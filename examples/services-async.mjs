// services.mjs, with async functions instead of generators: `await` where that says `yield*`, and a
// promise needs no `until()`.
import { createTask, currentTask, gather, run, timeout } from 'ringloop';
import { demonstrate } from './services/demonstrate.mjs';
import { isProgram } from './services/program.mjs';

// Cancelling the task aborts its signal, and so closes the connection to the service.
async function ask(url) {
  const { signal } = currentTask();
  const response = await fetch(url, { signal });
  return await response.json();
}

async function askAll(services, limitMs, log) {
  return await timeout(limitMs, async () => {
    const tasks = services.map(({ name, url }) => createTask(() => ask(url), { name }));
    log.follow(tasks);
    return await gather(tasks);
  });
}

/**
 * One `run()` for each request.
 *
 * @returns a promise of what the services answer; it rejects with a TimeoutError after `limitMs`,
 *   with a CancelledError when `signal` is aborted
 */
export function collect(services, { limitMs, signal, log }) {
  return run(() => askAll(services, limitMs, log), { signal });
}

if (isProgram(import.meta.url)) await demonstrate(collect);
