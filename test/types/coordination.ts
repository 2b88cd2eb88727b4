/** Types only: that this file compiles is the test. Nothing in it runs. */
import {
  asCompleted,
  type Broadcast,
  broadcast,
  type CancelScope,
  type Coroutine,
  cancelScope,
  createTask,
  currentScope,
  Event,
  ExceptionGroup,
  failAfter,
  type GeneratorCoroutine,
  gather,
  Lock,
  limit,
  memoryChannel,
  moveOnAfter,
  PriorityQueue,
  Queue,
  type RateLimiter,
  type Receiver,
  rateLimit,
  retry,
  Semaphore,
  type Sender,
  type Subscription,
  select,
  shield,
  sleep,
  type Task,
  TaskGroup,
  taskGroup,
  until,
  wait,
  waitFor,
  withLock,
} from 'ringloop';

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles only where both types are the same. */
declare function same<A, B>(proof: Equal<A, B>): void;

declare const signal: AbortSignal;

function* number(): GeneratorCoroutine<number> {
  yield* sleep(1);
  return 1;
}

async function text(): Promise<string> {
  return 'one';
}

export function* selecting(): GeneratorCoroutine<void> {
  const queue = new Queue<number>();
  const [sender, receiver] = memoryChannel<string>(1);
  const first = yield* select({
    number: queue.get(),
    text: receiver.receive(),
    sent: sender.send('text'),
    lock: new Lock().acquire(),
    task: createTask(number),
    tick: sleep(1),
  });
  if (first.key === 'number') same<typeof first.value, number>(true);
  if (first.key === 'text') same<typeof first.value, string>(true);
  if (first.key === 'sent') same<typeof first.value, void>(true);
  if (first.key === 'lock') same<typeof first.value, true>(true);
  if (first.key === 'task') same<typeof first.value, number>(true);
  if (first.key === 'tick') same<typeof first.value, void>(true);
  same<typeof first.key, 'number' | 'text' | 'sent' | 'lock' | 'task' | 'tick'>(true);
  yield* select({ stop: new Event().wait() }, { signal });
}

export function* limiting(): GeneratorCoroutine<void> {
  const fromGenerators = yield* limit(2, [1, 2], function* (item, index) {
    same<typeof item, number>(true);
    same<typeof index, number>(true);
    return yield* sleep(1, 'text');
  });
  same<typeof fromGenerators, string[]>(true);
  const fromAsync = yield* limit(2, new Set(['a']), async (item) => item.length);
  same<typeof fromAsync, number[]>(true);
  const fromQueue = yield* limit(2, new Queue<Date>(), (item) => sleep(1, item), { signal });
  same<typeof fromQueue, Date[]>(true);
  const [, receiver] = memoryChannel<bigint>(1);
  const fromChannel = yield* limit(Infinity, receiver, async (item) => item, { ordered: false });
  same<typeof fromChannel, bigint[]>(true);
  const coroutine = limit(1, 'abc', () => number());
  same<typeof coroutine, Coroutine<number[]>>(true);
}

export function* retrying(): GeneratorCoroutine<void> {
  const fromGenerator = yield* retry(number, { attempts: 3, signal });
  same<typeof fromGenerator, number>(true);
  const fromAsync = yield* retry(async (attempt) => {
    same<typeof attempt, number>(true);
    return 'text';
  });
  same<typeof fromAsync, string>(true);
  yield* retry(text, { retryIf: (error, attempt) => error instanceof Error && attempt < 2 });
  const limiter = rateLimit(1, 1000);
  same<typeof limiter, RateLimiter>(true);
  const acquired = yield* limiter.acquire({ signal });
  same<typeof acquired, void>(true);
  const ran = yield* limiter.run(text, { signal });
  same<typeof ran, string>(true);
}

export function* channels(): GeneratorCoroutine<void> {
  const [sender, receiver] = memoryChannel<number>(1);
  same<typeof sender, Sender<number>>(true);
  same<typeof receiver, Receiver<number>>(true);
  const received = yield* receiver.receive({ signal });
  same<typeof received, number>(true);
  const now = receiver.receiveNowait();
  same<typeof now, number>(true);
  const news = broadcast<string>({ capacity: 5, slow: 'dropOldest' });
  same<typeof news, Broadcast<string>>(true);
  const subscription = news.subscribe();
  same<typeof subscription, Subscription<string>>(true);
  const heard = yield* subscription.receive();
  same<typeof heard, string>(true);
  const urgent = yield* new PriorityQueue<[number, string]>().get();
  same<typeof urgent, [number, string]>(true);
}

export async function iterated(): Promise<void> {
  const [, receiver] = memoryChannel<number>(1);
  for await (const item of receiver) same<typeof item, number>(true);
  for await (const item of broadcast<string>().subscribe()) same<typeof item, string>(true);
  for await (const item of new Queue<boolean>()) same<typeof item, boolean>(true);
}

export function* scopes(): GeneratorCoroutine<void> {
  const scoped = yield* cancelScope(
    function* (scope) {
      same<typeof scope, CancelScope>(true);
      return yield* number();
    },
    { signal, shield: true, deadline: 5 },
  );
  same<typeof scoped, number | undefined>(true);
  const moved = yield* moveOnAfter(5, text);
  same<typeof moved, string | undefined>(true);
  const failed = yield* failAfter(5, text);
  same<typeof failed, string>(true);
  const current = currentScope();
  same<typeof current, CancelScope | null>(true);
}

export function* groups(): GeneratorCoroutine<void> {
  yield* taskGroup(function* (group) {
    const port = yield* group.start<number>(async (started) => started(8080));
    same<typeof port, number>(true);
    const children = group.children();
    same<typeof children, Task<unknown>[]>(true);
    group.cancel();
  });
  const group = new ExceptionGroup('several', [new RangeError('a')], { cause: 'b' });
  const [match, rest] = group.split([RangeError, TypeError]);
  same<typeof match, ExceptionGroup | null>(true);
  same<typeof rest, ExceptionGroup | null>(true);
  const some = group.subgroup((error) => error instanceof RangeError);
  same<typeof some, ExceptionGroup | null>(true);
}

export function* locks(): GeneratorCoroutine<void> {
  const held = yield* withLock(new Lock(), number);
  same<typeof held, number>(true);
  using _ = yield* new Semaphore(2).hold({ signal });
}

/** Every waiting function takes a signal. */
export function* signals(): GeneratorCoroutine<void> {
  const both = yield* gather([number(), text], { signal });
  same<typeof both, [number, string]>(true);
  const outcomes = yield* gather([number()], { returnExceptions: true, signal });
  same<typeof outcomes, [number | Error]>(true);
  yield* wait([createTask(number)], { signal });
  const shielded = yield* shield(text, { signal });
  same<typeof shielded, string>(true);
  for (const next of asCompleted([number()], { signal, timeout: 5 })) {
    same<typeof next, Coroutine<number>>(true);
  }
  const waited = yield* waitFor(text, null, { signal });
  same<typeof waited, string>(true);
  const foreign = yield* until(text(), { signal });
  same<typeof foreign, string>(true);
  yield* sleep(5, undefined, { signal });
}

export function mistakes(): void {
  // @ts-expect-error a promise has started already, and cannot be one of several
  select({ text: text() });
  // @ts-expect-error the work must return something to wait for
  limit(2, [1], (item) => item);
  // @ts-expect-error how many comes first
  limit([1], 2, number);
  // @ts-expect-error the item has the type of the items
  limit(2, ['a'], async (item: number) => item);
  // @ts-expect-error a number is nothing to iterate over
  limit(2, 5, number);
  // @ts-expect-error a coroutine that has begun cannot be tried again
  retry(number());
  // @ts-expect-error no such option
  retry(number, { times: 5 });
  // @ts-expect-error so many per time
  rateLimit(5);
  // @ts-expect-error items have the type of the channel
  memoryChannel<number>(1)[0].send('text');
  // @ts-expect-error a receiver does not send
  memoryChannel<number>(1)[1].send(1);
  // @ts-expect-error there is no such policy
  broadcast({ slow: 'wait a little' });
  // @ts-expect-error the block is a function
  cancelScope(number());
  // @ts-expect-error a controller is not its signal
  gather([number()], { signal: new AbortController() });
  // @ts-expect-error what it is ready with has the type that was named
  new TaskGroup().start<number>(async (started) => started('text'));
  // @ts-expect-error a condition is a class or a function
  new ExceptionGroup('a', [1]).split('RangeError');
}
