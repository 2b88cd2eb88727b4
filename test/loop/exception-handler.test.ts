import assert from 'node:assert/strict';

import { EventLoop, type ExceptionContext, getEventLoop, SystemExit } from 'ringloop';
import { turnOfNode, withConsole, withReports } from '../support/capture.js';

const loop = getEventLoop();

function failingCallback(): never {
  throw new RangeError('it broke');
}

describe('an error that a callback throws', () => {
  it('is reported once, with the name of the callback, the error and the handle', () =>
    withReports(async (reports) => {
      const handle = loop.callSoon(failingCallback);
      await turnOfNode();
      assert.equal(reports.length, 1);
      const { message, exception, handle: reported } = reports[0]!;
      assert.equal(message, 'Exception in callback failingCallback');
      assert.equal((exception as Error).message, 'it broke');
      assert.equal(reported, handle);
    }));

  it('does not keep the callbacks behind it from running', () =>
    withReports(async () => {
      const seen: string[] = [];
      loop.callSoon(() => seen.push('before'));
      loop.callSoon(failingCallback);
      loop.callSoon(() => seen.push('behind'));
      await turnOfNode();
      assert.deepEqual(seen, ['before', 'behind']);
    }));

  it('is reported for timers and done callbacks, too', () =>
    withReports(async (reports) => {
      loop.callLater(0, failingCallback);
      const future = loop.createFuture();
      future.addDoneCallback(failingCallback);
      future.setResult(1);
      // Armed later, and so behind the first.
      await new Promise<void>((resolve) => loop.callLater(0, resolve));
      assert.equal(reports.length, 2);
      for (const { message } of reports) assert.match(message, /failingCallback/);
    }));

  it('is reported whatever it is', () =>
    withReports(async (reports) => {
      for (const value of ['text', undefined, null, 5]) {
        loop.callSoon(() => {
          throw value;
        });
      }
      await turnOfNode();
      assert.deepEqual(
        reports.map((report) => report.exception),
        ['text', undefined, null, 5],
      );
    }));

  it('is written to console.error where no handler is set, with its stack', () =>
    withConsole('error', async (lines) => {
      loop.callSoon(failingCallback);
      await turnOfNode();
      assert.equal(lines.length, 1);
      assert.equal(lines[0]![0], 'ringloop: Exception in callback failingCallback');
      assert.match((lines[0]![1] as Error).stack!, /failingCallback/);
    }));
});

describe('setExceptionHandler', () => {
  it('is undone with null', () => {
    const handler = (): void => {};
    loop.setExceptionHandler(handler);
    assert.equal(loop.getExceptionHandler(), handler);
    loop.setExceptionHandler(null);
    assert.equal(loop.getExceptionHandler(), null);
  });

  it('belongs to one loop', () => {
    const other = new EventLoop();
    other.setExceptionHandler(() => {});
    assert.equal(loop.getExceptionHandler(), null);
    other.close();
  });

  it('refuses what is neither a function nor null', () => {
    for (const handler of [undefined, 5, 'x', {}]) {
      assert.throws(() => loop.setExceptionHandler(handler as never), TypeError);
    }
  });
});

describe('an exception handler that throws', () => {
  it('is reported on the console and goes no further', () =>
    withConsole('error', async (lines) => {
      const before = loop.getExceptionHandler();
      loop.setExceptionHandler(() => {
        throw new TypeError('handler broke');
      });
      const seen: string[] = [];
      loop.callSoon(failingCallback);
      loop.callSoon(() => seen.push('behind'));
      await turnOfNode();
      loop.setExceptionHandler(before);
      assert.deepEqual(seen, ['behind']);
      assert.equal(lines.length, 1);
      assert.equal(lines[0]![0], 'ringloop: Unhandled error in exception handler');
      assert.equal((lines[0]![1] as Error).message, 'handler broke');
    }));

  it('may leave the loop with a SystemExit', async () => {
    const other = new EventLoop();
    other.setExceptionHandler(() => {
      throw new SystemExit('from the handler');
    });
    other.callSoon(failingCallback);
    await assert.rejects(other.runForever(), { name: 'SystemExit', message: 'from the handler' });
    other.close();
  });
});

describe('callExceptionHandler', () => {
  it('hands what it gets to the handler', () =>
    withReports((reports) => {
      const context: ExceptionContext = { message: 'made up', exception: new Error('x') };
      loop.callExceptionHandler(context);
      assert.deepEqual(reports, [context]);
    }));

  it('writes the message and where the future was created, without a handler', () =>
    withConsole('error', (lines) => {
      loop.callExceptionHandler({ message: 'made up', createdAt: '    at somewhere' });
      assert.deepEqual(lines, [['ringloop: made up\ncreated at:\n    at somewhere']]);
    }));
});
