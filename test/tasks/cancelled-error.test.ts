import assert from 'node:assert/strict';

import * as ringloop from 'ringloop';
import {
  CancelledError,
  DeadlockError,
  ExceptionGroup,
  InvalidStateError,
  isCancelledError,
  KeyboardInterrupt,
  RuntimeError,
  SystemExit,
  TimeoutError,
} from 'ringloop';

describe('CancelledError', () => {
  it('has the reason, a message made of it, and the code that AbortSignal uses', () => {
    const error = new CancelledError('shutdown');
    assert.ok(error instanceof Error);
    assert.deepEqual(
      [error.name, error.message, error.reason, error.code],
      ['CancelledError', 'shutdown', 'shutdown', 'ABORT_ERR'],
    );
    assert.equal('cause' in error, false);
  });

  it('has no reason where none was given', () => {
    const error = new CancelledError();
    assert.deepEqual([error.message, error.reason], ['', undefined]);
  });

  it('takes an Error that is the reason as its cause', () => {
    const reason = new RangeError('why');
    const error = new CancelledError(reason);
    assert.deepEqual([error.message, error.cause, error.reason], ['why', reason, reason]);
  });

  it('makes a message of whatever the reason is', () => {
    assert.equal(new CancelledError(5).message, '5');
    assert.equal(new CancelledError(null).message, 'null');
  });
});

describe('isCancelledError', () => {
  it('knows a CancelledError', () => {
    assert.equal(isCancelledError(new CancelledError()), true);
  });

  it('knows one of another copy of ringloop by its brand', () => {
    const brand = Symbol.for('ringloop.CancelledError');
    assert.equal(isCancelledError(Object.assign(new Error(), { [brand]: true })), true);
  });

  it('does not take an AbortError or anything else for one', () => {
    const abortError = AbortSignal.abort().reason;
    for (const value of [abortError, new Error('CancelledError'), null, undefined, 'text', 5, {}]) {
      assert.equal(isCancelledError(value), false);
    }
  });
});

describe('ExceptionGroup', () => {
  it('is an AggregateError with the errors in their order', () => {
    const errors = [new Error('a'), new Error('b')];
    const group = new ExceptionGroup('both', errors);
    assert.ok(group instanceof AggregateError);
    assert.deepEqual([group.name, group.message, group.errors], ['ExceptionGroup', 'both', errors]);
  });

  it('refuses to be empty', () => {
    assert.throws(() => new ExceptionGroup('none', []), TypeError);
  });
});

describe('the other errors', () => {
  const classes = {
    DeadlockError,
    InvalidStateError,
    KeyboardInterrupt,
    RuntimeError,
    SystemExit,
    TimeoutError,
  };
  for (const [name, ErrorClass] of Object.entries(classes)) {
    it(`carry their names and are caught as Error: ${name}`, () => {
      const error = new ErrorClass('text');
      assert.ok(error instanceof Error);
      assert.equal(error.name, name);
      assert.equal(String(error), `${name}: text`);
      assert.match(error.stack!, new RegExp(`^${name}: text`));
      assert.equal(isCancelledError(error), false);
    });
  }

  it('have codes where programs ask for them', () => {
    assert.equal(new TimeoutError().code, 'ETIMEDOUT');
    assert.equal(new DeadlockError().code, 'ERR_RINGLOOP_DEADLOCK');
  });
});

describe('the exports of the package', () => {
  it('are the same objects for require and import', async () => {
    const imported = await import('ringloop');
    assert.equal(imported.run, ringloop.run);
    assert.equal(imported.CancelledError, CancelledError);
  });
});
