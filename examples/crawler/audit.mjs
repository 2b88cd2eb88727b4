// The end of a crawl: every page in its column, the sums, and whether it all adds up.

/**
 * @param ledger - the crawler's books
 * @param site - has books of its own
 * @returns `columns`: how many pages are in which; `problems`: sentences, none if all is well
 */
export function audit({ ledger, site, limits }) {
  const urls = site.urls();
  const problems = [];
  const columns = { done: 0, failed: 0, cancelled: 0, 'not reached': 0 };
  for (const url of urls) {
    const column = ledger.columnOf(url) ?? 'waiting';
    const asked = site.timesAsked(url);
    if (column === 'asked' || column === 'answered') problems.push(`${url} is still under way`);
    else columns[column === 'waiting' ? 'not reached' : column]++;
    if (column === 'done' && asked === 0) problems.push(`${url} is done, but nobody asked for it`);
    if (column === 'waiting' && asked > 0) problems.push(`${url} was asked for behind our back`);
  }
  const sum = Object.values(columns).reduce((all, each) => all + each, 0);
  if (sum !== urls.length) problems.push(`${sum} pages instead of ${urls.length}`);
  const timesAsked = urls.reduce((all, url) => all + site.timesAsked(url), 0);
  // Less is possible: a request that was cancelled may not have got that far.
  if (timesAsked > ledger.tries) problems.push(`${ledger.tries} tries, ${timesAsked} requests`);
  for (const { url, atOnce } of site.hosts) {
    if (atOnce.most > limits.perHost) problems.push(`${atOnce.most} requests at once at ${url}`);
  }
  const { most } = site.atOnce;
  if (most > limits.concurrency) problems.push(`${most} requests at once at all hosts`);
  return { columns, problems, sum };
}

/** Prints what `audit` has found. */
export function printAudit({ columns, problems, sum }, { ledger, site }, log) {
  const failures = ledger.failures().map(([why, count]) => `${count} ${why}`);
  for (const [column, count] of Object.entries(columns)) {
    const why = column === 'failed' && count > 0 ? `   ${failures.join(', ')}` : '';
    log.line(`${String(count).padStart(7)}  ${column}${why}`);
  }
  log.line('-'.repeat(7));
  log.line(`${String(sum).padStart(7)}  of ${site.urls().length} pages, in ${ledger.tries} tries`);
  const ofHosts = site.hosts.map(({ atOnce }) => atOnce.most).join(', ');
  log.line(`\nRequests at once, at most: ${site.atOnce.most}; of each host: ${ofHosts}`);
  for (const problem of problems) log.line(`WRONG: ${problem}`);
  if (problems.length === 0) log.line('Everything adds up.');
}
