// Responses, and how they become bytes.
import { STATUS_CODES } from 'node:http';

const STATUS_LINES = new Map(
  Object.entries(STATUS_CODES).map(([code, text]) => [
    Number(code),
    `HTTP/1.1 ${code} ${text}\r\n`,
  ]),
);
const LINE_BREAK = /[\r\n]/;
const SECOND_MS = 1000;

/** Thrown by a handler, or for a request that cannot be served: it becomes the response. */
export class HttpError extends Error {
  constructor(status, message = STATUS_CODES[status], options) {
    super(message, options);
    this.status = status;
  }
}

/** A response with some text; `headers` come in addition. */
export function text(body, { status = 200, headers } = {}) {
  return { status, type: 'text/plain; charset=utf-8', headers, body };
}

/** A response with a value as JSON. */
export function json(value, { status = 200, headers } = {}) {
  return { status, type: 'application/json', headers, body: JSON.stringify(value) };
}

let dateSecond = Number.NaN;
let dateLine = '';

/** The header is made once a second. */
function dateHeader() {
  const second = Math.floor(Date.now() / SECOND_MS);
  if (second !== dateSecond) {
    dateSecond = second;
    dateLine = `Date: ${new Date(second * SECOND_MS).toUTCString()}\r\n`;
  }
  return dateLine;
}

/** Names and values of a response's own; a line break would let a value write headers. */
function ownHeaders(headers) {
  let lines = '';
  for (const name of Object.keys(headers)) {
    const line = `${name}: ${headers[name]}`;
    if (LINE_BREAK.test(line)) throw new TypeError(`a line break in the header ${name}`);
    lines += `${line}\r\n`;
  }
  return lines;
}

function hasNoBody(status) {
  return status === 204 || status === 304;
}

/**
 * The head of a response.
 *
 * @param response - `status`, `type`, `headers`, `body`: text or bytes
 */
function headOf({ status, type, headers, body }, keepAlive) {
  const statusLine = STATUS_LINES.get(status);
  if (statusLine === undefined) throw new RangeError(`there is no status ${status}`);
  let head = statusLine + dateHeader();
  if (!hasNoBody(status)) head += `Content-Length: ${Buffer.byteLength(body)}\r\n`;
  if (type !== undefined) head += `Content-Type: ${type}\r\n`;
  if (headers !== undefined) head += ownHeaders(headers);
  head += keepAlive ? 'Connection: keep-alive\r\n\r\n' : 'Connection: close\r\n\r\n';
  return head;
}

/**
 * Writes a response with one call, and so mostly with one system call and one packet.
 *
 * @param isHead - the answer to HEAD: all of it but the body
 */
export function writeResponse(writer, response, { keepAlive, isHead }) {
  const head = headOf(response, keepAlive);
  const { status, body } = response;
  if (isHead || hasNoBody(status)) writer.write(head);
  else if (typeof body === 'string') writer.write(head + body);
  else writer.writelines([head, body]);
}
