// The smallest server with a client: both are coroutines, and wait for each other's lines.
import { openConnection, run, startServer } from 'ringloop';

function* echo(reader, writer) {
  console.log('server: somebody is there');
  for (;;) {
    const line = yield* reader.readLine();
    if (line.length === 0) break; // the end: a line has its newline, at least
    console.log(`server: got ${line.toString().trimEnd()}`);
    writer.write(line);
    yield* writer.drain(); // who does not read makes us wait, not run out of memory
  }
  console.log('server: nothing more will come');
} // here the connection is closed

await run(function* () {
  const server = yield* startServer(echo, '127.0.0.1', 0);
  const [reader, writer] = yield* openConnection('127.0.0.1', server.port);
  for (const word of ['Hello', 'World']) {
    writer.write(`${word}\n`);
    const line = yield* reader.readLine();
    console.log(`client: got ${line.toString().trimEnd()} back`);
  }
  writer.close();
  yield* writer.waitClosed();
  console.log('client: closed');
  yield* server.shutdown();
  console.log('server: closed');
});
