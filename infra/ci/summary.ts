/** Prints vitest's JSON report as the one line that CI reads, and fails when something is amiss. */
import { readFileSync } from 'node:fs';

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

const report = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Report;
const skipped = report.testResults.flatMap((file) =>
  file.assertionResults
    .filter((test) => test.status === 'pending' || test.status === 'skipped')
    .map((test) => `${file.name}: ${test.fullName}`),
);
// A skip means that something this script should have installed is missing.
for (const test of skipped) console.error(`skipped, which counts as a failure here: ${test}`);
const failed = report.numFailedTests + skipped.length;
console.log(`${report.numPassedTests} passed, ${failed} failed`);
const isGood = failed === 0 && report.numFailedTestSuites === 0 && report.numPassedTests > 0;
process.exitCode = isGood ? 0 : 1;
