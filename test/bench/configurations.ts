/** The configurations that the data plane is measured with. */
import type { ConfigRecord } from '#shared/config/record.ts';
import { REGISTRY } from '#shared/registry.ts';
import { processInsert } from '#shared/schema/process.ts';
import { must } from '#shared/base/assert.ts';
import { TestConfig, testId } from '../support/builders.ts';
import type { TestCluster } from '../support/dp-folder.ts';

const ROUTE_COUNT = 1000;
const HOST_COUNT = 1000;
const CONSUMER_COUNT = 10_000;

/** One route, no plugins. */
export function plain(upstreamPort: number): ConfigRecord[] {
  const config = new TestConfig();
  const service = config.service({ host: '127.0.0.1', port: upstreamPort });
  config.route({ paths: ['/'], strip_path: false, service: { id: service.id } });
  return [...config.replica().tree.records()];
}

/** So many routes without plugins, over a thousand hosts, by host and path. */
export function routes(upstreamPort: number, count: number): ConfigRecord[] {
  const config = new TestConfig();
  const service = { id: config.service({ host: '127.0.0.1', port: upstreamPort }).id };
  for (let i = 0; i < count; i += 1) {
    config.route({
      hosts: [`host${i % HOST_COUNT}.test`],
      paths: [`/svc${i}`],
      strip_path: false,
      service,
    });
  }
  return [...config.replica().tree.records()];
}

/** For wrk: spreads requests over the routes of `routes`. */
export function routesScript(count: number): string {
  return `
local n = 0
request = function()
  n = n + 1
  local route = (n * 7919) % ${count}
  return wrk.format("GET", "/svc" .. route .. "/abc", { Host = "host" .. (route % ${HOST_COUNT}) .. ".test" })
end
`;
}

/** 1,000 routes; key-auth for 10,000 consumers and rate-limiting on all of them. */
export function full(cluster: TestCluster, upstreamPort: number): ConfigRecord[] {
  const config = new TestConfig();
  const service = config.service({ host: '127.0.0.1', port: upstreamPort });
  for (let i = 0; i < ROUTE_COUNT; i += 1) {
    config.route({ paths: [`/svc${i}`], strip_path: false, service: { id: service.id } });
  }
  config.plugin('key-auth');
  config.plugin('rate-limiting', { minute: 1_000_000_000, policy: 'local' });
  const credentials: ConfigRecord[] = [];
  const definition = must(REGISTRY.entities.get('keyauth_credentials'), 'key-auth credentials');
  for (let i = 0; i < CONSUMER_COUNT; i += 1) {
    const consumer = config.consumer(`user-${i}`);
    const input = { key: `key-${i}`, consumer: { id: consumer.id } };
    const processed = processInsert(definition, input, REGISTRY, {
      nowSeconds: 1_800_000_000,
      uuid: testId,
      randomText: () => '',
    });
    if (!processed.ok) throw new Error('a credential of the bench is not valid');
    credentials.push(cluster.credential(config.ws, processed.entity, `key-${i}`));
  }
  return [...config.replica().tree.records(), ...credentials];
}

/** For wrk: spreads requests over routes and consumers, in an order that does not repeat soon. */
export const SPREAD_SCRIPT = `
local n = 0
request = function()
  n = n + 1
  local route = (n * 7) % ${ROUTE_COUNT}
  local user = (n * 13) % ${CONSUMER_COUNT}
  return wrk.format("GET", "/svc" .. route .. "/abc", { apikey = "key-" .. user })
end
`;
