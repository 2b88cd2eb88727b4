/** Compares two traces of one program, ticks included. */
import type { Record_ } from './program.js';

/** Index of the first item that differs, or -1. */
export function divergence(expected: Record_, actual: Record_, ticks = true): number {
  const length = Math.max(expected.trace.length, actual.trace.length);
  for (let i = 0; i < length; i++) {
    if (JSON.stringify(expected.trace[i]) !== JSON.stringify(actual.trace[i])) return i;
    if (ticks && expected.ticks[i] !== actual.ticks[i]) return i;
  }
  return expected.status === actual.status ? -1 : length;
}

/** A few items around the first that differs. */
export function explain(expected: Record_, actual: Record_, ticks = true, context = 6): string {
  const at = divergence(expected, actual, ticks);
  const show = (mark: string, record: Record_, i: number): string => {
    const item = i < record.trace.length ? JSON.stringify(record.trace[i]) : `(${record.status})`;
    return `${mark} ${String(i).padStart(4)}  ${item} tick ${record.ticks[i]}`;
  };
  const lines = [`${expected.name}: item ${at}`];
  for (let i = Math.max(0, at - context); i < at; i++) lines.push(show(' ', expected, i));
  lines.push(show('-', expected, at), show('+', actual, at));
  return lines.join('\n');
}
