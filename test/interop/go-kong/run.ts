/**
 * `npm run interop:go-kong [-- --database pglite|postgres]`: go-kong's own integration suite, unchanged
 * and at the version that go.mod pins, against a control plane on an empty database.
 */
import { createWriteStream, mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type DatabaseName, startControlPlane } from '../support/control-plane.ts';
import { go, missingGo, run } from '../support/go.ts';
import { readOptions } from '../support/options.ts';
import { writeReport } from '../support/report.ts';
import expected from './expected.json' with { type: 'json' };
import { judge, type Outcome, parseGoTest, type Verdict } from './results.ts';

const FOLDER = fileURLToPath(new URL('./', import.meta.url));
const LOGS = fileURLToPath(new URL('../../../.tsbuild/interop/', import.meta.url));
const MODULE = 'github.com/kong/go-kong';
const PACKAGE = `${MODULE}/kong`;
const SUITE_MS_MAX = 5 * 60_000;
/** It asserts what a client does when KONG_ADMIN_URL is not set, so it cannot run where it is. */
const WITHOUT_URL = '^TestBaseRootURL$';

const missing = missingGo();
if (missing !== null) {
  console.error(`interop:go-kong: ${missing}`);
  process.exit(2);
}
const options = readOptions(process.argv.slice(2));
const workspace = await mkdtemp(join(tmpdir(), 'headgate-go-kong-'));
const verdicts: (readonly [DatabaseName, Verdict])[] = [];
try {
  const binary = join(workspace, 'kong.test');
  await go(FOLDER, ['test', '-c', '-o', binary, PACKAGE]);
  const source = (await go(FOLDER, ['list', '-f', '{{.Dir}}', PACKAGE])).trim();
  for (const database of options.databases) {
    const verdict = judge(await runSuite(database, binary, source), expected);
    verdicts.push([database, verdict]);
    print(database, verdict);
  }
} finally {
  await rm(workspace, { recursive: true, force: true });
}
const failed = verdicts.flatMap(([database, verdict]) =>
  verdict.failed.map((line) => `go-kong on ${database}: ${line}`),
);
const passedCount = verdicts.reduce((sum, [, verdict]) => sum + verdict.passed.length, 0);
writeReport(options.report, { passed: passedCount, failed });
process.exitCode = failed.length === 0 ? 0 : 1;

/** The suite's binary runs in the package's folder, as `go test` would: it reads testdata there. */
async function runSuite(
  database: DatabaseName,
  binary: string,
  source: string,
): Promise<ReadonlyMap<string, Outcome>> {
  mkdirSync(LOGS, { recursive: true });
  const file = join(LOGS, `go-kong-${database}.log`);
  const log = createWriteStream(file);
  console.log(`go-kong on ${database}: log in ${file}`);
  const common = { cwd: source, timeoutMs: SUITE_MS_MAX, log };
  const controlPlane = await startControlPlane(database);
  try {
    const env = { KONG_ADMIN_TOKEN: undefined, KONG_LICENSE_DATA: undefined };
    const parts = [
      await run(binary, ['-test.v', '-test.run', WITHOUT_URL], {
        ...common,
        env: { ...env, KONG_ADMIN_URL: undefined },
      }),
      await run(binary, ['-test.v', '-test.skip', WITHOUT_URL], {
        ...common,
        env: { ...env, KONG_ADMIN_URL: controlPlane.url },
      }),
    ];
    return parseGoTest(parts.map(({ output }) => output).join('\n'));
  } finally {
    log.end();
    await controlPlane.stop();
  }
}

/** A panic in one test takes all later ones with it: those are counted, not listed. */
function ran(line: string): boolean {
  return !line.includes(': did not run');
}

function print(database: DatabaseName, verdict: Verdict): void {
  const passed = new Set(verdict.passed);
  for (const [file, names] of [
    ...Object.entries(expected.live),
    ['without a server', expected.withoutServer] as const,
  ]) {
    const marked = names.map((name) => `${passed.has(name) ? 'ok' : 'FAILED'} ${name}`);
    console.log(`  ${file}: ${marked.join(', ')}`);
  }
  for (const [reason, names] of Object.entries(expected.skipped)) {
    console.log(`  skipped by go-kong, ${reason}: ${names.length}`);
  }
  for (const line of verdict.failed.filter(ran)) console.log(`  FAILED ${line}`);
  const cutOff = verdict.failed.filter((line) => !ran(line));
  if (cutOff.length > 0) console.log(`  FAILED ${cutOff.length} did not run, after a panic`);
  const live = Object.values(expected.live).flat();
  const counts = [
    `${live.filter((name) => passed.has(name)).length} of ${live.length} live tests passed`,
    `${expected.withoutServer.filter((name) => passed.has(name)).length} of ${expected.withoutServer.length} without a server`,
    `${verdict.skipped.length} skipped as listed`,
    `${verdict.failed.length} failed`,
  ];
  console.log(`go-kong on ${database}: ${counts.join(', ')}`);
}
