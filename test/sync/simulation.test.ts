/**
 * Random programs, in virtual time, with tasks that are cancelled and waits that are aborted at
 * every possible and impossible moment.
 *
 * Facts. What is lost when a wait ends in the very iteration in which it is woken is lost rarely.
 * Decision. A few tasks, short sleeps of whole milliseconds, so that many things happen at once. A
 * task is a script that yields what it wants to wait for; half of them are run as generators, half
 * as async functions. Whenever the loop has nothing to do, nobody may wait for what is free.
 *
 *   RINGLOOP_SEED=123    replays one program, and tells what it did
 *   RINGLOOP_HEAVY=1     a hundred times as many
 */
import assert from 'node:assert/strict';
import {
  type Abortable,
  BoundedSemaphore,
  Condition,
  type Coroutine,
  createTask,
  type ExceptionContext,
  getRunningLoop,
  Hold,
  isCancelledError,
  LifoQueue,
  Lock,
  PriorityQueue,
  Queue,
  QueueEmpty,
  QueueFull,
  QueueShutDown,
  Runner,
  Semaphore,
  sleep,
  type Task,
} from 'ringloop';
import { Random } from '../support/random.js';
import { JumpingClock } from '../support/virtual-time.js';

const PROGRAMS = process.env['RINGLOOP_HEAVY'] === '1' ? 25_000 : 250;
const REPLAY = process.env['RINGLOOP_SEED'];
/** When everything has come to rest, in virtual milliseconds. */
const END = 10_000;

/** Yields what it waits for, and gets what that comes to. */
type Script<T = void> = Generator<() => Coroutine<unknown>, T, any>;

function* asGenerator(script: Script): Generator<unknown, void, any> {
  for (let step = script.next(); !step.done; ) {
    let value: unknown;
    try {
      value = yield* step.value();
    } catch (error) {
      step = script.throw(error);
      continue;
    }
    step = script.next(value);
  }
}

async function asAsyncFunction(script: Script): Promise<void> {
  for (let step = script.next(); !step.done; ) {
    let value: unknown;
    try {
      value = await step.value();
    } catch (error) {
      step = script.throw(error);
      continue;
    }
    step = script.next(value);
  }
}

/** Tells when the loop has nothing to do until a timer is due. */
class RestingClock extends JumpingClock {
  constructor(private readonly onRest: () => void) {
    super();
  }

  override select(timeout: number): void {
    if (timeout > 0) this.onRest();
    super.select(timeout);
  }
}

/** What the tasks of a program do, and what must be true. */
interface World {
  scripts(): ((worker: Worker) => Script)[];
  /** Nothing is on its way. */
  atRest(): void;
  atEnd(): void;
}

/** A task of a program, which survives being cancelled. */
class Worker {
  task: Task<void> | null = null;
  private cancelsSent = 0;
  private cancelsSeen = 0;

  constructor(
    readonly name: string,
    private readonly program: Program,
  ) {}

  start(script: Script): void {
    const run = this.program.random.chance(0.5)
      ? () => asGenerator(script)
      : () => asAsyncFunction(script);
    this.task = createTask(run, { name: this.name });
  }

  cancel(): void {
    this.program.log(`cancel ${this.name}`);
    this.cancelsSent++;
    this.task!.cancel();
  }

  /** Waits for one operation. null: it was cancelled, aborted, or refused. */
  *attempt<T>(
    what: string,
    operation: (options?: Abortable) => Coroutine<T>,
  ): Script<{ value: T } | null> {
    const { program } = this;
    const controller = program.maybeController();
    program.log(`${this.name} begins ${what}`);
    let ended = 'ends';
    try {
      const value = yield () =>
        operation(controller === null ? undefined : { signal: controller.signal });
      return { value };
    } catch (error) {
      ended = String(error);
      this.explain(error, controller);
      return null;
    } finally {
      program.log(`${this.name} ${ended} ${what}`);
      if (controller !== null) program.controllers.delete(controller);
    }
  }

  *nap(most = 4): Script {
    const ms = this.program.random.below(most + 1);
    yield* this.attempt(`sleep(${ms})`, () => sleep(ms));
  }

  private explain(error: unknown, controller: AbortController | null): void {
    if (this.program.over) throw error;
    if (controller?.signal.aborted && error === controller.signal.reason) return;
    if (error instanceof QueueShutDown) return;
    if (!isCancelledError(error)) throw error;
    assert.ok(++this.cancelsSeen <= this.cancelsSent, `${this.name} was cancelled by nobody`);
  }
}

/** One random program. */
class Program {
  readonly random: Random;
  readonly controllers = new Set<AbortController>();
  readonly workers: Worker[] = [];
  over = false;
  private readonly world: World;

  constructor(
    makeWorld: new (program: Program) => World,
    seed: number,
    private readonly history: string[] | null,
  ) {
    this.random = new Random(seed);
    this.world = new makeWorld(this);
  }

  async run(): Promise<void> {
    const clock = new RestingClock(() => this.over || this.world.atRest());
    const runner = new Runner({ clock });
    const reports: ExceptionContext[] = [];
    runner.getLoop().setExceptionHandler((report) => void reports.push(report));
    try {
      await runner.run(() => this.main());
    } finally {
      this.over = true;
      await runner.close();
    }
    assert.deepEqual(reports, []);
  }

  log(event: string): void {
    this.history?.push(`${getRunningLoop().time()} ${event}`);
  }

  maybeController(): AbortController | null {
    if (!this.random.chance(0.3)) return null;
    const controller = new AbortController();
    this.controllers.add(controller);
    if (this.random.chance(0.05)) controller.abort(new Error('aborted before'));
    return controller;
  }

  /** Cancels or aborts somebody. */
  interrupt(): void {
    if (this.over) return;
    const waits = [...this.controllers];
    if (waits.length > 0 && this.random.chance(0.5)) {
      this.log('abort');
      this.random.pick(waits).abort(new Error('aborted'));
    } else this.random.pick(this.workers).cancel();
  }

  maybeInterrupt(): void {
    while (this.random.chance(0.15)) this.interrupt();
  }

  private *main(): Generator<unknown, void, any> {
    const loop = getRunningLoop();
    const scripts = this.world.scripts();
    for (let i = this.random.below(12); i > 0; i--) {
      loop.callLater(this.random.below(25), () => this.interrupt());
    }
    scripts.forEach((script, i) => {
      const worker = new Worker(`w${i}`, this);
      this.workers.push(worker);
      worker.start(script(worker));
    });
    yield* sleep(END);
    for (const { task } of this.workers) {
      // Whoever still waits may; whoever failed found a mistake.
      if (task!.done() && !task!.cancelled()) task!.result();
    }
    this.world.atEnd();
  }
}

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

// ---- the tests ----------------------------------------------------------------------------------

async function simulate(makeWorld: new (program: Program) => World, seed: number): Promise<void> {
  try {
    await new Program(makeWorld, seed, null).run();
  } catch (error) {
    const history: string[] = [];
    await new Program(makeWorld, seed, history).run().catch(() => {});
    const { message } = error as Error;
    throw new Error(`RINGLOOP_SEED=${seed}: ${message}\n${history.join('\n')}`, { cause: error });
  }
}

async function simulateMany(makeWorld: new (program: Program) => World): Promise<void> {
  if (REPLAY !== undefined) {
    await simulate(makeWorld, Number(REPLAY));
    return;
  }
  for (let seed = 1; seed <= PROGRAMS; seed++) await simulate(makeWorld, seed);
}

describe(`random programs with interruptions, ${PROGRAMS} of each kind`, function () {
  this.timeout(600_000);

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
