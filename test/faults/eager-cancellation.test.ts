/**
 * A task that is started eagerly takes its first step inside `createTask`, before whoever makes it
 * holds it. What it cancels in that step must reach it, too, at its first wait.
 *
 * A group that was cancelled in there overlooked the task, and waited for it for ever.
 */
import assert from 'node:assert/strict';
import {
  asCompleted,
  cancelScope,
  createTask,
  currentTask,
  defaultTaskFactory,
  eagerTaskFactory,
  gather,
  getRunningLoop,
  isCancelledError,
  limit,
  shield,
  sleep,
  type Task,
  taskGroup,
  waitFor,
} from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';

const LONG_MS = 1000;

type Cancel = () => void;

/** A child of either kind that cancels something in its first step, and waits then. */
const CHILDREN: [kind: string, (cancel: Cancel) => () => any][] = [
  [
    'a generator coroutine',
    (cancel) =>
      function* () {
        cancel();
        yield* sleep(LONG_MS);
      },
  ],
  [
    'a generator coroutine that yields once before',
    (cancel) =>
      function* () {
        cancel();
        yield* sleep(0);
        yield* sleep(LONG_MS);
      },
  ],
  [
    'an async function',
    (cancel) => async () => {
      cancel();
      await sleep(LONG_MS);
    },
  ],
];

const FACTORIES = [defaultTaskFactory, eagerTaskFactory];

/** Awaits what should be cancelled, in a task of its own, and says how that ended. */
function* outcomeOf(body: () => any): Generator<unknown, string, any> {
  const task: Task<unknown> = createTask(body, { eagerStart: false });
  try {
    yield* task;
    return 'returned';
  } catch (error) {
    if (isCancelledError(error)) return 'cancelled';
    return (error as Error).message;
  }
}

describe('a child that cancels in its first step, started lazily and eagerly', () => {
  for (const factory of FACTORIES) {
    for (const [kind, child] of CHILDREN) {
      const inTime = (name: string, body: () => any, expected: string): void => {
        it(`${name}: ${kind}, ${factory.name}`, () =>
          withVirtualTime(function* () {
            getRunningLoop().setTaskFactory(factory);
            assert.equal(yield* outcomeOf(body), expected);
            assert.equal(getRunningLoop().time(), 0, 'it was waited for');
          }));
      };

      inTime(
        'its group',
        () =>
          taskGroup(function* (group) {
            group.createTask(child(() => group.cancel()));
          }),
        'returned',
      );
      inTime(
        'its group, from a child of a child',
        () =>
          taskGroup(async (group) => {
            const grandchild = child(() => group.cancel());
            group.createTask(child(() => void group.createTask(grandchild)));
          }),
        'returned',
      );
      inTime(
        'its group, from start()',
        () =>
          taskGroup(async (group) => {
            await group.start(() => child(() => group.cancel())());
          }),
        'returned',
      );
      inTime(
        'its group, from start(), after it is ready',
        () =>
          taskGroup(function* (group) {
            yield* group.start((started) =>
              child(() => {
                started(7);
                group.cancel();
              })(),
            );
          }),
        'returned',
      );
      inTime(
        'the parent of its group',
        () =>
          taskGroup(function* (group) {
            const parent = currentTask()!;
            group.createTask(child(() => parent.cancel()));
            yield* sleep(LONG_MS);
          }),
        'cancelled',
      );
      inTime(
        'a scope around its group',
        () =>
          cancelScope((scope) =>
            taskGroup(async (group) => {
              group.createTask(child(() => scope.cancel()));
            }),
          ),
        'returned',
      );
      inTime(
        'the signal of a scope around its group',
        () => {
          const controller = new AbortController();
          const { signal } = controller;
          return cancelScope(
            () =>
              taskGroup(async (group) => {
                group.createTask(child(() => controller.abort()));
              }),
            { signal },
          );
        },
        'returned',
      );
      inTime(
        'the signal of its gather',
        () => {
          const controller = new AbortController();
          const { signal } = controller;
          return gather(
            [child(() => controller.abort(new Error('enough'))), () => sleep(LONG_MS)],
            {
              signal,
            },
          );
        },
        'enough',
      );
      inTime(
        'who waits for its gather',
        function* () {
          const parent = currentTask()!;
          yield* gather(
            () => sleep(LONG_MS),
            child(() => parent.cancel()),
            () => sleep(LONG_MS),
          );
        },
        'cancelled',
      );
      inTime(
        'who waits for its gather in an async function',
        async () => {
          const parent = currentTask()!;
          await gather(
            () => sleep(LONG_MS),
            child(() => parent.cancel()),
          );
        },
        'cancelled',
      );
      inTime(
        'the signal of its limit()',
        () => {
          const controller = new AbortController();
          const { signal } = controller;
          const work = child(() => controller.abort(new Error('enough')));
          return limit(2, [1, 2, 3], work, { signal });
        },
        'enough',
      );
      inTime(
        'the signal of waitFor()',
        () => {
          const controller = new AbortController();
          const { signal } = controller;
          const work = child(() => controller.abort(new Error('enough')));
          return waitFor(createTask(work), LONG_MS, { signal });
        },
        'enough',
      );
      inTime('itself', () => createTask(child(() => currentTask()!.cancel())), 'cancelled');
      inTime(
        'itself, in a group',
        () =>
          taskGroup(async (group) => {
            group.createTask(child(() => currentTask()!.cancel()));
          }),
        'returned',
      );
      inTime(
        'itself, under a shield',
        () => shield(child(() => currentTask()!.cancel())),
        'cancelled',
      );
      inTime(
        'itself, as the next of asCompleted()',
        () => asCompleted([child(() => currentTask()!.cancel())]).next()!,
        'cancelled',
      );
    }
  }
});
