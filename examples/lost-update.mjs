// Two coroutines read a balance, wait, and write it back: one withdrawal is lost, though there is
// one thread only. With a Lock around reading and writing it is not.
import { gather, Lock, run, sleep, withLock } from 'ringloop';

/** An account somewhere else: reading it and writing it take time. */
class Account {
  #balance;

  constructor(balance) {
    this.#balance = balance;
  }

  *read() {
    yield* sleep(1);
    return this.#balance;
  }

  *write(balance) {
    yield* sleep(1);
    this.#balance = balance;
  }
}

function* withdraw(account, amount) {
  const balance = yield* account.read(); // both read 100 ...
  yield* account.write(balance - amount); // ... and the second write buries the first
}

function* withdrawLocked(account, amount, lock) {
  yield* withLock(lock, () => withdraw(account, amount));
}

await run(function* () {
  const careless = new Account(100);
  yield* gather(withdraw(careless, 30), withdraw(careless, 50));
  console.log(`without a lock: ${yield* careless.read()}, and 30 were lost`);

  const careful = new Account(100);
  const lock = new Lock();
  yield* gather(withdrawLocked(careful, 30, lock), withdrawLocked(careful, 50, lock));
  console.log(`with a lock: ${yield* careful.read()}`);
});
