import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import { EXPLAIN_BYTES_MAX } from '#shared/proxy/explain-request.ts';
import { SHOWN_MAX } from '#shared/tables/quarantine.ts';
import type { Quarantined } from '#shared/tables/tables.ts';
import { TestConfig, testPlugin } from '../test/support/builders.ts';
import { TestGateway } from '../test/support/gateway.ts';
import { upstreamHealth } from './health-view.ts';
import { NO_CONTROL_PLANE, startStatusServer, type StatusServer } from './status.ts';

let server: StatusServer | null = null;
afterEach(async () => server?.close());

async function start(config: TestConfig, host = '127.0.0.1'): Promise<string> {
  const { gateway } = new TestGateway(config.tables());
  const quarantined: readonly Quarantined[] = gateway.tables?.quarantined ?? [];
  server = await startStatusServer(
    { host, port: 0, tls: false },
    {
      figures: () => ({
        isDraining: false,
        config: gateway.tables,
        isClosed: false,
        controlPlane: NO_CONTROL_PLANE,
        connections: 0,
        inFlight: 0,
        requestsByClass: [],
        tunnels: 0,
        streams: { active: 0, accepted: 0, datagramsDropped: 0 },
        accessLogDropped: 0,
        quarantined,
        crashed: [],
        upstreams: upstreamHealth(gateway.health, 0),
      }),
      explain: (asked) => gateway.explain(asked),
    },
  );
  return `http://127.0.0.1:${server.address.port}`;
}

function oneRoute(): { config: TestConfig; id: string } {
  const config = new TestConfig();
  const { id } = config.route({ name: 'one', paths: ['/a'] });
  return { config, id };
}

describe('the status port', () => {
  it('names what was set aside, and no more of it than fits', async () => {
    const config = new TestConfig();
    config.provide(testPlugin('absent', null));
    const route = config.route({ name: 'named', paths: ['/b'] });
    config.put('routes', { ...route, paths: ['~/b/(?<id>[0-9]+'] });
    const { id } = config.route({ paths: ['/a'] });
    for (let n = 0; n < SHOWN_MAX; n++) {
      const consumer = config.consumer(`user-${n}`);
      const scope = { route: { id }, consumer: { id: consumer.id } };
      config.plugin('absent', {}, scope);
    }
    const url = await start(config);
    const status = (await (await fetch(`${url}/status`)).json()) as {
      quarantined: unknown[];
      quarantined_total: number;
    };
    expect(status.quarantined_total).toBe(SHOWN_MAX + 1);
    expect(status.quarantined).toHaveLength(SHOWN_MAX);
    expect(status.quarantined[0]).toMatchObject({
      kind: 'plugins',
      workspace: config.ws,
      name: 'absent',
      reason: 'absent is not available on this data plane',
    });
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain(`headgate_config_quarantined ${SHOWN_MAX + 1}\n`);
  });

  it('explains a request, asked by query or by body', async () => {
    const { config, id } = oneRoute();
    const url = await start(config);
    const byQuery = await (await fetch(`${url}/explain?url=/a/b&header=X-A:%20b`)).json();
    const body = JSON.stringify({ url: '/a/b', headers: { 'X-A': 'b' } });
    const byBody = await (await fetch(`${url}/explain`, { method: 'POST', body })).json();
    expect(byQuery).toMatchObject({ outcome: 'proxied', route: { id, name: 'one' } });
    expect(byBody).toEqual(byQuery);
  });

  it.each([
    ['no url', {}, 'url'],
    ['a method that is none', { url: '/', method: 'G T' }, 'method'],
  ])('says what is wrong with %s', async (_, asked, field) => {
    const url = await start(oneRoute().config);
    const answer = await fetch(`${url}/explain`, { method: 'POST', body: JSON.stringify(asked) });
    expect([
      answer.status,
      Object.keys(((await answer.json()) as { fields: object }).fields),
    ]).toEqual([400, [field]]);
  });

  it('reads no more than a request can be', async () => {
    const url = await start(oneRoute().config);
    const ask = async (body: string): Promise<number> =>
      (await fetch(`${url}/explain`, { method: 'POST', body })).status;
    const fits = JSON.stringify({ url: '/a' }).padEnd(EXPLAIN_BYTES_MAX);
    expect(await ask(fits)).toBe(200);
    expect(await ask(`${fits} `)).toBe(400);
    expect(await ask('{')).toBe(400);
    expect((await fetch(`${url}/explain`, { method: 'PUT' })).status).toBe(405);
  });

  it('explains to this machine only, and to no page with a name for it', async () => {
    const url = await start(oneRoute().config, '0.0.0.0');
    expect((await fetch(`${url}/explain?url=/a`)).status).toBe(200);
    expect(await rawStatus(url, 'rebound.example')).toBe(403);
    expect(await rawStatus(url, 'localhost:1')).toBe(200);
    for (const field of ['X-Forwarded-For: 192.0.2.1', 'Via: 1.1 here', 'Forwarded: for=x']) {
      expect(await rawStatus(url, `localhost\r\n${field}`)).toBe(403);
    }
    const outside = outsideAddress();
    if (outside === null) return;
    const there = url.replace('127.0.0.1', outside);
    expect((await fetch(`${there}/explain?url=/a`)).status).toBe(403);
    // Whatever it calls us.
    expect(await rawStatus(there, 'localhost')).toBe(403);
    expect((await fetch(`${there}/status/ready`)).status).toBe(200);
  });
});

/** Status of `/explain` for a Host of one's own. */
function rawStatus(url: string, host: string): Promise<number> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => {
      socket.write(`GET /explain?url=/a HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    });
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('end', () => resolve(Number(text.split(' ', 2)[1])));
    socket.on('error', reject);
  });
}

/** An address of this machine that is none of loopback's; null where there is none. */
function outsideAddress(): string | null {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { family, internal, address } of addresses ?? []) {
      if (family === 'IPv4' && !internal) return address;
    }
  }
  return null;
}
