/**
 * Requests at a steady pace, answered or not, from a thread of their own: what keeps a test busy does
 * not count as the latency of what it tests.
 */
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { send } from './http-client.ts';

const PERIOD_MS = 5;
const FAILURES_KEPT = 10;

export interface LoadTarget {
  readonly base: string;
  readonly path: string;
  readonly host: string;
  /** Of a good answer. */
  readonly status: number;
  /** From one request to the next. Default: `PERIOD_MS`. */
  readonly periodMs?: number;
}

export interface LoadResult {
  /** Milliseconds, ascending. */
  readonly latencies: readonly number[];
  readonly failures: readonly string[];
}

/** Begins at once; the answer ends it. */
export function startSteadyLoad(target: LoadTarget): () => Promise<LoadResult> {
  const worker = new Worker(new URL(import.meta.url), { workerData: target });
  return async () => {
    const result = new Promise<LoadResult>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    worker.postMessage('stop');
    const answer = await result;
    await worker.terminate();
    return answer;
  };
}

function run({ base, path, host, status: wanted, periodMs = PERIOD_MS }: LoadTarget): void {
  const latencies: number[] = [];
  const failures: string[] = [];
  const one = async (): Promise<void> => {
    const startedMs = performance.now();
    let failure: string | null = null;
    try {
      const { status } = await send(base, path, { headers: { host } });
      if (status !== wanted) failure = String(status);
    } catch (error) {
      failure = String(error);
    }
    latencies.push(performance.now() - startedMs);
    if (failure !== null && failures.length < FAILURES_KEPT) failures.push(failure);
  };
  const timer = setInterval(() => void one(), periodMs);
  parentPort?.once('message', () => {
    clearInterval(timer);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    parentPort?.postMessage({ latencies: latencies.toSorted((a, b) => a - b), failures });
  });
}

// `workerData` is null in a main thread.
if (parentPort !== null && isTarget(workerData)) run(workerData);

function isTarget(value: unknown): value is LoadTarget {
  return typeof value === 'object' && value !== null && 'base' in value && 'path' in value;
}
