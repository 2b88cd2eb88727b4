/** Hold: what `using` gives back at the end of a block. */

/** Something that was acquired: `using _ = yield* lock.hold()`. */
export class Hold {
  private held = true;

  /** @internal */
  constructor(private readonly owner: { release(): void }) {}

  /** Gives it back, once; calling it again does nothing. */
  release(): void {
    if (!this.held) return;
    this.held = false;
    this.owner.release();
  }

  /** The end of a `using` block. */
  [Symbol.dispose](): void {
    this.release();
  }
}
