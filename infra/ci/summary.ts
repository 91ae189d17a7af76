/**
 * Prints vitest's JSON report, and those of the interop runs, as the one line that CI reads; fails when
 * something is amiss. Arguments: vitest's file, then any number of the others (test/interop/support/report.ts).
 */
import { existsSync, readFileSync } from 'node:fs';

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numFailedTestSuites: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

interface InteropReport {
  readonly passed: number;
  readonly failed: readonly string[];
}

const [testsFile = '', ...interopFiles] = process.argv.slice(2);
const report = JSON.parse(readFileSync(testsFile, 'utf8')) as Report;
const skipped = report.testResults.flatMap((file) =>
  file.assertionResults
    .filter((test) => test.status === 'pending' || test.status === 'skipped')
    .map((test) => `${file.name}: ${test.fullName}`),
);
// A skip means that something this script should have installed is missing.
for (const test of skipped) console.error(`skipped, which counts as a failure here: ${test}`);
const interop = interopFiles.map(readInterop);
const unmet = interop.flatMap((one) => one.failed);
for (const line of unmet) console.error(`failed: ${line}`);
const passed = report.numPassedTests + interop.reduce((sum, one) => sum + one.passed, 0);
const failed = report.numFailedTests + skipped.length + unmet.length;
console.log(`${passed} passed, ${failed} failed`);
const isGood = failed === 0 && report.numFailedTestSuites === 0 && report.numPassedTests > 0;
process.exitCode = isGood ? 0 : 1;

/** A run that was cut off left no report: that is one failure. */
function readInterop(file: string): InteropReport {
  if (!existsSync(file)) return { passed: 0, failed: [`${file} was not written`] };
  return JSON.parse(readFileSync(file, 'utf8')) as InteropReport;
}
