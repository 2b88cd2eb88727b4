// A server for HTTP/1.1 on streams. Each connection is a task that reads a request, has it answered,
// and does so again; requests that come without waiting for answers are answered in their order.
import {
  failAfter,
  getRunningLoop,
  isCancelledError,
  moveOnAfter,
  startServer,
  TimeoutError,
} from 'ringloop';
import { RequestParser } from './parser.mjs';
import { HttpError, text, writeResponse } from './response.mjs';

/** How much of everything, and for how long. */
export const LIMITS = {
  headBytes: 16 * 1024,
  bodyBytes: 1024 * 1024,
  /** A connection without a request is closed. */
  keepAliveMs: 5000,
  /** From a request's first bytes to its last. */
  requestMs: 10_000,
  /** For a handler that waits. */
  handlerMs: 5000,
  /** For a client to take so much of the responses that more can be written. */
  sendMs: 10_000,
  /** For a client to notice that its connection is being closed. */
  lingerMs: 1000,
};

const READ_BYTES = 64 * 1024;
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';

/** The client has gone away: nobody is left to tell. */
function isLostConnection(error) {
  return error instanceof Error && 'syscall' in error;
}

/** What has become of a handler's error. */
function responseTo(error, { method, url }) {
  if (error instanceof HttpError) return text(`${error.message}\n`, { status: error.status });
  if (error instanceof TimeoutError) return text('it takes too long\n', { status: 503 });
  const message = `${method} ${url} failed`;
  getRunningLoop().callExceptionHandler({ message, exception: error });
  return text('something is wrong here\n', { status: 500 });
}

class Connection {
  #idle = false;
  #parser;
  #reader;
  #writer;
  #server;
  #limits;

  constructor(reader, writer, server) {
    this.#reader = reader;
    this.#writer = writer;
    this.#server = server;
    this.#limits = server.limits;
    this.#parser = new RequestParser(server.limits);
  }

  *serve() {
    try {
      yield* this.#serveRequests();
    } catch (error) {
      if (error instanceof HttpError) yield* this.#refuse(error);
      else if (error instanceof TimeoutError) this.#writer.transport.abort();
      else if (!isLostConnection(error)) throw error;
    }
  }

  closeIfIdle() {
    if (this.#idle) this.#writer.close();
  }

  *#serveRequests() {
    for (let keepAlive = true; keepAlive; ) {
      if (!this.#parser.ready && !(yield* this.#receive())) return;
      const request = this.#parser.next();
      yield* this.#answer(request);
      keepAlive = this.#keepsAlive(request);
      if (this.#mustDrain()) yield* failAfter(this.#limits.sendMs, () => this.#writer.drain());
    }
    yield* this.#sayGoodbye();
  }

  // ---- requests ---------------------------------------------------------------------------------

  /** Reads until there is a request. false: there will be none. */
  *#receive() {
    const { keepAliveMs, requestMs } = this.#limits;
    if (this.#server.draining) return false;
    this.#idle = true;
    const begun = yield* moveOnAfter(keepAliveMs, () => this.#read());
    this.#idle = false;
    if (!begun || this.#parser.ready) return begun;
    const complete = yield* moveOnAfter(requestMs, () => this.#readRest());
    if (complete === undefined) throw new HttpError(408);
    return complete;
  }

  /** false: the client sends nothing more. */
  *#read() {
    const data = yield* this.#reader.read(READ_BYTES);
    if (data.length === 0) return false;
    this.#parser.feed(data);
    return true;
  }

  *#readRest() {
    while (!this.#parser.ready) {
      if (this.#parser.expectsContinue) {
        this.#parser.expectsContinue = false;
        this.#writer.write(CONTINUE);
      }
      if (!(yield* this.#read())) return false;
    }
    return true;
  }

  // ---- responses --------------------------------------------------------------------------------

  *#answer(request) {
    try {
      let answer = this.#server.handler(request);
      // A coroutine or a promise: the answer comes later.
      if (answer.status === undefined) {
        const answers = answer;
        answer = yield* failAfter(this.#limits.handlerMs, () => answers);
      }
      this.#write(request, answer);
    } catch (error) {
      if (isCancelledError(error)) throw error;
      this.#write(request, responseTo(error, request));
    }
  }

  #write(request, response) {
    const how = { keepAlive: this.#keepsAlive(request), isHead: request.method === 'HEAD' };
    writeResponse(this.#writer, response, how);
  }

  #keepsAlive(request) {
    return request.keepAlive && !this.#server.draining;
  }

  #mustDrain() {
    return this.#writer.transport.getWriteBufferSize() > 0;
  }

  /** The request is not to be had, and neither is what is behind it. */
  *#refuse({ status, message }) {
    const response = text(`${message}\n`, { status });
    writeResponse(this.#writer, response, { keepAlive: false, isHead: false });
    yield* this.#sayGoodbye();
  }

  /**
   * After the last response the client may still be sending. If the connection were closed with
   * bytes unread, the kernel would reset it, and the response would be lost.
   */
  *#sayGoodbye() {
    this.#writer.writeEof();
    yield* moveOnAfter(this.#limits.lingerMs, () => this.#skipRest());
  }

  *#skipRest() {
    try {
      while ((yield* this.#reader.read(READ_BYTES)).length > 0);
    } catch (error) {
      if (!isLostConnection(error)) throw error;
    }
  }
}

class HttpServer {
  /** Every connection is closed after its current request. */
  draining = false;
  #connections = new Set();
  #server = null;

  constructor(handler, limits) {
    this.handler = handler;
    this.limits = limits;
  }

  get port() {
    return this.#server.port;
  }

  *start(host, port, options) {
    const server = this;
    this.#server = yield* startServer(
      function* (reader, writer) {
        yield* server.#serve(new Connection(reader, writer, server));
      },
      host,
      port,
      options,
    );
  }

  /**
   * Accepts nothing more, and closes idle connections. Requests under way are answered; after
   * `graceMs` they are cancelled.
   */
  *shutdown(graceMs) {
    this.draining = true;
    for (const connection of this.#connections) connection.closeIfIdle();
    yield* this.#server.shutdown(graceMs);
  }

  *#serve(connection) {
    this.#connections.add(connection);
    try {
      yield* connection.serve();
    } finally {
      this.#connections.delete(connection);
    }
  }
}

/**
 * Starts a server.
 *
 * @param handler - gets each request; returns the response, or a coroutine or a promise of it, or
 *   throws an HttpError
 * @param options - `limits`, in place of those of `LIMITS`; otherwise those of `startServer`
 */
export function* startHttpServer(handler, host, port, { limits, ...options } = {}) {
  const server = new HttpServer(handler, { ...LIMITS, ...limits });
  yield* server.start(host, port, options);
  return server;
}
