// The program: a site is started, crawled, and closed; then it is checked that all adds up.
import { Log } from '../services/log.mjs';
import { audit, printAudit } from './audit.mjs';
import { ADDRESSES, startSite } from './hosts.mjs';
import { Ledger } from './ledger.mjs';
import { settingsFrom, USAGE } from './settings.mjs';
import { makeSite } from './site.mjs';

const EXIT_INTERRUPTED = 130; // as shells have it: 128 + SIGINT

/** A signal that Ctrl-C aborts. The second Ctrl-C is not caught, and ends the process at once. */
function signalOfCtrlC(log) {
  const controller = new AbortController();
  process.once('SIGINT', () => {
    log.event('you', 'Ctrl-C: cancel everything');
    controller.abort('Ctrl-C');
  });
  return controller.signal;
}

/** Sets the process's exit code: 0, 130 after Ctrl-C, 1 if something does not add up. */
export async function demonstrate(crawl, args = process.argv.slice(2)) {
  const settings = settingsFrom(args);
  if (settings === null) {
    process.stdout.write(USAGE);
    return;
  }
  const { pages, seed, limits } = settings;
  const log = new Log();
  const ledger = new Ledger();
  const site = await startSite(makeSite({ pages, seed, hosts: ADDRESSES.length }));
  const signal = signalOfCtrlC(log);

  log.heading(`${pages} pages on ${ADDRESSES.length} hosts, ${limits.concurrency} at a time`);
  const stopped = await crawl(site.urls()[0], { ledger, limits, signal, log });
  log.event('crawler', stopped === null ? 'no page is left' : `stopped: ${stopped}`);
  await site.close();
  log.event('site', 'closed, as are all connections');

  log.line();
  const result = audit({ ledger, site, limits });
  printAudit(result, { ledger, site }, log);
  if (result.problems.length > 0) process.exitCode = 1;
  else if (signal.aborted) process.exitCode = EXIT_INTERRUPTED;
}
