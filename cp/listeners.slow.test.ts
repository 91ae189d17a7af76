import { Agent, get } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { CONTROL_PLANE_SETTINGS } from '#shared/settings/control-plane.ts';
import { parseSettings } from '#shared/settings/settings.ts';
import { openListeners, type OpenListeners, type Role, STOP_MS_MAX } from './listeners.ts';

let listeners: OpenListeners | null = null;
afterEach(async () => {
  await listeners?.close();
  listeners = null;
});

async function open(
  request: Role['request'],
  more: Readonly<Record<string, string>> = {},
): Promise<URL> {
  const env = { HEADGATE_ADMIN_LISTEN: '127.0.0.1:0', HEADGATE_CLUSTER_LISTEN: 'off', ...more };
  const parsed = parseSettings(CONTROL_PLANE_SETTINGS, { env, readFile: () => '' });
  if (!parsed.ok) throw new Error('the settings are valid');
  const role: Role = { request, upgrade: (_request, socket) => socket.destroy() };
  listeners = await openListeners({
    settings: parsed.value,
    roles: { admin: role, cluster: role },
    hasToken: false,
    logger: { log() {} },
  });
  return new URL(listeners.admin[0] ?? '');
}

/** Milliseconds that closing takes. */
async function closing(): Promise<number> {
  const startedAt = performance.now();
  await listeners?.close();
  listeners = null;
  return performance.now() - startedAt;
}

describe('listeners that stop', () => {
  it('let go of clients that keep their connections busy', async () => {
    const url = await open((_request, response) => response.end('ok'));
    const agent = new Agent({ keepAlive: true, maxSockets: 4 });
    let answered = 0;
    const hammer = (): void => {
      get(url, { agent }, (response) => {
        answered++;
        response.resume().once('end', hammer);
      }).once('error', () => undefined);
    };
    for (let i = 0; i < 4; i++) hammer();
    await expect.poll(() => answered).toBeGreaterThan(50);

    expect(await closing()).toBeLessThan(STOP_MS_MAX);

    agent.destroy();
  });

  it('cut what does not end, after a bounded time', async () => {
    let isAsked = false;
    const url = await open(() => {
      isAsked = true;
    });
    const cut = new Promise((resolve) => get(url).once('error', resolve));
    await expect.poll(() => isAsked).toBe(true);

    expect(await closing()).toBeLessThan(STOP_MS_MAX + 2_000);
    expect(await cut).toBeInstanceOf(Error);
  });
});

describe('client certificates', () => {
  it.each<[string, Readonly<Record<string, string>>, RegExp]>([
    [
      'that no listener could see',
      {
        HEADGATE_CLUSTER_MTLS: 'shared',
        HEADGATE_CLUSTER_CERT: 'x.pem',
        HEADGATE_CLUSTER_LISTEN: '127.0.0.1:0',
      },
      /HEADGATE_CLUSTER_LISTEN.*needs ssl/,
    ],
    [
      'without a file to know them by',
      { HEADGATE_CLUSTER_MTLS: 'shared' },
      /HEADGATE_CLUSTER_CERT.*needs a PEM file/,
    ],
    [
      'with a file that holds none',
      { HEADGATE_CLUSTER_MTLS: 'pki', HEADGATE_CLUSTER_CA_CERT: 'package.json' },
      /HEADGATE_CLUSTER_CA_CERT.*there is no certificate in it/,
    ],
  ])('%s are settings that are refused', async (_name, env, message) => {
    await expect(open((_request, response) => response.end(), env)).rejects.toThrow(message);
  });
});
