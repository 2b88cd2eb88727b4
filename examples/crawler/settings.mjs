// What can be told on the command line, and what the crawler is allowed to do.
import { parseArgs } from 'node:util';

const DEFAULTS = { pages: 2500, concurrency: 24, deadline: 30_000, seed: 1 };

export const USAGE = `\
usage: node examples/crawler.mjs [options]

  --pages N        how many pages the site has (${DEFAULTS.pages})
  --concurrency N  how many requests at a time, over all hosts (${DEFAULTS.concurrency})
  --deadline MS    when the crawl is stopped (${DEFAULTS.deadline})
  --seed N         another number, another site (${DEFAULTS.seed})
`;

function wholeNumber(name, text) {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number > 0) return number;
  throw new RangeError(`--${name} must be a whole number above 0, got ${text}`);
}

/**
 * @param args - as in `process.argv`, without the first two
 * @returns `pages` and `seed` of the site, `limits` of the crawler; null if help is asked for
 */
export function settingsFrom(args) {
  const names = Object.keys(DEFAULTS);
  const options = Object.fromEntries(names.map((name) => [name, { type: 'string' }]));
  const { values } = parseArgs({ args, options: { ...options, help: { type: 'boolean' } } });
  if (values.help) return null;
  const numbers = names.map((name) => wholeNumber(name, values[name] ?? DEFAULTS[name]));
  const [pages, concurrency, deadlineMs, seed] = numbers;
  const limits = {
    concurrency,
    deadlineMs,
    /** For one try, from when the request is sent. */
    pageMs: 500,
    /** Requests at a time, for each host. */
    perHost: 8,
    /** Requests started, for each host. */
    rate: { count: 20, perMs: 100 },
    retry: { attempts: 5, delayMs: 100 },
  };
  return { pages, seed, limits };
}
