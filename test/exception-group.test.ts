import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { CancelledError, ExceptionGroup, isCancelledError } from 'ringloop';

/** The shape of a group: its message and, nested, what is in it. */
type Shape = [message: string, ...errors: (string | Shape)[]];

function shapeOf(group: ExceptionGroup): Shape {
  return [
    group.message,
    ...group.errors.map((each) => (each instanceof ExceptionGroup ? shapeOf(each) : String(each))),
  ];
}

const range = (message: string): RangeError => new RangeError(message);
const type = (message: string): TypeError => new TypeError(message);

/** Two levels, two kinds of errors on each. */
function nested(): ExceptionGroup {
  return new ExceptionGroup('outer', [
    type('a'),
    new ExceptionGroup('inner', [range('b'), type('c')]),
    new ExceptionGroup('types', [type('d')]),
    range('e'),
  ]);
}

/** A group with a field of its own, as they are written for Python's. */
class HttpGroup extends ExceptionGroup {
  constructor(
    message: string,
    errors: Iterable<unknown>,
    readonly status: number,
  ) {
    super(message, errors);
  }

  override derive(errors: Iterable<unknown>): HttpGroup {
    return new HttpGroup(this.message, errors, this.status);
  }
}

describe('ExceptionGroup', () => {
  it('is an AggregateError with a name of its own', () => {
    const errors = [range('a'), type('b')];
    const group = new ExceptionGroup('both', errors);
    assert.ok(group instanceof AggregateError && group instanceof Error);
    assert.equal(String(group), 'ExceptionGroup: both');
    assert.deepEqual(group.errors, errors);
    assert.notEqual(group.errors, errors, 'a later push into the array must not change it');
    assert.match(group.stack!, /both/);
    assert.equal(Object.keys(group).includes('message'), false);
  });

  it('takes its errors from anything that can be iterated, and whatever was thrown', () => {
    function* thrown(): Generator<unknown> {
      yield 'text';
      yield null;
    }
    assert.deepEqual(new ExceptionGroup('odd', thrown()).errors, ['text', null]);
    assert.deepEqual(new ExceptionGroup('odd', new Set([1])).errors, [1]);
  });

  it('is never empty', () => {
    const message = 'ExceptionGroup: errors must be a non-empty sequence';
    assert.throws(() => new ExceptionGroup('none', []), { name: 'TypeError', message });
    for (const wrong of [undefined, null, 5, {}]) {
      assert.throws(() => new ExceptionGroup('wrong', wrong as never), TypeError);
    }
  });

  it('has a cause, if it is told one', () => {
    const cause = range('why');
    const group = new ExceptionGroup('both', [type('a')], { cause });
    assert.equal(group.cause, cause);
    assert.deepEqual(Object.keys(group), [], 'as with every error, it is not enumerable');
    assert.equal('cause' in new ExceptionGroup('both', [type('a')]), false);
  });

  it('lists the errors without the groups between', () => {
    const names = [...nested().leaves()].map(String);
    assert.deepEqual(names, [
      'TypeError: a',
      'RangeError: b',
      'TypeError: c',
      'TypeError: d',
      'RangeError: e',
    ]);
  });

  it('does not look into an AggregateError of somebody else', () => {
    const foreign = new AggregateError([range('a')], 'Promise.any');
    const group = new ExceptionGroup('both', [foreign]);
    assert.deepEqual([...group.leaves()], [foreign]);
    assert.equal(group.subgroup(RangeError), null);
    assert.equal(group.subgroup(AggregateError), group, 'it is one itself');
  });

  it('shows all of its errors when it is printed', () => {
    const printed = inspect(nested(), { depth: Infinity });
    for (const message of ['outer', 'inner', 'a', 'b', 'c', 'd', 'e']) {
      assert.match(printed, new RegExp(`: ${message}\\b`));
    }
  });
});

describe('ExceptionGroup.split', () => {
  it('divides by a class, and keeps how it is nested', () => {
    const [match, rest] = nested().split(RangeError);
    assert.deepEqual(shapeOf(match!), ['outer', ['inner', 'RangeError: b'], 'RangeError: e']);
    assert.deepEqual(shapeOf(rest!), [
      'outer',
      'TypeError: a',
      ['inner', 'TypeError: c'],
      ['types', 'TypeError: d'],
    ]);
  });

  it('puts every error in one half, as it is', () => {
    const group = nested();
    const [match, rest] = group.split(RangeError);
    const halves = new Set([...match!.leaves(), ...rest!.leaves()]);
    assert.deepEqual(halves, new Set(group.leaves()));
    assert.ok([...match!.leaves()].every((each) => each instanceof RangeError));
    assert.ok([...rest!.leaves()].every((each) => each instanceof TypeError));
  });

  it('leaves the group as it was', () => {
    const group = nested();
    const before = shapeOf(group);
    group.split(RangeError);
    group.split(() => false);
    assert.deepEqual(shapeOf(group), before);
  });

  it('takes a group that matches as a whole, without a copy', () => {
    const group = nested();
    for (const whole of [Error, AggregateError, ExceptionGroup, () => true]) {
      assert.deepEqual(group.split(whole), [group, null]);
      assert.equal(group.subgroup(whole), group);
    }
    const [inner] = group.split((error) => (error as Error).message === 'inner');
    assert.equal(inner!.errors[0], group.errors[1], 'a nested one, too');
  });

  it('copies a group all of whose errors match: it was not chosen itself', () => {
    const group = new ExceptionGroup('ranges', [range('a'), range('b')]);
    const [match, rest] = group.split(RangeError);
    assert.notEqual(match, group);
    assert.deepEqual(shapeOf(match!), shapeOf(group));
    assert.equal(rest, null);
  });

  it('has no match, or no rest, if there is none', () => {
    const group = nested();
    const [match, rest] = group.split(SyntaxError);
    assert.equal(match, null);
    assert.deepEqual(shapeOf(rest!), shapeOf(group));
    assert.equal(group.subgroup(SyntaxError), null);
    assert.equal(group.split((error) => !(error instanceof ExceptionGroup))[1], null);
  });

  it('takes several classes, and none', () => {
    const mixed = new ExceptionGroup('mixed', [range('a'), type('b'), new SyntaxError('c')]);
    const [match, rest] = mixed.split([RangeError, SyntaxError]);
    assert.deepEqual(match!.errors.map(String), ['RangeError: a', 'SyntaxError: c']);
    assert.deepEqual(rest!.errors.map(String), ['TypeError: b']);
    const [nothing, everything] = mixed.split([]);
    assert.equal(nothing, null);
    assert.deepEqual(everything!.errors, mixed.errors);
  });

  it('knows subclasses, and errors of this library', () => {
    class Refused extends RangeError {}
    const cancelled = new CancelledError('enough');
    const group = new ExceptionGroup('mixed', [new Refused('a'), cancelled, range('b')]);
    assert.deepEqual(group.subgroup(Refused)!.errors.map(String), ['RangeError: a']);
    assert.equal(group.subgroup(RangeError)!.errors.length, 2);
    assert.deepEqual(group.subgroup(CancelledError)!.errors, [cancelled]);
    assert.deepEqual(group.subgroup(isCancelledError)!.errors, [cancelled]);
  });

  it('asks a function about every group before what is in it, and about no error twice', () => {
    const asked: string[] = [];
    nested().split((error) => {
      asked.push((error as Error).message);
      return (error as Error).message === 'types';
    });
    assert.deepEqual(asked, ['outer', 'a', 'inner', 'b', 'c', 'types', 'e']);
  });

  it('takes what is truthy for true', () => {
    const group = new ExceptionGroup('both', [range('a'), type('')]);
    const byMessage = (error: unknown): boolean =>
      (error instanceof ExceptionGroup ? '' : (error as Error).message) as never;
    const [match, rest] = group.split(byMessage);
    assert.deepEqual([match!.errors.length, rest!.errors.length], [1, 1]);
  });

  it('lets an error of the function pass', () => {
    const broken = (): never => {
      throw range('in the condition');
    };
    assert.throws(() => nested().split(broken), { message: 'in the condition' });
  });

  it('refuses what is no condition', () => {
    for (const wrong of [undefined, null, 5, 'RangeError', {}, [5], [RangeError, 'x']]) {
      assert.throws(() => nested().split(wrong as never), {
        name: 'TypeError',
        message: /^split: expected an error class or a function, got /,
      });
      assert.throws(() => nested().subgroup(wrong as never), TypeError);
    }
  });

  it('gives its parts the stack and the cause of the whole', () => {
    const cause = range('why');
    const group = new ExceptionGroup('both', [range('a'), type('b')], { cause });
    for (const part of group.split(RangeError)) {
      assert.equal(part!.stack, group.stack);
      assert.equal(part!.cause, cause);
      assert.deepEqual(Object.keys(part!), []);
    }
    const [bare] = new ExceptionGroup('both', [range('a'), type('b')]).split(RangeError);
    assert.equal('cause' in bare!, false);
    const assigned = new ExceptionGroup('both', [range('a'), type('b')]);
    assigned.cause = cause;
    assert.equal(assigned.subgroup(TypeError)!.cause, cause);
  });

  it('gives each nested part the stack of its own whole', () => {
    const group = nested();
    const [match] = group.split(RangeError);
    assert.equal((match!.errors[0] as Error).stack, (group.errors[1] as Error).stack);
  });

  it('divides a deep nest, and leaves no empty groups in it', () => {
    let deep: ExceptionGroup = new ExceptionGroup('0', [range('bottom')]);
    for (let i = 1; i < 500; i++) deep = new ExceptionGroup(String(i), [deep, type(String(i))]);
    const [match, rest] = deep.split(RangeError);
    assert.deepEqual([...match!.leaves()].map(String), ['RangeError: bottom']);
    assert.equal([...rest!.leaves()].length, 499);
    let innermost = rest!;
    while (innermost.errors[0] instanceof ExceptionGroup) innermost = innermost.errors[0];
    assert.deepEqual(shapeOf(innermost), ['1', 'TypeError: 1']);
  });
});

describe('ExceptionGroup.derive', () => {
  it('makes a plain group with the message: subclasses say so if they want more', () => {
    class Plain extends ExceptionGroup {}
    const group = new Plain('both', [range('a'), type('b')]);
    const derived = group.derive([range('c')]);
    assert.deepEqual(shapeOf(derived), ['both', 'RangeError: c']);
    assert.equal(derived.constructor, ExceptionGroup);
    assert.equal(group.split(RangeError)[0]!.constructor, ExceptionGroup);
    assert.equal(group.split(Plain)[0], group);
  });

  it('makes the parts of a subclass that overrides it', () => {
    const group = new HttpGroup('both', [range('a'), type('b')], 503);
    for (const part of group.split(RangeError)) {
      assert.ok(part instanceof HttpGroup);
      assert.deepEqual([part.status, part.message, part.errors.length], [503, 'both', 1]);
      assert.equal(part.stack, group.stack);
    }
  });

  it('is asked by each nested group for its own parts', () => {
    const group = new ExceptionGroup('outer', [
      new HttpGroup('inner', [range('a'), type('b')], 404),
      new ExceptionGroup('plain', [range('c')]),
    ]);
    const match = group.subgroup(RangeError)!;
    assert.ok(!(match instanceof HttpGroup));
    assert.equal((match.errors[0] as HttpGroup).status, 404);
    assert.equal(match.errors[1].constructor, ExceptionGroup);
  });

  it('must return a group', () => {
    // What it returned was given a stack and a cause, and passed for a group.
    for (const wrong of [undefined, 5, new Error('x'), new AggregateError([range('a')])]) {
      class Wrong extends ExceptionGroup {
        override derive(): never {
          return wrong as never;
        }
      }
      const group = new Wrong('both', [range('a'), type('b')]);
      assert.throws(() => group.split(RangeError), {
        name: 'TypeError',
        message: /^derive must return an ExceptionGroup, got /,
      });
      assert.equal(group.subgroup(Error), group, 'it is not asked for the whole');
    }
  });
});
