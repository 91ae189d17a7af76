/**
 * Loaded into a program with `node --import`: on SIGUSR2 it writes to `STALL_FILE` how long its event
 * loop stood still at most since the last time, and what CPU it used, and counts anew.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** What the file says, as JSON. */
export interface Stalls {
  /** Counts the signals. */
  readonly turn: number;
  /** Longest time that a timer of 1 ms took, less that millisecond: others' use of the cores included. */
  readonly stallMs: number;
  /** The most CPU that the loop's own thread used between two turns of such a timer. */
  readonly turnCpuMs: number;
  readonly cpuMs: number;
  readonly elapsedMs: number;
  readonly rssBytes: number;
}

const path = process.env['STALL_FILE'];

if (path !== undefined) {
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  let turn = 0;
  let since = process.cpuUsage();
  let sinceMs = performance.now();
  let turnCpuMs = 0;
  let before = threadMs();
  setInterval(() => {
    const now = threadMs();
    turnCpuMs = Math.max(turnCpuMs, now - before);
    before = now;
  }, 1).unref();
  process.on('SIGUSR2', () => {
    const { user, system } = process.cpuUsage(since);
    turn += 1;
    const stalls: Stalls = {
      turn,
      stallMs: Math.max(0, delays.max / 1e6 - 1),
      turnCpuMs,
      elapsedMs: performance.now() - sinceMs,
      cpuMs: (user + system) / 1000,
      rssBytes: process.memoryUsage.rss(),
    };
    writeFileSync(`${path}.new`, JSON.stringify(stalls));
    renameSync(`${path}.new`, path);
    delays.reset();
    turnCpuMs = 0;
    before = threadMs();
    since = process.cpuUsage();
    sinceMs = performance.now();
  });
}

function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
