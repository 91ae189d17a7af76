/** CPU time per request of running servers, loaded in turn. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { LOAD_CORE, type Peer } from './peers.ts';

/** Linux counts process time in ticks; a hundred a second everywhere that Node runs. */
const TICKS_PER_SECOND = 100;

export interface Load {
  readonly path: string;
  /** `name: value`, sent with every request; null for none. */
  readonly header: string | null;
  /** A wrk script; null for none. */
  readonly script: string | null;
  readonly connections: number;
  readonly seconds: number;
}

export interface Sample {
  readonly cpuMicros: number;
  readonly requestsPerSecond: number;
  /** What wrk complained of; null when every answer was a 2xx. */
  readonly problem: string | null;
}

/** Loads one server once. */
export async function sample(peer: Peer, load: Load): Promise<Sample> {
  const before = cpuSeconds(peer.pid);
  const output = await runWrk(peer.port, load);
  const usedSeconds = cpuSeconds(peer.pid) - before;
  const requests = Number(/(\d+) requests in/.exec(output)?.[1] ?? '0');
  const problem = /Non-2xx[^\n]*|Socket errors[^\n]*/.exec(output)?.[0] ?? null;
  if (requests === 0) throw new Error(`${peer.name} answered nothing:\n${output}`);
  return {
    cpuMicros: (usedSeconds / requests) * 1e6,
    requestsPerSecond: requests / load.seconds,
    problem,
  };
}

async function runWrk(port: number, load: Load): Promise<string> {
  const child = spawn('taskset', ['-c', LOAD_CORE, 'wrk', ...wrkArguments(port, load)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await once(child, 'close');
  return output;
}

function wrkArguments(port: number, load: Load): string[] {
  const args = ['-t1', `-c${load.connections}`, `-d${load.seconds}s`];
  if (load.header !== null) args.push('-H', load.header);
  if (load.script !== null) args.push('-s', load.script);
  return [...args, `http://127.0.0.1:${port}${load.path}`];
}

/** User and system time of a process, its threads and its descendants. */
function cpuSeconds(pid: number): number {
  let ticks = ticksOf(pid);
  for (const child of childrenOf(pid)) ticks += cpuSeconds(child) * TICKS_PER_SECOND;
  return ticks / TICKS_PER_SECOND;
}

function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // Behind the command name, which may contain anything: user and system time, fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8')
      .split(' ')
      .filter((text) => text.trim() !== '')
      .map(Number),
  );
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
