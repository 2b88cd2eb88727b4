/** Random programs over channels and selects, cancelled, aborted and closed at every moment. */
import assert from 'node:assert/strict';
import {
  getRunningLoop,
  memoryChannel,
  type Receiver,
  type Sender,
  select,
  sleep,
  WouldBlock,
} from 'ringloop';
import {
  PROGRAMS,
  type Program,
  type Script,
  simulateMany,
  type Worker,
  type World,
} from '../support/simulation.js';

type Fate = 'begun' | 'sent' | 'failed';

/** One channel, and where each of its items is. */
class Pipe {
  readonly sender: Sender<number>;
  readonly receiver: Receiver<number>;
  private readonly fates: Fate[] = [];
  private readonly received = new Set<number>();
  /** Items that were in it when the last receiver was closed. */
  private dropped = 0;

  constructor(readonly capacity: number) {
    [this.sender, this.receiver] = memoryChannel<number>(capacity);
  }

  newItem(): number {
    return this.fates.push('begun') - 1;
  }

  sent(item: number): void {
    this.fates[item] = 'sent';
  }

  failed(item: number): void {
    assert.ok(!this.received.has(item), `${item} was taken, and its sender told that it was not`);
    this.fates[item] = 'failed';
  }

  took(item: number): void {
    assert.ok(item in this.fates, `${item} was never sent`);
    assert.ok(!this.received.has(item), `${item} was received twice`);
    assert.notEqual(this.fates[item], 'failed', `${item} was received, but not sent`);
    this.received.add(item);
  }

  closeReceiver(receiver: Receiver<number>): void {
    const { size, receivers } = receiver.statistics();
    receiver.close();
    if (receivers === 1 && this.receiver.statistics().receivers === 0) this.dropped += size;
  }

  check(): void {
    const { size, sending, receiving } = this.sender.statistics();
    const sent = this.fates.filter((fate) => fate === 'sent').length;
    assert.equal(size, sent - this.received.size - this.dropped, 'an item was lost or doubled');
    assert.ok(size <= this.capacity);
    assert.ok(size === 0 || receiving === 0, `${receiving} wait, though there are ${size} items`);
    assert.ok(size === this.capacity || sending === 0, `${sending} wait, though there is room`);
    assert.ok(sending === 0 || receiving === 0, `${sending} and ${receiving} wait for each other`);
  }
}

/** What a worker has at one pipe, and the last item it got there. */
interface Ends {
  pipe: Pipe;
  sender: Sender<number>;
  receiver: Receiver<number>;
  last: number;
}

/** Tasks that send and receive through two channels, one at a time or whichever is first. */
class Channels implements World {
  private readonly pipes: Pipe[];

  constructor(private readonly program: Program) {
    const { random } = program;
    this.pipes = [new Pipe(random.below(4)), new Pipe(random.below(4))];
  }

  scripts(): ((worker: Worker) => Script)[] {
    const { random } = this.program;
    for (const pipe of this.pipes) {
      // Clones are what the tasks have; one of the originals goes early, late, or never.
      const close = random.pick([
        () => pipe.sender.close(),
        () => pipe.closeReceiver(pipe.receiver),
        () => {},
      ]);
      getRunningLoop().callLater(random.below(30), close);
    }
    const count = random.between(2, 7);
    return Array.from({ length: count }, () => {
      const ends = this.pipes.map((pipe) => ({ pipe, ...this.clones(pipe), last: -1 }));
      return (worker: Worker) => this.work(worker, ends);
    });
  }

  atRest(): void {
    for (const pipe of this.pipes) pipe.check();
  }

  atEnd(): void {
    for (const pipe of this.pipes) {
      pipe.check();
      pipe.sender.close();
      pipe.receiver.close();
    }
  }

  private clones({ sender, receiver }: Pipe): {
    sender: Sender<number>;
    receiver: Receiver<number>;
  } {
    return { sender: sender.clone(), receiver: receiver.clone() };
  }

  private *work(worker: Worker, ends: Ends[]): Script {
    const { program } = this;
    for (let round = program.random.between(1, 6); round > 0; round--) {
      yield* worker.nap();
      const how = program.random.pick(['send', 'receive', 'either', 'atOnce'] as const);
      yield* this[how](worker, program.random.chance(0.5) ? ends : [...ends].reverse());
      program.maybeInterrupt();
    }
    if (program.random.chance(0.5)) yield* worker.nap(20);
    for (const { pipe, sender, receiver } of ends) {
      sender.close();
      pipe.closeReceiver(receiver);
    }
  }

  private *send(worker: Worker, [end]: Ends[]): Script {
    const { pipe, sender } = end!;
    const item = pipe.newItem();
    const sent = yield* worker.attempt(`send(${item})`, (options) => sender.send(item, options));
    if (sent === null) pipe.failed(item);
    else pipe.sent(item);
  }

  private *receive(worker: Worker, [end]: Ends[]): Script {
    const { receiver } = end!;
    const got = yield* worker.attempt('receive', (options) => receiver.receive(options));
    if (got !== null) this.took(end!, got.value);
  }

  /** Sends to one or receives from the other, or receives from both, or gives up. */
  private *either(worker: Worker, [one, two]: Ends[]): Script {
    const { random } = this.program;
    const sends = random.chance(0.5);
    const item = sends ? one!.pipe.newItem() : -1;
    const ms = random.below(6);
    const first = yield* worker.attempt(`select, sending ${item}`, (options) =>
      select(
        {
          one: sends ? one!.sender.send(item) : one!.receiver.receive(),
          two: two!.receiver.receive(),
          tick: sleep(ms),
        },
        options,
      ),
    );
    const key = first?.value.key;
    if (sends && key === 'one') one!.pipe.sent(item);
    else if (sends) one!.pipe.failed(item);
    if (!sends && key === 'one') this.took(one!, first!.value.value as number);
    if (key === 'two') this.took(two!, first!.value.value as number);
  }

  private *atOnce(_worker: Worker, [one, two]: Ends[]): Script {
    const item = one!.pipe.newItem();
    if (attempt(() => one!.sender.sendNowait(item)) === null) one!.pipe.failed(item);
    else one!.pipe.sent(item);
    const got = attempt(() => two!.receiver.receiveNowait());
    if (got !== null) this.took(two!, got.value);
  }

  private took(end: Ends, item: number): void {
    this.program.log(`got ${item}`);
    end.pipe.took(item);
    assert.ok(item > end.last, `${item} came after ${end.last}`);
    end.last = item;
  }
}

/** null: it would have had to wait, or the channel is at its end. */
function attempt<T>(operation: () => T): { value: T } | null {
  try {
    return { value: operation() };
  } catch (error) {
    const refused = error instanceof WouldBlock || /Channel$/.test((error as Error).name);
    if (!refused) throw error;
    return null;
  }
}

describe(`random programs over channels, ${PROGRAMS}`, function () {
  this.timeout(3_600_000);

  it('lose and double no item, whoever is cancelled, too late, or first', () =>
    simulateMany(Channels));
});
