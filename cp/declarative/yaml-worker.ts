/**
 * Reads one YAML text in a thread of its own: a parser of YAML takes a second and a hundred megabytes
 * for every megabyte or so, which must neither stop the control plane nor kill it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { readYaml } from './yaml.ts';

// `yaml-thread.ts` gives it a text, and nothing else. A thread's port has no target origin.
// oxlint-disable-next-line unicorn/require-post-message-target-origin
parentPort?.postMessage(readYaml(workerData as string));
