/** What a run leaves for `.ci/run`: counts, and what failed. infra/ci/summary.ts reads it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

export interface InteropReport {
  readonly passed: number;
  /** Each with its reason, in one line. */
  readonly failed: readonly string[];
}

export function writeReport(file: string | null, report: InteropReport): void {
  if (file === null) return;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify(report));
}
