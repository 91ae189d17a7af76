/**
 * `npm run interop:s3`: what uses an object store, against a real S3-compatible one (Versity's gateway, at
 * the version that go.mod pins). The tests are those of every day; here they also get a bucket.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AwsClient } from 'aws4fetch';
import { eventually } from '../../support/eventually.ts';
import { go, missingGo, run } from '../support/go.ts';
import { readOptions } from '../support/options.ts';
import { writeReport } from '../support/report.ts';

const FOLDER = fileURLToPath(new URL('./', import.meta.url));
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const PACKAGE = 'github.com/versity/versitygw/cmd/versitygw';
const TESTS = ['shared/platform/node/object-store.test.ts', 'test/e2e/boot-anywhere.test.ts'];
const RUN_MS_MAX = 5 * 60_000;
const BUCKET = 'configurations';

interface Results {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

const missing = missingGo();
if (missing !== null) {
  console.error(`interop:s3: ${missing}`);
  process.exit(2);
}
const options = readOptions(process.argv.slice(2));
const workspace = await mkdtemp(join(tmpdir(), 'headgate-s3-'));
const report = { passed: 0, failed: [] as string[] };
try {
  const binary = join(workspace, 'versitygw');
  await go(FOLDER, ['build', '-o', binary, PACKAGE]);
  await check(binary);
} finally {
  await rm(workspace, { recursive: true, force: true });
}
writeReport(options.report, report);
for (const line of report.failed) console.log(`  FAILED ${line}`);
console.log(`s3: ${report.passed} passed, ${report.failed.length} failed`);
process.exitCode = report.failed.length === 0 ? 0 : 1;

async function check(binary: string): Promise<void> {
  const data = join(workspace, 'data');
  await mkdir(data);
  const port = await freePort();
  const credentials = { accessKeyId: 'gate', secretAccessKey: randomBytes(16).toString('hex') };
  const server = spawn(binary, ['--port', `127.0.0.1:${port}`, 'posix', data], {
    env: {
      PATH: process.env['PATH'],
      ROOT_ACCESS_KEY: credentials.accessKeyId,
      ROOT_SECRET_KEY: credentials.secretAccessKey,
    },
    stdio: 'ignore',
  });
  try {
    const client = new AwsClient({
      ...credentials,
      service: 's3',
      region: 'us-east-1',
      retries: 0,
    });
    const url = `http://127.0.0.1:${port}/${BUCKET}`;
    await eventually('the bucket', async () => {
      const made = await client.fetch(url, { method: 'PUT' }).catch(() => null);
      return made?.ok === true;
    });
    await runTests({
      S3_URL: url,
      S3_KEY_ID: credentials.accessKeyId,
      S3_SECRET: credentials.secretAccessKey,
    });
  } finally {
    server.kill('SIGKILL');
  }
}

async function runTests(env: Readonly<Record<string, string>>): Promise<void> {
  const file = join(workspace, 'results.json');
  const args = [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', ...TESTS];
  const { output } = await run(
    process.execPath,
    [...args, '--reporter=json', `--outputFile=${file}`],
    {
      cwd: ROOT,
      env,
      timeoutMs: RUN_MS_MAX,
    },
  );
  const text = await readFile(file, 'utf8').catch(() => null);
  if (text === null) {
    report.failed.push(`no results: ${output.slice(-2000)}`);
    return;
  }
  // Written by vitest a moment ago.
  const results = JSON.parse(text) as Results;
  const cases = results.testResults.flatMap(({ assertionResults }) => assertionResults);
  const named = cases.filter(({ fullName }) => fullName.includes('bucket'));
  if (named.length < 6) report.failed.push(`only ${named.length} tests used the bucket`);
  report.passed += results.numPassedTests;
  for (const { fullName, status } of cases) {
    if (status === 'failed') report.failed.push(fullName);
  }
}

/** One that was free a moment ago: the server takes no 0. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}
