/** Types only: that this file compiles is the test. Nothing in it runs. */
import {
  type Awaitable,
  type Awaited,
  type allTasks,
  asCompleted,
  type CancelledError,
  Context,
  ContextVar,
  callRemote,
  copyContext,
  createTask,
  type currentTask,
  Event,
  EventLoop,
  Future,
  type GeneratorCoroutine,
  gather,
  getEventLoop,
  type Handle,
  isCancelledError,
  isFuture,
  Runner,
  run,
  shield,
  sleep,
  type Task,
  type TaskFactory,
  type TaskGroup,
  type Timeout,
  type TimerHandle,
  type Token,
  taskGroup,
  timeout,
  until,
  wait,
  waitFor,
} from 'ringloop';

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles only where both types are the same. */
declare function same<A, B>(proof: Equal<A, B>): void;

function* number(): GeneratorCoroutine<number> {
  yield* sleep(1);
  return 1;
}

async function text(): Promise<string> {
  return 'one';
}

export function* inGenerators(): GeneratorCoroutine<void> {
  const nothing = yield* sleep(1);
  same<typeof nothing, void>(true);
  const flag = yield* new Event().wait();
  same<typeof flag, true>(true);
  const empty = yield* gather();
  same<typeof empty, []>(true);
  const mixed = yield* gather(new Future<boolean>(), Promise.resolve(1n), sleep(1, 'x'), text);
  same<typeof mixed, [boolean, bigint, string, string]>(true);
  const nested = yield* gather(gather(number(), text), number);
  same<typeof nested, [[number, string], number]>(true);
  const shieldedPromise = yield* shield(Promise.resolve(1));
  same<typeof shieldedPromise, number>(true);
  const waitedFunction = yield* waitFor(text, null);
  same<typeof waitedFunction, string>(true);
  const waitedPromise = yield* waitFor(Promise.resolve(1), 5);
  same<typeof waitedPromise, number>(true);
  const scoped = yield* timeout(5, async (scope) => {
    same<typeof scope, Timeout>(true);
    return scope.when();
  });
  same<typeof scoped, number | null>(true);
  const group = yield* taskGroup(async (group) => {
    same<typeof group, TaskGroup>(true);
    return group.createTask(number).name;
  });
  same<typeof group, string>(true);
  const completed = asCompleted([number(), number()]).nextFuture()!;
  const future = yield* completed;
  same<typeof future, Future<number>>(true);
  const tasks = new Set([createTask(number)]);
  const [done] = yield* wait(tasks, { returnWhen: 'FIRST_COMPLETED', timeout: null });
  same<typeof done, Set<Task<number>>>(true);
}

export async function inAsyncFunctions(): Promise<void> {
  const nothing = await sleep(1);
  same<typeof nothing, void>(true);
  const value = await sleep(1, 'value');
  same<typeof value, string>(true);
  const settled = await new Future<number>();
  same<typeof settled, number>(true);
  const all = await Promise.all([createTask(text), new Future<number>(), sleep(1, true)]);
  same<typeof all, [string, number, boolean]>(true);
  const chained = await new Future<number>().then((each) => [each]).catch(() => 'caught');
  same<typeof chained, string | number[]>(true);
  const main = await run(async () => 5);
  same<typeof main, number>(true);
  const fromObject = await run(number());
  same<typeof fromObject, number>(true);
  await using runner = new Runner();
  const ran = await runner.run(number);
  same<typeof ran, number>(true);
  const ranAsync = await runner.run(text, { name: 'main', context: copyContext() });
  same<typeof ranAsync, string>(true);
}

export async function loops(): Promise<void> {
  using loop = new EventLoop({ clock: { now: () => 0, select: () => {} } });
  const soon = loop.callSoon((a: number, b: string) => a + b, 1, 'two');
  same<typeof soon, Handle>(true);
  const later = getEventLoop().callLater(5, () => {});
  same<typeof later, TimerHandle>(true);
  const future = loop.createFuture<number>();
  same<typeof future, Future<number>>(true);
  const untyped = loop.createFuture();
  same<typeof untyped, Future<unknown>>(true);
  const completed = await loop.runUntilComplete(future);
  same<typeof completed, number>(true);
  future.addDoneCallback((done) => same<typeof done, Future<number>>(true));
  const task = loop.createTask(text, { name: 'task', eagerStart: true });
  same<typeof task, Task<string>>(true);
  const factory: TaskFactory = (own, runnable, options) => own.createTask(runnable, options);
  loop.setTaskFactory(factory);
  using remote = loop.createRemote(() => {});
  const reached = callRemote(remote.address);
  same<typeof reached, boolean>(true);
}

export function values(unknown: unknown): void {
  same<ReturnType<typeof currentTask>, Task<unknown> | null>(true);
  same<ReturnType<typeof allTasks>, Set<Task<unknown>>>(true);
  if (isCancelledError(unknown)) same<typeof unknown, CancelledError>(true);
  if (isFuture(unknown)) same<typeof unknown, Future<unknown>>(true);
  const color = new ContextVar<string>('color', { defaultValue: 'red' });
  const current = color.get();
  same<typeof current, string>(true);
  const token = color.set('blue');
  same<typeof token, Token<string>>(true);
  const inside = copyContext().run(() => 5);
  same<typeof inside, number>(true);
  const signal = createTask(text).signal;
  same<typeof signal, AbortSignal>(true);
  same<Awaited<Awaitable<number>>, number>(true);
  same<Awaited<() => Promise<string>>, string>(true);
  same<Awaited<Task<boolean>>, boolean>(true);
}

export function mistakes(): void {
  // @ts-expect-error a generator function that was not called is no awaitable of until
  until(number);
  // @ts-expect-error wait takes futures, not coroutines
  wait([number()]);
  // @ts-expect-error there is no such moment
  wait([new Future()], { returnWhen: 'SOMETIME' });
  // @ts-expect-error the limit must be said
  waitFor(number());
  // @ts-expect-error a limit is a number or null
  waitFor(number(), '5');
  // @ts-expect-error the block must return something to wait for
  timeout(5, () => 5);
  // @ts-expect-error the block is a function
  taskGroup(number());
  // @ts-expect-error a task is settled by its coroutine
  createTask(number).name = 5;
  // @ts-expect-error an array of results, not one result
  const wrong: Promise<string> = run(() => gather(number(), text));
  // @ts-expect-error errors are Errors
  new Future().setException('text');
  // @ts-expect-error no such option
  run(number, { timeout: 5 });
  // @ts-expect-error a context comes from copyContext()
  createTask(number, { context: {} });
  // @ts-expect-error the type of the variable
  new ContextVar<number>('n').set('text');
  // @ts-expect-error a callback is a function
  getEventLoop().callSoon(number());
  // @ts-expect-error time is a number
  getEventLoop().callLater('5', () => {});
  void wrong;
  void Context;
}
