import { createScheduledController, evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env, exports } from 'cloudflare:workers';
import { describe, expect, inject, it } from 'vitest';
import { BindingError, parseBindings } from './bindings.ts';
import { keep, recordOf, TestCluster } from './signed-config.suite.ts';
import worker from './worker.ts';

const hub = env.HEADGATE_HUB.get(env.HEADGATE_HUB.idFromName('test'));
const get = (path: string, headers: Record<string, string> = {}) =>
  exports.default.fetch(`http://edge.test${path}`, { headers });

describe('the Worker', () => {
  it('answers 503 and is not ready as long as there is no configuration', async () => {
    const answer = await get('/anything');
    const body = await answer.text();

    expect(answer.status).toBe(503);
    expect(body).toContain('no configuration available');
    expect((await get('/_headgate/status/ready')).status).toBe(503);
  });

  it('keeps its status to whoever has the token', async () => {
    expect((await get('/_headgate/status')).status).toBe(401);
    const wrong = await get('/_headgate/status', { authorization: 'Bearer wrong' });
    expect(wrong.status).toBe(401);

    const right = await get('/_headgate/status', { authorization: 'Bearer status-token' });

    expect(right.status).toBe(200);
    expect(await right.json()).toMatchObject({ ready: false, deployment: 'test' });
  });

  it('passes nothing under its own prefix on to a route', async () => {
    for (const path of ['/_headgate/', '/_headgate/other', '/_headgate/status/ready/x']) {
      expect((await get(path)).status).toBe(404);
    }
  });

  it('wakes its hub when the cron comes', async () => {
    await worker.scheduled(createScheduledController(), env);

    const alarm = await runInDurableObject(hub, (_hub, state) => state.storage.getAlarm());
    expect(alarm).not.toBeNull();
  });

  it('serves a configuration as soon as its hub has one', async () => {
    const cluster = await TestCluster.create();
    const { host, port } = inject('echo');
    const service = { id: crypto.randomUUID(), name: 'echo', url: `http://${host}:${port}` };
    const route = { id: crypto.randomUUID(), paths: ['/a'], service: { id: service.id } };
    const broken = { id: crypto.randomUUID(), name: 'grpc', protocol: 'grpc', host: 'a.test' };
    const records = [
      recordOf('services', service),
      recordOf('routes', route),
      recordOf('services', broken),
    ];
    const config = await cluster.sign(1, records);
    const identity = await cluster.identity();
    await runInDurableObject(hub, (_hub, state) => keep(state.storage, identity, config));
    await evictDurableObject(hub);

    const answer = await untilStatus('/a/b?c=1', 200);

    expect(await answer.json()).toMatchObject({ method: 'GET', target: '/b?c=1' });
    expect((await get('/other')).status).toBe(404);

    const token = { authorization: 'Bearer status-token' };
    const status = await (await get('/_headgate/status', token)).json();
    const reason = 'services of protocol grpc are not supported at the edge';
    expect(status).toMatchObject({
      quarantined: [{ kind: 'services', id: broken.id, name: 'grpc', reason }],
      quarantined_total: 1,
    });
    expect((await get('/_headgate/explain?url=/a')).status).toBe(401);
    const explained = await get('/_headgate/explain?url=/a/b?c=1', token);
    expect(await explained.json()).toMatchObject({
      outcome: 'proxied',
      route: { id: route.id },
      upstream: { path: '/b', query: 'c=1', targets: [{ host, port }] },
    });
    const refused = await get('/_headgate/explain?url=b', token);
    expect([refused.status, await refused.json()]).toMatchObject([400, { fields: { url: {} } }]);
    expect((await get('/_headgate/status/ready')).status).toBe(200);
  });
});

describe('the bindings', () => {
  it('are complete in wrangler.toml', () => {
    expect(parseBindings(env).settings.HEADGATE_DEPLOYMENT).toBe('test');
  });

  it('are named when they are missing or wrong', () => {
    const wrong = {
      ...env,
      HEADGATE_CONFIG: 'no namespace',
      HEADGATE_TRUSTED_IPS: '10.0.0.0/8, 300.1.1.1',
      HEADGATE_CONTROL_PLANES: 'ws://control-plane.example.com',
      HEADGATE_BOOT_KEY: 'too-short',
    };

    const parse = () => parseBindings(wrong as unknown as Parameters<typeof parseBindings>[0]);

    expect(parse).toThrow(BindingError);
    expect(parse).toThrow(/HEADGATE_CONFIG: a KV namespace/);
    expect(parse).toThrow(/HEADGATE_CONTROL_PLANES/);
    expect(parse).toThrow(/HEADGATE_BOOT_KEY/);
    expect(parse).not.toThrow(/too-short/);
  });

  it('take no secret from a file, which a Worker does not have', () => {
    const { HEADGATE_STATUS_TOKEN: _, ...rest } = env;
    const wrong = { ...rest, HEADGATE_STATUS_TOKEN_FILE: '/run/secrets/x' };

    expect(() => parseBindings(wrong as unknown as Parameters<typeof parseBindings>[0])).toThrow(
      /HEADGATE_STATUS_TOKEN_FILE/,
    );
  });
});

/** Isolates hear of news behind requests, so the first request after it may still be answered as before. */
async function untilStatus(path: string, status: number): Promise<Response> {
  const end = Date.now() + 10_000;
  for (;;) {
    const answer = await get(path);
    if (answer.status === status) return answer;
    if (Date.now() > end) throw new Error(`${path} still answers ${answer.status}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
