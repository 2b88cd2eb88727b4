/** The ops of the scenario language, in the order of SPEC.md. */
import * as ringloop from 'ringloop';
import {
  allTasks,
  asCompleted,
  copyContext,
  createTask,
  currentTask,
  type Future,
  gather,
  shield,
  sleep,
  TaskGroup,
  Timeout,
  wait,
  waitFor,
} from 'ringloop';

import {
  ASYNC_OPS,
  type Machine,
  QUERIES,
  QUERY_MEMBER,
  type Signal,
  type Steps,
  SYNC_FLOW,
  SYNC_OPS,
} from './machine.js';
import type { Body, Op } from './program.js';

const classes = ringloop as any;

// ---- plain --------------------------------------------------------------------------------------

SYNC_OPS['log'] = (m, op) => void m.log('log', m.value(m.evaluate(op['msg'])));
SYNC_OPS['set'] = (m, op) => void m.env.set(op['var'], m.evaluate(op['value']));
SYNC_OPS['add'] = (m, op) => {
  m.env.set(op['var'], m.get(op['var']) + m.evaluate(op['by'] ?? 1));
  return undefined;
};
SYNC_OPS['break'] = () => 'break';
SYNC_OPS['continue'] = () => 'continue';
SYNC_OPS['return'] = (m, op) => ({ value: m.evaluate(op['value'] ?? null) });
SYNC_OPS['raise'] = (m, op) => {
  throw m.makeException(op as any);
};
SYNC_OPS['reraise'] = (m, _op, handled) => {
  if (handled === undefined) m.bad('reraise outside a handler');
  throw handled;
};
SYNC_OPS['time'] = (m) => void m.log('time', m.loop.time());
SYNC_OPS['cause'] = (m, op) => void m.log('cause', op['var'], m.value(m.get(op['var']).cause));

// ---- flow ---------------------------------------------------------------------------------------

const leavesLoop = (signal: Signal): boolean => signal !== undefined && signal !== 'continue';

SYNC_FLOW['if'] = (m, op, h) =>
  m.runSync(m.evaluate(op['cond']) ? op['then'] : (op['else'] ?? []), h);
ASYNC_OPS['if'] = function* (m, op, h) {
  return yield* m.run(m.evaluate(op['cond']) ? op['then'] : (op['else'] ?? []), h);
};

SYNC_FLOW['while'] = (m, op, h) => {
  for (let round = 0; round < op['max'] && m.evaluate(op['cond']); round++) {
    const signal = m.runSync(op['body'], h);
    if (leavesLoop(signal)) return signal === 'break' ? undefined : signal;
  }
  return undefined;
};
ASYNC_OPS['while'] = function* (m, op, h) {
  for (let round = 0; round < op['max'] && m.evaluate(op['cond']); round++) {
    const signal = yield* m.run(op['body'], h);
    if (leavesLoop(signal)) return signal === 'break' ? undefined : signal;
  }
  return undefined;
};

SYNC_FLOW['repeat'] = (m, op, h) => {
  for (let round = 0; round < op['times']; round++) {
    if (op['var'] !== undefined) m.env.set(op['var'], round);
    const signal = m.runSync(op['body'], h);
    if (leavesLoop(signal)) return signal === 'break' ? undefined : signal;
  }
  return undefined;
};
ASYNC_OPS['repeat'] = function* (m, op, h) {
  for (let round = 0; round < op['times']; round++) {
    if (op['var'] !== undefined) m.env.set(op['var'], round);
    const signal = yield* m.run(op['body'], h);
    if (leavesLoop(signal)) return signal === 'break' ? undefined : signal;
  }
  return undefined;
};

interface Outcome {
  signal: Signal;
  error: { value: unknown } | null;
}

SYNC_FLOW['try'] = (m, op, h) => {
  const attempt = (body: Body, handled: unknown): Outcome => {
    try {
      return { signal: m.runSync(body, handled), error: null };
    } catch (error) {
      if (m.isInternal(error)) throw error;
      return { signal: undefined, error: { value: error } };
    }
  };
  let outcome = attempt(op['body'], h);
  const clause = handler(m, op, outcome);
  if (clause !== null) outcome = attempt(clause.body, clause.handled);
  else if (outcome.error === null && outcome.signal === undefined) {
    outcome = attempt(op['else'] ?? [], h);
  }
  return conclude(m.runSync(op['finally'] ?? [], h), outcome);
};

ASYNC_OPS['try'] = function* (m, op, h) {
  function* attempt(body: Body, handled: unknown): Steps<Outcome> {
    try {
      return { signal: yield* m.run(body, handled), error: null };
    } catch (error) {
      if (m.isInternal(error)) throw error;
      return { signal: undefined, error: { value: error } };
    }
  }
  let outcome = yield* attempt(op['body'], h);
  const clause = handler(m, op, outcome);
  if (clause !== null) outcome = yield* attempt(clause.body, clause.handled);
  else if (outcome.error === null && outcome.signal === undefined) {
    outcome = yield* attempt(op['else'] ?? [], h);
  }
  return conclude(yield* m.run(op['finally'] ?? [], h), outcome);
};

/** The clause that takes the error of a `try` body, if one does. */
function handler(m: Machine, op: Op, { error }: Outcome): { body: Body; handled: unknown } | null {
  if (error === null) return null;
  for (const clause of op['except'] ?? []) {
    const name = m.matching(clause, error.value);
    if (name === undefined) continue;
    m.log('except', name, m.exception(error.value));
    m.store(clause, 'as', error.value);
    return { body: clause.body, handled: error.value };
  }
  return null;
}

function conclude(last: Signal, { signal, error }: Outcome): Signal {
  if (last !== undefined) return last;
  if (error !== null) throw error.value;
  return signal;
}

// ---- tasks --------------------------------------------------------------------------------------

SYNC_OPS['spawn'] = (m, op) => {
  m.sync(op, op['name'], () => {
    const group = op['group'] === undefined ? null : m.get(op['group'], 'createTask');
    const context = m.context(op);
    const options = {
      name: op['name'] as string,
      ...(context === undefined ? {} : { context }),
      ...(op['eager'] === undefined ? {} : { eagerStart: op['eager'] as boolean }),
    };
    const coroutine = m.coroutine(op['name'], op['body']);
    const task =
      group === null ? createTask(coroutine, options) : group.createTask(coroutine, options);
    m.store(op, 'var', task);
    return task.done();
  });
  return undefined;
};
SYNC_OPS['current_task'] = (m, op) => {
  const task = currentTask();
  m.log('current_task', task === null ? null : task.name);
  m.store(op, 'into', task);
  return undefined;
};
SYNC_OPS['all_tasks'] = (m) =>
  void m.log('all_tasks', [...allTasks(m.loop)].map((task) => task.name).sort());
SYNC_OPS['set_name'] = (m, op) => {
  m.target(op, 'name').name = op['name'];
  return undefined;
};

/** Ops that call one method of a variable (or of the current task) and record what it returns. */
function methodOp(
  name: string,
  method: string,
  args: (m: Machine, op: Op) => unknown[] = () => [],
) {
  SYNC_OPS[name] = (m, op) => {
    m.sync(op, op['var'] ?? null, () => m.target(op, method)[method](...args(m, op)));
    return undefined;
  };
}

methodOp('cancel', 'cancel', (_m, op) => ('msg' in op ? [op['msg']] : []));
methodOp('uncancel', 'uncancel');
methodOp('cancelling', 'cancelling');

SYNC_OPS['query'] = (m, op) => {
  const what: string = op['what'];
  m.sync(op, [op['var'] ?? null, what], () =>
    m.query(what, m.target(op, QUERY_MEMBER[what] ?? what)),
  );
  return undefined;
};
ASYNC_OPS['await'] = function* (m, op) {
  yield* m.wait(op, op['var'], () => m.get(op['var'], 'addDoneCallback'));
  return undefined;
};
ASYNC_OPS['sleep'] = function* (m, op) {
  const ms = m.evaluate(op['ms']);
  yield* m.wait(op, ms, () => sleep(ms, m.evaluate(op['result'] ?? null)));
  return undefined;
};

for (const what of ['done', 'cancelled', 'result', 'exception', 'cancelling', 'locked', 'when']) {
  QUERIES[what] = (target) => target[what]();
}
for (const what of ['name', 'broken', 'parties', 'maxsize'])
  QUERIES[what] = (target) => target[what];
QUERIES['expired'] = (target) => target.expired();
QUERIES['is_set'] = (target) => target.isSet();
QUERIES['n_waiting'] = (target) => target.nWaiting;
QUERIES['qsize'] = (target) => target.qsize();
QUERIES['empty'] = (target) => target.empty();
QUERIES['full'] = (target) => target.full();
Object.assign(QUERY_MEMBER, { is_set: 'isSet', n_waiting: 'nWaiting' });

// ---- futures and callbacks ----------------------------------------------------------------------

const FACTORIES: Record<string, (m: Machine, op: Op) => unknown> = {
  Future: (m) => m.loop.createFuture(),
  Lock: () => new classes.Lock(),
  Event: () => new classes.Event(),
  Condition: (m, op) => new classes.Condition(op['lock'] && m.get(op['lock'], 'release')),
  Semaphore: (_m, op) => new classes.Semaphore(op['value'] ?? 1),
  BoundedSemaphore: (_m, op) => new classes.BoundedSemaphore(op['value'] ?? 1),
  Barrier: (_m, op) => new classes.Barrier(op['parties']),
  Queue: (_m, op) => new classes.Queue(op['maxsize'] ?? 0),
  LifoQueue: (_m, op) => new classes.LifoQueue(op['maxsize'] ?? 0),
  PriorityQueue: (_m, op) => new classes.PriorityQueue(op['maxsize'] ?? 0),
};

SYNC_OPS['new'] = (m, op) => {
  let made: unknown;
  try {
    made = FACTORIES[op['type']]!(m, op);
  } catch (error) {
    m.log('new', op['var'], '!', m.exception(error));
    if (op['raise']) throw error;
    return undefined;
  }
  if (op['type'] === 'Future') m.adopt(op['var'], made as Future<any>);
  else m.env.set(op['var'], made);
  return undefined;
};

methodOp('set_result', 'setResult', (m, op) => [m.evaluate(op['value'] ?? null)]);
methodOp('set_exception', 'setException', (m, op) => [m.makeException(op as any)]);

SYNC_OPS['add_done_callback'] = (m, op) => {
  m.sync(op, op['var'], () => {
    const future = m.get(op['var'], 'addDoneCallback');
    const name: string = op['name'];
    if (!m.callbacks.has(name)) m.callbacks.set(name, m.makeCallback(name, op['body'] ?? []));
    const context = m.context(op);
    future.addDoneCallback(m.callbacks.get(name), context === undefined ? undefined : { context });
  });
  return undefined;
};
SYNC_OPS['remove_done_callback'] = (m, op) => {
  m.sync(op, op['var'], () =>
    m
      .get(op['var'], 'removeDoneCallback')
      .removeDoneCallback(m.callbacks.get(op['name']) ?? (() => {})),
  );
  return undefined;
};
SYNC_OPS['call_soon'] = (m, op) => {
  m.sync(op, op['name'], () => {
    const callback = m.makeCallback(op['name'], op['body']);
    const context = m.context(op);
    let handle: unknown;
    if (context !== undefined) handle = m.loop.callSoonIn(context, callback);
    else if (op['threadsafe']) handle = m.loop.callSoonThreadsafe(callback);
    else handle = m.loop.callSoon(callback);
    m.store(op, 'var', handle);
  });
  return undefined;
};
SYNC_OPS['call_later'] = (m, op) => {
  m.sync(op, op['name'], () => {
    const ms = m.evaluate(op['ms']);
    const callback = m.makeCallback(op['name'], op['body']);
    const context = m.context(op);
    m.store(
      op,
      'var',
      context === undefined
        ? m.loop.callLater(ms, callback)
        : m.loop.callAtIn(context, m.loop.time() + ms, callback),
    );
  });
  return undefined;
};
SYNC_OPS['call_at'] = (m, op) => {
  m.sync(op, op['name'], () => {
    const at = m.evaluate(op['at']);
    const callback = m.makeCallback(op['name'], op['body']);
    const context = m.context(op);
    m.store(
      op,
      'var',
      context === undefined ? m.loop.callAt(at, callback) : m.loop.callAtIn(context, at, callback),
    );
  });
  return undefined;
};
SYNC_OPS['stop'] = (m) => {
  m.log('stop');
  m.loop.stop();
  return undefined;
};

// ---- context variables --------------------------------------------------------------------------

SYNC_OPS['ctx_set'] = (m, op) => {
  m.store(op, 'token', m.contextVar(op['cv']).set(m.evaluate(op['value'])));
  return undefined;
};
SYNC_OPS['ctx_get'] = (m, op) =>
  void m.log('ctx_get', op['cv'], m.value(m.contextVar(op['cv']).get()));
SYNC_OPS['ctx_reset'] = (m, op) => {
  m.sync(op, op['cv'], () => m.contextVar(op['cv']).reset(m.get(op['token'], 'oldValue')));
  return undefined;
};
SYNC_OPS['copy_context'] = (m, op) => void m.env.set(op['var'], copyContext());

// ---- combinators --------------------------------------------------------------------------------

ASYNC_OPS['gather'] = function* (m, op) {
  const create = () =>
    gather(m.items(op['of']), { returnExceptions: op['return_exceptions'] ?? false });
  if (op['var'] !== undefined) m.sync(op, op['var'], () => m.adopt(op['var'], create()));
  else yield* m.wait(op, null, create);
  return undefined;
};
ASYNC_OPS['shield'] = function* (m, op) {
  const create = () => shield(m.items([op['of']])[0]);
  if (op['var'] !== undefined) m.sync(op, op['var'], () => m.adopt(op['var'], create()));
  else yield* m.wait(op, null, create);
  return undefined;
};
ASYNC_OPS['wait'] = function* (m, op) {
  const when: any = op['when'] ?? 'ALL_COMPLETED';
  let value: string[][];
  try {
    const futures = m.items(op['of']);
    const timeout = m.evaluate(op['timeout'] ?? null);
    const [done, pending] = yield wait(futures, { timeout, returnWhen: when });
    const distinct = [...new Set(futures)];
    value = [done, pending].map((set: Set<unknown>) =>
      distinct.filter((future) => set.has(future)).map((future) => m.label(future)),
    );
  } catch (error) {
    m.log('wait', when, '!', m.exception(error));
    throw error;
  }
  m.log('wait', when, '=', value);
  m.store(op, 'into', value);
  return undefined;
};
ASYNC_OPS['wait_for'] = function* (m, op) {
  const timeout = m.evaluate(op['timeout']);
  yield* m.wait(op, timeout, () => waitFor(m.items([op['of']])[0], timeout));
  return undefined;
};

/** One result of `asCompleted`; null: there is none left. */
function* nextCompleted(m: Machine, op: Op, iterator: any): Steps<boolean> {
  if ((op['mode'] ?? 'plain') !== 'plain') {
    const { value: future, done } = yield iterator.futures.next();
    if (done) return false;
    if (future.cancelled()) m.log('as_completed', m.label(future), 'cancelled');
    else if (future.exception() !== null) {
      m.log('as_completed', m.label(future), '!', m.exception(future.exception()));
    } else m.log('as_completed', m.label(future), '=', m.value(future.result()));
    return true;
  }
  const next = iterator.results.next();
  if (next === null) return false;
  try {
    m.log('as_completed', 'next', '=', m.value(yield next));
  } catch (error) {
    if (m.matching({ types: ['Exception'] }, error) === undefined) throw error;
    m.log('as_completed', 'next', '!', m.exception(error));
    if (op['raise']) throw error;
  }
  return true;
}

ASYNC_OPS['as_completed'] = function* (m, op, h) {
  try {
    const items = m.items(op['of']);
    const results = asCompleted(items, { timeout: m.evaluate(op['timeout'] ?? null) });
    const iterator = { results, futures: results[Symbol.asyncIterator]() };
    let taken = 0;
    while (yield* nextCompleted(m, op, iterator)) {
      const signal = yield* m.run(op['body'] ?? [], h);
      if (signal === 'break') break;
      if (leavesLoop(signal)) return signal;
      if (++taken === op['take']) break;
    }
  } catch (error) {
    m.log('as_completed', 'end', '!', m.exception(error));
    throw error;
  }
  m.log('as_completed', 'end', '=');
  return undefined;
};

// ---- scopes -------------------------------------------------------------------------------------

ASYNC_OPS['timeout'] = function* (m, op, h) {
  const label = op['var'] ?? null;
  let scope: Timeout | null = null;
  let signal: Signal;
  try {
    let when = m.evaluate('at' in op ? op['at'] : op['ms']);
    if (!('at' in op) && when !== null) when += m.loop.time();
    scope = new Timeout(when);
    m.store(op, 'var', scope);
    scope.enter();
    try {
      signal = yield* m.run(op['body'], h);
    } catch (error) {
      throw scope.exit(error);
    }
    scope.exit();
  } catch (error) {
    m.log('timeout', label, '!', m.exception(error), scope?.expired() ?? false);
    throw error;
  }
  m.log('timeout', label, '=', scope.expired());
  return signal;
};

SYNC_OPS['reschedule'] = (m, op) => {
  m.sync(op, op['var'], () => {
    const scope: Timeout = m.get(op['var'], 'reschedule');
    const when = 'in' in op ? m.loop.time() + m.evaluate(op['in']) : m.evaluate(op['at']);
    scope.reschedule(when);
  });
  return undefined;
};

ASYNC_OPS['group'] = function* (m, op, h) {
  const label = op['var'] ?? null;
  let signal: Signal;
  try {
    const group = new TaskGroup();
    m.store(op, 'var', group);
    group.enter();
    let failure: { value: unknown } | undefined;
    try {
      signal = yield* m.run(op['body'], h);
    } catch (error) {
      failure = { value: error };
    }
    yield group.exit(failure);
  } catch (error) {
    m.log('group', label, '!', m.exception(error));
    throw error;
  }
  m.log('group', label, '=');
  return signal;
};

ASYNC_OPS['with'] = function* (m, op, h) {
  const label = op['var'];
  let signal: Signal;
  try {
    const target = m.get(label, 'enter');
    m.log('with', label, 'enter', m.value(yield target.enter()));
    let failure: { value: unknown } | undefined;
    try {
      signal = yield* m.run(op['body'], h);
    } catch (error) {
      failure = { value: error };
    }
    const exiting = target.exit();
    if (exiting !== undefined) yield exiting;
    if (failure !== undefined) throw failure.value;
  } catch (error) {
    m.log('with', label, '!', m.exception(error));
    throw error;
  }
  m.log('with', label, 'exit');
  return signal;
};

// ---- locks and queues ---------------------------------------------------------------------------

/** Ops that await one method of a variable. */
function awaitOp(name: string, method: string, args: (m: Machine, op: Op) => unknown[] = () => []) {
  ASYNC_OPS[name] = function* (m, op) {
    yield* m.wait(op, op['var'], () => m.get(op['var'], method)[method](...args(m, op)));
    return undefined;
  };
}

awaitOp('acquire', 'acquire');
awaitOp('event_wait', 'wait');
awaitOp('cond_wait', 'wait');
awaitOp('cond_wait_for', 'waitFor', (m, op) => [() => m.evaluate(op['cond'])]);
awaitOp('barrier_wait', 'wait');
awaitOp('barrier_abort', 'abort');
awaitOp('barrier_reset', 'reset');
awaitOp('get', 'get');
awaitOp('put', 'put', (m, op) => [m.evaluate(op['item'])]);
awaitOp('join', 'join');
methodOp('release', 'release');
methodOp('event_set', 'set');
methodOp('event_clear', 'clear');
methodOp('notify', 'notify', (m, op) => [m.evaluate(op['n'] ?? 1)]);
methodOp('notify_all', 'notifyAll');
methodOp('put_nowait', 'putNowait', (m, op) => [m.evaluate(op['item'])]);
methodOp('get_nowait', 'getNowait');
methodOp('task_done', 'taskDone');
methodOp('shutdown', 'shutdown', (_m, op) => [op['immediate'] ?? false]);
