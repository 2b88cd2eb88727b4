/** The JSON of a scenario program, as SPEC.md describes it. */

export type Expression = any;

export interface ExceptionSpec {
  type: string;
  msg?: string;
  excs?: ExceptionSpec[];
  exc?: string;
}

export interface Op {
  op: string;
  [field: string]: any;
}

export type Body = Op[];
export type Item = string | { name: string; body: Body };

export interface Program {
  name: string;
  main?: Body;
  mains?: Body[];
  vars?: Record<string, number>;
  eager?: boolean;
  limit?: number;
}

export interface Record_ {
  name: string;
  status: 'ok' | 'deadlock' | 'limit' | 'error';
  trace: unknown[][];
  ticks: number[];
}

/** A file holds one program, a list, or an object with a list under `programs`. */
export function programsOf(document: any): Program[] {
  if (Array.isArray(document)) return document;
  return document.programs ?? [document];
}
