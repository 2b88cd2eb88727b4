/** LifoQueue: the newest item first. */
import { Queue, type Store } from './queue.js';

class Stack<T> implements Store<T> {
  private readonly items: T[] = [];

  get size(): number {
    return this.items.length;
  }

  push(item: T): void {
    this.items.push(item);
  }

  shift(): T | undefined {
    return this.items.pop();
  }
}

/** A queue that returns the newest item first. Counterpart: `asyncio.LifoQueue`. */
export class LifoQueue<T = unknown> extends Queue<T> {
  /** @internal */
  protected override makeStore(): Store<T> {
    return new Stack<T>();
  }
}
