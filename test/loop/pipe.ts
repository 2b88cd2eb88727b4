/** A pipe as two file descriptors that do not block; Node itself hands out none. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Pipe {
  readFd: number;
  writeFd: number;
  write(text: string): void;
  read(): string;
  closeReader(): void;
  closeWriter(): void;
}

function openFifo<T>(open: (path: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'ringloop-'));
  const path = join(folder, 'fifo');
  try {
    execFileSync('mkfifo', [path]);
    return open(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const { O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = constants;

/** Both ends; whoever gets them closes them. */
export function openPipe(): [readFd: number, writeFd: number] {
  return openFifo((path) => [
    openSync(path, O_RDONLY | O_NONBLOCK),
    openSync(path, O_WRONLY | O_NONBLOCK),
  ]);
}

/** Runs `body` with a pipe; both ends are closed afterwards. */
export async function withPipe(body: (pipe: Pipe) => unknown): Promise<void> {
  const [readFd, writeFd] = openPipe();
  const open = new Set([readFd, writeFd]);
  const close = (fd: number): void => {
    if (open.delete(fd)) closeSync(fd);
  };
  const pipe: Pipe = {
    readFd,
    writeFd,
    write: (text) => void writeSync(writeFd, text),
    read(): string {
      const buffer = Buffer.alloc(65_536);
      return buffer.toString('utf8', 0, readSync(readFd, buffer));
    },
    closeReader: () => close(readFd),
    closeWriter: () => close(writeFd),
  };
  try {
    await body(pipe);
  } finally {
    close(readFd);
    close(writeFd);
  }
}

/** Runs `body` with one fd that can be read and written, as a socket can. */
export async function withTwoWayFd(body: (fd: number) => unknown): Promise<void> {
  const fd = openFifo((path) => openSync(path, O_RDWR | O_NONBLOCK));
  try {
    await body(fd);
  } finally {
    closeSync(fd);
  }
}
