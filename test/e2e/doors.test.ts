/** The control plane's doors: one port by path, TLS, tokens, and what stays shut. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answers } from '../support/cluster.ts';
import { type Echo, startEcho } from '../support/echo.ts';
import { eventually } from '../support/eventually.ts';
import { send } from '../support/http-client.ts';
import { secretOf } from '../support/join-token.ts';
import { hasOpenssl } from '../support/openssl.ts';
import { type Program, startProgram } from '../support/program.ts';

const TOKEN = 'an-admin-token-for-the-test';
const SCRIPT = fileURLToPath(new URL('../../infra/certs/make-dev-certs.sh', import.meta.url));

let folder: string;
let ca: Buffer;
let echo: Echo;
let controlPlane: Program;
let base: URL;

const isPossible = hasOpenssl();

beforeAll(async () => {
  if (!isPossible) return;
  folder = await mkdtemp(join(tmpdir(), 'headgate-doors-'));
  execFileSync(SCRIPT, [join(folder, 'certs'), 'localhost', '127.0.0.1']);
  ca = readFileSync(join(folder, 'certs', 'ca.crt'));
  echo = await startEcho('one');
  controlPlane = await startProgram('cp', {
    HEADGATE_DATA_DIR: folder,
    HEADGATE_LISTEN: '127.0.0.1:0 ssl',
    HEADGATE_TLS_CERT: join(folder, 'certs', 'server.crt'),
    HEADGATE_TLS_KEY: join(folder, 'certs', 'server.key'),
    HEADGATE_ADMIN_TOKEN: TOKEN,
  });
  base = new URL(controlPlane.url('admin'));
});
afterAll(async () => {
  await controlPlane?.kill('SIGKILL');
  await echo?.close();
  if (isPossible) await rm(folder, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

function call(method: string, path: string, body?: object, token = TOKEN): Promise<Answer> {
  const text = body === undefined ? '' : JSON.stringify(body);
  const headers = { 'content-type': 'application/json', 'kong-admin-token': token };
  return new Promise((resolve, reject) => {
    const outgoing = request({ ca, host: 'localhost', port: base.port, path, method, headers });
    outgoing.once('error', reject);
    outgoing.once('response', (incoming) => {
      let received = '';
      incoming.setEncoding('utf8').on('data', (chunk: string) => {
        received += chunk;
      });
      incoming.once('end', () => {
        const parsed = received === '' ? {} : (JSON.parse(received) as Record<string, unknown>);
        resolve({ status: incoming.statusCode ?? 0, body: parsed });
      });
    });
    outgoing.end(text);
  });
}

describe.skipIf(!isPossible)('one port with TLS', () => {
  it('serves the Admin API below /admin, to who has the token', async () => {
    expect(base.pathname).toBe('/admin');
    expect((await call('GET', '/admin/services')).status).toBe(200);
    expect((await call('GET', '/admin')).body['version']).toMatch(/^3\.9/);
    expect((await call('GET', '/admin/services', undefined, 'not-the-token-at-all')).status).toBe(
      401,
    );
    expect((await call('GET', '/services')).status).toBe(404);
    expect((await call('GET', '/adminservices')).status).toBe(404);
  });

  it('serves the cluster endpoint below /cluster, and nothing of the Admin API there', async () => {
    const challenge = await call('GET', '/cluster/headgate/v1/pull');
    expect(challenge.status).toBe(200);
    expect(challenge.body).toMatchObject({ type: 'challenge' });
    for (const path of ['/cluster/services', '/cluster/admin/services', '/cluster/']) {
      expect((await call('GET', path)).status, path).toBe(404);
    }
  });

  it.each(['wss', 'https'])('lets a data plane in by %s, through a private CA', async (scheme) => {
    const minted = await call('POST', '/admin/clustering/join-tokens', {});
    const node = await startProgram('dp', {
      HEADGATE_DATA_DIR: join(folder, scheme),
      HEADGATE_CONTROL_PLANES: `${scheme}://localhost:${base.port}/cluster`,
      HEADGATE_CLUSTER_CA_CERT: join(folder, 'certs', 'ca.crt'),
      HEADGATE_JOIN_TOKEN: String(minted.body['token']),
      HEADGATE_PROXY_LISTEN: '127.0.0.1:0',
      HEADGATE_STATUS_LISTEN: '127.0.0.1:0',
    });
    const path = `/through-${scheme}`;
    await call('PUT', '/admin/services/echo', { url: `http://${echo.address}` });
    await call('POST', '/admin/services/echo/routes', { paths: [path] });
    await answers(node.url('proxy'), path, 200);
    await node.kill('SIGTERM');
  });

  it('keeps a data plane out that does not know the CA, which says so', async () => {
    const minted = await call('POST', '/admin/clustering/join-tokens', {});
    const node = await startProgram('dp', {
      HEADGATE_DATA_DIR: join(folder, 'distrustful'),
      HEADGATE_CONTROL_PLANES: `wss://localhost:${base.port}/cluster`,
      HEADGATE_JOIN_TOKEN: String(minted.body['token']),
      HEADGATE_PROXY_LISTEN: '127.0.0.1:0',
      HEADGATE_STATUS_LISTEN: '127.0.0.1:0',
    });
    await eventually('a word about the certificate', () =>
      /certificate|issuer|CERT|UNABLE/i.test(node.output),
    );
    expect((await send(node.url('status'), '/status/ready')).status).toBe(503);
    expect(node.output).not.toContain(secretOf(String(minted.body['token'])));
    await node.kill('SIGTERM');
  });
});

describe.skipIf(!isPossible)('beyond loopback', () => {
  const address = Object.values(networkInterfaces())
    .flat()
    .find((item) => item !== undefined && !item.internal && item.family === 'IPv4')?.address;

  it('takes plain text from the named terminator only', async () => {
    const settings = {
      HEADGATE_DATA_DIR: join(folder, 'plain'),
      HEADGATE_LISTEN: '0.0.0.0:0',
      HEADGATE_ADMIN_TOKEN: TOKEN,
      HEADGATE_TRUSTED_TERMINATOR: '192.0.2.7',
    };
    const program = await startProgram('cp', settings);
    const { port } = new URL(program.url('admin'));
    const headers = { 'kong-admin-token': TOKEN };
    expect((await send(`http://127.0.0.1:${port}`, '/admin', { headers })).status).toBe(200);
    // A machine with no other address than loopback has no other peer to be.
    if (address !== undefined) {
      expect((await send(`http://${address}:${port}`, '/admin', { headers })).status).toBe(403);
    }
    await program.kill('SIGTERM');
  });
});
