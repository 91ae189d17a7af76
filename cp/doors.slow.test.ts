/** The Admin API's door on a real socket: who gets in, and what a hostile client can do to it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadSettings } from '#shared/platform/node/env.ts';
import type { Running } from '#shared/platform/node/program.ts';
import { createLogger } from '#shared/platform/node/logger.ts';
import { REGISTRY } from '#shared/registry.ts';
import { CONTROL_PLANE_SETTINGS } from '#shared/settings/control-plane.ts';
import { send } from '../test/support/http-client.ts';
import { adminEndpoints } from './admin/app.ts';
import { startControlPlane } from './control-plane.ts';
import { selfSigned } from '#shared/platform/node/tls/self-signed.ts';

const TOKEN = 'a-token-of-enough-length';
const BODY_MAX = 256 * 1024;
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND'];
const PATHS = [
  ...adminEndpoints(REGISTRY.entities).map(({ path }) => path.replaceAll(/:\d/g, 'x')),
  '/nowhere',
  '/services/x/y/z',
  '/admin',
  '/%zz',
  '//services',
];

const errors: string[] = [];
const logger = createLogger({ name: 'cp', level: 'error', write: (line) => errors.push(line) });

interface Door {
  readonly running: Running;
  readonly admin: string;
  readonly cluster: string;
}

let folder: string;
let open: Door;
let guarded: Door;

async function start(name: string, env: Readonly<Record<string, string>>): Promise<Door> {
  const settings = loadSettings(CONTROL_PLANE_SETTINGS, {
    HEADGATE_DATA_DIR: join(folder, name),
    HEADGATE_ADMIN_LISTEN: '127.0.0.1:0',
    HEADGATE_CLUSTER_LISTEN: '127.0.0.1:0',
    HEADGATE_ADMIN_BODY_MAX: String(BODY_MAX),
    ...env,
  });
  const running = await startControlPlane(settings, logger);
  const [admin = ''] = running.addresses['admin'] ?? [];
  const [cluster = ''] = running.addresses['cluster'] ?? [];
  return { running, admin, cluster };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-doors-'));
  open = await start('open', {});
  guarded = await start('guarded', { HEADGATE_ADMIN_TOKEN: TOKEN });
}, 60_000);
afterAll(async () => {
  await open?.running.close();
  await guarded?.running.close();
  await rm(folder, { recursive: true, force: true });
});

describe('with a token, every path of the Admin API', () => {
  it.each(METHODS)('refuses %s without it, in one way', async (method) => {
    for (const path of PATHS) {
      const { status, text } = await send(guarded.admin, path, { method });
      // The page that asks for a token is the same everywhere, and a browser has none to send for it.
      const isPage = /^\/docs(\/page\.(css|js))?$/.test(path) && /^(GET|HEAD)$/.test(method);
      expect(status, path).toBe(isPage ? 200 : 401);
      if (isPage) continue;
      expect(text, path).toBe(method === 'HEAD' ? '' : '{"message":"Unauthorized"}');
    }
  });

  it('answers with it', async () => {
    const headers = { 'kong-admin-token': TOKEN };
    expect((await send(guarded.admin, '/services', { headers })).status).toBe(200);
    expect((await send(guarded.admin, '/nowhere', { headers })).status).toBe(404);
    expect((await send(guarded.admin, '/services', { headers, method: 'OPTIONS' })).status).toBe(
      204,
    );
  });

  it('tells a browser’s preflight from its own page what it may send', async () => {
    const headers = { origin: guarded.admin, 'access-control-request-method': 'PUT' };
    const answer = await send(guarded.admin, '/services/x', { method: 'OPTIONS', headers });
    expect(answer.status).toBe(204);
    expect(answer.headers['access-control-allow-origin']).toBe(guarded.admin);
    for (const method of METHODS.filter((name) => name !== 'OPTIONS')) {
      expect((await send(guarded.admin, '/services', { method, headers })).status).toBe(401);
    }
    const foreign = { ...headers, origin: 'https://evil.test' };
    const refused = await send(guarded.admin, '/services', { method: 'OPTIONS', headers: foreign });
    expect(refused.status).toBe(403);
    expect(refused.headers).not.toHaveProperty('access-control-allow-origin');
  });
});

describe('a named token', () => {
  const call = (token: string, method: string, path: string, body?: object) =>
    send(guarded.admin, path, {
      method,
      headers: {
        'kong-admin-token': token,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });

  it('opens what its scopes say until it is revoked, and the audit knows', async () => {
    const scopes = { workspaces: [{ workspace: 'default', access: 'read' }] };
    const made = await call(TOKEN, 'POST', '/headgate/tokens', { name: 'reader', scopes });
    expect(made.status).toBe(201);
    const { token } = made.json() as { token: string };
    expect((await call(token, 'GET', '/services')).status).toBe(200);
    const refused = await call(token, 'POST', '/services', { url: 'http://x' });
    expect(refused.status).toBe(403);
    expect(refused.text).toContain("write on workspace 'default'");
    expect((await call(token, 'GET', '/headgate/audit')).status).toBe(403);
    expect((await call(TOKEN, 'DELETE', '/headgate/tokens/reader')).status).toBe(204);
    expect((await call(token, 'GET', '/services')).status).toBe(401);
    const audit = await call(TOKEN, 'GET', '/headgate/audit?actor=reader');
    expect(audit.json()).toMatchObject({
      data: [{ method: 'POST', path: '/services', status: 403, source: '127.0.0.1' }],
    });
    expect(audit.text).not.toContain(token.slice(-43));
  });

  it('is enough to listen beyond loopback with, and then everybody needs one', async () => {
    const door = await start('named', {});
    const body = JSON.stringify({ name: 'only', scopes: { admin: 'read' } });
    const headers = { 'content-type': 'application/json' };
    const made = await send(door.admin, '/headgate/tokens', { method: 'POST', headers, body });
    const { token } = made.json() as { token: string };
    await door.running.close();

    const env = { HEADGATE_ADMIN_LISTEN: '0.0.0.0:0 ssl', ...(await tlsFiles()) };
    await expect(start('fresh', env)).rejects.toThrow(/HEADGATE_ADMIN_TOKEN, or a named token/);
    const far = await start('named', { ...env, HEADGATE_ADMIN_LOOPBACK: 'off' });
    try {
      expect(await statusOver(far.admin, {})).toBe(401);
      expect(await statusOver(far.admin, { 'kong-admin-token': token })).toBe(200);
    } finally {
      await far.running.close();
    }
  }, 60_000);
});

async function tlsFiles(): Promise<Record<string, string>> {
  const [notBefore, notAfter] = [new Date(Date.now() - 60_000), new Date(Date.now() + 600_000)];
  const pair = selfSigned({ name: 'x', hosts: ['localhost'], notBefore, notAfter });
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  await writeFile(cert, pair.cert);
  await writeFile(key, pair.key);
  return { HEADGATE_TLS_CERT: cert, HEADGATE_TLS_KEY: key };
}

function statusOver(base: string, headers: Record<string, string>): Promise<number> {
  const { port } = new URL(base);
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, headers, rejectUnauthorized: false, agent: false };
    get({ ...options, path: '/headgate/audit' }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    }).once('error', reject);
  });
}

describe('a path that a URL would turn into another', () => {
  it.each([
    ['PUT', '/services/../routes/elsewhere'],
    ['PUT', '/services/%2e%2e/routes/elsewhere'],
    ['DELETE', '/consumers/.%2E/services/x'],
    ['GET', '/consumers/..'],
    ['GET', '/consumers/.'],
    ['GET', 'http://127.0.0.1/services/../'],
  ])('is refused: %s %s', async (method, path) => {
    const body = method === 'PUT' ? '{"paths":["/x"]}' : '';
    const headers = {
      'content-type': 'application/json',
      'content-length': String(body.length),
    };
    const answer = await send(open.admin, path, { method, headers, body });
    expect([answer.status, answer.text]).toEqual([400, expect.stringContaining("'..'")]);
  });

  it('is none when the dots are part of a name, or of the query', async () => {
    for (const path of ['/consumers/...', '/consumers/a..b', '/consumers?tags=..']) {
      expect([200, 404]).toContain((await send(open.admin, path)).status);
    }
  });
});

describe('without a token, every path of the Admin API', () => {
  it.each(METHODS)(
    'refuses %s from pages, and under names that are not its own',
    async (method) => {
      for (const path of PATHS) {
        for (const headers of [
          { host: 'evil.test' },
          { origin: 'https://evil.test' },
          { origin: 'null' },
          { 'sec-fetch-site': 'cross-site' },
        ]) {
          const { status, text } = await send(open.admin, path, { method, headers });
          expect(status, `${path} ${JSON.stringify(headers)}`).toBe(403);
          expect(text).not.toMatch(/not found/i);
        }
      }
    },
  );

  it.each([
    '2130706433',
    '127.1',
    '0177.0.0.1',
    '0x7f.0.0.1',
    '0.0.0.0',
    'localhost.',
    'localhost.evil.test',
    '127.0.0.1.evil.test',
    'evil.test@127.0.0.1',
    '127.0.0.1@evil.test',
    '127.0.0.1/evil',
    '127.0.0.1, evil.test',
    '[::2]',
    '[::ffff:10.0.0.1]',
    '[::1].evil.test',
  ])('refuses the host %j', async (host) => {
    const { status, text } = await send(open.admin, '/services', { headers: { host } });
    expect([400, 403]).toContain(status);
    expect(text).not.toContain('data');
  });

  it.each(['127.0.0.1', 'LOCALHOST:8001', '[::1]:80', '127.9.9.9'])(
    'answers to %s',
    async (host) => {
      expect((await send(open.admin, '/services', { headers: { host } })).status).toBe(200);
    },
  );
});

describe('the cluster listener', () => {
  it('knows nothing of the Admin API', async () => {
    for (const path of PATHS) {
      for (const method of ['GET', 'POST', 'DELETE']) {
        const { status, text } = await send(open.cluster, path, { method });
        expect([400, 404, 405, 426], `${method} ${path}`).toContain(status);
        expect(text).not.toMatch(/tagline|"data"|"token"|"fields"/);
      }
    }
  });
});

/** A connection that is written to by hand. */
class Raw {
  readonly #socket: Socket;
  readonly closed: Promise<void>;
  received = '';

  constructor(base: string) {
    const { hostname, port } = new URL(base);
    this.#socket = connect(Number(port), hostname);
    this.#socket.setEncoding('latin1').on('data', (text: string) => {
      this.received += text;
    });
    this.#socket.on('error', () => {}); // It closes then, which is what is waited for.
    this.closed = new Promise((resolve) => {
      this.#socket.once('close', () => resolve());
    });
  }

  get isOpen(): boolean {
    return this.#socket.writable;
  }

  async write(data: string | Uint8Array): Promise<void> {
    if (!this.isOpen || this.#socket.write(data)) return;
    const drained = new Promise<void>((resolve) => {
      this.#socket.once('drain', () => resolve());
    });
    await Promise.race([drained, this.closed]);
  }

  /** Waits until that many answers have begun. */
  async answers(count: number): Promise<string[]> {
    const statuses = () => this.received.match(/HTTP\/1\.1 \d+/g) ?? [];
    while (statuses().length < count && !this.#socket.closed) {
      await Promise.race([
        new Promise((resolve) => this.#socket.once('data', resolve)),
        this.closed,
      ]);
    }
    return statuses();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

const HEAD = 'Host: 127.0.0.1\r\nContent-Type: application/json\r\n';
const CHUNKED = `POST /services HTTP/1.1\r\n${HEAD}Transfer-Encoding: chunked\r\n\r\n`;
const NEXT = 'GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';

describe('a body', () => {
  it('that grows too long is refused while it comes, and says nothing about the next', async () => {
    const raw = new Raw(open.admin);
    await raw.write(CHUNKED);
    const chunk = `4000\r\n${' '.repeat(0x4000)}\r\n`;
    for (let sent = 0; sent <= BODY_MAX; sent += 0x4000) await raw.write(chunk);
    // The body has not ended.
    expect(await raw.answers(1)).toEqual(['HTTP/1.1 413']);
    await raw.write(`0\r\n\r\n${NEXT}`);
    const rest = await Promise.race([raw.answers(2), raw.closed.then(() => ['closed'])]);
    expect(['HTTP/1.1 200', 'closed', 'HTTP/1.1 413']).toContain(rest.at(-1));
    expect(raw.received).not.toContain('HTTP/1.1 4004');
    raw.destroy();
  });

  it('that announces too much is refused at once', async () => {
    const raw = new Raw(open.admin);
    await raw.write(`POST /services HTTP/1.1\r\n${HEAD}Content-Length: 99999999999\r\n\r\n`);
    expect(await raw.answers(1)).toEqual(['HTTP/1.1 413']);
    raw.destroy();
  });

  it('of a hundred thousand chunks is read like any other', async () => {
    const raw = new Raw(open.admin);
    await raw.write(CHUNKED);
    const chunks = '1\r\n \r\n'.repeat(1000);
    for (let sent = 0; sent < 100_000; sent += 1000) await raw.write(chunks);
    await raw.write('2\r\n{}\r\n0\r\n\r\n');
    expect(await raw.answers(1)).toEqual(['HTTP/1.1 400']);
    raw.destroy();
  });

  it('that breaks off is nobody’s failure', async () => {
    const count = errors.length;
    const raw = new Raw(open.admin);
    await raw.write(`POST /services HTTP/1.1\r\n${HEAD}Content-Length: 1000\r\n\r\n{"ho`);
    const next = new Raw(open.admin);
    await next.write(NEXT);
    await next.answers(1);
    raw.destroy();
    await raw.closed;
    await next.write(NEXT);
    await next.answers(2);
    next.destroy();
    expect(errors.slice(count)).toEqual([]);
  });

  it('that nobody reads does not become the next request', async () => {
    const raw = new Raw(open.admin);
    const smuggled = 'DELETE /services/x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
    await raw.write(
      `GET /status HTTP/1.1\r\n${HEAD}Content-Length: ${smuggled.length}\r\n\r\n${smuggled}${NEXT}`,
    );
    expect(await raw.answers(2)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 200']);
    raw.destroy();
  });
});

describe('a request line', () => {
  it.each([
    ['a NUL in the path', 'GET /services/\0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
    ['a NUL in a header', 'GET /services HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: a\0b\r\n\r\n'],
    ['no host', 'GET /services HTTP/1.1\r\n\r\n'],
    ['both lengths', `${CHUNKED.replace('Transfer', 'Content-Length: 2\r\nTransfer')}2\r\n{}\r\n`],
    ['a negative length', `POST /services HTTP/1.1\r\n${HEAD}Content-Length: -2\r\n\r\n{}`],
  ])('with %s is a bad one', async (_name, text) => {
    const raw = new Raw(open.admin);
    await raw.write(text);
    expect(await raw.answers(1)).toEqual(['HTTP/1.1 400']);
    raw.destroy();
  });
});
