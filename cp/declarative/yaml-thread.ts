/** A YAML text read in a thread with bounds on memory and time. */
import { Worker } from 'node:worker_threads';
import { Slots } from '../slots.ts';
import type { YamlResult } from './yaml.ts';

export interface ThreadLimits {
  /** Of the thread; a text takes about a hundred times its length. */
  readonly heapMb: number;
  readonly timeoutMs: number;
}

const LIMITS: ThreadLimits = { heapMb: 1_536, timeoutMs: 60_000 };
/** A thread takes memory of its own, so only so many run at once; the rest wait for them. */
const THREADS_MAX = 2;
/** Loads are bounded where they come in, and each has one text. */
const slots = new Slots(THREADS_MAX);

export async function readYamlApart(
  text: string,
  limits: ThreadLimits = LIMITS,
): Promise<YamlResult> {
  const release = await slots.take();
  try {
    return await inThread(text, limits);
  } finally {
    release();
  }
}

function inThread(text: string, { heapMb, timeoutMs }: ThreadLimits): Promise<YamlResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('yaml-worker.ts', import.meta.url), {
      workerData: text,
      resourceLimits: { maxOldGenerationSizeMb: heapMb },
    });
    const tooLarge = (what: string): YamlResult => ({
      ok: false,
      error: `the text needs more ${what} than YAML is given; send it as JSON`,
    });
    const timer = setTimeout(() => {
      resolve(tooLarge('time'));
      void worker.terminate();
    }, timeoutMs);
    worker.once('message', (result: YamlResult) => resolve(result));
    worker.once('error', (error: Error & { readonly code?: string }) => {
      if (error.code === 'ERR_WORKER_OUT_OF_MEMORY') resolve(tooLarge('memory'));
      else reject(error);
    });
    worker.once('exit', () => {
      clearTimeout(timer);
      reject(new Error('the thread that reads YAML ended without an answer'));
    });
  });
}
