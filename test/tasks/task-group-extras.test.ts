import assert from 'node:assert/strict';
import {
  allTasks,
  createTask,
  currentTask,
  ExceptionGroup,
  eagerTaskFactory,
  Future,
  getRunningLoop,
  isCancelledError,
  moveOnAfter,
  RuntimeError,
  sleep,
  type Task,
  TaskGroup,
  taskGroup,
  timeout,
} from 'ringloop';
import { BOTH_KINDS, errorOf } from '../support/both-kinds.js';
import { Random } from '../support/random.js';
import { withVirtualTime } from '../support/virtual-time.js';

/** A server: ready after a while, then it runs on until it is cancelled. */
function serve(seen: string[], readyMs: number, closeMs = 0) {
  return function* (started: (port: number) => void): Generator<unknown, void, any> {
    try {
      yield* sleep(readyMs);
      started(8080);
      seen.push(`ready at ${getRunningLoop().time()}`);
      yield* sleep(Infinity);
    } finally {
      if (closeMs > 0) yield* sleep(closeMs);
      seen.push(`closed at ${getRunningLoop().time()}`);
    }
  };
}

function* failAfter(ms: number, message: string): Generator<unknown, never, any> {
  yield* sleep(ms);
  throw new RangeError(message);
}

const messages = (error: unknown): string[] => {
  assert.ok(error instanceof ExceptionGroup, String(error));
  return error.errors.map(String);
};

for (const [kind, start] of BOTH_KINDS) {
  describe(`TaskGroup.cancel in ${kind}`, () => {
    it('cancels the tasks and the block, and the group ends without an error', () =>
      withVirtualTime(function* () {
        const seen: string[] = [];
        const grouping = start(() =>
          taskGroup(async (group) => {
            group.createTask(serve(seen, 1)(() => {}));
            group.createTask(function* () {
              yield* sleep(5);
              group.cancel();
            });
            await sleep(1000);
            seen.push('the block went on');
          }),
        );
        assert.equal(yield* grouping, undefined);
        assert.deepEqual(seen, ['ready at 1', 'closed at 5']);
        assert.equal(grouping.cancelling(), 0);
      }));

    it('does not hide a cancellation from outside', () =>
      withVirtualTime(function* () {
        for (const cancelFirst of [true, false]) {
          let group!: TaskGroup;
          const grouping = start(() =>
            taskGroup(async (its) => {
              group = its;
              group.createTask(sleep(1000));
            }),
          );
          yield* sleep(1);
          if (cancelFirst) group.cancel();
          grouping.cancel('outside');
          if (!cancelFirst) group.cancel();
          const error = yield* errorOf(grouping);
          assert.ok(isCancelledError(error), `${cancelFirst}`);
          if (cancelFirst) assert.equal(error.reason, 'outside');
          assert.equal(grouping.cancelled(), true);
        }
      }));
  });
}

describe('TaskGroup.cancel', () => {
  it('ends a block that never waits, and leaves no cancellation behind', () =>
    withVirtualTime(function* () {
      const result = yield* taskGroup(function* (group) {
        group.cancel();
        return 'by itself';
      });
      assert.equal(result, 'by itself');
      assert.equal(currentTask()!.cancelling(), 0);
      yield* sleep(1);
    }));

  it('never starts tasks that had not begun', () =>
    withVirtualTime(function* () {
      yield* taskGroup(function* (group) {
        group.createTask(() => assert.fail('it should not start'));
        group.cancel();
        yield* sleep(1);
      });
    }));

  it('waits for those that clean up, and reports their errors', () =>
    withVirtualTime(function* () {
      const error = yield* errorOf(
        taskGroup(function* (group) {
          group.createTask(function* () {
            try {
              yield* sleep(1000);
            } catch {
              yield* failAfter(50, 'while cleaning up');
            }
          });
          yield* sleep(1);
          group.cancel();
        }),
      );
      assert.deepEqual(messages(error), ['RangeError: while cleaning up']);
      assert.equal(getRunningLoop().time(), 51);
      assert.equal(currentTask()!.cancelling(), 0);
    }));

  it('does not hide an error that came before', () =>
    withVirtualTime(function* () {
      const error = yield* errorOf(
        taskGroup(function* (group) {
          const broken = group.createTask(failAfter(1, 'broken'));
          broken.addDoneCallback(() => group.cancel());
          yield* sleep(1000);
        }),
      );
      assert.deepEqual(messages(error), ['RangeError: broken']);
      assert.equal(currentTask()!.cancelling(), 0);
    }));

  it('may be called again, before the block, while it ends, and afterwards', () =>
    withVirtualTime(function* () {
      const group = new TaskGroup();
      group.cancel();
      group.cancel();
      group.enter();
      const error = yield* errorOf(sleep(1));
      assert.ok(isCancelledError(error));
      assert.throws(() => group.createTask(sleep(1)), /is shutting down/);
      group.cancel();
      yield* group.exit({ value: error });
      group.cancel();
      assert.equal(currentTask()!.cancelling(), 0);
      yield* sleep(1);
    }));

  it('has nothing to cancel when the last task has ended', () =>
    withVirtualTime(function* () {
      const result = yield* taskGroup(function* (group) {
        const last = group.createTask(sleep(1));
        last.addDoneCallback(() => group.cancel());
        return 'result';
      });
      assert.equal(result, 'result');
      assert.equal(currentTask()!.cancelling(), 0);
      yield* sleep(1);
    }));

  it('refuses tasks from then on', () =>
    withVirtualTime(function* () {
      yield* taskGroup(function* (group) {
        group.cancel();
        const error = yield* errorOf(group.start(function* () {}));
        assert.match(error.message, /is shutting down/);
      });
    }));

  it('ends an inner group, and not the outer one', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      yield* taskGroup(function* (outer) {
        outer.createTask(function* () {
          yield* sleep(20);
          seen.push('outer goes on');
        });
        yield* taskGroup(function* (inner) {
          inner.createTask(sleep(1000));
          yield* sleep(5);
          inner.cancel();
          yield* sleep(1000);
        });
        seen.push(`inner over at ${getRunningLoop().time()}`);
      });
      assert.deepEqual(seen, ['inner over at 5', 'outer goes on']);
    }));

  it('ends without an error in a task that was cancelled before, and cleans up', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const task = createTask(function* () {
        try {
          yield* sleep(1000);
        } finally {
          yield* taskGroup(function* (group) {
            yield* group.start(serve(seen, 1));
            group.cancel();
            yield* sleep(1000);
          });
          yield* sleep(1);
          seen.push('cleaned up');
        }
      });
      yield* sleep(1);
      task.cancel('enough');
      assert.equal((yield* errorOf(task)).reason, 'enough');
      assert.deepEqual(seen, ['ready at 2', 'closed at 2', 'cleaned up']);
    }));

  it('in a time limit that is reached meanwhile is still a TimeoutError', () =>
    withVirtualTime(function* () {
      const error = yield* errorOf(
        timeout(10, () =>
          taskGroup(function* (group) {
            group.createTask(serve([], 1, 50)(() => {}));
            yield* sleep(5);
            group.cancel();
          }),
        ),
      );
      assert.equal(error.name, 'TimeoutError');
      assert.equal(getRunningLoop().time(), 55);
      assert.equal(currentTask()!.cancelling(), 0);
    }));
});

describe('TaskGroup.children', () => {
  it('are the tasks that are not done, in the order in which they were made', () =>
    withVirtualTime(function* () {
      yield* taskGroup(function* (group) {
        assert.deepEqual(group.children(), []);
        const tasks = [30, 10, 20].map((ms) => group.createTask(sleep(ms)));
        assert.deepEqual(group.children(), tasks);
        yield* sleep(15);
        assert.deepEqual(group.children(), [tasks[0], tasks[2]]);
        yield* tasks[0]!;
        assert.deepEqual(group.children(), []);
      });
    }));

  it('are none of those that have just ended, and of which the group is not told yet', () =>
    withVirtualTime(function* () {
      let group!: TaskGroup;
      const seen: number[] = [];
      yield* taskGroup(function* (its) {
        group = its;
        const future = new Future<void>();
        group.createTask(function* () {
          yield* future;
          // It ends with this step; what is queued here runs before the group hears of it.
          getRunningLoop().callSoon(() => seen.push(group.children().length));
        });
        yield* sleep(1);
        future.setResult();
      });
      assert.deepEqual(seen, [0]);
    }));

  it('are a list of the moment, which may be changed', () =>
    withVirtualTime(function* () {
      yield* taskGroup(function* (group) {
        const task = group.createTask(sleep(5));
        group.children().pop();
        assert.deepEqual(group.children(), [task]);
      });
    }));

  it('include those that start() waits for', () =>
    withVirtualTime(function* () {
      yield* taskGroup(function* (group) {
        group.createTask(
          function* () {
            yield* sleep(5);
            assert.deepEqual(
              group.children().map((task) => task.name),
              ['watcher', 'server'],
            );
            group.cancel();
          },
          { name: 'watcher' },
        );
        yield* group.start(serve([], 10), { name: 'server' });
      });
    }));
});

for (const [kind, start] of BOTH_KINDS) {
  describe(`TaskGroup.start in ${kind}`, () => {
    it('returns what started() was called with, one iteration later, and the task runs on', () =>
      withVirtualTime(function* () {
        const seen: string[] = [];
        const main = start(() =>
          taskGroup(async (group) => {
            const port = await group.start(serve(seen, 5));
            seen.push(`${port} at ${getRunningLoop().time()}`);
            await sleep(5);
            group.cancel();
          }),
        );
        yield* main;
        assert.deepEqual(seen, ['ready at 5', '8080 at 5', 'closed at 10']);
      }));

    it('throws what the task throws before it is ready, and the group goes on', () =>
      withVirtualTime(function* () {
        const main = start(() =>
          taskGroup(async (group) => {
            const other = group.createTask(sleep(10, 'other'));
            await assert.rejects(async () => await group.start(() => failAfter(1, 'in use')), {
              name: 'RangeError',
              message: 'in use',
            });
            return await other;
          }),
        );
        assert.equal(yield* main, 'other');
      }));

    it('throws a RuntimeError if the task ends without being ready', () =>
      withVirtualTime(function* () {
        const main = start(() =>
          taskGroup(async (group) => {
            const starting = group.start(async () => {}, { name: 'lazy' });
            await assert.rejects(async () => await starting, {
              name: 'RuntimeError',
              message: '<Task "lazy" finished> ended without calling started()',
            });
          }),
        );
        yield* main;
      }));

    it('leaves errors that come later to the group', () =>
      withVirtualTime(function* () {
        const main = start(() =>
          taskGroup(async (group) => {
            await group.start<void>(function* (started) {
              started();
              yield* failAfter(5, 'later');
            });
            await sleep(1000);
          }),
        );
        assert.deepEqual(messages(yield* errorOf(main)), ['RangeError: later']);
        assert.equal(getRunningLoop().time(), 5);
      }));

    it('cancels the task when it is cancelled, and waits until it has cleaned up', () =>
      withVirtualTime(function* () {
        const seen: string[] = [];
        const main = start(() =>
          taskGroup(async (group) => void (await group.start(serve(seen, 10, 20)))),
        );
        yield* sleep(5);
        main.cancel('enough');
        assert.equal((yield* errorOf(main)).reason, 'enough');
        assert.deepEqual(seen, ['closed at 25']);
      }));
  });
}

describe('TaskGroup.start', () => {
  it('does nothing before it is awaited', () =>
    withVirtualTime(function* () {
      yield* taskGroup(function* (group) {
        group.start(() => assert.fail('it should not start'));
        yield* sleep(1);
        assert.deepEqual(group.children(), []);
      });
    }));

  it('takes a body that is ready at once', () =>
    withVirtualTime(function* () {
      yield* taskGroup(function* (group) {
        const value = yield* group.start<string>(async (started) => started('at once'));
        assert.equal(value, 'at once');
      });
    }));

  it('takes a body that starts eagerly', () =>
    withVirtualTime(function* () {
      // started() was called before start() knew its task: a ReferenceError.
      yield* taskGroup(function* (group) {
        const seen: string[] = [];
        const eager = function* (started: (value: string) => void): Generator<unknown, void, any> {
          started('eager');
          yield* sleep(5);
          seen.push('ran on');
        };
        assert.equal(yield* group.start(eager, { eagerStart: true }), 'eager');
        yield* group.children()[0]!;
        assert.deepEqual(seen, ['ran on']);
        const { done } = {
          done: yield* group.start<number>(async (started) => started(1), { eagerStart: true }),
        };
        assert.equal(done, 1);
        const error = yield* errorOf(
          group.start(
            function* () {
              throw new RangeError('eagerly');
            },
            { eagerStart: true },
          ),
        );
        assert.equal(error.message, 'eagerly');
      });
    }));

  it('works with the eager task factory', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      loop.setTaskFactory(eagerTaskFactory);
      const seen: string[] = [];
      yield* taskGroup(function* (group) {
        assert.equal(yield* group.start(serve(seen, 5)), 8080);
        group.cancel();
      });
      loop.setTaskFactory(null);
      assert.deepEqual(seen, ['ready at 5', 'closed at 5']);
    }));

  it('refuses a second started()', () =>
    withVirtualTime(function* () {
      for (const eagerStart of [false, true]) {
        const error = yield* errorOf(
          taskGroup(function* (group) {
            yield* group.start<void>(
              async (started) => {
                started();
                started();
              },
              { eagerStart },
            );
            yield* sleep(1);
          }),
        );
        assert.deepEqual(messages(error), ['RuntimeError: started() was called before']);
      }
    }));

  it('is told of a child that is cancelled before it is ready', () =>
    withVirtualTime(function* () {
      yield* taskGroup(function* (group) {
        getRunningLoop().callLater(1, () => group.children()[0]!.cancel('this one'));
        const error = yield* errorOf(group.start(serve([], 10)));
        assert.equal(error.reason, 'this one');
      });
    }));

  it('is cancelled with the group when another task fails', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      const error = yield* errorOf(
        taskGroup(function* (group) {
          group.createTask(failAfter(5, 'other'));
          yield* group.start(serve(seen, 10, 20));
        }),
      );
      assert.deepEqual(messages(error), ['RangeError: other']);
      assert.deepEqual(seen, ['closed at 25']);
      assert.equal(currentTask()!.cancelling(), 0);
    }));

  it('cancels the task when a time limit inside the block is reached', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      yield* taskGroup(function* (group) {
        const error = yield* errorOf(timeout(5, () => group.start(serve(seen, 10))));
        assert.equal(error.name, 'TimeoutError');
        yield* moveOnAfter(5, () => group.start(serve(seen, 10)));
        assert.deepEqual(seen, ['closed at 5', 'closed at 10']);
        assert.deepEqual(group.children(), []);
        yield* sleep(1);
      });
    }));

  it('loses no error of a task that fails when the start is cancelled', () =>
    withVirtualTime(function* () {
      // It went neither to whoever had waited, nor to the group.
      const error = yield* errorOf(
        taskGroup(function* (group) {
          const unwilling = function* (): Generator<unknown, void, any> {
            try {
              yield* sleep(1000);
            } catch {
              throw new RangeError('while cleaning up');
            }
          };
          yield* timeout(5, () => group.start(unwilling));
        }),
      );
      assert.deepEqual(messages(error), ['RangeError: while cleaning up']);
      assert.equal(getRunningLoop().time(), 5);
    }));

  it('refuses a body that is no function, and groups that are not open', () =>
    withVirtualTime(function* () {
      for (const wrong of [undefined, null, 5, sleep(1)]) {
        assert.throws(() => new TaskGroup().start(wrong as never), {
          name: 'TypeError',
          message: /^start: body must be a function, got /,
        });
      }
      const group = new TaskGroup();
      assert.match((yield* errorOf(group.start(async () => {}))).message, /has not been entered/);
      group.enter();
      yield* group.exit();
      const error = yield* errorOf(group.start(async () => {}));
      assert.ok(error instanceof RuntimeError);
      assert.match(error.message, /is finished/);
    }));
});

/** Every error has gone somewhere, whenever the start was cancelled. */
function* startAndCancel(moment: number, fails: boolean): Generator<unknown, string[], any> {
  const seen: string[] = [];
  const body = function* (started: (value: number) => void): Generator<unknown, void, any> {
    yield;
    yield;
    if (fails) throw new RangeError('lost');
    started(1);
    try {
      yield* sleep(20);
    } catch {
      throw new RangeError('lost');
    }
    throw new RangeError('lost');
  };
  const error = yield* errorOf(
    taskGroup(function* (group) {
      const starter = group.createTask(function* () {
        const result = yield* errorOf(group.start(body));
        seen.push(isCancelledError(result) ? 'cancelled' : String(result));
        if (isCancelledError(result)) throw result;
      });
      for (let i = 0; i < moment; i++) yield;
      if (!starter.done()) starter.cancel();
    }),
  );
  for (const each of error?.errors ?? []) seen.push(`group: ${each}`);
  return seen;
}

describe('TaskGroup.start, cancelled at every moment', () => {
  it('tells somebody of the error of its task', async () => {
    for (let moment = 1; moment < 12; moment++) {
      for (const fails of [true, false]) {
        const seen = await withVirtualTime(startAndCancel(moment, fails));
        const told = seen.filter((each) => /lost/.test(each)).length;
        // A task that was cancelled before its first steps has no error.
        const early = moment <= 4 && seen[0] === 'cancelled' && seen.length === 1;
        assert.ok(told === 1 || early, `moment ${moment}, ${fails}: ${seen}`);
      }
    }
  });
});

/** A tree of groups whose tasks end in every way; one of them is cancelled at some moment. */
function* randomGroup(
  random: Random,
  groups: TaskGroup[],
  depth: number,
): Generator<unknown, void, any> {
  yield* taskGroup(function* (group) {
    groups.push(group);
    for (let i = random.between(1, 3); i > 0; i--) {
      const what = random.below(depth > 0 ? 5 : 4);
      const ms = random.below(6);
      if (what === 0) group.createTask(failAfter(ms, 'broken'));
      else if (what === 1) group.createTask(sleep(ms));
      else if (what === 2) group.createTask(serve([], ms, random.below(3))(() => {}));
      else if (what === 3) yield* group.start(serve([], ms, random.below(3)));
      else group.createTask(randomGroup(random, groups, depth - 1));
    }
    if (random.chance(0.5)) group.cancel();
    else yield* sleep(random.below(10));
  });
}

// While a task takes its eager first step its group does not have it yet, and cancel() missed it: the
// group waited for ever.
describe('a TaskGroup that ends while a child is being started eagerly', () => {
  type Child = (then: () => void) => () => Generator<unknown, void, any> | Promise<unknown>;
  const CHILDREN: [kind: string, child: Child][] = [
    [
      'a generator coroutine',
      (then) =>
        function* () {
          then();
          yield* new Future<void>();
        },
    ],
    [
      'an async function',
      (then) => async () => {
        then();
        await new Future<void>();
      },
    ],
  ];
  for (const [kind, child] of CHILDREN) {
    it(`by cancel() cancels it, in ${kind}`, () =>
      withVirtualTime(function* () {
        let task: Task<any> | null = null;
        yield* taskGroup(function* (group) {
          task = group.createTask(
            child(() => group.cancel()),
            { eagerStart: true },
          );
        });
        assert.equal(task!.cancelled(), true);
      }));

    it(`by the failure of what the child itself has started cancels it, in ${kind}`, () =>
      withVirtualTime(function* () {
        let task: Task<any> | null = null;
        const failing = function* (): Generator<unknown, void, any> {
          throw new RangeError('at once');
        };
        const error = yield* errorOf(
          taskGroup(function* (group) {
            const start = (): void => void group.createTask(failing, { eagerStart: true });
            task = group.createTask(child(start), { eagerStart: true });
            yield* new Future();
          }),
        );
        assert.ok(error instanceof ExceptionGroup);
        assert.equal(task!.cancelled(), true);
      }));

    it(`by cancel() in start() cancels it, in ${kind}`, () =>
      withVirtualTime(function* () {
        let ended = false;
        yield* taskGroup(function* (group) {
          yield* errorOf(
            group.start(
              (started) =>
                child(() => {
                  started(undefined);
                  group.cancel();
                })() as Generator<unknown, void, any>,
              { eagerStart: true },
            ),
          );
          ended = true;
          yield* sleep(0);
        });
        assert.equal(ended, true);
      }));
  }
});

describe('TaskGroups in random programs', () => {
  it('leave no task and no request to cancel behind', async () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Random(seed);
      try {
        await withVirtualTime(function* () {
          const groups: TaskGroup[] = [];
          const main: Task<void> = createTask(randomGroup(random, groups, 2));
          for (let i = random.below(20); i > 0; i--) yield random.chance(0.5) ? undefined : null;
          const cancelled = random.chance(0.3) && main.cancel();
          getRunningLoop().callLater(20, () => {
            for (const group of groups) group.cancel();
          });
          const error = yield* errorOf(main);
          if (!isCancelledError(error)) {
            assert.equal(main.cancelling(), cancelled && error !== undefined ? 1 : 0);
          }
          assert.ok(!isCancelledError(error) || cancelled, 'cancelled by nobody');
          assert.deepEqual(
            groups.flatMap((group) => group.children()),
            [],
          );
          assert.equal(allTasks().size, 1);
          yield* sleep(20);
        });
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
  });
});
