// The smallest program: two words, and the time between them.
import { run, sleep } from 'ringloop';

await run(function* () {
  console.log('Hello');
  yield* sleep(1000);
  console.log('World');
});
