import assert from 'node:assert/strict';
import {
  copyContext,
  createTask,
  Event,
  EventLoop,
  getEventLoop,
  sleep,
  Timeout,
  timeout,
  waitFor,
} from 'ringloop';

const loop = getEventLoop();
const nothing = (): void => {};
const NO_FUNCTION = [undefined, null, 5, 'text', {}, [], Promise.resolve()];
const NO_NUMBER = [NaN, '5', undefined, null, {}, 5n, new Date(5)];

/** Every one of `values` makes `call` throw a TypeError that begins with the name of the function. */
function refuses(name: string, values: readonly unknown[], call: (value: never) => unknown): void {
  for (const value of values) {
    assert.throws(
      () => call(value as never),
      (error: Error) => {
        assert.ok(error instanceof TypeError, `${name}(${String(value)}): ${error}`);
        assert.match(error.message, new RegExp(`^${name}: `));
        return true;
      },
    );
  }
}

describe('callbacks of the wrong type', () => {
  it('are refused with a TypeError that names the method', () => {
    const context = copyContext();
    refuses('callSoon', NO_FUNCTION, (wrong) => loop.callSoon(wrong));
    refuses('callSoonIn', NO_FUNCTION, (wrong) => loop.callSoonIn(context, wrong));
    refuses('callLater', NO_FUNCTION, (wrong) => loop.callLater(1, wrong));
    refuses('callAt', NO_FUNCTION, (wrong) => loop.callAt(1, wrong));
    refuses('callAtIn', NO_FUNCTION, (wrong) => loop.callAtIn(context, 1, wrong));
    refuses('addReader', NO_FUNCTION, (wrong) => loop.addReader(0, wrong));
    refuses('addWriter', NO_FUNCTION, (wrong) => loop.addWriter(0, wrong));
    refuses('createRemote', NO_FUNCTION, (wrong) => loop.createRemote(wrong));
  });

  it('are described in the message', () => {
    const messageFor = (wrong: unknown): string => {
      try {
        loop.callSoon(wrong as never);
      } catch (error) {
        return (error as Error).message;
      }
      return assert.fail('it should have thrown');
    };
    const prefix = 'callSoon: callback must be a function, got ';
    assert.equal(messageFor(5), `${prefix}5`);
    assert.equal(messageFor('text'), `${prefix}"text"`);
    assert.equal(messageFor(null), `${prefix}null`);
    assert.equal(messageFor({}), `${prefix}an instance of Object`);
    assert.equal(messageFor(Object.create(null)), `${prefix}an object`);
  });
});

describe('times of the wrong type', () => {
  it('are refused with a TypeError that names the method', () => {
    refuses('callLater', NO_NUMBER, (wrong) => loop.callLater(wrong, nothing));
    refuses('callAt', NO_NUMBER, (wrong) => loop.callAt(wrong, nothing));
    refuses('callAtIn', NO_NUMBER, (wrong) => loop.callAtIn(copyContext(), wrong, nothing));
    refuses('sleep', NO_NUMBER, (wrong) => sleep(wrong));
    const limits = NO_NUMBER.filter((value) => value !== null);
    refuses('timeout', limits, (wrong) => timeout(wrong, nothing as never));
    refuses('waitFor', limits, (wrong) => waitFor(sleep(1), wrong));
    refuses('Timeout', limits, (wrong) => new Timeout(wrong));
  });

  it('leave no timer behind', () => {
    assert.equal(loop.statistics().timers, 0);
  });
});

describe('file descriptors of the wrong type', () => {
  const NO_FD = [-1, 1.5, NaN, Infinity, '0', null, undefined, {}, 0n];

  it('are refused with a TypeError that names the method', () => {
    refuses('addReader', NO_FD, (wrong) => loop.addReader(wrong, nothing));
    refuses('addWriter', NO_FD, (wrong) => loop.addWriter(wrong, nothing));
    refuses('removeReader', NO_FD, (wrong) => loop.removeReader(wrong));
    refuses('removeWriter', NO_FD, (wrong) => loop.removeWriter(wrong));
    assert.equal(loop.statistics().watchers, 0);
  });

  it('are not taken for others when they are too large for a descriptor', () => {
    for (const fd of [2 ** 28, 2 ** 31, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER]) {
      assert.throws(
        () => loop.addReader(fd, nothing),
        (error: NodeJS.ErrnoException) => {
          assert.ok(error instanceof TypeError || error.code === 'EBADF', `${fd}: ${error}`);
          return true;
        },
      );
      assert.equal(loop.removeReader(fd), false);
    }
    assert.equal(loop.statistics().watchers, 0);
  });
});

describe('coroutines of the wrong type', () => {
  const NO_COROUTINE = [undefined, null, 5, 'text', {}, [], new Map(), new Event()];

  it('are refused by createTask with a TypeError', () => {
    for (const wrong of NO_COROUTINE) {
      assert.throws(() => createTask(wrong as never), {
        name: 'TypeError',
        message: /^a coroutine or a function that returns one was expected, got /,
      });
      assert.throws(() => loop.createTask(wrong as never), TypeError);
    }
  });

  it('come with the advice to pass the function when they are promises', () => {
    assert.throws(() => createTask(Promise.resolve() as never), {
      name: 'TypeError',
      message: /pass the function, or wrap it with until\(\)/,
    });
  });

  it('make the task fail when they are what a function returns', async () => {
    const task = createTask(function returnsFive() {
      return 5;
    } as never);
    await assert.rejects(async () => await task, {
      name: 'TypeError',
      message: 'returnsFive must return a coroutine or a promise, got 5',
    });
  });

  it('are not iterated when they are arrays of futures', () => {
    assert.throws(() => createTask([sleep(1)] as never), TypeError);
  });
});

describe('options of the wrong type', () => {
  it('are refused where the contexts are none', () => {
    for (const wrong of [5, 'text', {}, null, undefined]) {
      assert.throws(() => loop.callSoonIn(wrong as never, nothing), TypeError);
      assert.throws(() => loop.callAtIn(wrong as never, 1, nothing), TypeError);
    }
    for (const wrong of [5, 'text', {}]) {
      assert.throws(() => createTask(() => sleep(0), { context: wrong as never }), TypeError);
    }
  });

  it('are refused where the clock is none', () => {
    for (const wrong of [5, 'text', {}, { now: 1, select: 2 }]) {
      assert.throws(() => new EventLoop({ clock: wrong as never }), TypeError);
    }
  });
});
