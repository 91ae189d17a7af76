/** What Debian's testssl.sh finds weak in our TLS: nothing, or what is written down here. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestConfig } from '../../test/support/builders.ts';
import { TestAuthority } from '../../test/support/pki.ts';
import { listenWith, terminationOf, type TestListener } from './tls.suite.ts';

const SCAN_MS_MAX = 240_000;
/** Protocols, ciphers, forward secrecy, vulnerabilities. */
const SECTIONS = ['-p', '-s', '-f', '-U'];
const FINE: ReadonlySet<string> = new Set(['OK', 'INFO', 'DEBUG']);

/** Findings that we live with, by id, and why. */
const ACCEPTED: ReadonlyMap<string, string> = new Map([
  ['engine_problem', 'of the OpenSSL that testssl.sh runs: it has no GOST ciphers to offer us'],
]);

interface Finding {
  readonly id: string;
  readonly severity: string;
  readonly finding: string;
}

/** False with a line that says what to install; in CI a missing tool is a failure, not a skip. */
function hasTestssl(): boolean {
  if (spawnSync('testssl', ['--version'], { stdio: 'ignore' }).error === undefined) return true;
  const missing = 'SKIPPED: no testssl found; install the Debian package testssl.sh';
  if (process.env['CI'] !== undefined) throw new Error(missing);
  console.warn(missing);
  return false;
}

async function scan(port: number): Promise<readonly Finding[]> {
  const folder = await mkdtemp(join(tmpdir(), 'headgate-testssl-'));
  const report = join(folder, 'report.json');
  try {
    const quiet = ['--quiet', '--color', '0', '--warnings', 'batch', '--nodns', 'none'];
    const args = [...quiet, '--jsonfile', report, ...SECTIONS, `localhost:${port}`];
    const child = spawn('testssl', ['--ip', '127.0.0.1', ...args], {
      stdio: 'ignore',
      timeout: SCAN_MS_MAX,
    });
    await new Promise((resolve) => child.once('close', resolve));
    // What testssl.sh writes.
    return JSON.parse(await readFile(report, 'utf8')) as Finding[];
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe.skipIf(!hasTestssl())('testssl.sh', () => {
  let listener: TestListener;
  let findings: readonly Finding[];

  beforeAll(async () => {
    const root = TestAuthority.root();
    const fallback = root.issue({ name: 'default.test' });
    const [rsa, ec] = [
      root.issue({ name: 'localhost', type: 'rsa' }),
      root.issue({ name: 'localhost' }),
    ];
    const config = new TestConfig();
    const certificate = config.add('certificates', {
      cert: rsa.chain,
      key: rsa.key,
      cert_alt: ec.chain,
      key_alt: ec.key,
    });
    config.add('snis', { name: 'localhost', certificate: { id: certificate.id } });
    const { certificates } = config.tables();
    listener = await listenWith(terminationOf(fallback, { certificates: () => certificates }));
    findings = await scan(listener.port);
  }, SCAN_MS_MAX);
  afterAll(() => listener?.close());

  it('looks at protocols, ciphers and vulnerabilities', () => {
    const severities = new Map(findings.map(({ id, severity }) => [id, severity]));
    expect(Object.fromEntries(severities)).toMatchObject({
      TLS1: 'INFO',
      TLS1_2: 'OK',
      TLS1_3: 'OK',
      cipherlist_AVERAGE: 'INFO',
      heartbleed: 'OK',
      secure_client_renego: 'OK',
      LUCKY13: 'OK',
    });
  });

  it('finds nothing weak but what is accepted', () => {
    const weak = findings.filter(({ id, severity }) => !FINE.has(severity) && !ACCEPTED.has(id));
    expect(weak).toEqual([]);
  });
});
