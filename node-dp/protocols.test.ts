import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadSettings } from '#shared/platform/node/env.ts';
import { createLogger } from '#shared/platform/node/logger.ts';
import type { Running } from '#shared/platform/node/program.ts';
import { DATA_PLANE_SETTINGS } from '#shared/settings/data-plane.ts';
import { TestCluster } from '../test/support/dp-folder.ts';
import { startDataPlane } from './data-plane.ts';
import { proxyTo, Started } from './gateway.suite.ts';
import { openH2, sendH2 } from './h2/client.suite.ts';
import { sendRaw } from './raw-client.suite.ts';

const started = new Started();
const running: Running[] = [];
let folder = '';
let log: string[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-protocols-'));
  log = [];
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((dataPlane) => dataPlane.close()));
  await started.close();
  await rm(folder, { recursive: true });
});

/** A whole data plane before an upstream that answers with what it was sent. */
async function start(env: Record<string, string>): Promise<URL> {
  const upstream = await started.upstream((socket, text) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
  });
  const cluster = await TestCluster.create();
  await cluster.furnish(folder, proxyTo(upstream.port).replica().tree.records());
  const settings = loadSettings(DATA_PLANE_SETTINGS, {
    HEADGATE_DATA_DIR: folder,
    HEADGATE_STATUS_LISTEN: 'off',
    HEADGATE_PROXY_ACCESS_LOG: 'off',
    HEADGATE_DRAIN_SECONDS: '0',
    HEADGATE_CONTROL_PLANES: 'ws://127.0.0.1:1',
    ...env,
  });
  const logger = createLogger({ name: 'dp', write: (line) => log.push(line) });
  const dataPlane = await startDataPlane(settings, logger);
  running.push(dataPlane);
  return new URL(dataPlane.addresses['proxy']?.[0] ?? '');
}

describe('a data plane whose listener', () => {
  it('says http2 speaks it in clear, beside HTTP/1.1', async () => {
    const url = await start({ HEADGATE_PROXY_LISTEN: '127.0.0.1:0 http2 reuseport backlog=128' });
    const session = await openH2(url.origin);

    expect((await sendH2(session, {})).text).toMatch(/Via: 2 /);
    expect((await sendRaw(Number(url.port), 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')).text).toMatch(
      /Via: 1\.1 /,
    );
    session.destroy();
  });

  it.each([
    ['trusts', 'proxy_protocol', '127.0.0.1', '192.0.2.7', false],
    ['does not trust', 'proxy_protocol', '10.0.0.1', '127.0.0.1', false],
    ['was not told to ask', 'X-Forwarded-For', '127.0.0.1', '127.0.0.1', true],
  ])('takes clients from a balancer that it %s', async (_how, header, trusted, client, warns) => {
    const url = await start({
      HEADGATE_PROXY_LISTEN: '127.0.0.1:0 proxy_protocol',
      HEADGATE_REAL_IP_HEADER: header,
      HEADGATE_TRUSTED_IPS: trusted,
    });
    const head = 'PROXY TCP4 192.0.2.7 198.51.100.1 5000 8443\r\n';

    const request = 'GET / HTTP/1.1\r\nHost: a\r\nproxy_protocol: 203.0.113.9\r\n\r\n';
    const { text } = await sendRaw(Number(url.port), head, request);

    expect(text).toContain(`X-Real-IP: ${client}\r\n`);
    expect(text).toContain(`X-Forwarded-For: ${client}\r\n`);
    expect(log.some((line) => line.includes('believed of nobody'))).toBe(warns);
  });
});
