import assert from 'node:assert/strict';
import {
  type CancelScope,
  cancelScope,
  createTask,
  currentScope,
  eagerTaskFactory,
  gather,
  getRunningLoop,
  moveOnAfter,
  sleep,
  taskGroup,
} from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';

describe('currentScope', () => {
  it('is the innermost scope of the current task, null where there is none', () =>
    withVirtualTime(function* () {
      assert.equal(currentScope(), null);
      yield* cancelScope(function* (outer) {
        assert.equal(currentScope(), outer);
        yield* cancelScope(
          function* (inner) {
            assert.equal(currentScope(), inner);
            yield* sleep(1);
            assert.equal(currentScope(), inner);
          },
          { shield: true },
        );
        assert.equal(currentScope(), outer);
      });
      assert.equal(currentScope(), null);
    }));

  it('is known in async functions, also after a foreign promise', () =>
    withVirtualTime(async () => {
      assert.equal(currentScope(), null);
      await cancelScope(async (scope) => {
        assert.equal(currentScope(), scope);
        await Promise.resolve();
        assert.equal(currentScope(), scope);
        await sleep(1);
        assert.equal(currentScope(), scope);
      });
      assert.equal(currentScope(), null);
    }));

  it('is null outside tasks and in callbacks', () =>
    withVirtualTime(function* () {
      const seen: unknown[] = [];
      yield* cancelScope(function* () {
        getRunningLoop().callSoon(() => seen.push(currentScope()));
        yield* sleep(1);
      });
      assert.deepEqual(seen, [null]);
    }));

  it('is null again after a block that fails or is cancelled', () =>
    withVirtualTime(async () => {
      const failing = cancelScope(async () => {
        throw new RangeError('mine');
      });
      await assert.rejects(async () => await failing, RangeError);
      assert.equal(currentScope(), null);
      await moveOnAfter(1, () => sleep(100));
      assert.equal(currentScope(), null);
    }));

  it('is null in tasks that merely were made in a scope, those of a gather included', () =>
    withVirtualTime(function* () {
      const seen: unknown[] = [];
      function* look(): Generator<unknown, void, any> {
        seen.push(currentScope());
      }
      yield* cancelScope(function* () {
        yield* createTask(look);
        yield* gather(look(), look());
      });
      assert.deepEqual(seen, [null, null, null]);
    }));

  it('in a task of a group is an entry of its own, in the scope of the group', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      for (const factory of [null, eagerTaskFactory]) {
        loop.setTaskFactory(factory);
        const deadline = loop.time() + 100;
        const seen: (CancelScope | null)[] = [];
        function* look(): Generator<unknown, void, any> {
          seen.push(currentScope());
          assert.equal(currentScope()!.effectiveDeadline(), deadline);
          yield* sleep(1);
        }
        yield* cancelScope(
          function* (scope) {
            yield* taskGroup(function* (group) {
              group.createTask(look);
              group.createTask(look);
            });
            seen.push(scope);
          },
          { deadline },
        );
        assert.equal(new Set(seen).size, 3);
      }
      loop.setTaskFactory(null);
    }));

  it('cancelled in a task of a group ends that task alone', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      yield* cancelScope(() =>
        taskGroup(function* (group) {
          group.createTask(function* () {
            currentScope()!.cancel();
            yield* sleep(10);
            seen.push('never');
          });
          yield* sleep(20);
          seen.push('block');
        }),
      );
      assert.deepEqual(seen, ['block']);
    }));
});
