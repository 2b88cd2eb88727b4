import assert from 'node:assert/strict';
import { Barrier, BrokenBarrierError, createTask, isCancelledError, sleep } from 'ringloop';
import { withVirtualTime } from '../support/virtual-time.js';
import {
  behavesLikeEveryWait,
  deadlockOf,
  errorOf,
  KINDS,
  type Subject,
} from '../support/waits.js';

function one(wait: 'wait' | 'enter'): () => Subject {
  return () => {
    const barrier = new Barrier(2);
    return {
      wait: (options) => barrier[wait](options),
      *wake() {
        // The last one does not wait.
        yield* barrier.wait();
      },
      waiters: () => barrier.statistics().waiters,
      check: (result) => assert.equal(result, 0),
    };
  };
}

describe('new Barrier()', () => {
  it('refuses a number of parties that is no integer, and says what it got', () => {
    for (const [wrong, shown] of [
      [undefined, 'undefined'],
      ['2', '"2"'],
      [1.5, '1.5'],
      [NaN, 'NaN'],
    ]) {
      assert.throws(() => new Barrier(wrong as never), {
        name: 'TypeError',
        message: `Barrier: parties must be an integer, got ${shown}`,
      });
    }
  });

  it('refuses less than one party', () => {
    for (const wrong of [0, -1]) {
      assert.throws(() => new Barrier(wrong), {
        name: 'RangeError',
        message: 'parties must be >= 1',
      });
    }
  });
});

describe('Barrier.wait()', () => {
  behavesLikeEveryWait(one('wait'));

  for (const [kind, start] of KINDS) {
    it(`lets everybody go when all are there, and says who came when, in ${kind}`, () =>
      withVirtualTime(function* () {
        const barrier = new Barrier(3);
        const tasks = [1, 2].map(() => start(() => barrier.wait()));
        yield* sleep(1);
        assert.equal(barrier.nWaiting, 2);
        tasks.push(start(() => barrier.wait()));
        assert.deepEqual([yield* tasks[0]!, yield* tasks[1]!, yield* tasks[2]!], [0, 1, 2]);
        assert.equal(barrier.nWaiting, 0);
      }));
  }

  it('lets the last one go on at once, and the others in the order they came', () =>
    withVirtualTime(function* () {
      const barrier = new Barrier(3);
      const seen: number[] = [];
      for (let i = 0; i < 3; i++) {
        createTask(function* () {
          seen.push(yield* barrier.wait());
        });
      }
      yield* sleep(1);
      assert.deepEqual(seen, [2, 0, 1]);
    }));

  it('does not wait when there is one party', () =>
    withVirtualTime(function* () {
      const barrier = new Barrier(1);
      assert.equal(yield* barrier.wait(), 0);
      assert.equal(yield* barrier.wait(), 0);
    }));

  it('can be used again and again, round by round', () =>
    withVirtualTime(function* () {
      const barrier = new Barrier(2);
      const rounds: string[] = [];
      function* party(name: string, ms: number): Generator<unknown, void, any> {
        for (let round = 0; round < 3; round++) {
          yield* sleep(ms);
          yield* barrier.wait();
          rounds.push(`${name}${round}`);
        }
      }
      const tasks = [createTask(party('a', 1)), createTask(party('b', 10))];
      for (const task of tasks) yield* task;
      assert.deepEqual(rounds, ['b0', 'a0', 'b1', 'a1', 'b2', 'a2']);
    }));

  it('leaves those who come too many for the next round', () =>
    withVirtualTime(function* () {
      const barrier = new Barrier(2);
      const tasks = [1, 2, 3].map(() => createTask(barrier.wait()));
      yield* sleep(1);
      assert.deepEqual(
        tasks.map((task) => task.done()),
        [true, true, false],
      );
      assert.equal(barrier.nWaiting, 1);
    }));

  it('no longer counts a task that was cancelled', () =>
    withVirtualTime(function* () {
      const barrier = new Barrier(2);
      const gone = createTask(barrier.wait());
      yield* sleep(1);
      gone.cancel();
      assert.ok(isCancelledError(yield* errorOf(gone)));
      const first = createTask(barrier.wait());
      yield* sleep(1);
      assert.equal(first.done(), false);
      assert.equal(yield* barrier.wait(), 1);
      assert.equal(yield* first, 0);
    }));

  it('no longer counts a wait that was aborted', () =>
    withVirtualTime(function* () {
      const barrier = new Barrier(2);
      const controller = new AbortController();
      const gone = createTask(barrier.wait({ signal: controller.signal }));
      yield* sleep(1);
      controller.abort(new RangeError('aborted'));
      assert.equal((yield* errorOf(gone)).message, 'aborted');
      assert.deepEqual(barrier.statistics(), { parties: 2, waiters: 0, state: 'filling' });
    }));

  it('opens again for the next round when one is cancelled as it leaves', () =>
    withVirtualTime(function* () {
      const barrier = new Barrier(3);
      const tasks = [1, 2].map(() => createTask(barrier.wait()));
      yield* sleep(1);
      yield* barrier.wait();
      tasks[0]!.cancel();
      assert.ok(isCancelledError(yield* errorOf(tasks[0]!)));
      assert.equal(yield* tasks[1]!, 1);
      assert.equal(barrier.statistics().state, 'filling');
    }));

  it('ends with a DeadlockError when not all come', async () => {
    const lines = await deadlockOf('() => new ringloop.Barrier(2).wait()');
    assert.deepEqual(lines, ['main']);
  });
});

describe('Barrier.enter()', () => {
  behavesLikeEveryWait(one('enter'));

  it('begins what exit() ends, which does nothing', () =>
    withVirtualTime(function* () {
      const barrier = new Barrier(1);
      assert.equal(yield* barrier.enter(), 0);
      barrier.exit();
      assert.equal(barrier.statistics().state, 'filling');
    }));
});

describe('Barrier.reset()', () => {
  for (const [kind, start] of KINDS) {
    it(`gives those who wait, in ${kind}, a BrokenBarrierError, and the barrier works on`, () =>
      withVirtualTime(function* () {
        const barrier = new Barrier(3);
        const tasks = [1, 2].map(() => start(() => barrier.wait()));
        yield* sleep(1);
        yield* start(() => barrier.reset());
        for (const task of tasks) {
          const error = yield* errorOf(task);
          assert.ok(error instanceof BrokenBarrierError);
          assert.equal(error.message, 'Abort or reset of barrier');
        }
        assert.equal(barrier.broken, false);
        assert.deepEqual(barrier.statistics(), { parties: 3, waiters: 0, state: 'filling' });
      }));
  }

  it('makes a broken barrier whole', () =>
    withVirtualTime(function* () {
      const barrier = new Barrier(1);
      yield* barrier.abort();
      assert.equal(barrier.broken, true);
      yield* barrier.reset();
      assert.equal(barrier.broken, false);
      assert.equal(yield* barrier.wait(), 0);
    }));

  it('lets those who come meanwhile wait for the next round', () =>
    withVirtualTime(function* () {
      const barrier = new Barrier(2);
      const old = createTask(barrier.wait());
      yield* sleep(1);
      yield* barrier.reset();
      const next = createTask(barrier.wait());
      assert.ok((yield* errorOf(old)) instanceof BrokenBarrierError);
      yield* sleep(1);
      assert.equal(barrier.nWaiting, 1);
      assert.equal(yield* barrier.wait(), 1);
      assert.equal(yield* next, 0);
    }));
});

describe('Barrier.abort()', () => {
  for (const [kind, start] of KINDS) {
    it(`gives those who wait and who come, in ${kind}, a BrokenBarrierError`, () =>
      withVirtualTime(function* () {
        const barrier = new Barrier(2);
        const task = start(() => barrier.wait());
        yield* sleep(1);
        yield* start(() => barrier.abort());
        assert.equal((yield* errorOf(task)).message, 'Abort or reset of barrier');
        assert.equal(barrier.broken, true);
        const late = yield* errorOf(start(() => barrier.wait()));
        assert.ok(late instanceof BrokenBarrierError);
        assert.equal(late.message, 'Barrier aborted');
        assert.deepEqual(barrier.statistics(), { parties: 2, waiters: 0, state: 'broken' });
        assert.equal(String(barrier), '<Barrier broken, waiters: 0/2>');
      }));
  }
});

describe('Barrier.statistics()', () => {
  it('tells how many parties there are, and how many wait', () =>
    withVirtualTime(function* () {
      const barrier = new Barrier(3);
      createTask(barrier.wait());
      yield* sleep(1);
      assert.equal(barrier.parties, 3);
      assert.deepEqual(barrier.statistics(), { parties: 3, waiters: 1, state: 'filling' });
      assert.equal(String(barrier), '<Barrier filling, waiters: 1/3>');
    }));
});
