import assert from 'node:assert/strict';
import {
  asCompleted,
  createTask,
  type ExceptionContext,
  Future,
  gather,
  getEventLoop,
  run,
  sleep,
  type Task,
  wait,
} from 'ringloop';
import { collectGarbage, runProgram, turnOfNode, withReports } from '../support/capture.js';

function* fail(message: string): Generator<unknown, never, any> {
  yield* sleep(0);
  throw new RangeError(message);
}

const summary = (reports: ExceptionContext[]): unknown[] =>
  reports.map(({ message, exception }) => [message, (exception as Error).message]);

const HINT = '(RINGLOOP_DEBUG=1 tells where it was created)';

describe('an error of a task that nobody looks at', () => {
  it('is reported once, with the name of the task, when its run() is over', () =>
    withReports(async (reports) => {
      await run(function* () {
        createTask(fail('unseen'), { name: 'background job' });
        yield* sleep(1);
      });
      await collectGarbage();
      assert.deepEqual(summary(reports), [
        [`Task exception was never retrieved: background job ${HINT}`, 'unseen'],
      ]);
    }));

  it('is reported once the task is collected, where no run() owns it', () =>
    withReports(async (reports) => {
      createTask(fail('collected'), { name: 'ambient job' });
      await turnOfNode();
      await turnOfNode();
      await collectGarbage(() => reports.length > 0);
      await collectGarbage();
      assert.deepEqual(summary(reports), [
        [`Task exception was never retrieved: ambient job ${HINT}`, 'collected'],
      ]);
    }));

  it('is reported when the process ends', async () => {
    const { stderr, code } = await runProgram(`
      const { createTask } = ringloop;
      createTask(function* () { throw new RangeError('at exit'); }, { name: 'last job' });
    `);
    assert.equal(code, 0);
    assert.equal(stderr.match(/never retrieved: last job/g)!.length, 1);
    assert.match(stderr, /RangeError: at exit/);
  });

  it('is reported with the place where the task was created, in debug mode', async () => {
    const { stderr } = await runProgram(
      `
      function whereItIsMade() {
        ringloop.createTask(function* () { throw new RangeError('x'); }, { name: 'job' });
      }
      whereItIsMade();
      `,
      { env: { RINGLOOP_DEBUG: '1' } },
    );
    assert.match(stderr, /never retrieved: job\ncreated at:\n(.*\n)* +at whereItIsMade/);
  });

  it('is reported for async functions, too', () =>
    withReports(async (reports) => {
      await run(async () => {
        createTask(
          async () => {
            await sleep(0);
            throw new RangeError('async');
          },
          { name: 'async job' },
        );
        await sleep(1);
      });
      assert.deepEqual(summary(reports), [
        [`Task exception was never retrieved: async job ${HINT}`, 'async'],
      ]);
    }));

  it('is reported although a done callback was called that did not look at it', () =>
    withReports(async (reports) => {
      let calls = 0;
      await run(function* () {
        createTask(fail('looked away'), { name: 'job' }).addDoneCallback(() => calls++);
        yield* sleep(1);
      });
      await collectGarbage();
      assert.equal(calls, 1);
      assert.deepEqual(summary(reports), [
        [`Task exception was never retrieved: job ${HINT}`, 'looked away'],
      ]);
    }));

  it('is reported although wait() has returned the task', () =>
    withReports(async (reports) => {
      await run(function* () {
        yield* wait([createTask(fail('returned by wait'), { name: 'job' })]);
      });
      await collectGarbage();
      assert.deepEqual(summary(reports), [
        [`Task exception was never retrieved: job ${HINT}`, 'returned by wait'],
      ]);
    }));
});

describe('an error of a task that somebody looks at', () => {
  const looks: Record<string, (task: Task<never>) => Generator<unknown, unknown, any>> = {
    *'by awaiting it'(task) {
      yield* task;
    },
    *'by awaiting it when it has failed already'(task) {
      yield* sleep(1);
      yield* task;
    },
    *'by asking exception()'(task) {
      yield* sleep(1);
      task.exception();
    },
    *'by asking result()'(task) {
      yield* sleep(1);
      task.result();
    },
    *'by gathering it'(task) {
      yield* gather([task], { returnExceptions: true });
    },
    *'by taking it from asCompleted'(task) {
      for (const next of asCompleted([task])) yield* next;
    },
    *'by asking in a done callback'(task) {
      task.addDoneCallback((done) => done.exception());
      yield* sleep(1);
    },
    *'by cancelling it afterwards'(task) {
      yield* sleep(1);
      task.cancel();
    },
    *'by catch()'(task) {
      void task.catch(() => {});
      yield* sleep(1);
    },
  };
  for (const [how, look] of Object.entries(looks)) {
    it(`is not reported: ${how}`, () =>
      withReports(async (reports) => {
        await run(function* () {
          try {
            yield* look(createTask(fail('seen')));
          } catch (error) {
            assert.equal((error as Error).message, 'seen');
          }
        });
        await collectGarbage();
        assert.deepEqual(summary(reports), []);
      }));
  }
});

describe('an error of a future that nobody looks at', () => {
  it('is reported once the future is collected', () =>
    withReports(async (reports) => {
      new Future().setException(new RangeError('lost'));
      await collectGarbage(() => reports.length > 0);
      assert.deepEqual(summary(reports), [['Future exception was never retrieved', 'lost']]);
    }));

  it('is not reported while the future can still be asked', () =>
    withReports(async (reports) => {
      const future = new Future();
      future.setException(new RangeError('kept'));
      await collectGarbage();
      assert.deepEqual(summary(reports), []);
      assert.equal((future.exception() as Error).message, 'kept');
    }));

  it('is reported by the loop it belongs to', async () => {
    const loop = getEventLoop();
    await withReports(async (reports) => {
      loop.createFuture().setException(new RangeError('own loop'));
      await collectGarbage(() => reports.length > 0);
      assert.deepEqual(summary(reports), [['Future exception was never retrieved', 'own loop']]);
    }, loop);
  });
});

describe('a cancelled task', () => {
  it('is never reported', () =>
    withReports(async (reports) => {
      await run(function* () {
        const task = createTask(() => sleep(60_000));
        yield* sleep(0);
        task.cancel();
        yield* sleep(1);
      });
      await collectGarbage();
      assert.deepEqual(reports, []);
    }));
});
