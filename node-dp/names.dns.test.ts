import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { DATA_PLANE_SETTINGS } from '#shared/settings/data-plane.ts';
import { parseSettings } from '#shared/settings/settings.ts';
import { TestConfig } from '../test/support/builders.ts';
import { type EchoUpstream, startEchoUpstream } from '../test/support/echo-upstream.ts';
import { eventually } from '../test/support/eventually.ts';
import { send } from '../test/support/http-client.ts';
import { type NameServer, startNameServer } from '../test/support/name-server.ts';
import { DnsResolver } from './dns/resolver.ts';
import { resolverOptions } from './dns/setup.ts';
import { type RunningGateway, startGateway } from './gateway.suite.ts';

const started: NameServer | null = await startNameServer();

describe.skipIf(started === null)('requests to hosts with names', () => {
  const server = (): NameServer => must(started, 'a name server');
  const upstreams: EchoUpstream[] = [];
  let gateway: RunningGateway | null = null;

  beforeAll(async () => {
    upstreams.push(await startEchoUpstream(), await startEchoUpstream());
  });
  afterEach(() => gateway?.close());
  afterAll(async () => {
    await Promise.all(upstreams.map((upstream) => upstream.close()));
    await started?.remove();
  });

  /** A gateway that sends everything to `svc.test:1`, which is no port anything listens at. */
  async function start(): Promise<string> {
    const parsed = parseSettings(DATA_PLANE_SETTINGS, {
      env: { HEADGATE_DNS_RESOLVER: `127.0.0.1:${server().port}` },
      readFile: () => '',
    });
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    const files = { resolvConf: 'search test', hosts: '' };
    const resolver = new DnsResolver(resolverOptions(parsed.value, files), nodeClock);
    const config = new TestConfig();
    const service = config.service({ host: 'svc', port: 1 });
    config.route({ paths: ['/'], service: { id: service.id } });
    gateway = await startGateway(config.tables(), {}, null, resolver);
    return `http://127.0.0.1:${gateway.port}`;
  }

  const portOf = (index: number): number => must(upstreams[index], 'an upstream').port;
  const counts = (): number[] => upstreams.map(({ requestCount }) => requestCount);

  it('go to the ports of its SRV records, by their weights', async () => {
    await server().serve([
      `svc SRV 0 3 ${portOf(0)} one`,
      `svc SRV 0 1 ${portOf(1)} one`,
      'one A 127.0.0.1',
    ]);
    const base = await start();
    const before = counts();
    for (let i = 0; i < 40; i += 1) expect((await send(base, '/')).status).toBe(200);
    expect(counts().map((count, i) => count - (before[i] ?? 0))).toEqual([30, 10]);
  });

  it('follow the records when they change', async () => {
    await server().serve([`svc 1 SRV 0 1 ${portOf(0)} one`, 'one 1 A 127.0.0.1']);
    const base = await start();
    const [first, second] = counts();
    expect((await send(base, '/')).status).toBe(200);
    expect(counts()).toEqual([(first ?? 0) + 1, second]);
    await server().serve([`svc 1 SRV 0 1 ${portOf(1)} one`, 'one 1 A 127.0.0.1']);
    await eventually('requests at the new address', async () => {
      expect((await send(base, '/')).status).toBe(200);
      return counts()[1] !== second;
    });
  });

  it('get a 503 where there is no such name', async () => {
    await server().serve([]);
    const answer = await send(await start(), '/');
    expect(answer.status).toBe(503);
    expect(answer.text).toContain('name resolution failed');
  });
});
