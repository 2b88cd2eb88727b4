/**
 * Random programs of scopes, shields, groups and catches that swallow, cancelled at random times.
 *
 * What must hold: nothing runs on in a scope that was left; a cancelled scope without a shield
 * inside is left at once, in a number of iterations that its size bounds; where nobody calls
 * task.cancel(), nor a group for a task that failed, a shielded clean-up takes its time; only who
 * was cancelled ends as cancelled; requests to cancel are balanced; nothing is left behind.
 */
import assert from 'node:assert/strict';
import {
  type Awaitable,
  type CancelScope,
  Coroutine,
  cancelScope,
  createTask,
  currentScope,
  currentTask,
  gather,
  getRunningLoop,
  isCancelledError,
  Lock,
  sleep,
  type Task,
  taskGroup,
} from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';

const HEAVY = process.env['RINGLOOP_HEAVY'] === '1';
const PROGRAMS = HEAVY ? 100_000 : 1_000;
const FIRST_SEED = Number(process.env['RINGLOOP_SEED'] ?? 1);
/** Iterations for each step of a program: the end of a group takes most. */
const PER_STEP = 6;
const SCOPES_MAX = 12;

interface Block {
  async: boolean;
  steps: Step[];
  /** Steps in here, those in inner blocks included. */
  size: number;
  /** Whether something in here is shielded. */
  shielded: boolean;
}

type Step =
  | { kind: 'sleep'; ms: number }
  | { kind: 'gather'; delays: number[] }
  | { kind: 'lock'; ms: number }
  | { kind: 'cancel'; up: number }
  | { kind: 'move'; up: number; delayMs: number }
  | { kind: 'fail' }
  | { kind: 'swallow'; body: Block }
  | { kind: 'clean'; body: Block; ms: number }
  | { kind: 'scope'; id: number; shield: boolean; delayMs: number; body: Block }
  | { kind: 'group'; tasks: Block[]; body: Block; cancelled: boolean };

/** mulberry32: small, and the same everywhere. */
class Random {
  constructor(private state: number) {}

  below(limit: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
}

/** Makes a program. */
class Author {
  scopes = 0;

  constructor(
    private readonly random: Random,
    /** Nothing fails, and no group is cancelled: there are scopes only. */
    private readonly gentle: boolean,
  ) {}

  block(depth: number): Block {
    const { random } = this;
    const async = random.chance(40);
    const steps = Array.from({ length: 1 + random.below(3) }, () => this.step(depth));
    const inner = steps.flatMap(blocksOf);
    const size = steps.length + inner.reduce((sum, each) => sum + each.size, 0);
    const shielded =
      inner.some((each) => each.shielded) ||
      steps.some((each) => each.kind === 'clean' || (each.kind === 'scope' && each.shield));
    return { async, steps, size, shielded };
  }

  private step(depth: number): Step {
    const { random } = this;
    const choice = random.below(depth === 0 ? 45 : 100);
    const ms = random.below(6);
    if (choice < 20) return { kind: 'sleep', ms };
    if (choice < 25) return { kind: 'gather', delays: [ms, random.below(6)] };
    if (choice < 30) return { kind: 'lock', ms };
    if (choice < 37) return { kind: 'cancel', up: random.below(3) };
    if (choice < 43) return { kind: 'move', up: random.below(3), delayMs: random.below(12) - 2 };
    if (choice < 45) return this.gentle ? { kind: 'sleep', ms } : { kind: 'fail' };
    const body = this.block(depth - 1);
    if (choice < 60) return { kind: 'swallow', body };
    if (choice < 65) return { kind: 'clean', body, ms };
    if (choice < 85) {
      const delayMs = random.chance(50) ? Infinity : random.below(12) - 1;
      return { kind: 'scope', id: this.scopes++, shield: random.chance(20), delayMs, body };
    }
    const tasks = Array.from({ length: random.below(4) }, () => this.block(depth - 1));
    return { kind: 'group', tasks, body, cancelled: !this.gentle && random.chance(20) };
  }
}

function blocksOf(step: Step): Block[] {
  if (step.kind === 'group') return [step.body, ...step.tasks];
  return 'body' in step ? [step.body] : [];
}

/** A scope of the program while it runs. */
interface Running {
  scope: CancelScope;
  left: boolean;
  cancelledAt: { ms: number; turn: number } | null;
}

const now = (): number => getRunningLoop().time();
const turns = (): number => getRunningLoop().statistics().turns;

/** Runs a program, and looks at it meanwhile. */
class Stage {
  readonly running: Running[] = [];
  private readonly lock = new Lock();

  constructor(private readonly gentle: boolean) {}

  body(block: Block, path: Running[]): () => Awaitable<void> {
    return () => (block.async ? this.play(block, path) : this.steps(block, path));
  }

  private *steps(block: Block, path: Running[]): Generator<unknown, void, any> {
    for (const step of block.steps) {
      stillInside(path);
      yield* this.step(step, path);
      stillInside(path);
    }
  }

  private async play(block: Block, path: Running[]): Promise<void> {
    for (const step of block.steps) {
      stillInside(path);
      if (step.kind === 'swallow') {
        try {
          await this.play(step.body, path);
        } catch (error) {
          if (!isCancelledError(error)) throw error;
        }
      } else {
        await new Coroutine(this.step(step, path));
      }
      stillInside(path);
    }
  }

  private *step(step: Step, path: Running[]): Generator<unknown, void, any> {
    switch (step.kind) {
      case 'sleep':
        yield* cancelledIfInside(sleep(step.ms));
        return;
      case 'gather':
        yield* cancelledIfInside(gather(step.delays.map((ms) => sleep(ms))));
        return;
      case 'lock':
        yield* this.lock.acquire();
        try {
          yield* sleep(step.ms);
        } finally {
          this.lock.release();
        }
        return;
      case 'cancel':
        path.at(-1 - step.up)?.scope.cancel('from inside');
        return;
      case 'move': {
        const target = path.at(-1 - step.up)?.scope;
        if (target !== undefined) target.deadline = now() + step.delayMs;
        return;
      }
      case 'fail':
        throw new RangeError('planned');
      default:
        yield* this.compound(step, path);
    }
  }

  private *compound(
    step: Extract<Step, { body: Block }>,
    path: Running[],
  ): Generator<unknown, void, any> {
    if (step.kind === 'swallow') {
      try {
        yield* this.steps(step.body, path);
      } catch (error) {
        if (!isCancelledError(error)) throw error;
      }
    } else if (step.kind === 'clean') {
      try {
        yield* this.steps(step.body, path);
      } finally {
        const began = now();
        try {
          yield* cancelScope(() => sleep(step.ms), { shield: true });
        } finally {
          if (this.gentle) assert.equal(now(), began + step.ms, 'a clean-up was cut short');
        }
        stillInside(path);
      }
    } else if (step.kind === 'group') {
      yield* taskGroup((group) => {
        for (const each of step.tasks) group.createTask(this.body(each, path));
        if (step.cancelled) getRunningLoop().callLater(3, () => group.cancel());
        return this.body(step.body, path)();
      });
    } else {
      yield* this.scope(step, path);
    }
  }

  private *scope(
    { shield, delayMs, body }: Extract<Step, { kind: 'scope' }>,
    path: Running[],
  ): Generator<unknown, void, any> {
    const task = currentTask()!;
    const around = currentScope();
    let mine: Running | undefined;
    try {
      yield* cancelScope(
        (scope) => {
          const running: Running = { scope, left: false, cancelledAt: null };
          mine = running;
          this.running.push(running);
          const note = (): void => {
            running.cancelledAt = { ms: now(), turn: turns() };
          };
          if (scope.signal.aborted) note();
          else scope.signal.addEventListener('abort', note);
          return this.body(body, [...path, running])();
        },
        { shield, deadline: now() + delayMs },
      );
    } finally {
      const { cancelledAt } = mine!;
      mine!.left = true;
      assert.equal(currentTask(), task);
      assert.equal(currentScope(), around);
      if (cancelledAt !== null && !body.shielded) {
        assert.equal(now(), cancelledAt.ms, 'a cancelled scope let time pass');
        const took = turns() - cancelledAt.turn;
        assert.ok(took <= PER_STEP * (body.size + 1), `left after ${took} iterations`);
      }
    }
  }
}

function stillInside(path: Running[]): void {
  for (const { left } of path)
    assert.equal(left, false, 'something ran on in a scope that was left');
}

/** A wait that begins in a cancelled scope does not return. */
function* cancelledIfInside(wait: Iterable<unknown>): Generator<unknown, void, any> {
  const doomed = currentScope()?.effectiveDeadline() === -Infinity;
  yield* wait as Generator<unknown, void, any>;
  assert.equal(doomed, false, 'a wait in a cancelled scope was not cancelled');
}

/** How a task ended. */
function* outcomeOf(task: Task<unknown>): Generator<unknown, unknown, any> {
  try {
    yield* task;
    return 'returned';
  } catch (error) {
    return error;
  }
}

/** Every error in an error. */
function leavesOf(error: unknown): unknown[] {
  return error instanceof AggregateError ? error.errors.flatMap(leavesOf) : [error];
}

function* bystander(): Generator<unknown, number, any> {
  for (let i = 0; i < 5; i++) yield* sleep(i);
  return now();
}

interface Counted {
  cancelled: number;
  swallowed: number;
}

function* simulate(seed: number, counted: Counted): Generator<unknown, void, any> {
  const random = new Random(seed);
  const gentle = random.chance(50);
  const block = new Author(random, gentle).block(4);
  const stage = new Stage(gentle);
  const loop = getRunningLoop();
  const began = { ms: now(), turn: turns() };
  const unrelated = [createTask(bystander), createTask(bystander)];
  const root = createTask(stage.body(block, []));
  let edges = 0;
  const timers = Array.from({ length: random.below(4) }, () => {
    const which = random.below(SCOPES_MAX);
    return loop.callLater(random.below(15), () => stage.running[which]?.scope.cancel('outside'));
  });
  if (!gentle && random.chance(50)) {
    timers.push(loop.callLater(random.below(15), () => root.cancel('edge') && edges++));
  }
  const outcome = yield* outcomeOf(root);
  const took = turns() - began.turn;
  for (const timer of timers) timer.cancel();
  for (const each of unrelated) assert.equal(yield* each, began.ms + 10, 'a bystander was harmed');
  assert.equal(root.cancelling(), edges, 'requests to cancel are not balanced');
  for (const error of leavesOf(outcome)) {
    if (error === 'returned') continue;
    if (isCancelledError(error)) assert.ok(edges > 0, 'nobody had cancelled the task');
    else assert.equal((error as Error).message, 'planned', String((error as Error).stack));
  }
  for (const { scope, left } of stage.running) {
    assert.equal(left, true);
    const { children } = scope as unknown as { children: Set<unknown> | null };
    assert.equal(children?.size ?? 0, 0, 'something still hangs on a scope');
    if (scope.cancelCalled) counted.cancelled++;
    if (scope.cancelledCaught) counted.swallowed++;
  }
  yield* sleep(20); // until the last group.cancel() has come, in vain
  assert.equal(loop.statistics().timers, 0);
  assert.ok(
    took <= PER_STEP * (block.size + 20) + 60,
    `${took} iterations for ${block.size} steps`,
  );
}

describe('random programs of cancel scopes', function () {
  this.timeout(HEAVY ? 600_000 : 30_000);

  it(`keep every promise, ${PROGRAMS} times`, () =>
    withVirtualTime(function* () {
      const counted: Counted = { cancelled: 0, swallowed: 0 };
      for (let seed = FIRST_SEED; seed < FIRST_SEED + PROGRAMS; seed++) {
        try {
          yield* simulate(seed, counted);
        } catch (error) {
          throw new Error(`RINGLOOP_SEED=${seed}`, { cause: error });
        }
      }
      assert.ok(counted.cancelled > PROGRAMS / 2, `${counted.cancelled} scopes were cancelled`);
      assert.ok(counted.swallowed > PROGRAMS / 4, `${counted.swallowed} scopes were left early`);
    }));
});
