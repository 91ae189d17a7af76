/** Connections and datagrams through a Node data plane, and what an edge one says of their routes. */
import { createSocket } from 'node:dgram';
import { connect, createServer, type AddressInfo } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { makeCertificate } from '../support/certificates.ts';
import { answers, Cluster } from '../support/cluster.ts';
import { startEcho, type Echo } from '../support/echo.ts';
import { eventually } from '../support/eventually.ts';
import { send } from '../support/http-client.ts';
import { hasOpenssl } from '../support/openssl.ts';
import type { Program } from '../support/program.ts';

let cluster: Cluster;
let node: Program;
let echo: Echo;
let edgeUrl = '';
let routeId = '';
const upper = createServer((socket) => {
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => socket.write(String(chunk).toUpperCase()));
});
const datagrams = createSocket('udp4');

beforeAll(async () => {
  await new Promise<void>((resolve) => {
    upper.listen(0, '127.0.0.1', resolve);
  });
  await new Promise<void>((resolve) => {
    datagrams.bind(0, '127.0.0.1', resolve);
  });
  datagrams.on('message', (text, { port, address }) => {
    datagrams.send(String(text).toUpperCase(), port, address);
  });
  echo = await startEcho('one');
  cluster = await Cluster.start();
  const { admin } = cluster;
  node = await cluster.startNode({
    HEADGATE_JOIN_TOKEN: await admin.joinToken(),
    HEADGATE_STREAM_LISTEN: '127.0.0.1:0, 127.0.0.1:0 udp, 127.0.0.1:0 ssl',
  });
  edgeUrl = (await cluster.startEdge({ HEADGATE_JOIN_TOKEN: await admin.joinToken() })).url;
  const { port } = upper.address() as AddressInfo;
  await admin.post('/services', { name: 'upper', protocol: 'tcp', host: '127.0.0.1', port });
  await admin.post('/services', {
    name: 'upper-udp',
    protocol: 'udp',
    host: '127.0.0.1',
    port: datagrams.address().port,
  });
  const route = { protocols: ['tcp'], destinations: [{ port: portOf('tcp') }] };
  const created = await admin.post('/services/upper/routes', { name: 'upper', ...route });
  routeId = String((created as { id?: unknown }).id);
  await admin.post('/services/upper-udp/routes', {
    name: 'upper-udp',
    protocols: ['udp'],
    destinations: [{ port: portOf('udp') }],
  });
  await admin.post('/services', { name: 'web', url: `http://${echo.address}` });
  await admin.post('/services/web/routes', { name: 'canary', paths: ['/canary'] });
  await answers(node.url('proxy'), '/canary', 200);
});
afterAll(async () => {
  await cluster?.close();
  await echo?.close();
  upper.close();
  datagrams.close();
});

function portOf(scheme: string): number {
  const address = node.addresses['stream']?.find((each) => each.startsWith(`${scheme}:`));
  return Number(/:(\d+)$/.exec(must(address, `a ${scheme} address`))?.[1]);
}

it('joins connections to the service of their route', async () => {
  const client = connect(portOf('tcp'), '127.0.0.1');
  let text = '';
  client.on('data', (chunk) => (text += String(chunk)));
  client.write('hello');

  await eventually('the answer', () => text === 'HELLO');
  const metrics = await send(node.url('status'), '/metrics');
  expect(metrics.text).toMatch(/^headgate_stream_sessions 1$/m);
  client.end();
  await eventually('a line in the log', () => node.output.includes('"session_id"'));
});

it('carries datagrams there and back', async () => {
  const client = createSocket('udp4');
  let text = '';
  client.on('message', (message) => (text = String(message)));

  client.send('hello', portOf('udp'), '127.0.0.1');

  await eventually('the answer', () => text === 'HELLO');
  client.close();
});

it.skipIf(!hasOpenssl())(
  'ends TLS with the certificate of the name that is asked for',
  async () => {
    const { admin } = cluster;
    const { cert, key } = makeCertificate();
    await admin.post('/certificates', { cert, key, snis: ['a.test'] });
    await admin.post('/services/upper/routes', {
      name: 'upper-tls',
      protocols: ['tls'],
      snis: ['a.test'],
    });
    const dial = (): Promise<{ shown: string; text: string }> =>
      new Promise((resolve, reject) => {
        const client = connectTls({
          host: '127.0.0.1',
          port: portOf('tls'),
          servername: 'a.test',
          rejectUnauthorized: false,
        });
        client.once('error', reject);
        client.once('close', () => reject(new Error('closed')));
        client.once('secureConnect', () => client.write('hello'));
        client.once('data', (chunk) => {
          const shown = client.getPeerX509Certificate()?.toString() ?? '';
          resolve({ shown, text: String(chunk) });
          client.destroy();
        });
      });

    const { shown, text } = await eventually('an answer over TLS', dial);

    expect(text).toBe('HELLO');
    expect(shown.trim()).toBe(cert.trim());
  },
);

it('names the routes that the edge cannot serve, and serves the rest', async () => {
  await answers(edgeUrl, '/canary', 200);
  const reported = await eventually('a report', async () => {
    const nodes = await cluster.admin.ok('GET', '/clustering/data-planes');
    const text = JSON.stringify(nodes);
    return text.includes('not supported at the edge') ? text : null;
  });

  expect(reported).toContain(
    `routes ${routeId} (routes of protocol tcp are not supported at the edge)`,
  );
});
