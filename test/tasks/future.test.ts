import assert from 'node:assert/strict';
import {
  CancelledError,
  createTask,
  EventLoop,
  Future,
  gather,
  getEventLoop,
  InvalidStateError,
  isFuture,
  RuntimeError,
  sleep,
} from 'ringloop';
import { turnOfNode, withReports, withUnhandledRejections } from '../support/capture.js';
import { withVirtualTime } from '../support/virtual-time.js';

/** A future that failed, and whose error has been looked at. */
function failed(error: Error): Future<never> {
  const future = new Future<never>();
  future.setException(error);
  future.exception();
  return future;
}

describe('Future', () => {
  it('is pending at first, and belongs to the current loop', () => {
    const future = new Future();
    assert.deepEqual([future.done(), future.cancelled()], [false, false]);
    assert.equal(future.loop, getEventLoop());
  });

  it('has a result once it is set', () => {
    const future = new Future<string>();
    future.setResult('here');
    assert.equal(future.done(), true);
    assert.equal(future.result(), 'here');
    assert.equal(future.exception(), null);
  });

  it('throws its error from result() and returns it from exception()', () => {
    const error = new RangeError('no');
    const future = failed(error);
    assert.throws(() => future.result(), error);
    assert.equal(future.exception(), error);
    assert.equal(future.cancelled(), false);
  });

  it('throws an InvalidStateError when asked before it is done', () => {
    const future = new Future();
    assert.throws(() => future.result(), {
      name: 'InvalidStateError',
      message: 'Result is not set.',
    });
    assert.throws(() => future.exception(), InvalidStateError);
  });

  it('can be settled once only', () => {
    const future = new Future<number>();
    future.setResult(1);
    assert.throws(() => future.setResult(2), InvalidStateError);
    assert.throws(() => future.setException(new Error('x')), InvalidStateError);
    assert.equal(future.cancel(), false);
    assert.equal(future.result(), 1);
  });

  it('accepts an Error only as its error', () => {
    const future = new Future();
    for (const value of ['text', null, undefined, 5, {}]) {
      assert.throws(() => future.setException(value as never), TypeError);
    }
    assert.equal(future.done(), false);
  });

  it('is told apart from everything else by isFuture', () => {
    assert.equal(isFuture(new Future()), true);
    for (const value of [null, undefined, 5, {}, Promise.resolve(), function* () {}, sleep(1)]) {
      assert.equal(isFuture(value), false);
    }
  });
});

describe('Future.cancel', () => {
  it('makes it cancelled, with the reason in the error', () => {
    const future = new Future();
    assert.equal(future.cancel('because'), true);
    assert.deepEqual([future.done(), future.cancelled()], [true, true]);
    assert.throws(() => future.result(), { name: 'CancelledError', reason: 'because' });
    assert.throws(() => future.exception(), CancelledError);
    assert.equal(future.cancel(), false);
    assert.throws(() => future.setResult(1), InvalidStateError);
  });

  it('wakes every task that waits with a CancelledError of its own', () =>
    withVirtualTime(function* () {
      const future = new Future();
      const errors: unknown[] = [];
      function* wait(): Generator<unknown, void, any> {
        try {
          yield* future;
        } catch (error) {
          errors.push(error);
        }
      }
      const tasks = [createTask(wait), createTask(wait)];
      yield* sleep(0);
      future.cancel('over');
      yield* gather(tasks);
      assert.equal(errors.length, 2);
      for (const error of errors) assert.equal((error as CancelledError).reason, 'over');
      assert.notEqual(errors[0], errors[1]);
    }));
});

describe('Future in a generator coroutine', () => {
  it('gives its result to every task that waits, in the order in which they came', () =>
    withVirtualTime(function* () {
      const future = new Future<number>();
      const seen: string[] = [];
      const tasks = ['a', 'b', 'c'].map((name) =>
        createTask(function* () {
          seen.push(`${name} ${yield* future}`);
        }),
      );
      yield* sleep(1);
      assert.deepEqual(seen, []);
      future.setResult(5);
      yield* gather(tasks);
      assert.deepEqual(seen, ['a 5', 'b 5', 'c 5']);
    }));

  it('throws its error at the yield*', () =>
    withVirtualTime(function* () {
      const future = new Future();
      const error = new RangeError('no');
      getEventLoop().callSoon(() => future.setException(error));
      try {
        yield* future;
        assert.fail('it should have thrown');
      } catch (thrown) {
        assert.equal(thrown, error);
      }
    }));

  it('does not make anybody wait when it is done', () =>
    withVirtualTime(function* () {
      const seen: string[] = [];
      createTask(function* () {
        seen.push('other task');
      });
      const done = new Future<string>();
      done.setResult('at once');
      seen.push(yield* done);
      assert.deepEqual(seen, ['at once']);
      yield* sleep(0);
      assert.deepEqual(seen, ['at once', 'other task']);
    }));

  it('can be awaited again and again', () =>
    withVirtualTime(function* () {
      const future = new Future<number>();
      future.setResult(1);
      assert.equal((yield* future) + (yield* future), 2);
    }));
});

describe('Future.addDoneCallback', () => {
  it('calls back with the future, in the order of the calls, never from inside set*', () =>
    withVirtualTime(function* () {
      const future = new Future<number>();
      const seen: unknown[] = [];
      future.addDoneCallback((done) => seen.push('first', done === future));
      future.addDoneCallback((done) => seen.push('second', done.result()));
      future.setResult(3);
      assert.deepEqual(seen, []);
      yield* sleep(0);
      assert.deepEqual(seen, ['first', true, 'second', 3]);
    }));

  it('calls back through the loop when the future is done already', () =>
    withVirtualTime(function* () {
      const future = new Future<number>();
      future.setResult(3);
      const seen: string[] = [];
      future.addDoneCallback(() => seen.push('called'));
      assert.deepEqual(seen, []);
      yield* sleep(0);
      assert.deepEqual(seen, ['called']);
    }));

  it('calls the same function as often as it was added', () =>
    withVirtualTime(function* () {
      const future = new Future<void>();
      let calls = 0;
      const count = (): void => void calls++;
      future.addDoneCallback(count);
      future.addDoneCallback(count);
      future.cancel();
      yield* sleep(0);
      assert.equal(calls, 2);
    }));

  it('is undone by removeDoneCallback, which says how many there were', () =>
    withVirtualTime(function* () {
      const future = new Future<void>();
      const seen: string[] = [];
      const a = (): void => void seen.push('a');
      const b = (): void => void seen.push('b');
      for (const callback of [a, b, a]) future.addDoneCallback(callback);
      assert.equal(future.removeDoneCallback(a), 2);
      assert.equal(future.removeDoneCallback(a), 0);
      future.setResult();
      yield* sleep(0);
      assert.deepEqual(seen, ['b']);
      assert.equal(future.removeDoneCallback(b), 0);
    }));

  it('reports an error of the callback and still calls the others', () =>
    withReports(async (reports) => {
      const future = new Future<void>();
      const seen: string[] = [];
      future.addDoneCallback(() => {
        throw new RangeError('callback broke');
      });
      future.addDoneCallback(() => seen.push('second'));
      future.setResult();
      await turnOfNode();
      assert.deepEqual(seen, ['second']);
      assert.equal(reports.length, 1);
      assert.equal((reports[0]!.exception as Error).message, 'callback broke');
    }));

  it('refuses what is no function', () => {
    assert.throws(() => new Future().addDoneCallback(5 as never), TypeError);
  });
});

describe('Future in promise code', () => {
  it('can be awaited outside any task', async () => {
    const future = new Future<number>();
    setImmediate(() => future.setResult(5));
    assert.equal(await future, 5);
    assert.equal(await future, 5);
  });

  it('rejects an await outside any task', async () => {
    const future = new Future<number>();
    setImmediate(() => future.setException(new RangeError('no')));
    await assert.rejects(async () => await future, RangeError);
    await assert.rejects(async () => await future, RangeError);
  });

  it('rejects an await with a CancelledError when it is cancelled', async () => {
    const future = new Future<number>();
    setImmediate(() => future.cancel('why'));
    await assert.rejects(async () => await future, { name: 'CancelledError', reason: 'why' });
  });

  it('has then, which chains as a promise does', async () => {
    const future = new Future<number>();
    const chained = future.then((value) => value + 1).then((value) => Promise.resolve(value * 10));
    future.setResult(1);
    assert.equal(await chained, 20);
  });

  it('has then with two handlers, of which one is called', async () => {
    const broken = new Future<number>();
    const fine = new Future<number>();
    const outcomes = [broken, fine].map((future) =>
      future.then(
        () => 'result',
        (error: Error) => error.message,
      ),
    );
    broken.setException(new Error('broke'));
    fine.setResult(1);
    assert.deepEqual(await Promise.all(outcomes), ['broke', 'result']);
  });

  it('passes on what a handler throws', async () => {
    const future = new Future<number>();
    const chained = future.then(() => {
      throw new RangeError('from the handler');
    });
    future.setResult(1);
    await assert.rejects(chained, { message: 'from the handler' });
  });

  it('has catch, which passes results on and handles errors', async () => {
    const broken = new Future<number>();
    const fine = new Future<number>();
    const outcomes = [broken.catch(() => 'caught'), fine.catch(() => 'caught')];
    broken.setException(new Error('broke'));
    fine.setResult(1);
    assert.deepEqual(await Promise.all(outcomes), ['caught', 1]);
  });

  it('has finally, which runs in both cases and changes nothing', async () => {
    const broken = new Future<number>();
    const fine = new Future<number>();
    let calls = 0;
    const outcomes = [broken, fine].map((future) => future.finally(() => void calls++));
    broken.setException(new RangeError('broke'));
    fine.setResult(1);
    await assert.rejects(outcomes[0]!, RangeError);
    assert.equal(await outcomes[1], 1);
    assert.equal(calls, 2);
  });

  it('settles handlers added before and after it was done in the order in which they came', async () => {
    const future = new Future<number>();
    const seen: string[] = [];
    const before = future.then(() => seen.push('before'));
    future.setResult(1);
    await before;
    await future.then(() => seen.push('after'));
    assert.deepEqual(seen, ['before', 'after']);
  });

  it('works with Promise.all, Promise.race and Promise.allSettled', async () => {
    const a = new Future<string>();
    const b = new Future<string>();
    const all = Promise.all([a, b]);
    const race = Promise.race([a, b]);
    const settled = Promise.allSettled([a, failed(new Error('no'))]);
    b.setResult('b');
    assert.equal(await race, 'b');
    a.setResult('a');
    assert.deepEqual(await all, ['a', 'b']);
    assert.deepEqual(
      (await settled).map(({ status }) => status),
      ['fulfilled', 'rejected'],
    );
  });

  it('is an unhandled rejection when then, but no handler for the error, was attached', () =>
    withUnhandledRejections(async (errors) => {
      const error = new RangeError('nobody looks');
      const pending = new Future<number>();
      pending.then(() => {});
      pending.setException(error);
      const done = new Future<number>();
      done.setException(error);
      done.then(() => {});
      await turnOfNode();
      await turnOfNode();
      assert.deepEqual(errors, [error, error]);
    }));

  it('is no unhandled rejection when the error is caught at the end of the chain', () =>
    withUnhandledRejections(async (errors) => {
      const future = new Future<number>();
      const caught = future
        .then(() => {})
        .finally(() => {})
        .catch((error: Error) => error.message);
      future.setException(new RangeError('caught late'));
      assert.equal(await caught, 'caught late');
      await turnOfNode();
      assert.deepEqual(errors, []);
    }));

  it('does not report an error as never retrieved when it has become a rejection', () =>
    withReports((reports) =>
      withUnhandledRejections(async () => {
        const future = new Future<number>();
        future.then(() => {});
        future.setException(new RangeError('once is enough'));
        await turnOfNode();
        assert.deepEqual(reports, []);
      }),
    ));

  it('never settles a future of a loop that does not run', async () => {
    const loop = new EventLoop();
    const future = loop.createFuture<number>();
    let settled = false;
    void future.then(() => {
      settled = true;
    });
    future.setResult(1);
    await turnOfNode();
    assert.equal(settled, false);
    loop.stop();
    await loop.runForever();
    await turnOfNode();
    assert.equal(settled, true);
    loop.close();
  });
});

describe('Future.loop', () => {
  it('is the one that was handed in, and tasks of another one get a RuntimeError', async () => {
    const other = new EventLoop();
    const future = new Future(other);
    assert.equal(future.loop, other);
    await withVirtualTime(function* () {
      try {
        yield* future;
        assert.fail('it should have thrown');
      } catch (error) {
        assert.ok(error instanceof RuntimeError);
        assert.match(error.message, /attached to a different loop/);
      }
    });
    other.close();
  });
});
