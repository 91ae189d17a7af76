/** Data planes behind forward proxies, client certificates, IPv6, and bad lines. */
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChaosProxy } from '../chaos/chaos-proxy.ts';
import { AdminClient } from '../support/admin-client.ts';
import { answers } from '../support/cluster.ts';
import { type Echo, startEcho } from '../support/echo.ts';
import { eventually } from '../support/eventually.ts';
import { ForwardProxy } from '../support/forward-proxy.ts';
import { send } from '../support/http-client.ts';
import { hasOpenssl } from '../support/openssl.ts';
import { TestAuthority } from '../support/pki.ts';
import { type Program, startProgram } from '../support/program.ts';

const isPossible = hasOpenssl();

type Env = Readonly<Record<string, string>>;

let folder: string;
let server: TestAuthority;
let echo: Echo;
let path = 0;
const programs: Program[] = [];

const at = (name: string): string => join(folder, name);

function write(name: string, text: string): string {
  writeFileSync(at(name), text);
  return at(name);
}

beforeAll(async () => {
  if (!isPossible) return;
  folder = await mkdtemp(join(tmpdir(), 'headgate-networks-'));
  echo = await startEcho('one');
  server = TestAuthority.root('Servers');
  const { chain, key } = server.issue({ name: 'localhost', hosts: ['localhost', '127.0.0.1'] });
  write('ca.pem', server.cert);
  write('server.pem', chain);
  write('server.key', key);
});
afterAll(async () => {
  await Promise.all(programs.map((program) => program.kill('SIGKILL')));
  await echo?.close();
  if (isPossible) await rm(folder, { recursive: true, force: true });
});

async function start(command: 'cp' | 'dp', env: Env): Promise<Program> {
  const program = await startProgram(command, env);
  programs.push(program);
  return program;
}

/** One with TLS at its cluster endpoint, and the port of that. */
async function controlPlane(name: string, env: Env = {}) {
  const program = await start('cp', {
    HEADGATE_DATA_DIR: at(name),
    HEADGATE_ADMIN_LISTEN: '127.0.0.1:0',
    HEADGATE_CLUSTER_LISTEN: '127.0.0.1:0 ssl',
    HEADGATE_TLS_CERT: at('server.pem'),
    HEADGATE_TLS_KEY: at('server.key'),
    ...env,
  });
  const admin = new AdminClient(program.url('admin'));
  await admin.ok('PUT', '/services/echo', { url: `http://${echo.address}` });
  return { program, admin, port: Number(new URL(program.url('cluster')).port) };
}

async function dataPlane(name: string, admin: AdminClient, env: Env): Promise<Program> {
  return start('dp', {
    HEADGATE_DATA_DIR: at(name),
    HEADGATE_CLUSTER_CA_CERT: at('ca.pem'),
    HEADGATE_JOIN_TOKEN: await admin.joinToken(),
    HEADGATE_PROXY_LISTEN: '127.0.0.1:0',
    HEADGATE_STATUS_LISTEN: '127.0.0.1:0',
    ...env,
  });
}

/** A change that is made now comes as far as the node. */
async function follows(node: Program, admin: AdminClient, deadlineMs?: number): Promise<void> {
  const route = `/n${path++}`;
  await admin.post('/services/echo/routes', { paths: [route] });
  await answers(node.url('proxy'), route, 200, deadlineMs);
}

describe.skipIf(!isPossible)('a forward proxy', () => {
  it.each(['wss', 'https'])('that wants a password is passed by %s', async (scheme) => {
    const { admin, port } = await controlPlane(`cp-${scheme}`);
    const proxy = await ForwardProxy.start('gate', 'p@ss:word');
    const env = { HEADGATE_CONTROL_PLANES: `${scheme}://localhost:${port}` };
    const way = (password: string): Env => ({
      HEADGATE_PROXY_SERVER: `http://gate:${encodeURIComponent(password)}@127.0.0.1:${proxy.port}`,
    });

    const node = await dataPlane(`dp-${scheme}`, admin, { ...env, ...way('p@ss:word') });
    await follows(node, admin, 30_000);

    expect(new Set(proxy.tunnels)).toEqual(new Set([`localhost:${port}`]));
    expect(node.output).not.toContain('p@ss');
    expect(node.output).not.toContain('p%40ss');

    const wrong = await dataPlane(`dp-${scheme}-wrong`, admin, { ...env, ...way('guess') });
    await eventually('a word about it', () => /not connected.*407/.test(wrong.output), 15_000);
    expect(proxy.refused).toBeGreaterThan(0);
    expect(wrong.output).not.toContain('guess');
    expect((await send(wrong.url('status'), '/status/ready')).status).toBe(503);
    await proxy.stop();
  });
});

describe.skipIf(!isPossible)('a client certificate', () => {
  /** Files of a node's own certificate. */
  function shown(name: string, { cert, key }: { cert: string; key: string }): Env {
    return {
      HEADGATE_CLUSTER_CERT: write(`${name}.pem`, cert),
      HEADGATE_CLUSTER_CERT_KEY: write(`${name}.key`, key),
    };
  }

  it('may be one of a pinned set, which is replaced without a restart', async () => {
    const pinned = TestAuthority.root('kong_clustering');
    const next = TestAuthority.root('kong_clustering');
    const { admin, port, program } = await controlPlane('cp-shared', {
      HEADGATE_CLUSTER_MTLS: 'shared',
      HEADGATE_CLUSTER_CERT: write('pinned.pem', pinned.cert),
    });
    const env = { HEADGATE_CONTROL_PLANES: `wss://localhost:${port}` };

    const node = await dataPlane('dp-shared', admin, { ...env, ...shown('mine', pinned) });
    await follows(node, admin);
    const listed = await admin.ok('GET', '/clustering/data-planes');
    const expiry = new X509Certificate(pinned.cert).validToDate.getTime() / 1000;
    expect(listed['data']).toMatchObject([{ cert_details: { expiry_timestamp: expiry } }]);

    const stranger = await dataPlane('dp-none', admin, env);
    await eventually('the refusal', () => stranger.output.includes('403'));
    const other = await dataPlane('dp-other', admin, { ...env, ...shown('other', next) });
    await eventually('the refusal', () => other.output.includes('403'));
    expect(program.output).toContain('no client certificate was shown');
    expect(program.output).toContain('not one of HEADGATE_CLUSTER_CERT');

    // Both are good for a while, then only the new one.
    write('pinned.pem', pinned.cert + next.cert);
    await follows(other, admin, 30_000);
    write('pinned.pem', next.cert);
    shown('mine', next);
    await follows(node, admin, 30_000);
    await follows(other, admin);
  });

  it('may be any that a private CA signed', async () => {
    const authority = TestAuthority.root('Nodes');
    const { admin, port, program } = await controlPlane('cp-pki', {
      HEADGATE_CLUSTER_MTLS: 'pki',
      HEADGATE_CLUSTER_CA_CERT: write('nodes-ca.pem', authority.cert),
    });
    const env = { HEADGATE_CONTROL_PLANES: `https://localhost:${port}` };
    const mine = authority.issue({ name: 'node-1' });
    const foreign = TestAuthority.root('Nodes').issue({ name: 'node-1' });

    const node = await dataPlane('dp-pki', admin, { ...env, ...shown('signed', mine) });
    await follows(node, admin, 30_000);
    const other = await dataPlane('dp-foreign', admin, { ...env, ...shown('foreign', foreign) });
    await eventually('the refusal', () => other.output.includes('403'));

    expect(program.output).toContain('not of HEADGATE_CLUSTER_CA_CERT');
  });
});

describe.skipIf(!isPossible)('a line', () => {
  it('of IPv6 is as good as any', async () => {
    const { admin, port } = await controlPlane('cp-v6', {
      HEADGATE_CLUSTER_LISTEN: '[::1]:0',
    });
    const node = await dataPlane('dp-v6', admin, {
      HEADGATE_CONTROL_PLANES: `ws://[::1]:${port}`,
    });
    await follows(node, admin);
  });

  it.each(['wss', 'https'])(
    'with 200 ms of round trip and 2 % loss changes when, never what, by %s',
    async (scheme) => {
      const { admin, port } = await controlPlane(`cp-slow-${scheme}`);
      const line = await ChaosProxy.start({ target: port, seed: 7 });
      for (const weather of [line.up, line.down]) {
        Object.assign(weather, { delayMs: 100, lossChance: 0.02, stallMs: 400 });
      }
      const names = Array.from({ length: 100 }, (_, i) => `c${i}`);
      await Promise.all(names.map((name) => admin.ok('PUT', `/consumers/${name}`, {})));

      const node = await dataPlane(`dp-slow-${scheme}`, admin, {
        HEADGATE_CONTROL_PLANES: `${scheme}://localhost:${line.port}`,
      });
      for (let round = 0; round < 5; round++) await follows(node, admin, 40_000);

      const listed = await admin.ok('GET', '/clustering/data-planes');
      expect(listed['data']).toMatchObject([{ last_error: null }]);
      await line.stop();
    },
  );
});
