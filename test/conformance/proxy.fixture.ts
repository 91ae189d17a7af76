/** The configuration that the proxy suite runs against: everything at once, so that it starts once. */
import type { AdminClient } from '../support/admin-client.ts';

export interface Upstreams {
  /** `host:port` of two echo upstreams that name themselves, and of a port where nobody listens. */
  readonly one: string;
  readonly two: string;
  readonly closed: string;
}

/** Creates everything; the canary route is last, so a data plane that has it has all. */
export async function createFixture(admin: AdminClient, upstreams: Upstreams): Promise<void> {
  await createServices(admin, upstreams);
  await createRoutes(admin);
  await createPlugins(admin);
  await admin.post('/services/echo/routes', { name: 'canary', paths: ['/canary'] });
}

async function createServices(admin: AdminClient, { one, two, closed }: Upstreams): Promise<void> {
  const service = (name: string, url: string, more = {}) =>
    admin.post('/services', { name, url, ...more });
  await service('echo', `http://${one}`);
  await service('with-path', `http://${one}/base`);
  await service('slow', `http://${one}`, { read_timeout: 300, retries: 0 });
  await service('refused', `http://${closed}`, { retries: 1, connect_timeout: 1000 });
  await service('unresolved', 'http://no-such-host.invalid', { retries: 0, connect_timeout: 2000 });
  await service('disabled', `http://${one}`, { enabled: false });
  await admin.post('/upstreams', { name: 'pair' });
  await admin.post('/upstreams/pair/targets', { target: one, weight: 30 });
  await admin.post('/upstreams/pair/targets', { target: two, weight: 10 });
  await service('balanced', 'http://pair');
  await admin.post('/upstreams', { name: 'half-dead' });
  await admin.post('/upstreams/half-dead/targets', { target: one });
  await admin.post('/upstreams/half-dead/targets', { target: closed });
  await service('half-dead', 'http://half-dead', { retries: 3 });
  await admin.post('/upstreams', { name: 'empty' });
  await service('no-target', 'http://empty');
}

async function createRoutes(admin: AdminClient): Promise<void> {
  const route = (service: string, name: string, more: object) =>
    admin.post(`/services/${service}/routes`, { name, ...more });
  await route('echo', 'prefix', { paths: ['/prefix'] });
  await route('echo', 'prefix-longer', { paths: ['/prefix/longer'], strip_path: false });
  await route('echo', 'regex', { paths: ['~/item/(?<id>\\d+)$'], strip_path: false });
  await route('echo', 'host', { hosts: ['exact.test'] });
  await route('echo', 'host-wildcard-left', { hosts: ['*.wild.test'] });
  await route('echo', 'host-wildcard-right', { hosts: ['tail.*'] });
  await route('echo', 'method', { paths: ['/method'], methods: ['PUT'] });
  await route('echo', 'header', { paths: ['/header'], headers: { 'x-color': ['red', 'blue'] } });
  await route('echo', 'header-plain', { paths: ['/header'] });
  await route('echo', 'secure', { paths: ['/secure'], protocols: ['https'] });
  await route('echo', 'redirected', {
    paths: ['/redirected'],
    protocols: ['https'],
    https_redirect_status_code: 308,
  });
  await route('with-path', 'based', { paths: ['/based'] });
  await route('with-path', 'based-kept', { paths: ['/kept'], strip_path: false });
  await route('echo', 'preserve', { paths: ['/preserve'], preserve_host: true });
  await route('balanced', 'balanced', { paths: ['/balanced'] });
  await route('half-dead', 'half-dead', { paths: ['/half-dead'] });
  await route('no-target', 'no-target', { paths: ['/no-target'] });
  await route('refused', 'refused', { paths: ['/refused'] });
  await route('unresolved', 'unresolved', { paths: ['/unresolved'] });
  await route('slow', 'slow', { paths: ['/slow'] });
  await route('disabled', 'disabled', { paths: ['/disabled'] });
  await admin.post('/routes', { name: 'serviceless', paths: ['/serviceless'] });
  for (const name of [
    'keyed',
    'keyed-hidden',
    'keyed-anonymous',
    'limited',
    'correlated',
    'json',
  ]) {
    await route('echo', name, { paths: [`/${name}`] });
  }
  await route('echo', 'limited-consumer', { paths: ['/limited-consumer'] });
}

async function createPlugins(admin: AdminClient): Promise<void> {
  await admin.post('/consumers', { username: 'ann', custom_id: 'ann-7' });
  await admin.post('/consumers/ann/key-auth', { key: 'ann-key-0123456789' });
  await admin.post('/consumers', { username: 'guest' });
  const plugin = (route: string, name: string, config: object) =>
    admin.post(`/routes/${route}/plugins`, { name, config });
  await plugin('keyed', 'key-auth', {});
  await plugin('keyed-hidden', 'key-auth', { hide_credentials: true, key_names: ['x-key'] });
  await plugin('keyed-anonymous', 'key-auth', { anonymous: 'guest' });
  await plugin('limited', 'rate-limiting', { minute: 3, limit_by: 'ip', policy: 'local' });
  await plugin('limited-consumer', 'key-auth', {});
  await plugin('limited-consumer', 'rate-limiting', { hour: 1000, policy: 'local' });
  await admin.post('/plugins', {
    name: 'rate-limiting',
    config: { hour: 2, policy: 'local' },
    consumer: { username: 'ann' },
    route: { name: 'limited-consumer' },
  });
  await plugin('correlated', 'correlation-id', { header_name: 'X-Trace', echo_downstream: true });
  await plugin('json', 'response-transformer', {
    add: { headers: ['x-added:yes'], json: ['added:value'] },
    remove: { headers: ['x-upstream-name'], json: ['headers'] },
  });
}
