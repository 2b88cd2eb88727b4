/** Everything public, and nothing else. */
export {
  BrokenBarrierError,
  BrokenChannel,
  CancelledError,
  ClosedChannel,
  DeadlockError,
  EndOfChannel,
  IncompleteReadError,
  InvalidStateError,
  isCancelledError,
  KeyboardInterrupt,
  Lagged,
  LimitOverrunError,
  QueueEmpty,
  QueueFull,
  QueueShutDown,
  RuntimeError,
  SystemExit,
  TimeoutError,
  WouldBlock,
} from './errors.js';
export { type ErrorCondition, ExceptionGroup } from './exception-group.js';
export { Context, ContextVar, copyContext, Token } from './loop/context.js';
export type { SchedulerOptions } from './loop/dispatcher.js';
export { Handle, TimerHandle } from './loop/handle.js';
export { callRemote, type Remote, type RemoteAddress } from './loop/remote.js';
export type { LoopStatistics } from './loop/scheduler.js';
export type { SocketAddress } from './net/address.js';
export { connectReadPipe, connectWritePipe } from './net/connect-pipe.js';
export {
  type Connection,
  type ConnectionOptions,
  connectAcceptedSocket,
  createConnection,
  createUnixConnection,
} from './net/create-connection.js';
export {
  createDatagramEndpoint,
  type DatagramEndpointOptions,
} from './net/create-datagram-endpoint.js';
export {
  createServer,
  createUnixServer,
  type ProtocolFactory,
  type ServerOptions,
  type TcpServerOptions,
} from './net/create-server.js';
export type { DatagramAddress } from './net/datagram-address.js';
export type { DatagramTransport } from './net/datagram-transport.js';
export {
  type FromNodeStreamOptions,
  fromNodeStream,
  type NodeStreamOptions,
  toNodeStream,
} from './net/node-streams.js';
export {
  BufferedProtocol,
  DatagramProtocol,
  Protocol,
  type StreamProtocol,
} from './net/protocol.js';
export type { ReadPipeTransport } from './net/read-pipe-transport.js';
export type { AddressFamily } from './net/resolve.js';
export { type SendfileOptions, sendfile } from './net/sendfile.js';
export type { Server } from './net/server.js';
export { StreamReader, type StreamReaderStatistics } from './net/stream-reader.js';
export type { StreamWriter } from './net/stream-writer.js';
export {
  type ClientConnected,
  openConnection,
  openUnixConnection,
  type StreamOptions,
  type Streams,
  startServer,
  startUnixServer,
} from './net/streams.js';
export type { SystemError } from './net/system-error.js';
export {
  type ClientSsl,
  type ClientSslOptions,
  type ServerSsl,
  type ServerSslOptions,
  type SslOptions,
  type SslTimeouts,
  type StartTlsOptions,
  startTls,
} from './net/tls.js';
export type { Transport, WriteBufferLimits, WriteData } from './net/transport.js';
export { fromWebStreams, toWebStreams, type WebStreams } from './net/web-streams.js';
export type { WritePipeTransport } from './net/write-pipe-transport.js';
export { Barrier, type BarrierStatistics } from './sync/barrier.js';
export { BoundedSemaphore } from './sync/bounded-semaphore.js';
export {
  Broadcast,
  type BroadcastOptions,
  type BroadcastStatistics,
  broadcast,
  type SlowPolicy,
  Subscription,
} from './sync/broadcast.js';
export { type ChannelStatistics, memoryChannel, Receiver, Sender } from './sync/channel.js';
export { Condition, type ConditionStatistics } from './sync/condition.js';
export { Event, type EventStatistics } from './sync/event.js';
export { Hold } from './sync/hold.js';
export { LifoQueue } from './sync/lifo-queue.js';
export { type LimitOptions, limit } from './sync/limit.js';
export { Lock, type LockStatistics } from './sync/lock.js';
export { type Compare, PriorityQueue, type PriorityQueueOptions } from './sync/priority-queue.js';
export { Queue, type QueueStatistics } from './sync/queue.js';
export { RateLimiter, type RateLimiterStatistics, rateLimit } from './sync/rate-limit.js';
export { type RetryOptions, retry } from './sync/retry.js';
export { type Selected, select } from './sync/select.js';
export { Semaphore, type SemaphoreStatistics } from './sync/semaphore.js';
export { type Acquirable, withLock } from './sync/with-lock.js';
export type { Abortable } from './tasks/abortable.js';
export { type AsCompleted, type AsCompletedOptions, asCompleted } from './tasks/as-completed.js';
export {
  CancelScope,
  type CancelScopeOptions,
  cancelScope,
  currentScope,
} from './tasks/cancel-scope.js';
export { Coroutine } from './tasks/coroutine.js';
export { createTask } from './tasks/create-task.js';
export { getEventLoop, getRunningLoop } from './tasks/current-loop.js';
export { allTasks, currentTask } from './tasks/current-task.js';
export { ensureFuture } from './tasks/ensure-future.js';
export { EventLoop, type TaskFactory } from './tasks/event-loop.js';
export { failAfter } from './tasks/fail-after.js';
export { Future, isFuture } from './tasks/future.js';
export { type GatherOptions, gather } from './tasks/gather.js';
export { moveOnAfter } from './tasks/move-on-after.js';
export { type RunOptions, run } from './tasks/run.js';
export { Runner, type RunnerOptions } from './tasks/runner.js';
export { shield } from './tasks/shield.js';
export { type SleepOptions, sleep } from './tasks/sleep.js';
export { Task, type TaskOptions } from './tasks/task.js';
export { defaultTaskFactory, eagerTaskFactory } from './tasks/task-factory.js';
export { TaskGroup, taskGroup } from './tasks/task-group.js';
export { Timeout, timeout, timeoutAt } from './tasks/timeout.js';
export { type UntilOptions, until } from './tasks/until.js';
export {
  ALL_COMPLETED,
  FIRST_COMPLETED,
  FIRST_EXCEPTION,
  type WaitOptions,
  wait,
} from './tasks/wait.js';
export { waitFor } from './tasks/wait-for.js';
export type {
  Awaitable,
  Awaited,
  Clock,
  ExceptionContext,
  ExceptionHandler,
  GeneratorCoroutine,
  Runnable,
  Yieldable,
} from './types.js';
