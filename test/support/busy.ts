/** How much slower than an idle one this machine is now: limits of time are multiplied by it. */

const SPIN_MS = 100;

/** Time that work takes, divided by the processor time that it takes; 1: others have none of it. */
export function busyFactor(): number {
  const startedMs = performance.now();
  const before = process.cpuUsage();
  let usedMs = 0;
  while (usedMs < SPIN_MS) {
    const { user, system } = process.cpuUsage(before);
    usedMs = (user + system) / 1_000;
  }
  return Math.max(1, (performance.now() - startedMs) / usedMs);
}
