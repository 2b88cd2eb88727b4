/** The world's fault: errors as Node's own modules throw them. */
import { getSystemErrorMap, getSystemErrorName } from 'node:util';

/** An error of a system call. */
export interface SystemError extends Error {
  /** `ECONNREFUSED`, ... */
  code: string;
  /** The number, negative. */
  errno: number;
  /** The call that failed. */
  syscall: string;
  address?: string;
  port?: number;
}

const messages = getSystemErrorMap();

/** @internal @param errno - negative */
export function systemError(
  errno: number,
  syscall: string,
  where?: { address?: string; port?: number },
): SystemError {
  const code = messages.has(errno) ? getSystemErrorName(errno) : `E${-errno}`;
  let text = `${syscall} ${code}`;
  if (where?.address !== undefined) text += ` ${where.address}`;
  if (where?.port !== undefined) text += `:${where.port}`;
  return Object.assign(new Error(text), { code, errno, syscall, ...where });
}

/** @internal The result of a call that must not fail. */
export function checked(
  result: number,
  syscall: string,
  where?: { address?: string; port?: number },
): number {
  if (result < 0) throw systemError(result, syscall, where);
  return result;
}

/** @internal Whether an error is the world's. */
export function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && typeof (error as Partial<SystemError>).errno === 'number';
}
