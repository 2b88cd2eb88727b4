import assert from 'node:assert/strict';

import { EventEmitter, once } from 'node:events';
import { setTimeout as nodeSleep } from 'node:timers/promises';
import { inspect } from 'node:util';

import * as ringloop from 'ringloop';
import {
  CancelledError,
  createTask,
  currentTask,
  DeadlockError,
  ExceptionGroup,
  InvalidStateError,
  isCancelledError,
  KeyboardInterrupt,
  moveOnAfter,
  RuntimeError,
  run,
  SystemExit,
  sleep,
  TimeoutError,
  taskGroup,
  timeout,
  until,
  wait,
  waitFor,
} from 'ringloop';
import { turnOfNode, withReports } from '../support/capture.js';

describe('CancelledError', () => {
  it('has the reason, a message made of it, and the code that AbortSignal uses', () => {
    const error = new CancelledError('shutdown');
    assert.ok(error instanceof Error);
    assert.deepEqual(
      [error.name, error.message, error.reason, error.code],
      ['CancelledError', 'shutdown', 'shutdown', 'ABORT_ERR'],
    );
    assert.equal('cause' in error, false);
  });

  // The task that cancelled stood there with its loop, context and stack: 51 lines.
  it('is a line on the console, whoever cancelled', async () => {
    const error = await run(async () => {
      const task = createTask(() => sleep(1000));
      await sleep(0);
      task.cancel('shutdown');
      await wait([task]);
      return task.result();
    }).catch((reason: unknown) => reason);
    assert.ok(error instanceof CancelledError && error.origin !== null);
    assert.equal(
      inspect(error),
      "[CancelledError: shutdown] { code: 'ABORT_ERR', reason: 'shutdown' }",
    );
  });

  it('has no reason where none was given', () => {
    const error = new CancelledError();
    assert.deepEqual([error.message, error.reason], ['', undefined]);
  });

  it('takes an Error that is the reason as its cause', () => {
    const reason = new RangeError('why');
    const error = new CancelledError(reason);
    assert.deepEqual([error.message, error.cause, error.reason], ['why', reason, reason]);
  });

  it('makes a message of whatever the reason is', () => {
    assert.equal(new CancelledError(5).message, '5');
    assert.equal(new CancelledError(null).message, 'null');
  });
});

describe('isCancelledError', () => {
  it('knows a CancelledError', () => {
    assert.equal(isCancelledError(new CancelledError()), true);
  });

  it('knows one of another copy of ringloop by its brand', () => {
    const brand = Symbol.for('ringloop.CancelledError');
    assert.equal(isCancelledError(Object.assign(new Error(), { [brand]: true })), true);
  });

  it('does not take an AbortError or anything else for one', () => {
    const abortError = AbortSignal.abort().reason;
    for (const value of [abortError, new Error('CancelledError'), null, undefined, 'text', 5, {}]) {
      assert.equal(isCancelledError(value), false);
    }
  });
});

describe('ExceptionGroup', () => {
  it('is an AggregateError with the errors in their order', () => {
    const errors = [new Error('a'), new Error('b')];
    const group = new ExceptionGroup('both', errors);
    assert.ok(group instanceof AggregateError);
    assert.deepEqual([group.name, group.message, group.errors], ['ExceptionGroup', 'both', errors]);
  });

  it('refuses to be empty', () => {
    assert.throws(() => new ExceptionGroup('none', []), TypeError);
  });
});

describe('the other errors', () => {
  const classes = {
    DeadlockError,
    InvalidStateError,
    KeyboardInterrupt,
    RuntimeError,
    SystemExit,
    TimeoutError,
  };
  for (const [name, ErrorClass] of Object.entries(classes)) {
    it(`carry their names and are caught as Error: ${name}`, () => {
      const error = new ErrorClass('text');
      assert.ok(error instanceof Error);
      assert.equal(error.name, name);
      assert.equal(String(error), `${name}: text`);
      assert.match(error.stack!, new RegExp(`^${name}: text`));
      assert.equal(isCancelledError(error), false);
    });
  }

  it('have codes where programs ask for them', () => {
    assert.equal(new TimeoutError().code, 'ETIMEDOUT');
    assert.equal(new DeadlockError().code, 'ERR_RINGLOOP_DEADLOCK');
  });
});

// Node's functions answer an aborted signal with an AbortError of their own. An orderly shutdown
// printed a stack trace for every task that had handed its signal to one of them.
describe('the AbortError that Node makes of a cancellation', () => {
  const NAPS: [what: string, nap: (signal: AbortSignal) => Promise<unknown>][] = [
    ['a timer', (signal) => nodeSleep(60_000, null, { signal })],
    ['an event', (signal) => once(new EventEmitter(), 'never', { signal })],
  ];
  const napWithSignal = (nap: (typeof NAPS)[0][1]) => async () => {
    await nap(currentTask()!.signal);
  };

  for (const [what, nap] of NAPS) {
    const work = napWithSignal(nap);
    const generator = function* () {
      yield* until(nap(currentTask()!.signal));
    };

    it(`is the cancellation of the task: ${what}`, () =>
      run(async () => {
        const task = createTask(work);
        await sleep(0);
        task.cancel('enough');
        await wait([task]);
        assert.equal(task.cancelled(), true);
        assert.throws(
          () => task.result(),
          (error: Error) =>
            isCancelledError(error) && (error.cause as CancelledError).reason === 'enough',
        );
      }));

    it(`is nothing to report at the end of a run(): ${what}`, () =>
      withReports(async (reports) => {
        await run(async () => {
          createTask(work);
          createTask(generator);
          const unheard = createTask(work);
          await sleep(0);
          unheard.cancel();
          await sleep(1);
        });
        assert.deepEqual(reports, []);
      }));

    it(`is no failure in a group that another task has ended: ${what}`, () =>
      run(async () => {
        const failed = taskGroup(async (group) => {
          group.createTask(work);
          group.createTask(async () => {
            await sleep(1);
            throw new RangeError('the only one');
          });
          await nap(currentTask()!.signal);
        });
        await assert.rejects(
          async () => await failed,
          (error: ExceptionGroup) => {
            assert.deepEqual(error.errors.map(String), ['RangeError: the only one']);
            return true;
          },
        );
      }));

    it(`becomes what the block around it makes of a cancellation: ${what}`, () =>
      run(async () => {
        await assert.rejects(async () => await timeout(1, work), TimeoutError);
        await assert.rejects(async () => await waitFor(work, 1), TimeoutError);
        await moveOnAfter(1, async (scope) => {
          await nap(scope.signal);
        });
      }));
  }

  it('is told from one that has nothing to do with a cancellation', () =>
    withReports(async (reports) => {
      await run(async () => {
        const controller = new AbortController();
        createTask(async () => {
          await nodeSleep(60_000, null, { signal: controller.signal });
        });
        await sleep(0);
        controller.abort();
        await until(turnOfNode());
      });
      assert.deepEqual(
        reports.map(({ exception }) => (exception as Error).name),
        ['AbortError'],
      );
    }));

  it('is asked for nothing that throws', () => {
    const hostile = new Proxy({}, { get: () => assert.fail() });
    assert.equal(isCancelledError(hostile), false);
    assert.equal(isCancelledError({ name: 'AbortError', cause: null }), false);
  });
});

describe('the exports of the package', () => {
  it('are the same objects for require and import', async () => {
    const imported = await import('ringloop');
    assert.equal(imported.run, ringloop.run);
    assert.equal(imported.CancelledError, CancelledError);
  });
});
