/** Worker threads from source text, in which `ringloop` is loaded already. */
import { once } from 'node:events';
import { Worker, type WorkerOptions } from 'node:worker_threads';

import { RINGLOOP } from './capture.js';

const PRELUDE = `
  const { parentPort, workerData } = require('node:worker_threads');
  const ringloop = require(${JSON.stringify(RINGLOOP)});
`;

export function startWorker(source: string, options: WorkerOptions = {}): Worker {
  return new Worker(PRELUDE + source, { ...options, eval: true });
}

/** The next message of a worker. Rejects with the worker's error, if it dies of one. */
export async function messageOf(worker: Worker): Promise<any> {
  const [message] = await once(worker, 'message');
  return message;
}

/** Runs a worker to its end; returns what it posted. */
export async function runWorker(source: string, options?: WorkerOptions): Promise<any[]> {
  const worker = startWorker(source, options);
  const messages: any[] = [];
  worker.on('message', (message) => messages.push(message));
  const [code] = await once(worker, 'exit');
  if (code !== 0) throw new Error(`the worker ended with code ${code}`);
  return messages;
}
