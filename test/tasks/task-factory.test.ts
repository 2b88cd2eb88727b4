import assert from 'node:assert/strict';
import {
  createTask,
  currentTask,
  defaultTaskFactory,
  eagerTaskFactory,
  gather,
  getRunningLoop,
  sleep,
  type Task,
  type TaskFactory,
  type TaskOptions,
} from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';

describe('setTaskFactory', () => {
  it('has every task made by the factory, with loop, runnable and options', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      const seen: unknown[] = [];
      const factory: TaskFactory = (own, runnable, options) => {
        seen.push(own, runnable, options.name);
        return defaultTaskFactory(own, runnable, options);
      };
      loop.setTaskFactory(factory);
      assert.equal(loop.getTaskFactory(), factory);
      const body = (): ReturnType<typeof sleep> => sleep(1);
      yield* createTask(body, { name: 'made by the factory' });
      assert.deepEqual(seen, [loop, body, 'made by the factory']);
    }));

  it('is used by gather, too', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      let made = 0;
      loop.setTaskFactory((own, runnable, options) => {
        made++;
        return defaultTaskFactory(own, runnable, options);
      });
      yield* gather(
        function* () {},
        function* () {},
      );
      assert.equal(made, 2);
    }));

  it('goes back to the default with null', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      loop.setTaskFactory(() => assert.fail('it was taken back'));
      loop.setTaskFactory(null);
      assert.equal(loop.getTaskFactory(), null);
      yield* createTask(() => sleep(0));
    }));

  it('refuses what is neither a function nor null', () =>
    withVirtualTime(function* () {
      for (const wrong of [undefined, 5, {}]) {
        assert.throws(() => getRunningLoop().setTaskFactory(wrong as never), TypeError);
      }
    }));

  it('can wrap the options of every task', () =>
    withVirtualTime(function* () {
      const prefixed = (options: TaskOptions): TaskOptions => ({
        ...options,
        name: `worker ${options.name}`,
      });
      getRunningLoop().setTaskFactory((loop, runnable, options) =>
        defaultTaskFactory(loop, runnable, prefixed(options)),
      );
      const task: Task<void> = createTask(() => sleep(0), { name: '1' });
      assert.equal(task.name, 'worker 1');
      yield* task;
    }));
});

describe('eagerTaskFactory', () => {
  it('takes the first step of every task at once, and is done with those that never wait', () =>
    withVirtualTime(function* () {
      getRunningLoop().setTaskFactory(eagerTaskFactory);
      const seen: string[] = [];
      const quick = createTask(function* () {
        seen.push('quick');
        return 'at once';
      });
      assert.equal(quick.done(), true);
      assert.equal(quick.result(), 'at once');
      const waiting = createTask(function* () {
        seen.push('waiting');
        yield* sleep(0);
        seen.push('waited');
      });
      seen.push('caller');
      yield* waiting;
      assert.deepEqual(seen, ['quick', 'waiting', 'caller', 'waited']);
    }));

  it('stores an error instead of throwing it from createTask', () =>
    withVirtualTime(function* () {
      getRunningLoop().setTaskFactory(eagerTaskFactory);
      const broken = createTask(function* () {
        throw new RangeError('stored');
      });
      assert.equal((broken.exception() as Error).message, 'stored');
    }));

  it('shows the new task as the current one during its first step only', () =>
    withVirtualTime(function* () {
      getRunningLoop().setTaskFactory(eagerTaskFactory);
      const outer = currentTask();
      let inner: unknown;
      const task = createTask(function* () {
        inner = currentTask();
        yield* sleep(0);
      });
      assert.equal(inner, task);
      assert.equal(currentTask(), outer);
      yield* task;
    }));

  it('works for async functions', () =>
    withVirtualTime(async () => {
      getRunningLoop().setTaskFactory(eagerTaskFactory);
      const seen: string[] = [];
      const task = createTask(
        async () => {
          seen.push('first step');
          await sleep(1);
          return currentTask()!.name;
        },
        { name: 'eager' },
      );
      seen.push('caller');
      assert.equal(await task, 'eager');
      assert.deepEqual(seen, ['first step', 'caller']);
    }));

  it('is overruled by eagerStart: false', () =>
    withVirtualTime(function* () {
      getRunningLoop().setTaskFactory(eagerTaskFactory);
      let started = false;
      const task = createTask(
        function* () {
          started = true;
        },
        { eagerStart: false },
      );
      assert.equal(started, false);
      yield* task;
      assert.equal(started, true);
    }));
});
