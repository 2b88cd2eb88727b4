// What happened when: a line for each event, with the milliseconds since the last heading.

const WHO_WIDTH = 8;

export class Log {
  #startMs = performance.now();
  #print;

  /** @param print - gets each line */
  constructor(print = console.log) {
    this.#print = print;
  }

  /** Milliseconds since the last heading. */
  elapsedMs() {
    return performance.now() - this.#startMs;
  }

  heading(text) {
    this.#print(`\n${text}\n`);
    this.#startMs = performance.now();
  }

  event(who, what) {
    const ms = String(Math.round(this.elapsedMs())).padStart(7);
    this.#print(`${ms} ms  ${who.padEnd(WHO_WIDTH)}  ${what}`);
  }

  /** A line of a table; the bar has a character for each `unitMs`. */
  measured(what, ms, unitMs) {
    const bar = '='.repeat(Math.round(ms / unitMs));
    this.#print(`${String(Math.round(ms)).padStart(7)} ms  ${what.padEnd(WHO_WIDTH)}  ${bar}`);
  }

  line(text = '') {
    this.#print(text);
  }

  /** Tells when a task ends cancelled. */
  follow(tasks) {
    const tell = (task) => task.cancelled() && this.event('app', `task ${task.name} cancelled`);
    for (const task of tasks) task.addDoneCallback(tell);
  }
}
