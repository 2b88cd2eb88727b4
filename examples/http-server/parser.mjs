// Requests from bytes. http-parser-js reads the syntax; what it lets pass and a server must not,
// and how much of everything there may be, is decided here.
import { HTTPParser, methods } from 'http-parser-js';
import { HttpError } from './response.mjs';

// Bytes above 127 stay what they are. The parser's own choice, ASCII, turns some into line feeds.
HTTPParser.encoding = 'latin1';

const { kOnHeadersComplete, kOnBody, kOnMessageComplete, REQUEST } = HTTPParser;
const NOTHING = Buffer.alloc(0);
const DIGITS = /^\d+$/;
// RFC 9110, 5.6: what a name may consist of, and a quoted text.
const TOKEN = "[!#$%&'*+.^_`|~\\da-z-]+";
const QUOTED = '"(?:[^"\\\\]|\\\\.)*"';
// RFC 9112, 7.1: a size, and extensions that nobody here knows and everybody must be able to skip.
const EXTENSION = `[ \\t]*;[ \\t]*${TOKEN}(?:[ \\t]*=[ \\t]*(?:${TOKEN}|${QUOTED}))?`;
const CHUNK_HEAD = new RegExp(`^[\\da-f]{1,8}(?:${EXTENSION})*$`, 'i');
const HEADER = new RegExp(`^${TOKEN}:`, 'i');
// A NUL, a line break by itself and other controls: programs behind a server read them otherwise.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\0-\x08\n-\x1f\x7f]/;
const HOST = /^[\w.~!$&'()*+;=%:[\]-]*$/;
const CR = 0x0d;

/** One request, complete with its body. */
class HttpRequest {
  /** All of the body. */
  body = NOTHING;
  #headers = null;

  constructor({ method, url, headers, shouldKeepAlive, versionMajor, versionMinor }) {
    this.method = methods[method];
    this.url = url;
    this.version = `${versionMajor}.${versionMinor}`;
    /** Names and values, as they came. */
    this.rawHeaders = headers;
    this.keepAlive = shouldKeepAlive;
  }

  /** The URL without what comes after `?`. */
  get path() {
    const end = this.url.indexOf('?');
    return end < 0 ? this.url : this.url.slice(0, end);
  }

  /** What comes after `?`. */
  get query() {
    return new URLSearchParams(this.url.slice(this.path.length));
  }

  /** A Map by names in lower case; several headers of one name are one, with commas. */
  get headers() {
    if (this.#headers !== null) return this.#headers;
    const map = new Map();
    for (let i = 0; i < this.rawHeaders.length; i += 2) {
      const [name, value] = [this.rawHeaders[i].toLowerCase(), this.rawHeaders[i + 1]];
      map.set(name, map.has(name) ? `${map.get(name)}, ${value}` : value);
    }
    this.#headers = map;
    return map;
  }
}

/** Bytes that come in parts. The first part mostly is all there is, and is not copied. */
class Body {
  #memory = NOTHING;
  size = 0;

  push(part) {
    const size = this.size + part.length;
    if (this.size === 0) this.#memory = part;
    else {
      if (size > this.#memory.length) this.#grow(2 * size);
      this.#memory.set(part, this.size);
    }
    this.size = size;
  }

  bytes() {
    return this.#memory.subarray(0, this.size);
  }

  #grow(size) {
    const larger = Buffer.allocUnsafeSlow(size);
    larger.set(this.bytes());
    this.#memory = larger;
  }
}

/** Only chunks, and only once and at the end, say where a body ends (RFC 9112, 6.1). */
function checkEncoding(value) {
  const codings = value.toLowerCase().split(/[ \t]*,[ \t]*/);
  if (codings.length === 1 && codings[0] === 'chunked') return;
  const ends = codings.indexOf('chunked') === codings.length - 1;
  throw new HttpError(ends ? 501 : 400, `Transfer-Encoding: ${value}`);
}

/** Feed it what was read, and take the requests that are complete. */
export class RequestParser extends HTTPParser {
  /** The client waits for "100 Continue" before it sends the body. */
  expectsContinue = false;
  #limits;
  #complete = [];
  #current = null;
  #body = null;
  #headBytes = 0;
  #error = null;

  /** @param limits - `headBytes` and `bodyBytes` */
  constructor(limits) {
    super(REQUEST);
    this.#limits = limits;
    this.maxHeaderSize = Infinity; // it would count bodies, too: we count ourselves
  }

  /** Some bytes; they must not change any more. */
  feed(data) {
    for (let offset = 0; offset < data.length && this.#error === null; ) {
      const result = this.#execute(data, offset);
      if (result instanceof Error) this.#fail(result);
      else if (this.line.length > this.#limits.headBytes) this.#fail(new HttpError(431));
      else offset += result; // it stops early at what looks like an upgrade
    }
  }

  /** Whether `next()` has something to say. */
  get ready() {
    return this.#complete.length > 0 || this.#error !== null;
  }

  /** The next complete request. What came before an error is served before it is thrown. */
  next() {
    if (this.#complete.length === 0) throw this.#error;
    return this.#complete.shift();
  }

  #execute(data, offset) {
    try {
      return this.execute(data, offset, data.length - offset);
    } catch (error) {
      return error; // ours
    }
  }

  #fail(error) {
    this.#error = error instanceof HttpError ? error : new HttpError(400, error.message);
  }

  // ---- called by the parser ---------------------------------------------------------------------

  parseHeader(line, headers) {
    this.#headBytes += line.length;
    if (this.#headBytes > this.#limits.headBytes) throw new HttpError(431);
    if (!HEADER.test(line)) throw new HttpError(400, 'a header without a name');
    super.parseHeader(line, headers);
  }

  /** Every line of a head, of chunks and of trailers: it ends in CR LF, and has no other controls. */
  consumeLine() {
    const { line: begun, offset } = this;
    const line = super.consumeLine();
    if (line === undefined) return undefined;
    const feed = this.offset - 1;
    const ended = feed > offset ? this.chunk[feed - 1] === CR : begun.endsWith('\r');
    if (!ended) throw new HttpError(400, 'a line without its CR');
    if (CONTROL.test(line)) throw new HttpError(400, 'a control character');
    if (this.state === 'BODY_CHUNKHEAD' && !CHUNK_HEAD.test(line)) {
      throw new HttpError(400, 'a chunk without a size');
    }
    return line;
  }

  [kOnHeadersComplete](info) {
    this.#check(info);
    this.#current = new HttpRequest(info);
    info.upgrade = false; // we stay with HTTP/1.1: whoever offers something else gets that
  }

  /** Two readings of one message are how requests are smuggled: what is ambiguous is refused. */
  #check(info) {
    const { headers } = info;
    let hosts = 0;
    let lengths = 0;
    let encodings = 0;
    for (let i = 0; i < headers.length; i += 2) {
      const value = headers[i + 1];
      switch (headers[i].toLowerCase()) {
        case 'host':
          hosts++;
          if (!HOST.test(value)) throw new HttpError(400, 'Host is no host');
          break;
        case 'content-length':
          lengths++;
          if (!DIGITS.test(value)) throw new HttpError(400, 'Content-Length is no number');
          if (Number(value) > this.#limits.bodyBytes) throw new HttpError(413);
          break;
        case 'transfer-encoding':
          encodings++;
          checkEncoding(value);
          break;
        case 'expect':
          this.expectsContinue = value.toLowerCase() === '100-continue';
          break;
      }
    }
    if (info.versionMajor !== 1) throw new HttpError(505);
    if (hosts !== 1 && (info.versionMinor > 0 || hosts > 1)) throw new HttpError(400, 'one Host');
    if (lengths + encodings > 1) throw new HttpError(400, 'two lengths');
    if (encodings > 0 && info.versionMinor === 0) throw new HttpError(400, 'chunks in HTTP/1.0');
    if (encodings > 0 && !this.isChunked) throw new HttpError(400, 'an upgrade with a body');
    if (methods[info.method] === 'CONNECT') throw new HttpError(501, 'CONNECT');
  }

  [kOnBody](buffer, start, length) {
    this.expectsContinue = false;
    this.#body ??= new Body();
    if (this.#body.size + length > this.#limits.bodyBytes) throw new HttpError(413);
    this.#body.push(buffer.subarray(start, start + length));
  }

  [kOnMessageComplete]() {
    if (this.#body !== null) this.#current.body = this.#body.bytes();
    this.#complete.push(this.#current);
    this.#current = this.#body = null;
    this.#headBytes = 0;
    this.expectsContinue = false;
  }

  reinitialize(type) {
    this.initialize(type);
  }
}
