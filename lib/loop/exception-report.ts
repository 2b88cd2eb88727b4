/** How an error that nobody caught looks on the console. */
import type { ExceptionContext } from '../types.js';

/** Writes one report: the message, who it happened to, the error with its stack. */
export function reportException(context: ExceptionContext): void {
  const lines = [`ringloop: ${context.message}`];
  if (context.createdAt !== undefined) lines.push(`created at:\n${context.createdAt}`);
  if ('exception' in context) console.error(lines.join('\n'), context.exception);
  else console.error(lines.join('\n'));
}
