import assert from 'node:assert/strict';
import { join } from 'node:path';
import { randomFrom } from '../support/both-kinds.js';
import { CHECKOUT } from '../support/capture.js';

interface Deque<T> {
  readonly size: number;
  push(item: T): void;
  unshift(item: T): void;
  shift(): T | undefined;
}

/** It is not public. */
const { Deque } = require(join(CHECKOUT, 'dist', 'sync', 'deque.js')) as {
  Deque: new <T>() => Deque<T>;
};

describe('Deque', () => {
  it('has nothing in the beginning', () => {
    const deque = new Deque<number>();
    assert.equal(deque.size, 0);
    assert.equal(deque.shift(), undefined);
    assert.equal(deque.size, 0);
  });

  it('gives items out from the front, in order, however many there are', () => {
    const deque = new Deque<number>();
    for (let i = 0; i < 1000; i++) deque.push(i);
    for (let i = 1; i <= 1000; i++) deque.unshift(-i);
    assert.equal(deque.size, 2000);
    for (let i = -1000; i < 1000; i++) assert.equal(deque.shift(), i);
    assert.equal(deque.shift(), undefined);
  });

  it('takes undefined for an item', () => {
    const deque = new Deque<undefined>();
    deque.push(undefined);
    assert.equal(deque.size, 1);
    assert.equal(deque.shift(), undefined);
    assert.equal(deque.size, 0);
  });

  it('keeps nothing alive that was taken', async () => {
    const deque = new Deque<object>();
    const reference = (() => {
      const item = {};
      deque.push(item);
      deque.shift();
      return new WeakRef(item);
    })();
    for (let i = 0; i < 10 && reference.deref() !== undefined; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      global.gc!();
    }
    assert.equal(reference.deref(), undefined);
  });

  it('does what an array would, in a hundred random programs', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = randomFrom(seed);
      const [deque, array] = [new Deque<number>(), [] as number[]];
      const growing = random();
      for (let i = 0; i < 500; i++) {
        if (random() >= growing) assert.equal(deque.shift(), array.shift(), `seed ${seed}`);
        else if (random() < 0.7) {
          deque.push(i);
          array.push(i);
        } else {
          deque.unshift(i);
          array.unshift(i);
        }
        assert.equal(deque.size, array.length, `seed ${seed}`);
      }
    }
  });
});
