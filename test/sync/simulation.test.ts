/** Random programs over asyncio's primitives, cancelled and aborted at every moment. */
import assert from 'node:assert/strict';
import {
  BoundedSemaphore,
  Condition,
  getRunningLoop,
  Hold,
  LifoQueue,
  Lock,
  PriorityQueue,
  Queue,
  QueueEmpty,
  QueueFull,
  QueueShutDown,
  Semaphore,
} from 'ringloop';
import {
  PROGRAMS,
  Program,
  type Script,
  simulateMany,
  type Worker,
  type World,
} from '../support/simulation.js';

// ---- locks and semaphores -----------------------------------------------------------------------

/** Tasks that share some permits, first come, first served. */
class Permits implements World {
  private readonly permits: number;
  private readonly shared: Semaphore | Lock;
  private inside = 0;
  private tickets = 0;
  private lastServed = 0;

  constructor(private readonly program: Program) {
    const { random } = program;
    this.permits = random.between(1, 3);
    const Kind = random.pick([Semaphore, BoundedSemaphore]);
    this.shared = this.makeLock() ?? new Kind(this.permits);
  }

  protected makeLock(): Lock | null {
    return null;
  }

  scripts(): ((worker: Worker) => Script)[] {
    const count = this.program.random.between(2, 7);
    return Array.from({ length: count }, () => (worker: Worker) => this.work(worker));
  }

  atRest(): void {
    const free = this.free();
    const { waiters } = this.shared.statistics();
    assert.equal(free + this.inside, this.size(), 'permits are conserved');
    assert.ok(free === 0 || waiters === 0, `${waiters} wait, though ${free} are free`);
  }

  atEnd(): void {
    assert.equal(this.inside, 0);
    assert.equal(this.free(), this.size(), 'every permit came back');
    assert.equal(this.shared.statistics().waiters, 0);
  }

  private size(): number {
    return this.shared instanceof Lock ? 1 : this.permits;
  }

  private free(): number {
    const { shared } = this;
    return shared instanceof Lock ? Number(!shared.locked()) : shared.statistics().value;
  }

  private *work(worker: Worker): Script {
    const { program } = this;
    for (let round = program.random.between(1, 4); round > 0; round--) {
      yield* worker.nap();
      const how = program.random.pick(['acquire', 'hold', 'enter'] as const);
      const ticket = ++this.tickets;
      const got = yield* worker.attempt<unknown>(how, (options) => this.shared[how](options));
      if (got === null) continue;
      assert.ok(this.lastServed < ticket, `${ticket} was served after ${this.lastServed}`);
      this.lastServed = ticket;
      assert.ok(++this.inside <= this.size(), 'more inside than there are permits');
      yield* worker.nap(3);
      program.maybeInterrupt();
      this.inside--;
      program.log(`${worker.name} releases`);
      if (got.value instanceof Hold) got.value.release();
      else this.shared.release();
      program.maybeInterrupt();
    }
  }
}

class OneLock extends Permits {
  protected override makeLock(): Lock {
    return new Lock();
  }
}

// ---- conditions ---------------------------------------------------------------------------------

/** Tokens that are made and consumed under a condition's lock. */
class Tokens implements World {
  private readonly condition = new Condition();
  private tokens = 0;
  private made = 0;
  private consumed = 0;
  private inside = 0;
  private tickets = 0;
  private lastNotified = 0;

  constructor(private readonly program: Program) {}

  scripts(): ((worker: Worker) => Script)[] {
    const { random } = this.program;
    const producers = Array.from(
      { length: random.between(1, 3) },
      () => (worker: Worker) => this.produce(worker),
    );
    const consumers = Array.from(
      { length: random.between(1, 5) },
      () => (worker: Worker) => this.consume(worker),
    );
    return [...producers, ...consumers];
  }

  atRest(): void {
    const { lock, waiters } = this.condition.statistics();
    assert.equal(lock.locked, this.inside === 1);
    assert.equal(this.made, this.consumed + this.tokens);
    if (lock.locked) return;
    assert.equal(lock.waiters, 0, 'somebody waits for a lock that is free');
    assert.ok(this.tokens === 0 || waiters === 0, 'a notification was lost');
  }

  atEnd(): void {
    assert.equal(this.condition.locked(), false);
    assert.equal(this.inside, 0);
  }

  private *produce(worker: Worker): Script {
    const { program, condition } = this;
    for (let round = program.random.between(1, 5); round > 0; round--) {
      yield* worker.nap(6);
      if ((yield* worker.attempt('acquire', (options) => condition.acquire(options))) === null) {
        continue;
      }
      this.enter(worker);
      if (program.random.chance(0.3)) yield* worker.nap(2);
      const more = program.random.between(1, 2);
      this.tokens += more;
      this.made += more;
      program.log(`${worker.name} makes ${more}`);
      if (program.random.chance(0.2)) condition.notifyAll();
      else condition.notify(more);
      program.maybeInterrupt();
      if (program.random.chance(0.3)) yield* worker.nap(2);
      this.leave(worker);
      condition.release();
      program.maybeInterrupt();
    }
  }

  private *consume(worker: Worker): Script {
    const { program, condition } = this;
    for (let round = program.random.between(1, 4); round > 0; round--) {
      yield* worker.nap();
      if ((yield* worker.attempt('acquire', (options) => condition.acquire(options))) === null) {
        continue;
      }
      this.enter(worker);
      try {
        yield* this.take(worker);
      } finally {
        this.leave(worker);
        condition.release();
      }
      program.maybeInterrupt();
    }
  }

  private *take(worker: Worker): Script {
    const { random } = this.program;
    const wait = random.chance(0.5) ? this.waitInLoop(worker) : this.waitForToken(worker);
    if (yield* wait) {
      assert.ok(this.tokens > 0);
      this.tokens--;
      this.consumed++;
    }
    if (random.chance(0.3)) yield* worker.nap(2);
  }

  private *waitInLoop(worker: Worker): Script<boolean> {
    while (this.tokens === 0) {
      const ticket = ++this.tickets;
      this.leave(worker);
      let woken: { value: unknown } | null = null;
      try {
        woken = yield* worker.attempt('wait', (options) => this.condition.wait(options));
      } finally {
        this.enter(worker);
      }
      if (woken === null) return false;
      assert.ok(this.lastNotified < ticket, `${ticket} was notified after ${this.lastNotified}`);
      this.lastNotified = ticket;
    }
    return true;
  }

  private *waitForToken(worker: Worker): Script<boolean> {
    this.leave(worker);
    try {
      const woken = yield* worker.attempt('waitFor', (options) =>
        this.condition.waitFor(() => this.tokens > 0, options),
      );
      return woken !== null;
    } finally {
      this.enter(worker);
    }
  }

  private enter(worker: Worker): void {
    assert.equal(++this.inside, 1, 'two tasks have the lock');
    assert.equal(this.condition.statistics().lock.owner, worker.task);
  }

  private leave(worker: Worker): void {
    this.inside--;
    assert.equal(this.condition.statistics().lock.owner, worker.task);
  }
}

// ---- queues -------------------------------------------------------------------------------------

const QUEUES = {
  Queue: { Kind: Queue<number>, next: (items: number[]) => items[0] },
  LifoQueue: { Kind: LifoQueue<number>, next: (items: number[]) => items.at(-1) },
  PriorityQueue: { Kind: PriorityQueue<number>, next: (items: number[]) => Math.min(...items) },
};

/** Items that go from some tasks to others, and a list of what should be in the queue. */
class Items implements World {
  private readonly queue: Queue<number>;
  private readonly next: (items: number[]) => number | undefined;
  private readonly expected: number[] = [];
  private made = 0;
  private unfinished = 0;

  constructor(private readonly program: Program) {
    const { random } = program;
    const { Kind, next } = random.pick(Object.values(QUEUES));
    this.queue = new Kind(random.below(4));
    this.next = next;
  }

  scripts(): ((worker: Worker) => Script)[] {
    const { random } = this.program;
    if (random.chance(0.2)) {
      getRunningLoop().callLater(random.below(30), () => this.shutdown(random.chance(0.5)));
    }
    const many = (n: number, script: (worker: Worker) => Script) =>
      Array.from({ length: n }, () => script);
    return [
      ...many(random.between(1, 4), (worker) => this.produce(worker)),
      ...many(random.between(1, 4), (worker) => this.consume(worker)),
      ...many(random.below(2), (worker) => this.join(worker)),
    ];
  }

  atRest(): void {
    const { size, getters, putters, unfinished, isShutdown } = this.queue.statistics();
    assert.equal(size, this.expected.length, 'an item was lost or doubled');
    assert.equal(unfinished, this.unfinished);
    assert.ok(size === 0 || getters === 0, `${getters} wait, though there are ${size} items`);
    assert.ok(this.queue.full() || putters === 0, `${putters} wait, though there is room`);
    if (isShutdown) assert.equal(getters + putters, 0);
  }

  atEnd(): void {
    while (this.expected.length > 0) this.took(this.queue.getNowait());
    assert.equal(this.queue.empty(), true);
  }

  private shutdown(immediate: boolean): void {
    this.program.log(`shutdown ${immediate}`);
    this.queue.shutdown(immediate);
    if (!immediate) return;
    this.unfinished = Math.max(0, this.unfinished - this.expected.length);
    this.expected.length = 0;
  }

  private took(item: number): void {
    this.program.log(`got ${item}`);
    assert.equal(item, this.next(this.expected), 'the wrong item');
    this.expected.splice(this.expected.indexOf(item), 1);
  }

  private *produce(worker: Worker): Script {
    const { program, queue } = this;
    for (let round = program.random.between(1, 6); round > 0; round--) {
      yield* worker.nap();
      const item = ++this.made;
      const put = program.random.chance(0.8)
        ? yield* worker.attempt(`put(${item})`, (options) => queue.put(item, options))
        : this.atOnce(() => queue.putNowait(item));
      if (put === null) continue;
      this.expected.push(item);
      this.unfinished++;
      program.maybeInterrupt();
    }
  }

  private *consume(worker: Worker): Script {
    const { program, queue } = this;
    for (let round = program.random.between(1, 6); round > 0; round--) {
      yield* worker.nap();
      const got = program.random.chance(0.8)
        ? yield* worker.attempt('get', (options) => queue.get(options))
        : this.atOnce(() => queue.getNowait());
      if (got === null) continue;
      this.took(got.value);
      program.maybeInterrupt();
      if (program.random.chance(0.5)) yield* worker.nap(2);
      this.unfinished--;
      queue.taskDone();
    }
  }

  private *join(worker: Worker): Script {
    yield* worker.nap(20);
    yield* worker.attempt('join', (options) => this.queue.join(options));
  }

  private atOnce<T>(operation: () => T): { value: T } | null {
    try {
      return { value: operation() };
    } catch (error) {
      const refused = [QueueEmpty, QueueFull, QueueShutDown].some((Kind) => error instanceof Kind);
      if (!refused) throw error;
      return null;
    }
  }
}

describe(`random programs with interruptions, ${PROGRAMS} of each kind`, function () {
  this.timeout(3_600_000);

  it('keep the permits of semaphores together, and serve them first come, first served', () =>
    simulateMany(Permits));

  it('have one task at a time in a lock, first come, first served', () => simulateMany(OneLock));

  it('lose no notification of a condition, and leave wait() with the lock', () =>
    simulateMany(Tokens));

  it('lose and double no item of a queue', () => simulateMany(Items));

  it('are the same again for the same seed', async () => {
    const histories: string[][] = [[], []];
    for (const history of histories) await new Program(Items, 7, history).run();
    assert.ok(histories[0]!.length > 10);
    assert.deepEqual(histories[0], histories[1]);
  });
});
