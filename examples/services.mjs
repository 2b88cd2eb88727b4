// One HTTP request to this app asks four other services, all at once and within a time limit.
// Who goes away before the answer is there takes the four requests along. `npm start` shows it.
//
// Here are the coroutines, and the way in from ordinary Node code. The same with async functions is
// in services-async.mjs. Everything else (the node:http app, the four services, the client that
// asks) is ordinary Node code, and lies in services/.
import { createTask, currentTask, gather, run, timeout, until } from 'ringloop';
import { demonstrate } from './services/demonstrate.mjs';
import { isProgram } from './services/program.mjs';

// Cancelling the task aborts its signal, and so closes the connection to the service.
function* ask(url) {
  const { signal } = currentTask();
  const response = yield* until(fetch(url, { signal }));
  return yield* until(response.json());
}

function* askAll(services, limitMs, log) {
  return yield* timeout(limitMs, function* () {
    const tasks = services.map(({ name, url }) => createTask(ask(url), { name }));
    log.follow(tasks);
    return yield* gather(tasks);
  });
}

/**
 * One `run()` for each request.
 *
 * @returns a promise of what the services answer; it rejects with a TimeoutError after `limitMs`,
 *   with a CancelledError when `signal` is aborted
 */
export function collect(services, { limitMs, signal, log }) {
  return run(askAll(services, limitMs, log), { signal });
}

if (isProgram(import.meta.url)) await demonstrate(collect);
