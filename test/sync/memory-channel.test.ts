import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import {
  BrokenChannel,
  ClosedChannel,
  createTask,
  currentTask,
  EndOfChannel,
  isCancelledError,
  memoryChannel,
  moveOnAfter,
  sleep,
  WouldBlock,
} from 'ringloop';
import { BOTH_KINDS, errorOf } from '../support/both-kinds.js';
import { withVirtualTime } from '../support/virtual-time.js';

describe('memoryChannel', () => {
  it('hands items over in order, and ends when its sender is closed', () =>
    withVirtualTime(function* () {
      const [sender, receiver] = memoryChannel<number>(2);
      createTask(function* () {
        for (let i = 0; i < 5; i++) yield* sender.send(i);
        sender.close();
      });
      const seen: number[] = [];
      const error = yield* errorOf(
        (function* () {
          for (;;) seen.push(yield* receiver.receive());
        })(),
      );
      assert.deepEqual(seen, [0, 1, 2, 3, 4]);
      assert.ok(error instanceof EndOfChannel);
    }));

  it('holds as many items as it was told', () => {
    const [sender, receiver] = memoryChannel<string>(2);
    sender.sendNowait('a');
    sender.sendNowait('b');
    assert.throws(() => sender.sendNowait('c'), WouldBlock);
    assert.equal(receiver.receiveNowait(), 'a');
    assert.equal(receiver.receiveNowait(), 'b');
    assert.throws(() => receiver.receiveNowait(), WouldBlock);
  });

  it('holds any number of items with an infinite capacity', () =>
    withVirtualTime(function* () {
      const [sender, receiver] = memoryChannel<number>(Infinity);
      for (let i = 0; i < 1000; i++) yield* sender.send(i);
      assert.equal(sender.statistics().size, 1000);
      for (let i = 0; i < 1000; i++) assert.equal(yield* receiver.receive(), i);
    }));

  it('takes undefined and null for items like all others', () =>
    withVirtualTime(function* () {
      const [sender, receiver] = memoryChannel<unknown>(0);
      for (const item of [undefined, null, 0, '']) {
        createTask(() => sender.send(item));
        assert.equal(yield* receiver.receive(), item);
      }
    }));

  it('refuses capacities that are none, and says what it got', () => {
    for (const wrong of ['1', null, undefined, {}, NaN]) {
      assert.throws(() => memoryChannel(wrong as never), {
        name: 'TypeError',
        message: /^memoryChannel: capacity must be a number, got /,
      });
    }
    assert.throws(() => memoryChannel(-1), {
      name: 'RangeError',
      message: 'memoryChannel: capacity must be >= 0, got -1',
    });
  });

  it('refuses signals that are none, and says what it got', () => {
    const [sender, receiver] = memoryChannel<number>(1);
    for (const call of [
      () => sender.send(1, { signal: 'stop' as never }),
      () => receiver.receive({ signal: 'stop' as never }),
    ]) {
      assert.throws(call, { name: 'TypeError', message: /must be an AbortSignal, got "stop"/ });
    }
  });

  it('tells both of its ends what is in it, and who waits', () =>
    withVirtualTime(function* () {
      const [sender, receiver] = memoryChannel<number>(1);
      const [another, third] = [sender.clone(), receiver.clone()];
      const nothing = { size: 0, capacity: 1, senders: 2, receivers: 2, sending: 0, receiving: 0 };
      assert.deepEqual(sender.statistics(), nothing);
      const tasks = [1, 2, 3].map((item) => createTask(() => another.send(item)));
      yield* sleep(1);
      assert.deepEqual(receiver.statistics(), { ...nothing, size: 1, sending: 2 });
      for (let i = 0; i < 3; i++) yield* third.receive();
      for (const task of tasks) yield* task;
      const receiving = createTask(() => third.receive());
      yield* sleep(1);
      another.close();
      assert.deepEqual(third.statistics(), { ...nothing, senders: 1, receiving: 1 });
      sender.sendNowait(4);
      assert.equal(yield* receiving, 4);
      assert.deepEqual(sender.statistics(), { ...nothing, senders: 1 });
    }));
});

describe('a channel of capacity 0', () => {
  for (const [kind, start] of BOTH_KINDS) {
    it(`lets send() of ${kind} return when somebody has taken the item`, () =>
      withVirtualTime(function* () {
        const [sender, receiver] = memoryChannel<string>(0);
        assert.throws(() => sender.sendNowait('nobody there'), WouldBlock);
        const sending = start(() => sender.send('item'));
        yield* sleep(10);
        assert.equal(sending.done(), false);
        assert.deepEqual([sender.statistics().size, sender.statistics().sending], [0, 1]);
        assert.equal(receiver.receiveNowait(), 'item');
        yield* sending;
      }));

    it(`lets ${kind} that waits have an item at once`, () =>
      withVirtualTime(function* () {
        const [sender, receiver] = memoryChannel<string>(0);
        const receiving = start(() => receiver.receive());
        yield* sleep(10);
        sender.sendNowait('item');
        assert.throws(() => sender.sendNowait('nobody any more'), WouldBlock);
        assert.equal(yield* receiving, 'item');
      }));
  }
});

for (const [kind, start] of BOTH_KINDS) {
  describe(`${kind} at a channel`, () => {
    it('receives in the order in which it came to wait', () =>
      withVirtualTime(function* () {
        const [sender, receiver] = memoryChannel<number>(5);
        const tasks = [0, 1, 2].map(() => start(() => receiver.receive()));
        yield* sleep(1);
        for (const item of [1, 2, 3]) sender.sendNowait(item);
        assert.equal(sender.statistics().size, 0, 'none of them is in the buffer');
        assert.throws(() => receiver.receiveNowait(), WouldBlock, 'nobody can overtake');
        const seen: number[] = [];
        for (const task of tasks) seen.push(yield* task);
        assert.deepEqual(seen, [1, 2, 3]);
      }));

    it('sends in the order in which it came to wait', () =>
      withVirtualTime(function* () {
        const [sender, receiver] = memoryChannel<number>(1);
        const tasks = [1, 2, 3].map((item) => start(() => sender.send(item)));
        yield* sleep(1);
        assert.equal(receiver.receiveNowait(), 1);
        assert.throws(() => sender.sendNowait(4), WouldBlock, 'nobody can overtake');
        assert.deepEqual([receiver.receiveNowait(), receiver.receiveNowait()], [2, 3]);
        for (const task of tasks) yield* task;
      }));

    it('takes nothing when it is cancelled while it waits for an item', () =>
      withVirtualTime(function* () {
        const [sender, receiver] = memoryChannel<string>(0);
        const first = start(() => receiver.receive());
        const second = start(() => receiver.receive());
        yield* sleep(1);
        first.cancel();
        sender.sendNowait('in the very same iteration');
        assert.ok(isCancelledError(yield* errorOf(first)));
        assert.equal(yield* second, 'in the very same iteration');
        assert.equal(receiver.statistics().receiving, 0);
      }));

    it('sends nothing when it is cancelled while it waits for room', () =>
      withVirtualTime(function* () {
        const [sender, receiver] = memoryChannel<string>(0);
        const first = start(() => sender.send('cancelled'));
        const second = start(() => sender.send('sent'));
        yield* sleep(1);
        first.cancel();
        assert.equal(receiver.receiveNowait(), 'sent');
        assert.ok(isCancelledError(yield* errorOf(first)));
        yield* second;
        assert.equal(receiver.statistics().sending, 0);
      }));

    it('takes nothing, and leaves no listener, when its signal is aborted', () =>
      withVirtualTime(function* () {
        const [sender, receiver] = memoryChannel<string>(0);
        const controller = new AbortController();
        const { signal } = controller;
        const receiving = start(() => receiver.receive({ signal }));
        yield* sleep(1);
        assert.equal(getEventListeners(signal, 'abort').length, 1);
        controller.abort(new RangeError('enough'));
        assert.throws(() => sender.sendNowait('in the very same iteration'), WouldBlock);
        assert.equal((yield* errorOf(receiving)).message, 'enough');
        assert.equal(getEventListeners(signal, 'abort').length, 0);
        assert.equal(receiver.statistics().receiving, 0);
      }));

    it('sends nothing when its signal is aborted, also before', () =>
      withVirtualTime(function* () {
        const [sender, receiver] = memoryChannel<string>(0);
        const controller = new AbortController();
        const { signal } = controller;
        const sending = start(() => sender.send('item', { signal }));
        yield* sleep(1);
        controller.abort('enough');
        assert.throws(() => receiver.receiveNowait(), WouldBlock);
        assert.equal(yield* errorOf(sending), 'enough');
        assert.equal(yield* errorOf(start(() => sender.send('item', { signal }))), 'enough');
        assert.equal(yield* errorOf(start(() => receiver.receive({ signal }))), 'enough');
        const { sending: senders, receiving: receivers } = sender.statistics();
        assert.deepEqual([senders, receivers], [0, 0]);
      }));

    it('has the item if its signal is aborted after the item was handed over', () =>
      withVirtualTime(function* () {
        const [sender, receiver] = memoryChannel<string>(0);
        const controller = new AbortController();
        const receiving = start(() => receiver.receive({ signal: controller.signal }));
        yield* sleep(1);
        sender.sendNowait('item');
        controller.abort();
        assert.equal(yield* receiving, 'item');
        const sending = start(() => sender.send('next'));
        yield* sleep(1);
        assert.equal(receiver.receiveNowait(), 'next');
        yield* sending;
      }));

    it('gets EndOfChannel when the last sender is closed, ClosedChannel if its own end is', () =>
      withVirtualTime(function* () {
        const [sender, receiver] = memoryChannel<string>(0);
        const [another, third] = [sender.clone(), receiver.clone()];
        const waiting = [
          start(() => receiver.receive()),
          start(() => third.receive()),
          start(() => receiver.receive()),
          start(() => third.receive()),
        ];
        yield* sleep(1);
        receiver.close();
        receiver.close();
        yield* sleep(1);
        assert.deepEqual(
          waiting.map((task) => task.done()),
          [true, false, true, false],
        );
        sender.close();
        yield* sleep(1);
        assert.equal(waiting[1]!.done(), false, 'another sender is open');
        another.close();
        const errors: string[] = [];
        for (const task of waiting) errors.push((yield* errorOf(task)).name);
        const [closed, end] = ['ClosedChannel', 'EndOfChannel'];
        assert.deepEqual(errors, [closed, end, closed, end]);
      }));

    it('gets BrokenChannel when the last receiver is closed, ClosedChannel if its own end is', () =>
      withVirtualTime(function* () {
        const [sender, receiver] = memoryChannel<string>(0);
        const [another, third] = [sender.clone(), receiver.clone()];
        const waiting = [
          start(() => sender.send('a')),
          start(() => another.send('b')),
          start(() => sender.send('c')),
        ];
        yield* sleep(1);
        sender.close();
        receiver.close();
        yield* sleep(1);
        assert.equal(waiting[1]!.done(), false, 'another receiver is open');
        third.close();
        const errors: string[] = [];
        for (const task of waiting) errors.push((yield* errorOf(task)).name);
        assert.deepEqual(errors, ['ClosedChannel', 'BrokenChannel', 'ClosedChannel']);
      }));

    it('keeps an item that was handed over before its end was closed', () =>
      withVirtualTime(function* () {
        const [sender, receiver] = memoryChannel<string>(0);
        const receiving = start(() => receiver.receive());
        yield* sleep(1);
        sender.sendNowait('item');
        receiver.close();
        sender.close();
        assert.equal(yield* receiving, 'item');
      }));
  });
}

describe('a receiver that is cancelled with an item in hand', () => {
  it('gets it, and the cancellation at its next wait, in a generator coroutine', () =>
    withVirtualTime(function* () {
      const [sender, receiver] = memoryChannel<string>(0);
      const seen: string[] = [];
      const task = createTask(function* () {
        seen.push(yield* receiver.receive());
        seen.push(yield* receiver.receive());
      });
      yield* sleep(1);
      sender.sendNowait('item');
      task.cancel('enough');
      const error = yield* errorOf(task);
      assert.deepEqual(seen, ['item']);
      assert.equal(error.reason, 'enough');
      assert.equal(receiver.statistics().receiving, 0);
    }));

  it('gets it, and the cancellation at its next wait, in an async function', () =>
    withVirtualTime(function* () {
      const [sender, receiver] = memoryChannel<string>(0);
      const seen: string[] = [];
      const task = createTask(async () => {
        seen.push(await receiver.receive());
        seen.push(await receiver.receive());
      });
      yield* sleep(1);
      sender.sendNowait('item');
      task.cancel('enough');
      const error = yield* errorOf(task);
      assert.deepEqual(seen, ['item']);
      assert.equal(error.reason, 'enough');
      assert.equal(receiver.statistics().receiving, 0);
    }));

  it('gets it in a block whose time is up, and nothing is cancelled behind the block', () =>
    withVirtualTime(function* () {
      const [sender, receiver] = memoryChannel<string>(0);
      const seen: unknown[] = [];
      const task = createTask(function* () {
        seen.push(yield* moveOnAfter(10, () => receiver.receive()));
        yield* sleep(5);
        seen.push(currentTask()!.cancelling());
      });
      createTask(function* () {
        yield* sleep(10);
        if (receiver.statistics().receiving > 0) sender.sendNowait('item');
      });
      yield* task;
      assert.equal(seen.length, 2);
      assert.equal(seen[1], 0);
      assert.equal(receiver.statistics().size, 0);
    }));

  it('has sent what was taken, and the cancellation comes at its next wait', () =>
    withVirtualTime(function* () {
      const [sender, receiver] = memoryChannel<string>(0);
      const seen: string[] = [];
      const task = createTask(function* () {
        yield* sender.send('item');
        seen.push('sent');
        yield* sender.send('another');
      });
      yield* sleep(1);
      assert.equal(receiver.receiveNowait(), 'item');
      task.cancel();
      assert.ok(isCancelledError(yield* errorOf(task)));
      assert.deepEqual(seen, ['sent']);
      assert.throws(() => receiver.receiveNowait(), WouldBlock);
    }));
});

describe('an end of a channel', () => {
  it('cannot be used when it is closed', () =>
    withVirtualTime(function* () {
      const [sender, receiver] = memoryChannel<string>(1);
      const [another, third] = [sender.clone(), receiver.clone()];
      sender.close();
      receiver.close();
      assert.throws(() => sender.sendNowait('item'), ClosedChannel);
      assert.throws(() => sender.clone(), ClosedChannel);
      assert.throws(() => receiver.receiveNowait(), ClosedChannel);
      assert.throws(() => receiver.clone(), ClosedChannel);
      assert.ok((yield* errorOf(sender.send('item'))) instanceof ClosedChannel);
      assert.ok((yield* errorOf(receiver.receive())) instanceof ClosedChannel);
      another.sendNowait('item');
      assert.equal(third.receiveNowait(), 'item');
    }));

  it('gives out what is left when the last sender is closed', () =>
    withVirtualTime(function* () {
      const [sender, receiver] = memoryChannel<string>(2);
      sender.sendNowait('a');
      sender.sendNowait('b');
      sender.close();
      assert.equal(yield* receiver.receive(), 'a');
      assert.equal(receiver.receiveNowait(), 'b');
      assert.throws(() => receiver.receiveNowait(), EndOfChannel);
      assert.ok((yield* errorOf(receiver.receive())) instanceof EndOfChannel);
    }));

  it('drops what is left when it is the last receiver and is closed', () =>
    withVirtualTime(function* () {
      const [sender, receiver] = memoryChannel<string>(2);
      sender.sendNowait('a');
      const another = receiver.clone();
      receiver.close();
      assert.equal(sender.statistics().size, 1, 'the other one may still receive it');
      another.close();
      assert.equal(sender.statistics().size, 0);
      assert.throws(() => sender.sendNowait('b'), BrokenChannel);
      assert.ok((yield* errorOf(sender.send('b'))) instanceof BrokenChannel);
    }));

  it('is closed by using', () =>
    withVirtualTime(function* () {
      const [sender, receiver] = memoryChannel<string>(2);
      {
        using scoped = sender;
        scoped.sendNowait('a');
      }
      assert.throws(() => sender.sendNowait('b'), ClosedChannel);
      {
        using scoped = receiver;
        assert.equal(scoped.receiveNowait(), 'a');
      }
      assert.throws(() => receiver.receiveNowait(), ClosedChannel);
    }));

  it('cannot be waited for twice with one operation', () =>
    withVirtualTime(function* () {
      const [sender, receiver] = memoryChannel<string>(2);
      const sending = sender.send('a');
      yield* sending;
      assert.match((yield* errorOf(sending)).message, /cannot reuse/);
      assert.equal(receiver.statistics().size, 1);
    }));
});

describe('for await of a receiver', () => {
  it('ends with the channel, and closes the receiver', () =>
    withVirtualTime(async () => {
      const [sender, receiver] = memoryChannel<number>(0);
      createTask(async () => {
        using scoped = sender;
        for (let i = 0; i < 3; i++) await scoped.send(i);
      });
      const seen: number[] = [];
      for await (const item of receiver) seen.push(item);
      assert.deepEqual(seen, [0, 1, 2]);
      assert.throws(() => receiver.receiveNowait(), ClosedChannel);
    }));

  it('closes the receiver when it is left early, and the sender is told', () =>
    withVirtualTime(async () => {
      const [sender, receiver] = memoryChannel<number>(0);
      const sending = createTask(async () => {
        for (let i = 0; ; i++) await sender.send(i);
      });
      for await (const item of receiver) if (item === 2) break;
      await assert.rejects(async () => await sending, BrokenChannel);
      assert.equal(sender.statistics().receivers, 0);
    }));

  it('shares the items with the receivers of other tasks', () =>
    withVirtualTime(async () => {
      const [sender, receiver] = memoryChannel<number>(0);
      const seen: number[][] = [[], []];
      const tasks = [receiver.clone(), receiver].map((each, i) =>
        createTask(async () => {
          for await (const item of each) {
            seen[i]!.push(item);
            await sleep(1);
          }
        }),
      );
      for (let i = 0; i < 6; i++) await sender.send(i);
      sender.close();
      for (const task of tasks) await task;
      assert.deepEqual(seen, [
        [0, 2, 4],
        [1, 3, 5],
      ]);
    }));

  it('is cancelled with its task, closes the receiver, and loses nothing', () =>
    withVirtualTime(async () => {
      const [sender, receiver] = memoryChannel<string>(0);
      const another = receiver.clone();
      const seen: string[] = [];
      const task = createTask(async () => {
        for await (const item of receiver) {
          seen.push(item);
          await sleep(0);
        }
      });
      await sleep(1);
      sender.sendNowait('item');
      task.cancel();
      await assert.rejects(async () => await task, isCancelledError);
      assert.deepEqual(seen, ['item']);
      await sleep(1);
      assert.equal(sender.statistics().receivers, 1);
      assert.throws(() => another.receiveNowait(), WouldBlock);
    }));
});
