/**
 * WaitList: those who wait, first come first served.
 *
 * Facts. A wait that is cancelled leaves from the middle. asyncio searches a deque for it.
 * Decision. The links are in the waits themselves: joining and leaving cost no allocation and no
 * search. A list belongs to the loop of the first who waited, as in asyncio.
 * Invariants. `size` counts what is linked; a wait is in at most one list.
 */
import { RuntimeError } from '../errors.js';
import type { EventLoop } from './event-loop.js';
import type { Waiting } from './waiting.js';

/** A doubly linked list of waits. */
export class WaitList {
  first: Waiting<any> | null = null;
  size = 0;
  private last: Waiting<any> | null = null;
  private loop: EventLoop | null = null;

  /** @param owner - for the message when two loops use it */
  constructor(private readonly owner: object) {}

  /** Joins at the end. @throws RuntimeError if somebody waited here on another loop */
  push(waiting: Waiting<any>): void {
    if (this.loop !== waiting.loop) this.bind(waiting.loop);
    waiting.list = this;
    waiting.previous = this.last;
    if (this.last === null) this.first = waiting;
    else this.last.following = waiting;
    this.last = waiting;
    this.size++;
  }

  /** Leaves, if it is in this list. */
  remove(waiting: Waiting<any>): void {
    if (waiting.list !== this) return;
    const { previous, following } = waiting;
    if (previous === null) this.first = following;
    else previous.following = following;
    if (following === null) this.last = previous;
    else following.previous = previous;
    waiting.list = waiting.previous = waiting.following = null;
    this.size--;
  }

  /** The first leaves. */
  shift(): Waiting<any> | null {
    const { first } = this;
    if (first !== null) this.remove(first);
    return first;
  }

  /** All of them; whoever changes the list meanwhile makes a copy first. */
  *[Symbol.iterator](): Generator<Waiting<any>, void, undefined> {
    for (let next = this.first; next !== null; next = next.following) yield next;
  }

  /** The first that was not woken and not cancelled; with `shift`, those before it leave. */
  firstWaiting(): Waiting<any> | null {
    let waiting = this.first;
    while (waiting !== null && !waiting.waits()) waiting = waiting.following;
    return waiting;
  }

  /** Whether somebody in the list was neither cancelled nor failed. */
  hasClaimants(): boolean {
    for (let waiting = this.first; waiting !== null; waiting = waiting.following) {
      if (waiting.waits() || waiting.wasWoken()) return true;
    }
    return false;
  }

  private bind(loop: EventLoop): void {
    if (this.loop !== null) {
      throw new RuntimeError(`${this.owner} is bound to a different event loop`);
    }
    this.loop = loop;
  }
}
