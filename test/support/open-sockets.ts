/** The sockets of this process, where the system tells: Linux has a folder of them. */
import { readdirSync, readlinkSync } from 'node:fs';

const FOLDER = '/proc/self/fd';

function targetOf(fd: string): string {
  try {
    return readlinkSync(`${FOLDER}/${fd}`);
  } catch {
    return ''; // it was the folder itself
  }
}

/** As `fd: socket:[inode]`; none where the system does not tell. */
export function openSockets(): string[] {
  let fds: string[];
  try {
    fds = readdirSync(FOLDER);
  } catch {
    return [];
  }
  return fds.map((fd) => `${fd}: ${targetOf(fd)}`).filter((socket) => /^\d+: socket:/.test(socket));
}
