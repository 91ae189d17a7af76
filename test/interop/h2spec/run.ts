/**
 * `npm run interop:h2spec`: h2spec, at the version that go.mod pins, against a listener of the Node data
 * plane, over TLS and in clear. What may fail, and why, stands in exceptions.json.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HeaderList } from '#shared/http/headers.ts';
import { utf8 } from '#shared/base/bytes.ts';
import type { GatewayRequest, GatewayResponse } from '#shared/http/message.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { Listener } from '../../../node-dp/listener.ts';
import { terminationOf } from '../../../node-dp/tls/tls.suite.ts';
import { makeCertificate } from '../../support/certificates.ts';
import { go, missingGo, run } from '../support/go.ts';
import { readOptions } from '../support/options.ts';
import { writeReport } from '../support/report.ts';
import exceptions from './exceptions.json' with { type: 'json' };
import { judge, parseReport, type Verdict } from './results.ts';

const FOLDER = fileURLToPath(new URL('./', import.meta.url));
const PACKAGE = 'github.com/summerwind/h2spec/cmd/h2spec';
const RUN_MS_MAX = 5 * 60_000;
const TESTS_MIN = 140;

const missing = missingGo();
if (missing !== null) {
  console.error(`interop:h2spec: ${missing}`);
  process.exit(2);
}
const options = readOptions(process.argv.slice(2));
const workspace = await mkdtemp(join(tmpdir(), 'headgate-h2spec-'));
const failed: string[] = [];
let passed = 0;
try {
  const binary = join(workspace, 'h2spec');
  await go(FOLDER, ['build', '-o', binary, PACKAGE]);
  for (const over of ['TLS', 'clear text'] as const) {
    const verdict = await check(binary, over === 'TLS');
    print(over, verdict);
    passed += verdict.passed;
    failed.push(...verdict.failed.map((line) => `h2spec over ${over}: ${line}`));
  }
} finally {
  await rm(workspace, { recursive: true, force: true });
}
writeReport(options.report, { passed, failed });
process.exitCode = failed.length === 0 ? 0 : 1;

async function check(binary: string, isTls: boolean): Promise<Verdict> {
  const listener = new Listener({
    listen: { host: '127.0.0.1', port: 0, tls: isTls, http2: true },
    tls: isTls ? terminationOf(makeCertificate()) : null,
    connectionsMax: 1000,
    random: nodeRandom,
    handle: answer,
  });
  const { port } = await listener.start();
  const file = join(workspace, `${isTls ? 'tls' : 'clear'}.xml`);
  const at = ['-h', '127.0.0.1', '-p', String(port), ...(isTls ? ['-t', '-k'] : []), '-j', file];
  try {
    await run(binary, at, { cwd: workspace, env: {}, timeoutMs: RUN_MS_MAX });
  } finally {
    await listener.drain(0);
  }
  const findings = parseReport(await readFile(file, 'latin1'));
  const verdict = judge(findings, exceptions);
  if (findings.length >= TESTS_MIN) return verdict;
  return { ...verdict, failed: [...verdict.failed, `only ${findings.length} tests ran`] };
}

/** Reads what there is of a body, and answers. */
async function answer({ body }: GatewayRequest): Promise<GatewayResponse> {
  if (body !== null && !(body instanceof Uint8Array)) {
    await new Promise<void>((resolve) => {
      body.pipe({ write: () => true, end: () => resolve(), abort: () => resolve() });
    });
  }
  const headers = new HeaderList(['Content-Type', 'text/plain']);
  const text = utf8('what h2spec asks for does not matter to it');
  return { status: 200, headers, body: text, tunnel: null, filters: [], onFinish: () => {} };
}

function print(over: string, { passed: count, excepted, failed: lines }: Verdict): void {
  for (const [name, reason] of excepted) console.log(`  excepted ${name}: ${reason}`);
  for (const line of lines) console.log(`  FAILED ${line}`);
  const counts = `${count} passed, ${excepted.size} excepted as listed, ${lines.length} failed`;
  console.log(`h2spec over ${over}: ${counts}`);
}
