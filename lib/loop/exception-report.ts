/** How an error that nobody caught looks on the console. */
import { show } from '../errors.js';
import type { ExceptionContext } from '../types.js';

/** Writes one report: the message, who it happened to, the error with its stack. */
export function reportException(context: ExceptionContext): void {
  const lines = [`ringloop: ${context.message}`];
  if (context.createdAt !== undefined) lines.push(`created at:\n${context.createdAt}`);
  if ('exception' in context) printWith(lines.join('\n'), context.exception);
  else console.error(lines.join('\n'));
}

/** To print an error is to run its code: a getter of its stack, or how it wants to be inspected. */
function printWith(text: string, exception: unknown): void {
  try {
    console.error(text, exception);
  } catch {
    console.error(text, show(exception));
  }
}
