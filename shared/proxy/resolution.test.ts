import { describe, expect, it } from 'vitest';
import { TestConfig } from '../../test/support/builders.ts';
import { answer } from '../../test/support/fake-platform.ts';
import { TestGateway } from '../../test/support/gateway.ts';
import { ScriptedResolver } from '../balancer/scripted-resolver.suite.ts';
import { UpstreamError } from '../platform/platform.ts';
import type { JsonObject } from '../schema/field.ts';

/** A gateway that resolves names itself. */
class Resolving {
  readonly config = new TestConfig();
  readonly resolver = new ScriptedResolver();

  start(service: JsonObject): TestGateway {
    const { id } = this.config.service(service);
    this.config.route({ paths: ['/'], service: { id } });
    const test = new TestGateway(this.config.tables());
    test.platform.resolver = this.resolver;
    return test;
  }

  upstream(input: JsonObject, ...targets: readonly string[]): void {
    const { id } = this.config.add('upstreams', { name: 'pool.test', ...input });
    for (const target of targets) this.config.add('targets', { target, upstream: { id } });
  }
}

const LATER = 1e9;

function sentTo(test: TestGateway): (string | number | null)[][] {
  return test.platform.sent.map(({ host, address, port, headers }) => [
    host,
    address,
    port,
    headers.get('host'),
  ]);
}

describe('a service by name', () => {
  it('goes to its addresses in turn', async () => {
    const resolving = new Resolving();
    const addresses = ['10.0.0.1', '10.0.0.2'];
    resolving.resolver.answers.set('api.test', { addresses, expiresAt: LATER });
    const test = resolving.start({ host: 'api.test', port: 8080 });
    for (let i = 0; i < 4; i += 1) await test.get('/');

    const to = sentTo(test);
    expect(to.map(([host, , port, field]) => [host, port, field])).toEqual(
      Array.from({ length: 4 }, () => ['api.test', 8080, 'api.test:8080']),
    );
    expect(to.map(([, address]) => address).toSorted()).toEqual([
      '10.0.0.1',
      '10.0.0.1',
      '10.0.0.2',
      '10.0.0.2',
    ]);
  });

  it('takes the port of its SRV records', async () => {
    const resolving = new Resolving();
    const srv = [{ port: 9001, weight: 1 }];
    resolving.resolver.answers.set('api.test', { addresses: ['10.0.0.1'], expiresAt: LATER, srv });
    const test = resolving.start({ host: 'api.test', port: 8080 });
    await test.get('/');
    expect(sentTo(test)).toEqual([['api.test', '10.0.0.1', 9001, 'api.test:9001']]);
  });

  it('tries another of its addresses when one fails', async () => {
    const resolving = new Resolving();
    const addresses = ['10.0.0.1', '10.0.0.2'];
    resolving.resolver.answers.set('api.test', { addresses, expiresAt: LATER });
    const test = resolving.start({ host: 'api.test', retries: 1 });
    let failed: string | null = null;
    test.platform.respond = ({ address }) => {
      if (failed === null) {
        failed = address;
        throw new UpstreamError('connect', false);
      }
      return answer(200, address ?? '');
    };
    const got = await test.get('/');
    expect([got.status, got.text === failed]).toEqual([200, false]);
  });

  // Source: Kong `runloop/balancer/init.lua`, execute
  it('that does not resolve is a 503', async () => {
    const test = new Resolving().start({ host: 'nowhere.test' });
    const got = await test.get('/', { accept: 'application/json' });
    expect([got.status, got.json()]).toMatchObject([503, { message: 'name resolution failed' }]);
    expect(got.headers.has('x-kong-upstream-latency')).toBe(false);
    expect(test.platform.sent).toEqual([]);
  });

  it('is connected to as it stands when it is an address', async () => {
    const resolving = new Resolving();
    const test = resolving.start({ host: '10.1.1.1' });
    await test.get('/');
    expect(sentTo(test)).toEqual([['10.1.1.1', '10.1.1.1', 80, '10.1.1.1']]);
    expect(resolving.resolver.asked).toEqual([]);
  });
});

describe('an Upstream with targets by name', () => {
  it('is a 503 in the state DNS_ERROR while no name resolves', async () => {
    const resolving = new Resolving();
    resolving.upstream({}, 'a.test:80');
    const test = resolving.start({ host: 'pool.test' });
    const got = await test.get('/', { accept: 'application/json' });
    expect(got.json()).toMatchObject({ message: 'failure to get a peer from the ring-balancer' });
    const health = test.gateway.tables?.parts.env.health.snapshot(
      resolving.config.ws,
      'pool.test',
      0,
    );
    expect(health?.targets).toMatchObject([{ target: 'a.test:80', health: 'DNS_ERROR' }]);
  });

  // Source: Kong `runloop/balancer/balancers.lua`, setHostHeader
  it.each([
    [false, 'a.test:9001'],
    [true, 'srv0.a.test:9001'],
  ])('with use_srv_name %s says Host: %s', async (use_srv_name, host) => {
    const resolving = new Resolving();
    resolving.upstream({ use_srv_name }, 'a.test:80');
    const srv = [{ port: 9001, weight: 1 }];
    resolving.resolver.answers.set('a.test', { addresses: ['10.0.0.1'], expiresAt: LATER, srv });
    const test = resolving.start({ host: 'pool.test' });
    await test.get('/');
    expect(sentTo(test)).toEqual([['a.test', '10.0.0.1', 9001, host]]);
  });

  it('has an opinion of each address by itself', async () => {
    const resolving = new Resolving();
    const healthchecks = { passive: { unhealthy: { http_failures: 1 } } };
    resolving.upstream({ healthchecks }, 'a.test:80');
    const addresses = ['10.0.0.1', '10.0.0.2'];
    resolving.resolver.answers.set('a.test', { addresses, expiresAt: LATER });
    const test = resolving.start({ host: 'pool.test' });
    test.platform.respond = ({ address }) => answer(address === '10.0.0.1' ? 500 : 200, '');
    const statuses: number[] = [];
    for (let i = 0; i < 6; i += 1) statuses.push((await test.get('/')).status);
    expect(statuses.filter((status) => status === 500)).toHaveLength(1);
  });
});
