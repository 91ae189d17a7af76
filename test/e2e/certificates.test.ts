/** Certificates from the Admin API to a client's handshake, and secrets that are sealed on their way. */
import { readdir, readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answers, Cluster } from '../support/cluster.ts';
import { type Echo, startEcho } from '../support/echo.ts';
import { eventually } from '../support/eventually.ts';
import { send } from '../support/http-client.ts';
import { hasOpenssl } from '../support/openssl.ts';
import { TestAuthority } from '../support/pki.ts';
import type { Program } from '../support/program.ts';

const NODE_ENV = {
  HEADGATE_PROXY_LISTEN: '127.0.0.1:0, 127.0.0.1:0 ssl',
};

function portOf(node: Program): number {
  return Number(
    new URL(node.addresses['proxy']?.find((url) => url.startsWith('https:')) ?? '').port,
  );
}

function plainUrl(node: Program): string {
  return node.addresses['proxy']?.find((url) => url.startsWith('http:')) ?? '';
}

function open(port: number, servername: string): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, servername, rejectUnauthorized: false });
  return new Promise((resolve, reject) => {
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
  });
}

async function shown(port: number, servername: string): Promise<string> {
  try {
    const socket = await open(port, servername);
    const { subject } = socket.getPeerCertificate();
    socket.destroy();
    return String(subject.CN);
  } catch {
    return 'nothing';
  }
}

function request(socket: TLSSocket, path: string): Promise<string> {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`);
  return new Promise((resolve) => {
    socket.once('data', (bytes: Buffer) =>
      resolve(bytes.toString('latin1').split('\r\n')[0] ?? ''),
    );
  });
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** What of a key would show in a copy of it, however its lines are broken. */
function traces(key: string): readonly string[] {
  const lines = key.split('\n').filter((line) => line !== '' && !line.startsWith('-----'));
  return [key, JSON.stringify(key).slice(1, -1), ...lines];
}

describe.skipIf(!hasOpenssl())('a certificate that is put through the Admin API', () => {
  const root = TestAuthority.root();
  const first = root.issue({ name: 'first.test' });
  const second = root.issue({ name: 'second.test' });
  let cluster: Cluster;
  let echo: Echo;
  let node: Program;

  const served = (servername: string, name: string): Promise<unknown> =>
    eventually(
      `${servername} gets ${name}`,
      async () => (await shown(portOf(node), servername)) === name,
    );

  beforeAll(async () => {
    cluster = await Cluster.start();
    echo = await startEcho('one');
    const token = await cluster.admin.joinToken();
    node = await cluster.startNode({ ...NODE_ENV, HEADGATE_JOIN_TOKEN: token });
    await cluster.admin.post('/services', { name: 'echo', url: `http://${echo.address}` });
    await cluster.admin.post('/services/echo/routes', { name: 'a', paths: ['/a'] });
    await answers(plainUrl(node), '/a', 200);
  });
  afterAll(async () => {
    await cluster?.close();
    await echo?.close();
  });

  it('is served under its names within seconds, without a restart, past open connections', async () => {
    const before = await open(portOf(node), 'a.test');
    expect(String(before.getPeerCertificate().subject.CN)).toBe('localhost');
    await cluster.admin.ok('PUT', '/certificates/10000000-0000-4000-8000-000000000001', {
      cert: first.chain,
      key: first.key,
      snis: ['a.test', '*.wild.test'],
    });
    const startedAt = performance.now();
    await served('a.test', 'first.test');
    console.log(`put to handshake: ${Math.round(performance.now() - startedAt)} ms`);
    expect(await shown(portOf(node), 'x.wild.test')).toBe('first.test');
    expect(await shown(portOf(node), 'b.test')).toBe('localhost');
    expect(await request(before, '/a')).toBe('HTTP/1.1 200 OK');
    before.destroy();
  });

  it('is replaced when it is renewed', async () => {
    await cluster.admin.ok('PATCH', '/certificates/10000000-0000-4000-8000-000000000001', {
      cert: second.chain,
      key: second.key,
    });
    await served('a.test', 'second.test');
  });

  it('lies sealed in whatever the control plane and both data planes keep', async () => {
    const joinToken = await cluster.admin.joinToken();
    const edge = await cluster.startEdge({ HEADGATE_JOIN_TOKEN: joinToken });
    await answers(edge.url, '/a', 200);
    await cluster.stopEdge(edge);
    const wanted = [...traces(first.key), ...traces(second.key)];
    let sealed = 0;
    for (const path of await filesIn(cluster.folder)) {
      const bytes = await readFile(path);
      if (bytes.includes('sealed:certificates')) sealed += 1;
      for (const trace of wanted) {
        expect(bytes.includes(trace), `${path} holds a key`).toBe(false);
      }
    }
    // The control plane's database, the node's cache, the edge's Durable Object and KV.
    expect(sealed).toBeGreaterThanOrEqual(4);
  });

  it('is served from the cache by a node that starts while the control plane is away', async () => {
    await cluster.killControlPlane();
    await node.kill('SIGKILL');
    node = await cluster.startNode(NODE_ENV);
    expect(await shown(portOf(node), 'a.test')).toBe('second.test');
    await cluster.restartControlPlane();
    await cluster.admin.ok('PUT', '/snis/c.test', {
      certificate: { id: '10000000-0000-4000-8000-000000000001' },
    });
    await served('c.test', 'second.test');
  });

  it('is not there any more when it is deleted: its names get the default', async () => {
    await cluster.admin.ok('DELETE', '/certificates/10000000-0000-4000-8000-000000000001');
    await served('a.test', 'localhost');
    await served('c.test', 'localhost');
  });
});

describe.skipIf(!hasOpenssl())('an upstream that asks who we are, and shows who it is', () => {
  const root = TestAuthority.root('Upstreams');
  const clients = TestAuthority.root('Gateways');
  const upstreamPair = root.issue({ name: 'up.test' });
  const clientPair = clients.issue({ name: 'gateway' });
  let cluster: Cluster;
  let node: Program;
  let server: Server;

  beforeAll(async () => {
    server = createServer(
      {
        cert: upstreamPair.cert,
        key: upstreamPair.key,
        ca: clients.cert,
        requestCert: true,
        rejectUnauthorized: true,
      },
      (_request, response) => response.end('secret place'),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cluster = await Cluster.start();
    node = await cluster.startNode({ HEADGATE_JOIN_TOKEN: await cluster.admin.joinToken() });
  });
  afterAll(async () => {
    await cluster?.close();
    server?.close();
  });

  it('is reached with the certificate and the authority that the service names', async () => {
    const { admin } = cluster;
    const certificate = await admin.post('/certificates', {
      cert: clientPair.chain,
      key: clientPair.key,
    });
    const authority = await admin.post('/ca_certificates', { cert: root.cert });
    // A listening TCP server's address is an object.
    const { port } = server.address() as AddressInfo;
    await admin.post('/upstreams', { name: 'up.test' });
    await admin.post('/upstreams/up.test/targets', { target: `127.0.0.1:${port}` });
    const trust = {
      protocol: 'https',
      tls_verify: true,
      ca_certificates: [authority['id']],
      client_certificate: { id: certificate['id'] },
    };
    // Host, and so the name that is verified, is that of the target unless the route preserves it.
    const preserve_host = true;
    await admin.post('/services', { name: 'good', host: 'up.test', ...trust });
    await admin.post('/services/good/routes', { paths: ['/good'], preserve_host });
    await admin.post('/services', { name: 'bare', host: 'up.test', protocol: 'https' });
    await admin.post('/services/bare/routes', { paths: ['/bare'] });
    const headers = { host: 'up.test' };
    const url = node.url('proxy');
    await eventually('the upstream is reached', async () => {
      const answer = await send(url, '/good', { headers });
      return answer.status === 200 && answer.text === 'secret place';
    });
    expect((await send(url, '/good', { headers: { host: 'other.test' } })).status).toBe(502);
    await answers(url, '/bare', 502);
  });

  it('is not trusted any more when the service names another authority', async () => {
    const { admin } = cluster;
    const other = TestAuthority.root('Others');
    const authority = await admin.post('/ca_certificates', { cert: other.cert });
    await admin.ok('PATCH', '/services/good', { ca_certificates: [authority['id']] });
    const headers = { host: 'up.test' };
    await eventually('the certificate is not trusted', async () => {
      return (await send(node.url('proxy'), '/good', { headers })).status === 502;
    });
  });
});
