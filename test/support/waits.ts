/**
 * What every waiting method has in common, as one set of tests: it waits, is woken, cancelled,
 * aborted, and loses nothing whenever that happens.
 */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import {
  type Abortable,
  type CancelledError,
  type Coroutine,
  createTask,
  isCancelledError,
  RuntimeError,
  run,
  sleep,
  type Task,
} from 'ringloop';
import { runProgram, turnOfNode } from './capture.js';
import { withVirtualTime } from './virtual-time.js';

/** A waiting method with everything around it. */
export interface Subject {
  /** Brings it about that a wait lasts. Must not wait itself. */
  setUp?(): Generator<unknown, void, any>;
  wait(options?: Abortable): Coroutine<unknown>;
  /** Wakes one waiter, or all. Must not wait itself. */
  wake(): Generator<unknown, void, any>;
  /** How many wait. */
  waiters(): number;
  /** Looks at what `wait()` came to. */
  check(result: unknown): void;
  /** It was not made by the class itself, but by the test. */
  composed?: boolean;
}

/** Makes a task of either kind of an operation. */
export type Start = <T>(operation: () => Coroutine<T>) => Task<T>;

/** The two kinds of coroutines. */
export const KINDS: [kind: string, start: Start][] = [
  [
    'a generator',
    (operation) =>
      createTask(function* () {
        return yield* operation();
      }),
  ],
  ['an async function', (operation) => createTask(async () => await operation())],
];

/** What a coroutine throws; undefined if it throws nothing. */
export function* errorOf(coroutine: Iterable<unknown>): Generator<unknown, any, any> {
  try {
    yield* coroutine as Generator<unknown, unknown, any>;
  } catch (error) {
    return error;
  }
}

type Waiters = { subject: Subject; tasks: Task<unknown>[]; controllers: AbortController[] };

/** Runs `body` while a number of tasks wait, each with a signal of its own. */
function whileWaiting(
  make: () => Subject,
  start: Start,
  count: number,
  body: (waiters: Waiters) => Generator<unknown, void, any>,
): Promise<void> {
  return withVirtualTime(function* () {
    const subject = make();
    if (subject.setUp) yield* subject.setUp();
    const controllers = Array.from({ length: count }, () => new AbortController());
    const tasks = controllers.map(({ signal }) => start(() => subject.wait({ signal })));
    yield* sleep(1);
    assert.equal(subject.waiters(), count);
    yield* body({ subject, tasks, controllers });
    assert.equal(subject.waiters(), 0);
    for (const { signal } of controllers) {
      assert.equal(getEventListeners(signal, 'abort').length, 0);
    }
  });
}

/** The tests of a waiting method with one waiter. */
export function behavesLikeEveryWait(make: () => Subject): void {
  for (const [kind, start] of KINDS) {
    describe(`in ${kind}`, () => itWaits(make, start));
  }

  it('goes on when it is awaited outside any task', async () => {
    const subject = make();
    if (subject.setUp) await run(subject.setUp());
    const waiting = Promise.resolve(subject.wait());
    await turnOfNode();
    assert.equal(subject.waiters(), 1);
    await run(subject.wake());
    subject.check(await waiting);
  });

  it('does nothing before it is awaited', () =>
    withVirtualTime(function* () {
      const subject = make();
      if (subject.setUp) yield* subject.setUp();
      subject.wait();
      yield* sleep(1);
      assert.equal(subject.waiters(), 0);
    }));

  it('refuses a signal that is none, and says what it got', () => {
    if (make().composed) return;
    for (const [wrong, shown] of [
      [5, '5'],
      ['now', '"now"'],
      [null, 'null'],
      [new AbortController(), 'an instance of AbortController'],
    ] as const) {
      assert.throws(() => make().wait({ signal: wrong as never }), {
        name: 'TypeError',
        message: new RegExp(`: signal must be an AbortSignal, got ${shown}$`),
      });
    }
  });

  it('throws a RuntimeError on a second loop', async () => {
    const subject = make();
    const interrupted = function* (): Generator<unknown, void, any> {
      if (subject.setUp) yield* subject.setUp();
      const task = createTask(() => subject.wait());
      yield* sleep(1);
      task.cancel();
      yield* sleep(1);
    };
    await withVirtualTime(interrupted);
    await withVirtualTime(function* () {
      const error = yield* errorOf(subject.wait());
      assert.ok(error instanceof RuntimeError, String(error));
      assert.match(error.message, /^<\w+ .*> is bound to a different event loop$/);
      assert.equal(subject.waiters(), 0);
    });
  });
}

function itWaits(make: () => Subject, start: Start): void {
  it('goes on when it is woken', () =>
    whileWaiting(make, start, 1, function* ({ subject, tasks }) {
      yield* subject.wake();
      subject.check(yield* tasks[0]!);
    }));

  it('is cancelled with its task, with the reason', () =>
    whileWaiting(make, start, 1, function* ({ tasks: [task] }) {
      task!.cancel('enough');
      const error = yield* errorOf(task!);
      assert.ok(isCancelledError(error));
      assert.equal(error.reason, 'enough');
    }));

  it('is cancelled, though it was woken before in the same iteration', () =>
    whileWaiting(make, start, 1, function* ({ subject, tasks: [task] }) {
      yield* subject.wake();
      task!.cancel();
      assert.ok(isCancelledError(yield* errorOf(task!)));
    }));

  it('throws the reason of a signal that is aborted already, without waiting', () =>
    withVirtualTime(function* () {
      const subject = make();
      if (subject.setUp) yield* subject.setUp();
      const reason = new RangeError('too late');
      const signal = AbortSignal.abort(reason);
      const task = start(() => subject.wait({ signal }));
      assert.equal(yield* errorOf(task), reason);
      assert.equal(subject.waiters(), 0);
      assert.equal(getEventListeners(signal, 'abort').length, 0);
    }));

  it('throws the reason of a signal that is aborted meanwhile', () =>
    whileWaiting(make, start, 1, function* ({ tasks: [task], controllers: [controller] }) {
      const reason = new RangeError('too long');
      controller!.abort(reason);
      assert.equal(yield* errorOf(task!), reason);
      assert.equal(task!.cancelled(), false);
    }));

  it('throws any value that is the reason of a signal', () =>
    whileWaiting(make, start, 1, function* ({ tasks: [task], controllers: [controller] }) {
      controller!.abort('a string');
      assert.equal(yield* errorOf(task!), 'a string');
    }));

  it('keeps its result when the signal is aborted after it was woken', () =>
    whileWaiting(make, start, 1, function* ({ subject, tasks: [task], controllers }) {
      yield* subject.wake();
      controllers[0]!.abort();
      subject.check(yield* task!);
    }));

  it('is cancelled when the signal was aborted in the same iteration', () =>
    whileWaiting(make, start, 1, function* ({ tasks: [task], controllers: [controller] }) {
      controller!.abort(new RangeError('aborted'));
      task!.cancel('cancelled');
      const error: CancelledError = yield* errorOf(task!);
      assert.ok(isCancelledError(error));
      assert.equal(error.reason, 'cancelled');
    }));

  it('does not end when the signal is aborted after it is over', () =>
    whileWaiting(make, start, 1, function* ({ subject, tasks: [task], controllers }) {
      yield* subject.wake();
      yield* task!;
      controllers[0]!.abort();
      yield* sleep(1);
    }));
}

/** The tests of a waiting method whose waiters stand in line: what one cannot use, the next gets. */
export function losesNoWakeUp(make: () => Subject): void {
  const ends: [how: string, end: (task: Task<unknown>, controller: AbortController) => void][] = [
    ['cancelled', (task) => task.cancel()],
    ['aborted', (_task, controller) => controller.abort(new RangeError('aborted'))],
  ];
  for (const [kind, start] of KINDS) {
    it(`wakes ${kind}s in the order in which they came`, () =>
      whileWaiting(make, start, 3, function* ({ subject, tasks }) {
        const order: number[] = [];
        for (const [i, task] of tasks.entries()) task.addDoneCallback(() => order.push(i));
        for (let i = 0; i < 3; i++) {
          yield* subject.wake();
          yield* sleep(1);
        }
        assert.deepEqual(order, [0, 1, 2]);
      }));

    for (const [how, end] of ends) {
      it(`wakes the next when the first, ${kind}, was ${how}`, () =>
        whileWaiting(make, start, 2, function* ({ subject, tasks: [first, second], controllers }) {
          end(first!, controllers[0]!);
          yield* sleep(1);
          yield* subject.wake();
          assert.ok((yield* errorOf(first!)) !== undefined);
          subject.check(yield* second!);
        }));

      it(`wakes the next when the first, ${kind}, is ${how} in the same iteration before`, () =>
        whileWaiting(make, start, 2, function* ({ subject, tasks: [first, second], controllers }) {
          end(first!, controllers[0]!);
          yield* subject.wake();
          subject.check(yield* second!);
          assert.ok((yield* errorOf(first!)) !== undefined);
        }));

      it(`wakes the third when the second, ${kind}, is ${how} among them`, () =>
        whileWaiting(make, start, 3, function* ({ subject, tasks, controllers }) {
          end(tasks[1]!, controllers[1]!);
          yield* subject.wake();
          yield* sleep(1);
          yield* subject.wake();
          subject.check(yield* tasks[0]!);
          subject.check(yield* tasks[2]!);
          assert.ok((yield* errorOf(tasks[1]!)) !== undefined);
        }));
    }

    it(`wakes the next when the first, ${kind}, is cancelled after it was woken`, () =>
      whileWaiting(make, start, 2, function* ({ subject, tasks: [first, second] }) {
        yield* subject.wake();
        first!.cancel();
        subject.check(yield* second!);
        assert.ok(isCancelledError(yield* errorOf(first!)));
      }));

    it(`wakes the last when all others, ${kind}s, are cancelled one by one as they are woken`, () =>
      whileWaiting(make, start, 4, function* ({ subject, tasks }) {
        yield* subject.wake();
        for (const task of tasks.slice(0, 3)) {
          task.cancel();
          yield* sleep(0);
        }
        subject.check(yield* tasks[3]!);
      }));
  }
}

/** Runs `main` in a process of its own, where nobody will ever wake it; returns who waits. */
export async function deadlockOf(main: string): Promise<string[]> {
  const { stdout, stderr } = await runProgram(`
    ringloop.run(${main}).catch((error) => console.log(error.name + '\\n' + error.message));
  `);
  assert.equal(stderr, '');
  const [name, , ...lines] = stdout.trimEnd().split('\n');
  assert.equal(name, 'DeadlockError');
  return lines.map((line) => /^ {2}(\w+) waits for /.exec(line)![1]!);
}
