// What the machine and V8 allow: the least that a task, or a timer among 200,000, can cost.
// Usage: node --expose-gc bench/floors.js
'use strict';

const N = 200_000;

function best(title, measure, rounds = 8) {
  const ns = Array.from({ length: rounds }, measure).sort((a, b) => a - b);
  const median = ns[rounds >> 1].toFixed(0);
  console.log(`${title.padEnd(58)} best ${ns[0].toFixed(0).padStart(5)} ns, median ${median} ns`);
}

function timed(work) {
  const before = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - before) / N;
}

function* yieldOnce(i) {
  yield undefined;
  return i;
}

/** As many words as a Task has. */
class Words {
  constructor(coroutine) {
    this.coroutine = coroutine;
    this.a = this.b = this.c = this.d = this.e = this.f = null;
    this.g = this.h = this.i = this.j = this.k = null;
  }
}

function stepTwice(generators) {
  for (let i = 0; i < N; i++) generators[i].next();
  let sum = 0;
  for (let i = 0; i < N; i++) sum += generators[i].next().value;
  return sum;
}

best('200,000 generators, all alive, stepped twice', () =>
  timed(() => stepTwice(Array.from({ length: N }, (_, i) => yieldOnce(i)))),
);

best('the same, and an object of twelve words for each', () =>
  timed(() => {
    const generators = Array.from({ length: N }, (_, i) => yieldOnce(i));
    const tasks = generators.map((generator) => new Words(generator));
    stepTwice(generators);
    return tasks;
  }),
);

/** 200,000 handles with a closure each, called in the order of memory and in a random one. */
function touchHandles() {
  const late = new Float64Array(N);
  const handles = [];
  for (let i = 0; i < N; i++) {
    const deadline = performance.now();
    handles.push({
      callback: () => {
        late[i] = performance.now() - deadline;
      },
      slot: i,
    });
  }
  const inMemory = Uint32Array.from({ length: N }, (_, i) => i);
  const random = inMemory.slice();
  for (let i = N - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [random[i], random[j]] = [random[j], random[i]];
  }
  globalThis.gc?.();
  const call = (order) => () =>
    timed(() => {
      for (let i = 0; i < N; i++) {
        const handle = handles[order[i]];
        handle.slot = -1;
        handle.callback();
      }
    });
  best('a callback of 200,000, in the order of memory', call(inMemory));
  best('a callback of 200,000, in a random order (that of timers)', call(random));
}

touchHandles();
