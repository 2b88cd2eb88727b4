/** Types only: that this file compiles is the test. Nothing in it runs. */
import {
  asCompleted,
  type Coroutine,
  createTask,
  ensureFuture,
  Future,
  gather,
  run,
  shield,
  sleep,
  type Task,
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

function* number(): Generator<unknown, number, any> {
  yield* sleep(1);
  return 1;
}

async function text(): Promise<string> {
  await sleep(1);
  return 'one';
}

export function* inGenerators(): Generator<unknown, void, any> {
  const both = yield* gather(number(), text);
  same<typeof both, [number, string]>(true);
  const listed = yield* gather([number(), text()]);
  same<typeof listed, [number, string]>(true);
  const outcomes = yield* gather([number(), text()], { returnExceptions: true });
  same<typeof outcomes, [number | Error, string | Error]>(true);
  const many = yield* gather([1, 2, 3].map(number));
  same<typeof many, number[]>(true);
  const settled = yield* new Future<boolean>();
  same<typeof settled, boolean>(true);
  const task = createTask(number());
  same<typeof task, Task<number>>(true);
  const fromTask = yield* task;
  same<typeof fromTask, number>(true);
  const fromAsync = yield* createTask(text);
  same<typeof fromAsync, string>(true);
  const slept = yield* sleep(1, 'value');
  same<typeof slept, string>(true);
  const limited = yield* waitFor(number(), 10);
  same<typeof limited, number>(true);
  const shielded = yield* shield(text());
  same<typeof shielded, string>(true);
  const inTime = yield* timeout(10, number);
  same<typeof inTime, number>(true);
  const grouped = yield* taskGroup(function* (group) {
    return yield* group.createTask(text);
  });
  same<typeof grouped, string>(true);
  const foreign = yield* until(Promise.resolve(1n));
  same<typeof foreign, bigint>(true);
  const [done, pending] = yield* wait([task]);
  same<typeof done, Set<Task<number>>>(true);
  same<typeof pending, Set<Task<number>>>(true);
  for (const next of asCompleted([number(), number()])) {
    same<typeof next, Coroutine<number>>(true);
  }
}

export async function inAsyncFunctions(): Promise<void> {
  const both = await gather(number(), text());
  same<typeof both, [number, string]>(true);
  const task = await createTask(number());
  same<typeof task, number>(true);
  const ran = await run(number);
  same<typeof ran, number>(true);
  const future = ensureFuture(text());
  same<typeof future, Future<string>>(true);
}

export function mistakes(): void {
  // @ts-expect-error a promise has started already
  run(text());
  // @ts-expect-error a number is nothing to run
  createTask(5);
  // @ts-expect-error time is a number
  sleep('1s');
  // @ts-expect-error nothing to wait for
  gather(1, 2);
  // @ts-expect-error the result has the future's type
  new Future<number>().setResult('one');
}
