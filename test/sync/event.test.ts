import assert from 'node:assert/strict';
import { createTask, Event, isCancelledError, sleep } from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';
import {
  behavesLikeEveryWait,
  deadlockOf,
  errorOf,
  losesNoWakeUp,
  type Subject,
} from '../support/waits.js';

function unset(): Subject {
  const event = new Event();
  return {
    wait: (options) => event.wait(options),
    *wake() {
      event.set();
    },
    waiters: () => event.statistics().waiters,
    check: (result) => assert.equal(result, true),
  };
}

describe('Event.wait()', () => {
  behavesLikeEveryWait(unset);
  losesNoWakeUp(unset);

  it('does not wait when the event is set already', () =>
    withVirtualTime(function* () {
      const event = new Event();
      event.set();
      let ran = false;
      createTask(function* () {
        ran = true;
      });
      assert.equal(yield* event.wait(), true);
      assert.equal(ran, false);
    }));

  it('ends with a DeadlockError when nobody sets the event', async () => {
    const lines = await deadlockOf('async () => await new ringloop.Event().wait()');
    assert.deepEqual(lines, ['main']);
  });
});

describe('Event.set()', () => {
  it('wakes everybody who waits, generators and async functions in the order they came', () =>
    withVirtualTime(function* () {
      const event = new Event();
      const seen: number[] = [];
      for (let i = 0; i < 6; i++) {
        if (i % 2 === 0) {
          createTask(function* () {
            yield* event.wait();
            seen.push(i);
          });
        } else {
          createTask(async () => {
            await event.wait();
            seen.push(i);
          });
        }
      }
      yield* sleep(1);
      event.set();
      assert.deepEqual(seen, []);
      yield* sleep(0);
      assert.deepEqual(seen, [0, 1, 2, 3, 4, 5]);
    }));

  it('wakes those who wait, though the event is cleared before they run', () =>
    withVirtualTime(function* () {
      const event = new Event();
      const task = createTask(event.wait());
      yield* sleep(1);
      event.set();
      event.clear();
      const late = createTask(event.wait());
      yield* sleep(1);
      assert.equal(task.done(), true);
      assert.equal(late.done(), false);
    }));

  it('does nothing when the event is set', () =>
    withVirtualTime(function* () {
      const event = new Event();
      event.set();
      event.set();
      assert.equal(event.isSet(), true);
      event.clear();
      assert.equal(event.isSet(), false);
    }));

  it('wakes the others when one was cancelled in the same iteration', () =>
    withVirtualTime(function* () {
      const event = new Event();
      const tasks = [1, 2, 3].map(() => createTask(event.wait()));
      yield* sleep(1);
      tasks[1]!.cancel();
      event.set();
      assert.equal(yield* tasks[0]!, true);
      assert.equal(yield* tasks[2]!, true);
      assert.ok(isCancelledError(yield* errorOf(tasks[1]!)));
    }));

  it('can be called where there is no loop', () => {
    const event = new Event();
    event.set();
    assert.equal(event.isSet(), true);
  });
});

describe('Event.statistics()', () => {
  it('tells whether it is set, and how many wait', () =>
    withVirtualTime(function* () {
      const event = new Event();
      createTask(event.wait());
      yield* sleep(1);
      assert.deepEqual(event.statistics(), { set: false, waiters: 1 });
      assert.equal(String(event), '<Event unset, waiters: 1>');
      event.set();
      yield* sleep(1);
      assert.deepEqual(event.statistics(), { set: true, waiters: 0 });
      assert.equal(String(event), '<Event set, waiters: 0>');
    }));
});
