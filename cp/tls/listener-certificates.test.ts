import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CONTROL_PLANE_SETTINGS } from '#shared/settings/control-plane.ts';
import { parseSettings } from '#shared/settings/settings.ts';
import { openListeners, type OpenListeners, type Role } from '../listeners.ts';
import { ADMIN_CERTIFICATE } from './listener-certificates.ts';
import { selfSigned } from '#shared/platform/node/tls/self-signed.ts';

let folder: string;
let opened: OpenListeners | null = null;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-listeners-'));
});
afterEach(async () => {
  await opened?.close();
  opened = null;
  await rm(folder, { recursive: true, force: true });
});

async function open(env: Readonly<Record<string, string>>, hasToken = false): Promise<URL> {
  const all = {
    HEADGATE_DATA_DIR: folder,
    HEADGATE_ADMIN_LISTEN: '127.0.0.1:0 ssl',
    HEADGATE_CLUSTER_LISTEN: 'off',
    ...env,
  };
  const parsed = parseSettings(CONTROL_PLANE_SETTINGS, { env: all, readFile: () => '' });
  if (!parsed.ok) throw new Error('the settings are valid');
  const role: Role = {
    request: (_request, response) => response.end('ok'),
    upgrade: (_request, socket) => socket.destroy(),
  };
  opened = await openListeners({
    settings: parsed.value,
    roles: { admin: role, cluster: role },
    hasToken,
    logger: { log() {} },
  });
  return new URL(opened.admin[0] ?? opened.cluster[0] ?? '');
}

/** @param ca  what the client trusts */
function answer(url: URL, ca: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get(url, { ca, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).once('error', reject);
  });
}

async function files(name: string): Promise<{ cert: string; certPath: string; keyPath: string }> {
  const [notBefore, notAfter] = [new Date(Date.now() - 60_000), new Date(Date.now() + 600_000)];
  const { cert, key } = selfSigned({ name, hosts: ['127.0.0.1'], notBefore, notAfter });
  const [certPath, keyPath] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  await writeFile(certPath, cert);
  await writeFile(keyPath, key);
  return { cert, certPath, keyPath };
}

describe('an Admin API on loopback with ssl', () => {
  it('has a certificate of its own, which a client can be told to trust', async () => {
    const url = await open({});
    expect(url.protocol).toBe('https:');
    const own = await readFile(join(folder, ADMIN_CERTIFICATE.certificateFile), 'utf8');
    expect(own).not.toContain('PRIVATE KEY');
    expect(await answer(url, own)).toBe(200);
    await expect(answer(url, (await files('other')).cert)).rejects.toThrow(/certificate/);
  });

  it('has the one that settings name, its own settings first', async () => {
    const [common, admin] = [await files('common'), await files('admin')];
    const commonEnv = {
      HEADGATE_TLS_CERT: common.certPath,
      HEADGATE_TLS_KEY: common.keyPath,
    };
    expect(await answer(await open(commonEnv), common.cert)).toBe(200);
    await opened?.close();
    const adminEnv = {
      HEADGATE_ADMIN_TLS_CERT: admin.certPath,
      HEADGATE_ADMIN_TLS_KEY: admin.keyPath,
    };
    const url = await open({ ...commonEnv, ...adminEnv });
    expect(await answer(url, admin.cert)).toBe(200);
    await expect(answer(url, common.cert)).rejects.toThrow(/certificate/);
  });

  it('needs both files of a pair', async () => {
    const { certPath } = await files('half');
    await expect(open({ HEADGATE_ADMIN_TLS_CERT: certPath })).rejects.toThrow(
      /^HEADGATE_ADMIN_TLS_KEY/,
    );
    await expect(open({ HEADGATE_TLS_KEY: certPath })).rejects.toThrow(/^HEADGATE_TLS_CERT/);
  });
});

describe('anything else with ssl', () => {
  it('needs a certificate that others trust', async () => {
    for (const env of [
      { HEADGATE_ADMIN_LISTEN: 'off', HEADGATE_CLUSTER_LISTEN: '127.0.0.1:0 ssl' },
      { HEADGATE_LISTEN: '127.0.0.1:0 ssl' },
    ]) {
      await expect(open(env)).rejects.toThrow(/HEADGATE_TLS_CERT.*a listener marked ssl needs it/);
    }
    await expect(open({ HEADGATE_ADMIN_LISTEN: '0.0.0.0:0 ssl' }, true)).rejects.toThrow(
      /HEADGATE_TLS_CERT/,
    );
  });
});

describe('an Admin API', () => {
  it('beyond loopback needs a token, of whichever kind', async () => {
    const { certPath, keyPath } = await files('public');
    const env = {
      HEADGATE_ADMIN_LISTEN: '0.0.0.0:0 ssl',
      HEADGATE_TLS_CERT: certPath,
      HEADGATE_TLS_KEY: keyPath,
    };
    await expect(open(env)).rejects.toThrow(/HEADGATE_ADMIN_TOKEN, or a named token/);
    await open(env, true);
    await opened?.close();
    await open({ ...env, HEADGATE_ADMIN_TOKEN: 'a-token-of-enough-length' });
  });

  it('that needs a token from everybody needs one to exist', async () => {
    const env = { HEADGATE_ADMIN_LISTEN: '127.0.0.1:0', HEADGATE_ADMIN_LOOPBACK: 'off' };
    await expect(open(env)).rejects.toThrow(/^HEADGATE_ADMIN_LOOPBACK is "off"/);
    await open(env, true);
  });
});
