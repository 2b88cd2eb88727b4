import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import {
  Context,
  ContextVar,
  copyContext,
  createTask,
  currentTask,
  Future,
  gather,
  getEventLoop,
  getRunningLoop,
  Lock,
  run,
  shield,
  sleep,
  Token,
  timeout,
  withLock,
} from 'ringloop';
import { runProgram, turnOfNode } from '../support/capture.js';
import { withVirtualTime } from '../support/virtual-time.js';

describe('ContextVar', () => {
  it('has its default where nothing is set', () => {
    assert.equal(new ContextVar('color', { defaultValue: 'red' }).get(), 'red');
    assert.equal(new ContextVar('nothing', { defaultValue: undefined }).get(), undefined);
  });

  it('throws a ReferenceError that names it where there is neither value nor default', () => {
    assert.throws(() => new ContextVar('color').get(), {
      name: 'ReferenceError',
      message: /color/,
    });
  });

  it('keeps its name', () => {
    assert.equal(new ContextVar('color').name, 'color');
  });

  it('goes back to what it was with reset(), once', () =>
    withVirtualTime(function* () {
      const color = new ContextVar<string>('color');
      const first = color.set('red');
      const second = color.set('blue');
      assert.ok(first instanceof Token);
      assert.equal(second.oldValue, 'red');
      assert.equal(second.variable, color);
      color.reset(second);
      assert.equal(color.get(), 'red');
      color.reset(first);
      assert.throws(() => color.get(), ReferenceError);
      assert.throws(() => color.reset(first), { message: '<Token> has already been used once' });
    }));

  it('refuses a token of another variable or another context', () =>
    withVirtualTime(function* () {
      const color = new ContextVar<string>('color');
      const shape = new ContextVar<string>('shape');
      const token = color.set('red');
      assert.throws(() => shape.reset(token as never), /created by a different ContextVar/);
      const inside = copyContext();
      assert.throws(() => inside.run(() => color.reset(token)), /created in a different Context/);
      color.reset(token);
    }));

  it('refuses a name that is no string, and a token that is none', () => {
    assert.throws(() => new ContextVar(5 as never), TypeError);
    assert.throws(() => new ContextVar('x').reset({} as never), TypeError);
  });
});

describe('copyContext', () => {
  it('is a snapshot: what is set later does not show in it', () =>
    withVirtualTime(function* () {
      const color = new ContextVar('color', { defaultValue: 'none' });
      color.set('red');
      const snapshot = copyContext();
      color.set('blue');
      assert.ok(snapshot instanceof Context);
      assert.equal(
        snapshot.run(() => color.get()),
        'red',
      );
      assert.equal(color.get(), 'blue');
    }));

  it('keeps what is set inside, for the next run, and does not let it out', () => {
    const color = new ContextVar('color', { defaultValue: 'none' });
    const context = copyContext();
    context.run(() => color.set('inside'));
    assert.equal(color.get(), 'none');
    assert.equal(
      context.run(() => color.get()),
      'inside',
    );
  });

  it('is entered in an async function as elsewhere, before and after its awaits', () =>
    withVirtualTime(async () => {
      const color = new ContextVar('color', { defaultValue: 'none' });
      const seen: string[] = [];
      const context = copyContext();
      context.run(() => color.set('inside'));
      seen.push(
        color.get(),
        context.run(() => color.get()),
      );
      await sleep(1);
      seen.push(
        color.get(),
        context.run(() => color.get()),
      );
      context.run(() => color.set('inside, later'));
      seen.push(
        color.get(),
        context.run(() => color.get()),
      );
      assert.deepEqual(seen, ['none', 'inside', 'none', 'inside', 'none', 'inside, later']);
    }));

  it('does not change which task is running', () =>
    withVirtualTime(async () => {
      const task = currentTask();
      assert.ok(copyContext().run(currentTask) === task);
      await turnOfNode();
      assert.ok(copyContext().run(currentTask) === task);
      await new AsyncLocalStorage<number>().run(1, async () => {
        assert.ok(copyContext().run(currentTask) === task);
        await turnOfNode();
        assert.ok(copyContext().run(currentTask) === task);
      });
    }));

  it('can be entered outside the loop after stores and async tasks have been used', async () => {
    const color = new ContextVar('color', { defaultValue: 'none' });
    await run(async () => sleep(0));
    const context = new AsyncLocalStorage<number>().run(1, copyContext);
    context.run(() => color.set('inside'));
    assert.equal(
      context.run(() => color.get()),
      'inside',
    );
    assert.equal(color.get(), 'none');
  });

  it('cannot be entered twice at once', () => {
    const context = copyContext();
    const enter = (): unknown => context.run(() => context.run(() => 1));
    assert.throws(enter, { name: 'RuntimeError', message: /already entered/ });
    assert.equal(
      context.run(() => 2),
      2,
    );
  });

  it('is left when the body throws', () => {
    const context = copyContext();
    const fail = (): never => {
      throw new RangeError('inside');
    };
    assert.throws(() => context.run(fail), RangeError);
    assert.equal(
      context.run(() => 1),
      1,
    );
  });
});

describe('context variables in tasks', () => {
  it('have in a task the values of where it was made, at that time', () =>
    withVirtualTime(function* () {
      const color = new ContextVar('color', { defaultValue: 'none' });
      color.set('red');
      const child = createTask(function* () {
        return color.get();
      });
      color.set('blue');
      assert.equal(yield* child, 'red');
    }));

  it('do not leak from a task to its parent or its siblings', () =>
    withVirtualTime(function* () {
      const color = new ContextVar('color', { defaultValue: 'none' });
      function* paint(name: string): Generator<unknown, string[], any> {
        const before = color.get();
        color.set(name);
        yield* sleep(1);
        return [before, color.get()];
      }
      const seen = yield* gather(paint('red'), paint('blue'));
      assert.deepEqual(seen, [
        ['none', 'red'],
        ['none', 'blue'],
      ]);
      assert.equal(color.get(), 'none');
    }));

  it('stay set across awaits of a generator coroutine and of what it delegates to', () =>
    withVirtualTime(function* () {
      const color = new ContextVar('color', { defaultValue: 'none' });
      function* setIt(): Generator<unknown, void, any> {
        yield* sleep(1);
        color.set('red');
        yield* sleep(1);
      }
      yield* setIt();
      assert.equal(color.get(), 'red');
    }));

  it('stay set across awaits of an async function, foreign promises included', () =>
    withVirtualTime(async () => {
      const color = new ContextVar('color', { defaultValue: 'none' });
      color.set('red');
      await turnOfNode();
      assert.equal(color.get(), 'red');
      color.set('blue');
      await sleep(1);
      assert.equal(color.get(), 'blue');
      const child = createTask(async () => {
        await turnOfNode();
        const before = color.get();
        color.set('green');
        await sleep(1);
        return [before, color.get()];
      });
      assert.deepEqual(await child, ['blue', 'green']);
      assert.equal(color.get(), 'blue');
    }));

  it('are those of the context that the task was given, and stay in it', () =>
    withVirtualTime(function* () {
      const color = new ContextVar('color', { defaultValue: 'none' });
      const context = copyContext();
      const write = function* (): Generator<unknown, void, any> {
        yield* sleep(1);
        color.set('written by the task');
      };
      yield* createTask(write, { context });
      assert.equal(color.get(), 'none');
      assert.equal(
        context.run(() => color.get()),
        'written by the task',
      );
    }));

  it('can be read through getContext() of the task', () =>
    withVirtualTime(function* () {
      const color = new ContextVar('color', { defaultValue: 'none' });
      color.set('red');
      const child = createTask(() => sleep(1));
      assert.equal(
        child.getContext().run(() => color.get()),
        'red',
      );
      yield* child;
    }));

  it('are separate in two run() calls at the same time', async () => {
    const color = new ContextVar('color', { defaultValue: 'none' });
    const paint = (name: string): Promise<string> =>
      run(function* () {
        color.set(name);
        yield* sleep(0);
        yield* sleep(0);
        return color.get();
      });
    assert.deepEqual(await Promise.all([paint('red'), paint('blue')]), ['red', 'blue']);
    assert.equal(color.get(), 'none');
  });
});

describe('context variables in callbacks', () => {
  it('have the values of where the callback was queued, and what it sets stays in it', () =>
    withVirtualTime(function* () {
      const loop = getRunningLoop();
      const color = new ContextVar('color', { defaultValue: 'none' });
      const seen: string[] = [];
      const note = (where: string): void => {
        seen.push(`${where} ${color.get()}`);
        color.set('leaked');
      };
      color.set('red');
      loop.callSoon(note, 'soon');
      loop.callLater(1, note, 'timer');
      color.set('blue');
      loop.callSoon(note, 'soon');
      yield* sleep(2);
      assert.deepEqual(seen, ['soon red', 'soon blue', 'timer red']);
      assert.equal(color.get(), 'blue');
    }));

  it('have the values of where the done callback was added, not of who settles', () =>
    withVirtualTime(function* () {
      const color = new ContextVar('color', { defaultValue: 'none' });
      const future = new Future<void>();
      const given = copyContext();
      given.run(() => color.set('given'));
      const seen: string[] = [];
      color.set('adder');
      future.addDoneCallback(() => seen.push(color.get()));
      future.addDoneCallback(() => seen.push(color.get()), { context: given });
      color.set('settler');
      future.setResult();
      yield* sleep(0);
      assert.deepEqual(seen, ['adder', 'given']);
    }));

  it('have no values in a callback that is queued where none are set', async () => {
    const color = new ContextVar('color', { defaultValue: 'none' });
    const value = await new Promise((resolve) => {
      getEventLoop().callSoon(() => {
        color.set('first callback');
        getEventLoop().callSoon(() => {});
      });
      getEventLoop().callSoon(() => resolve(color.get()));
    });
    assert.equal(value, 'none');
  });
});

describe('what is current where a listener ends in code of users', () => {
  const color = new ContextVar('color', { defaultValue: 'none' });
  const store = new AsyncLocalStorage<string>();
  const seen = () => [color.get(), store.getStore(), currentTask()?.name ?? null];
  const OURS = ['ours', 'ours', null];

  /** Calls in a context and with a store of its own. */
  function inContext<T>(name: string, body: () => T): T {
    return store.run(name, () =>
      copyContext().run(() => {
        color.set(name);
        return body();
      }),
    );
  }

  /** Runs a test while callbacks of a stranger run between all others. */
  function amongStrangers(main: () => Generator<unknown, void, any>): Promise<void> {
    return run(function* () {
      const loop = getRunningLoop();
      let noise = inContext('stranger', () =>
        loop.callSoon(function strange() {
          noise = loop.callSoon(strange);
        }),
      );
      try {
        yield* main();
      } finally {
        noise.cancel();
      }
    });
  }

  it('is what was at then(), outside of tasks', () =>
    amongStrangers(function* () {
      const future = new Future();
      const told: unknown[] = [];
      inContext('ours', () =>
        getRunningLoop().callSoon(() => future.then(() => told.push(seen()))),
      );
      yield* sleep(1);
      future.setResult(1);
      yield* sleep(1);
      assert.deepEqual(told, [OURS]);
    }));

  it('is what was at catch(), in plain code of promises', async () => {
    const future = new Future();
    const told = inContext('ours', () => future.catch(seen));
    inContext('stranger', () => getEventLoop().callSoon(() => future.setException(new Error())));
    assert.deepEqual(await told, OURS);
  });

  for (const [what, wait] of Object.entries({
    'a future': () => {
      const future = new Future<void>();
      getRunningLoop().callLater(1, () => future.setResult());
      return future;
    },
    'a sleep': () => sleep(1),
    'a coroutine': () => withLock(new Lock(), () => sleep(1)),
  })) {
    it(`is the task itself behind then() of ${what}, in an async function`, () =>
      amongStrangers(function* () {
        const task = inContext('ours', () =>
          createTask(
            async () => {
              await sleep(0); // from here on it is promises that go on
              return await wait().then(seen);
            },
            { name: 'T' },
          ),
        );
        assert.deepEqual(yield* task, ['ours', 'ours', 'T']);
      }));
  }

  it('is the task itself in a generator that an async function awaits, after a wait', () =>
    amongStrangers(function* () {
      function* body(): Generator<unknown, unknown, any> {
        yield* sleep(1);
        return seen();
      }
      const task = inContext('ours', () =>
        createTask(async () => await timeout(100, body), { name: 'T' }),
      );
      assert.deepEqual(yield* task, ['ours', 'ours', 'T']);
    }));

  it('is what was at shield(), in the report of an error that nobody waits for', () =>
    amongStrangers(function* () {
      const loop = getRunningLoop();
      const told: unknown[] = [];
      const before = loop.getExceptionHandler();
      loop.setExceptionHandler(() => told.push(seen()));
      const inner = new Future();
      inContext('ours', () => shield(inner)).cancel();
      yield* sleep(1);
      inner.setException(new Error('too late'));
      yield* sleep(1);
      loop.setExceptionHandler(before);
      assert.deepEqual(told, [OURS]);
    }));

  it('is what the task or callback had that an error is about, in the exception handler', () =>
    amongStrangers(function* () {
      const loop = getRunningLoop();
      const told: unknown[] = [];
      const before = loop.getExceptionHandler();
      loop.setExceptionHandler(({ message }) => told.push([message, ...seen()]));
      inContext('ours', () => {
        const fail = (): never => {
          throw new Error('on purpose');
        };
        loop.callSoon(fail);
        shield(createTask(() => sleep(1).then(fail))).cancel();
      });
      while (told.length < 2) yield* sleep(1);
      loop.setExceptionHandler(before);
      assert.deepEqual(told, [
        ['Exception in callback fail', ...OURS],
        ['Error exception in shielded future', ...OURS],
      ]);
    }));

  it('is nothing of what the code outside of the loop has set', async () => {
    const { stdout, stderr } = await runProgram(`
      const { ContextVar, Future, getEventLoop, run, shield, sleep } = ringloop;
      const color = new ContextVar('color', { defaultValue: 'none' });
      const inner = new Future();
      shield(inner).cancel();
      color.set('of the program');
      getEventLoop().setExceptionHandler(() => console.log(color.get()));
      run(async () => {
        await sleep(1);
        inner.setException(new Error('too late'));
        await sleep(1);
      });
    `);
    assert.equal(stderr, '');
    assert.equal(stdout, 'none\n');
  });
});
