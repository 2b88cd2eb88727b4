// Three requests to the app, and what happens: one is answered, one is abandoned, one is too slow.
import { startApp } from './app.mjs';
import { Log } from './log.mjs';
import { settingsFrom } from './settings.mjs';
import { startUpstreams } from './upstreams.mjs';

const BAR_WIDTH = 56;

async function answered({ app, log }) {
  log.heading('Request 1: four services are asked at once');
  log.event('client', 'asks the app');
  const response = await fetch(app.url);
  const answers = await response.json();
  const totalMs = log.elapsedMs();
  log.event('client', `got ${response.status}`);
  const latencies = answers.map(({ latencyMs }) => latencyMs);
  const sumMs = latencies.reduce((sum, ms) => sum + ms, 0);
  const unitMs = sumMs / BAR_WIDTH;
  log.line();
  for (const { name, latencyMs } of answers) log.measured(name, latencyMs, unitMs);
  log.measured('sum', sumMs, unitMs);
  log.measured('slowest', Math.max(...latencies), unitMs);
  log.measured('total', totalMs, unitMs);
}

async function abandoned({ app, log, patienceMs }) {
  log.heading(`Request 2: the client gives up after ${patienceMs} ms`);
  log.event('client', 'asks the app');
  const over = app.requestOver();
  const client = new AbortController();
  setTimeout(() => {
    log.event('client', 'hangs up');
    client.abort();
  }, patienceMs);
  await fetch(app.url, { signal: client.signal }).catch((error) => {
    if (error.name !== 'AbortError') throw error;
  });
  await over;
}

async function tooSlow({ app, log, tightLimitMs }) {
  log.heading(`Request 3: the time limit is ${tightLimitMs} ms`);
  log.event('client', 'asks the app');
  const response = await fetch(`${app.url}?limit=${tightLimitMs}`);
  const { error } = await response.json();
  log.event('client', `got ${response.status}, ${error}`);
}

/** Starts everything, makes the three requests, and closes everything. */
export async function demonstrate(collect, settings = settingsFrom(process.env)) {
  const { latencyMs, limitMs } = settings;
  const log = new Log();
  const services = await startUpstreams({ latencyMs, log });
  const app = await startApp({ collect, services, limitMs, log });
  try {
    for (const request of [answered, abandoned, tooSlow]) {
      await request({ app, log, ...settings });
      for (const service of services) await service.idle();
    }
  } finally {
    for (const server of [app, ...services]) server.close();
  }
  log.line('\nAll closed; nothing keeps the process alive.');
}
