/** Python's exceptions of the scenario language, as JavaScript errors, and back to their names. */
import * as ringloop from 'ringloop';

class NamedError extends Error {}
export class NameError extends NamedError {}
class KeyError extends NamedError {}
class AssertionError extends NamedError {}
class BaseError extends NamedError {}
class PlainBaseException extends NamedError {}

type ErrorClass = new (message?: any) => Error;

const { BrokenBarrierError, QueueEmpty, QueueFull, QueueShutDown } = ringloop as any;

/** What a program can name, and how the error is made. Groups are made apart. */
const CLASSES: Record<string, ErrorClass | undefined> = {
  BaseException: PlainBaseException,
  Exception: Error,
  BaseError,
  ValueError: RangeError,
  KeyError,
  TypeError,
  RuntimeError: ringloop.RuntimeError,
  NameError,
  AssertionError,
  TimeoutError: ringloop.TimeoutError,
  CancelledError: ringloop.CancelledError,
  InvalidStateError: ringloop.InvalidStateError,
  BrokenBarrierError,
  QueueEmpty,
  QueueFull,
  QueueShutDown,
  SystemExit: ringloop.SystemExit,
  KeyboardInterrupt: ringloop.KeyboardInterrupt,
};

/** In Python these are no `Exception`s. */
const BASE_ONLY = new Set([
  'BaseException',
  'BaseError',
  'CancelledError',
  'SystemExit',
  'KeyboardInterrupt',
  'BaseExceptionGroup',
]);

/** The name of the Python class; undefined: an error no program can expect. */
export function pythonName(error: unknown): string | undefined {
  if (error instanceof ringloop.ExceptionGroup) {
    const allExceptions = error.errors.every((each) => !BASE_ONLY.has(pythonName(each) ?? ''));
    return allExceptions ? 'ExceptionGroup' : 'BaseExceptionGroup';
  }
  const errorClass = (error as Error | null)?.constructor;
  return Object.keys(CLASSES).find((name) => CLASSES[name] === errorClass);
}

export function matches(type: string, error: unknown): boolean {
  const name = pythonName(error) ?? '';
  if (type === 'BaseException' || type === name) return true;
  if (type === 'Exception') return !BASE_ONLY.has(name);
  if (type === 'RuntimeError') return name === 'BrokenBarrierError';
  return type === 'BaseExceptionGroup' && name === 'ExceptionGroup';
}

export function makeError(type: string, message: string | undefined): Error {
  const errorClass = CLASSES[type];
  if (errorClass === undefined) throw new Error(`unknown exception type ${type}`);
  return new errorClass(message);
}

/** Object reprs out. */
export function plainMessage(text: string): string {
  return text.replace(/<.*>/s, '<>');
}
