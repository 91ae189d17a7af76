import { chmod, chown, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadSettings } from '#shared/platform/node/env.ts';
import { createLogger } from '#shared/platform/node/logger.ts';
import type { Running } from '#shared/platform/node/program.ts';
import { DATA_PLANE_SETTINGS } from '#shared/settings/data-plane.ts';
import { TestConfig } from '../test/support/builders.ts';
import { TestCluster } from '../test/support/dp-folder.ts';
import { startEchoUpstream, type EchoUpstream } from '../test/support/echo-upstream.ts';
import { startDataPlane } from './data-plane.ts';
import { sendRaw } from './raw-client.suite.ts';

const NOBODY = 65_534;

let folder = '';
let upstream: EchoUpstream;
const running: Running[] = [];
let log: string[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-dp-'));
  upstream = await startEchoUpstream();
  log = [];
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((dataPlane) => dataPlane.close()));
  await upstream.close();
  await rm(folder, { recursive: true });
});

async function start(env: Record<string, string> = {}): Promise<Running> {
  const settings = loadSettings(DATA_PLANE_SETTINGS, {
    HEADGATE_DATA_DIR: folder,
    HEADGATE_PROXY_LISTEN: '127.0.0.1:0',
    HEADGATE_STATUS_LISTEN: '127.0.0.1:0',
    HEADGATE_PROXY_ACCESS_LOG: 'off',
    HEADGATE_DRAIN_SECONDS: '5',
    // Nobody listens there.
    HEADGATE_CONTROL_PLANES: 'ws://127.0.0.1:1',
    ...env,
  });
  const logger = createLogger({ name: 'dp', write: (line) => log.push(line) });
  const dataPlane = await startDataPlane(settings, logger);
  running.push(dataPlane);
  return dataPlane;
}

/** A configuration with a route `/` to the echo upstream, and more if wanted. */
function configuration(more: (config: TestConfig) => void = () => {}): TestConfig {
  const config = new TestConfig();
  const timeouts = { connect_timeout: 1000, read_timeout: 500, write_timeout: 500, retries: 0 };
  const service = config.service({ host: upstream.host, port: upstream.port, ...timeouts });
  config.route({ paths: ['/'], service: { id: service.id } });
  more(config);
  return config;
}

async function furnish(config: TestConfig): Promise<void> {
  await (await TestCluster.create()).furnish(folder, config.replica().tree.records());
}

function proxyUrl(dataPlane: Running): string {
  return dataPlane.addresses['proxy']?.[0] ?? '';
}

async function status(dataPlane: Running, path: string): Promise<{ code: number; body: string }> {
  const response = await fetch(`${dataPlane.addresses['status']?.[0] ?? ''}${path}`);
  return { code: response.status, body: await response.text() };
}

describe('a data plane without a control plane', () => {
  it('serves from its cache', async () => {
    await furnish(configuration());
    const dataPlane = await start();

    const response = await fetch(`${proxyUrl(dataPlane)}/status/201`);

    expect([response.status, await response.text()]).toEqual([201, 'status 201']);
    expect((await status(dataPlane, '/status/ready')).code).toBe(200);
  });

  it('leaves a folder alone that another process has', async () => {
    await start();

    await expect(start()).rejects.toThrow('is in use by the running process');
  });

  it('answers 503 and is not ready without a configuration', async () => {
    const dataPlane = await start();

    const response = await fetch(`${proxyUrl(dataPlane)}/`);

    expect(response.status).toBe(503);
    expect(await response.text()).toContain('no configuration available');
    expect(await status(dataPlane, '/status/ready')).toEqual({
      code: 503,
      body: '{"message":"no configuration available"}',
    });
  });

  it('answers 404 and is ready with an empty configuration', async () => {
    await furnish(new TestConfig());
    const dataPlane = await start();

    expect((await fetch(`${proxyUrl(dataPlane)}/`)).status).toBe(404);
    expect((await status(dataPlane, '/status/ready')).code).toBe(200);
  });

  it.each<[string, (whole: Buffer) => Buffer]>([
    ['empty', () => Buffer.alloc(0)],
    ['truncated', (whole) => whole.subarray(0, whole.length >> 1)],
    ['with a bit flipped', (whole) => flipped(whole, whole.length >> 1)],
  ])('starts with a cache that is %s, says so, and serves none of it', async (_name, damage) => {
    await furnish(configuration());
    const path = join(folder, 'dp', 'config.json');
    await writeFile(path, damage(await readFile(path)));

    const dataPlane = await start();

    expect((await fetch(`${proxyUrl(dataPlane)}/`)).status).toBe(503);
    expect(log.filter((line) => line.includes('configuration cache not usable'))).toHaveLength(1);
  });

  it('serves no cache that another cluster signed', async () => {
    await furnish(configuration());
    const path = join(folder, 'dp', 'config.json');
    const theirs = await readFile(path);
    await furnish(configuration());
    await writeFile(path, theirs);

    const dataPlane = await start();

    expect((await fetch(`${proxyUrl(dataPlane)}/`)).status).toBe(503);
    expect(log.join('')).toContain('bad_signature');
  });

  it.skipIf(process.getuid?.() !== 0)(
    'serves a cache and an identity that somebody else owns, where it may make them its own',
    async () => {
      await furnish(configuration());
      const paths = ['config.json', 'node.json'].map((name) => join(folder, 'dp', name));
      for (const path of paths) {
        await chown(path, NOBODY, NOBODY);
        await chmod(path, 0o666);
      }
      const dataPlane = await start();

      expect((await fetch(`${proxyUrl(dataPlane)}/`)).status).toBe(200);
      const modes = paths.map(async (path) => {
        const { uid, mode } = await stat(path);
        return [uid, mode & 0o777];
      });
      expect(await Promise.all(modes)).toEqual(paths.map(() => [0, 0o600]));
    },
  );

  it('serves no cache older than what it has served before', async () => {
    const cluster = await TestCluster.create();
    const records = configuration().replica().tree.records();
    await cluster.furnish(folder, records, { epoch: 1, revision: 2 });

    const dataPlane = await start();

    expect((await fetch(`${proxyUrl(dataPlane)}/`)).status).toBe(503);
    expect(log.join('')).toContain('older than');
  });

  it('counts what it answered', async () => {
    await furnish(configuration());
    const dataPlane = await start();
    await fetch(`${proxyUrl(dataPlane)}/status/200`);
    await fetch(`${proxyUrl(dataPlane)}/status/500`);

    const { body } = await status(dataPlane, '/metrics');

    expect(body).toContain('headgate_http_requests_total{class="2xx"} 1\n');
    expect(body).toContain('headgate_http_requests_total{class="5xx"} 1\n');
    expect(body).toContain('headgate_config_revision 1\n');
    expect(body).toContain('headgate_control_plane_connected 0\n');
  });
});

function flipped(whole: Buffer, index: number): Buffer {
  const copy = Buffer.from(whole);
  copy[index] = (copy[index] ?? 0) ^ 4;
  return copy;
}

describe('a data plane whose upstream misbehaves answers', () => {
  it.each<[string, string, number]>([
    ['resets the connection', '/reset', 502],
    ['talks something else', '/garbage', 502],
    ['gives two lengths', '/two-lengths', 502],
    ['never answers', '/hang', 504],
  ])('for an upstream that %s', async (_name, path, expected) => {
    await furnish(configuration());
    const dataPlane = await start();

    expect((await fetch(`${proxyUrl(dataPlane)}${path}`)).status).toBe(expected);
  });

  it('for an upstream that refuses connections', async () => {
    await furnish(
      configuration((config) => {
        const service = config.service({ host: '127.0.0.1', port: 1, retries: 0 });
        config.route({ paths: ['/refused'], service: { id: service.id } });
      }),
    );
    const dataPlane = await start();

    expect((await fetch(`${proxyUrl(dataPlane)}/refused`)).status).toBe(502);
  });

  it('never a clean end for a body that was cut', async () => {
    await furnish(configuration());
    const dataPlane = await start();

    const response = await fetch(`${proxyUrl(dataPlane)}/reset-mid`);

    await expect(response.text()).rejects.toThrow();
  });

  it('the early answer, and does not use that connection again', async () => {
    await furnish(configuration());
    const dataPlane = await start();
    const port = Number(new URL(proxyUrl(dataPlane)).port);

    // Never sent whole, and longer than is held until it is: the upstream answers before.
    const head = 'POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n';
    const early = await sendRaw(port, head, 'x'.repeat(1000));
    const before = upstream.connectionCount;
    const next = await fetch(`${proxyUrl(dataPlane)}/status/200`);

    expect(early.status).toBe(413);
    expect(next.status).toBe(200);
    expect(upstream.connectionCount).toBe(before + 1);
  });
});

describe('a data plane that stops', () => {
  it('finishes what is in flight', async () => {
    await furnish(configuration());
    const dataPlane = await start();
    const inFlight = fetch(`${proxyUrl(dataPlane)}/slow/300`);
    await untilArrived();

    await dataPlane.close();

    const response = await inFlight;
    expect([response.status, await response.text()]).toEqual([200, 'slow']);
  });

  it('gives up what does not finish in time', async () => {
    await furnish(configuration());
    const dataPlane = await start({ HEADGATE_DRAIN_SECONDS: '0' });
    const inFlight = fetch(`${proxyUrl(dataPlane)}/slow/400`).catch(() => null);
    await untilArrived();

    await dataPlane.close();

    expect(await inFlight).toBeNull();
  });

  it('leaves its folder to the next one', async () => {
    await furnish(configuration());
    await (await start()).close();

    const next = await start();

    expect((await fetch(`${proxyUrl(next)}/status/200`)).status).toBe(200);
  });
});

async function untilArrived(): Promise<void> {
  const { eventually } = await import('../test/support/eventually.ts');
  await eventually('the request at the upstream', () => upstream.requestCount > 0);
}

describe('a data plane that cannot start says in one line', () => {
  async function failure(env: Record<string, string>): Promise<string> {
    const error: unknown = await start(env).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Error);
    const { name, message } = error as Error;
    expect(name).toBe('StartError');
    expect(message).not.toContain('\n');
    return message;
  }

  it.each(['HEADGATE_PROXY_LISTEN', 'HEADGATE_STATUS_LISTEN'])(
    'that the port of %s is taken',
    async (setting) => {
      const taken = createServer();
      await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
      const address = taken.address();
      const port = typeof address === 'object' ? (address?.port ?? 0) : 0;

      const message = await failure({ [setting]: `127.0.0.1:${port}` });

      expect(message).toContain(`${setting} is "127.0.0.1:${port}"`);
      expect(message).toContain('taken');
      taken.close();
    },
  );

  it('that the folder is in use', async () => {
    await start();

    expect(await failure({})).toContain(String(process.pid));
  });

  it('that the folder is no folder', async () => {
    await writeFile(join(folder, 'file'), '');

    expect(await failure({ HEADGATE_DATA_DIR: join(folder, 'file') })).toContain(
      'HEADGATE_DATA_DIR',
    );
  });

  it.each<[string, (text: string) => string]>([
    ['half of it', (text) => text.slice(0, text.length / 2)],
    ['nothing in it', () => ''],
    ['a list', () => '[]'],
    ['a key that is cut short', (text) => text.replace(/("private_key":"[^"]{20})[^"]*/, '$1')],
    ['a field that nobody knows', (text) => text.replace('{', '{"x":1,')],
  ])('that the identity is damaged, and leaves it as it is: %s', async (_what, damage) => {
    await furnish(configuration());
    const path = join(folder, 'dp', 'node.json');
    const damaged = damage(await readFile(path, 'utf8'));
    await writeFile(path, damaged);

    // Even with a token: enrolling over it would lose a node that others know.
    const message = await failure({});
    expect(message).toContain(path);
    expect(message).toContain('restore it, or delete it and set HEADGATE_JOIN_TOKEN');
    expect(await readFile(path, 'utf8')).toBe(damaged);
  });

  it('that a certificate cannot be read', async () => {
    const message = await failure({
      HEADGATE_PROXY_LISTEN: '127.0.0.1:0 ssl',
      HEADGATE_TLS_CERT: join(folder, 'none.pem'),
      HEADGATE_TLS_KEY: join(folder, 'none.key'),
    });

    expect(message).toMatch(/^HEADGATE_TLS_CERT is ".*none\.pem"/);
  });
});
