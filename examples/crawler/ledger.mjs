// What became of every page. A page moves from column to column, and is in one of them at any time:
//
//   waiting --> asked --> answered --> done | failed | cancelled
//                 ^------------'
//
// Who never gets beyond `waiting` was not reached. Who is `answered` for long was busy or too slow,
// and is waiting for another try.

const AFTER = {
  waiting: ['asked'],
  asked: ['answered'],
  answered: ['asked', 'done', 'failed', 'cancelled'],
  done: [],
  failed: [],
  cancelled: [],
};

const IN_A_REPORT = {
  done: 'done',
  failed: 'failed',
  asked: 'under way',
  answered: 'to be tried again',
  waiting: 'waiting',
};

export class Ledger {
  /** How often a page was asked for, the second tries and the third ones, too. */
  tries = 0;
  #columns = new Map();
  #failures = new Map();

  /** Writes a new page down. @returns false if it is known already */
  find(url) {
    if (this.#columns.has(url)) return false;
    this.#columns.set(url, 'waiting');
    return true;
  }

  ask(url) {
    this.#move(url, 'asked');
    this.tries++;
  }

  /** Or was not, in the time it had. */
  answered(url) {
    this.#move(url, 'answered');
  }

  done(url) {
    this.#move(url, 'done');
  }

  fail(url, error) {
    this.#move(url, 'failed');
    const why = error.message || error.name;
    this.#failures.set(why, (this.#failures.get(why) ?? 0) + 1);
  }

  /** A page that nobody has asked for yet stays where it is. */
  cancel(url) {
    if (this.columnOf(url) !== 'waiting') this.#move(url, 'cancelled');
  }

  /** Undefined for a page that was never found. */
  columnOf(url) {
    return this.#columns.get(url);
  }

  count(column) {
    return [...this.#columns.values()].filter((each) => each === column).length;
  }

  /** Why pages failed: pairs of a reason and a number, the most frequent first. */
  failures() {
    return [...this.#failures].sort(([, a], [, b]) => b - a);
  }

  summary() {
    const names = Object.entries(IN_A_REPORT);
    return names.map(([column, name]) => `${this.count(column)} ${name}`).join(', ');
  }

  // Two columns for one page would be a mistake of the crawler's: better no crawl than a wrong sum.
  #move(url, column) {
    const before = this.columnOf(url);
    if (!AFTER[before]?.includes(column)) throw new Error(`${url}: ${before}, now ${column}?`);
    this.#columns.set(url, column);
  }
}
