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
 *   RINGLOOP_HEAVY=1     many more
 */
import assert from 'node:assert/strict';
import {
  type Abortable,
  BrokenChannel,
  ClosedChannel,
  type Coroutine,
  createTask,
  EndOfChannel,
  type ExceptionContext,
  getRunningLoop,
  isCancelledError,
  QueueShutDown,
  Runner,
  sleep,
  type Task,
} from 'ringloop';
import { Random } from './random.js';
import { JumpingClock } from './virtual-time.js';

/** How many programs of each kind. */
export const PROGRAMS = process.env['RINGLOOP_HEAVY'] === '1' ? 100_000 : 250;
const REPLAY = process.env['RINGLOOP_SEED'];
/** When everything has come to rest, in virtual milliseconds. */
const END = 10_000;

/** Yields what it waits for, and gets what that comes to. */
export type Script<T = void> = Generator<() => Coroutine<unknown>, T, any>;

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

/** What a wait ends with that comes too late. */
const CLOSED = [QueueShutDown, EndOfChannel, BrokenChannel, ClosedChannel];

/** What the tasks of a program do, and what must be true. */
export interface World {
  scripts(): ((worker: Worker) => Script)[];
  /** Nothing is on its way. */
  atRest(): void;
  atEnd(): void;
}

/** A task of a program, which survives being cancelled. */
export class Worker {
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
    if (CLOSED.some((Kind) => error instanceof Kind)) return;
    if (!isCancelledError(error)) throw error;
    assert.ok(++this.cancelsSeen <= this.cancelsSent, `${this.name} was cancelled by nobody`);
  }
}

/** One random program. */
export class Program {
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

/** A program for each seed, or the one that is replayed. */
export async function simulateMany(makeWorld: new (program: Program) => World): Promise<void> {
  if (REPLAY !== undefined) {
    await simulate(makeWorld, Number(REPLAY));
    return;
  }
  for (let seed = 1; seed <= PROGRAMS; seed++) await simulate(makeWorld, seed);
}
