/**
 * An echo server: `node bench/echo.js MODE`.
 *
 *   protocol        receives into memory that is used again and sends from it, as servers in C do
 *   data            the plain protocol: every message in memory of its own
 *   streams         streams, one generator coroutine for each connection
 *   streams-async   streams, one async function for each connection
 *
 * Prints {"port": N} when it listens, and echoes until it is killed.
 */
'use strict';
const ringloop = require('..');

/** Receives into the thread's own memory, and sends from it. */
class BufferedEcho extends ringloop.BufferedProtocol {
  connectionMade(transport) {
    this.transport = transport;
  }

  bufferUpdated(_count, data) {
    this.transport.write(data);
  }

  pauseWriting() {
    this.transport.pauseReading();
  }

  resumeWriting() {
    this.transport.resumeReading();
  }
}

class Echo extends ringloop.Protocol {
  connectionMade(transport) {
    this.transport = transport;
  }

  dataReceived(data) {
    this.transport.write(data);
  }

  pauseWriting() {
    this.transport.pauseReading();
  }

  resumeWriting() {
    this.transport.resumeReading();
  }
}

function* echoStreams(reader, writer) {
  for (;;) {
    const data = yield* reader.read(256 * 1024);
    if (data.length === 0) return;
    writer.write(data);
    yield* writer.drain();
  }
}

async function echoStreamsAsync(reader, writer) {
  for (;;) {
    const data = await reader.read(256 * 1024);
    if (data.length === 0) return;
    writer.write(data);
    await writer.drain();
  }
}

const MODES = {
  protocol: () => ringloop.createServer(() => new BufferedEcho(), '127.0.0.1', 0, OPTIONS),
  data: () => ringloop.createServer(() => new Echo(), '127.0.0.1', 0, OPTIONS),
  streams: () => ringloop.startServer(echoStreams, '127.0.0.1', 0, OPTIONS),
  'streams-async': () => ringloop.startServer(echoStreamsAsync, '127.0.0.1', 0, OPTIONS),
};
const OPTIONS = { backlog: 4096 };

const mode = MODES[process.argv[2] ?? 'protocol'];
if (mode === undefined) {
  console.error(`modes: ${Object.keys(MODES).join(', ')}`);
  process.exit(2);
}
// Clients that reset their connection are none of a benchmark's business.
ringloop.run(function* () {
  ringloop.getRunningLoop().setExceptionHandler(() => {});
  const server = yield* mode();
  console.log(JSON.stringify({ port: server.port }));
  yield* server.serveForever();
});
