/**
 * ExceptionGroup: several errors that happened side by side.
 *
 * Facts. Python has `except*`; JavaScript has one `catch` that gets everything.
 * Decision. `split` does what `except*` does: it divides a group, nested ones included, into what
 * matches and the rest. A part is made by `derive`, so that subclasses survive, and has the
 * message, the stack and the cause of the whole.
 */
import { named, show } from './errors.js';

/** Chooses errors: a class, several classes, or a function. */
export type ErrorCondition =
  | (abstract new (
      ...args: any
    ) => Error)
  | readonly (abstract new (
      ...args: any
    ) => Error)[]
  | ((error: unknown) => boolean);

/**
 * Several errors that happened side by side. Counterpart: Python's `ExceptionGroup` and
 * `BaseExceptionGroup`, which JavaScript has no reason to tell apart.
 */
export class ExceptionGroup extends AggregateError {
  /**
   * @param message - what they have in common
   * @param errors - at least one
   * @param options - `cause`
   * @throws TypeError if there is none
   */
  constructor(message: string, errors: Iterable<unknown>, options?: ErrorOptions) {
    super(errors, message, options);
    if (this.errors.length === 0) {
      throw new TypeError('ExceptionGroup: errors must be a non-empty sequence');
    }
  }

  /**
   * A group like this one with other errors: what `split` and `subgroup` make their parts with.
   * Subclasses with fields of their own override it.
   */
  derive(errors: Iterable<unknown>): ExceptionGroup {
    return new ExceptionGroup(this.message, errors);
  }

  /**
   * Divides the group in two, keeping how it is nested.
   *
   * @param condition - asked about every group and every error in it: a class (or several), or a
   *   function. A group that matches is taken as a whole.
   * @returns the errors that match and those that do not, each null if there are none
   * @throws TypeError if `condition` is none, or `derive` returns something else
   */
  split(condition: ErrorCondition): [match: ExceptionGroup | null, rest: ExceptionGroup | null] {
    return this.divide(predicateOf(condition));
  }

  /** The errors that match, as a group; null: there are none. See `split`. */
  subgroup(condition: ErrorCondition): ExceptionGroup | null {
    return this.split(condition)[0];
  }

  /** The errors themselves, without the groups between. */
  *leaves(): Generator<unknown, void, undefined> {
    for (const error of this.errors) {
      if (error instanceof ExceptionGroup) yield* error.leaves();
      else yield error;
    }
  }

  private divide(
    matches: (error: unknown) => boolean,
  ): [match: ExceptionGroup | null, rest: ExceptionGroup | null] {
    if (matches(this)) return [this, null];
    const matching: unknown[] = [];
    const others: unknown[] = [];
    for (const error of this.errors) {
      if (error instanceof ExceptionGroup) {
        const [match, rest] = error.divide(matches);
        if (match !== null) matching.push(match);
        if (rest !== null) others.push(rest);
      } else (matches(error) ? matching : others).push(error);
    }
    if (others.length === 0 && matching.length === 0) return [null, null];
    return [this.part(matching), this.part(others)];
  }

  private part(errors: unknown[]): ExceptionGroup | null {
    if (errors.length === 0) return null;
    const part: unknown = this.derive(errors);
    if (!(part instanceof ExceptionGroup)) {
      throw new TypeError(`derive must return an ExceptionGroup, got ${show(part)}`);
    }
    if (this.stack !== undefined) part.stack = this.stack;
    const cause = Object.getOwnPropertyDescriptor(this, 'cause');
    if (cause !== undefined) Object.defineProperty(part, 'cause', cause);
    return part;
  }
}
named(ExceptionGroup, 'ExceptionGroup');

function predicateOf(condition: ErrorCondition): (error: unknown) => boolean {
  if (Array.isArray(condition)) {
    const each = condition.map(predicateOf);
    return (error) => each.some((matches) => matches(error));
  }
  if (typeof condition !== 'function') {
    throw new TypeError(`split: expected an error class or a function, got ${show(condition)}`);
  }
  const { prototype } = condition as { prototype?: unknown };
  if (condition === Error || prototype instanceof Error) {
    return (error) => error instanceof (condition as new () => Error);
  }
  return condition as (error: unknown) => boolean;
}
