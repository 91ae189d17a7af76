/** What becomes of connections whose certificate was good, when the file that it was good by changes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CONTROL_PLANE_SETTINGS } from '#shared/settings/control-plane.ts';
import { parseSettings } from '#shared/settings/settings.ts';
import { TestAuthority } from '../test/support/pki.ts';
import { openListeners, type OpenListeners, type Role } from './listeners.ts';

let folder: string;
let listeners: OpenListeners | null = null;
let logs: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'headgate-mtls-'));
  logs = [];
});
afterEach(async () => {
  await listeners?.close();
  listeners = null;
  rmSync(folder, { recursive: true });
});

function write(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

async function open(more: Readonly<Record<string, string>>): Promise<number> {
  const server = TestAuthority.root().issue({ name: 'localhost' });
  const env = {
    HEADGATE_ADMIN_LISTEN: 'off',
    HEADGATE_CLUSTER_LISTEN: '127.0.0.1:0 ssl',
    HEADGATE_TLS_CERT: write('server.pem', server.cert),
    HEADGATE_TLS_KEY: write('server.key', server.key),
    ...more,
  };
  const parsed = parseSettings(CONTROL_PLANE_SETTINGS, { env, readFile: () => '' });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed));
  const role: Role = {
    request: (_request, response) => response.end('ok'),
    upgrade: (_request, socket) => {
      socket.on('error', () => {});
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n');
    },
  };
  listeners = await openListeners({
    settings: parsed.value,
    roles: { admin: role, cluster: role },
    hasToken: false,
    logger: { log: (_level, message) => void logs.push(message) },
  });
  return Number(new URL(listeners.cluster[0] ?? '').port);
}

async function dial(port: number, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  return socket;
}

/** Status of the answer; null when there is none. */
async function ask(socket: TLSSocket, headers = ''): Promise<number | null> {
  const answered = new Promise<string>((resolve) => {
    socket.once('data', (data) => resolve(String(data)));
    socket.once('close', () => resolve(''));
  });
  if (socket.destroyed) return null;
  socket.write(`GET / HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`);
  const [, status = null] = /^HTTP\/1.1 (\d+)/.exec(await answered) ?? [];
  return status === null ? null : Number(status);
}

const UPGRADE = 'Connection: upgrade\r\nUpgrade: x\r\n';
const replaced = () =>
  expect.poll(() => logs.join()).toContain('certificates of data planes replaced');

describe.each([
  ['pki', 'HEADGATE_CLUSTER_CA_CERT'],
  ['shared', 'HEADGATE_CLUSTER_CERT'],
])('a certificate (%s) that was good', (mode, setting) => {
  const old = TestAuthority.root('old');
  const next = TestAuthority.root('next');
  const shown = (by: TestAuthority) => (mode === 'shared' ? by : by.issue({ name: 'node' }));

  async function three() {
    const env = { HEADGATE_CLUSTER_MTLS: mode, [setting]: write('known.pem', old.cert) };
    const port = await open(env);
    const { cert, key } = shown(old);
    let session: Buffer | undefined;
    const staying = await dial(port, { cert, key });
    staying.on('session', (ticket) => (session = ticket));
    const keptAlive = await dial(port, { cert, key });
    expect([await ask(staying, UPGRADE), await ask(keptAlive)]).toEqual([101, 200]);
    await expect.poll(() => session).toBeDefined();
    return { port, staying, keptAlive, cert, key, session };
  }

  it('ends what came in by it, and no ticket brings it back', async () => {
    const { port, staying, keptAlive, session } = await three();
    write('known.pem', next.cert);
    await replaced();
    await expect.poll(() => staying.destroyed, { timeout: 5_000 }).toBe(true);
    expect([null, 403]).toContain(await ask(keptAlive));
    const resumed = await dial(port, session === undefined ? {} : { session });
    expect(resumed.isSessionReused()).toBe(false);
    expect(await ask(resumed)).toBe(403);
    expect(await ask(await dial(port, shown(next)))).toBe(200);
  });

  it('goes on when another one is added', async () => {
    const { staying, keptAlive } = await three();
    write('known.pem', old.cert + next.cert);
    await replaced();
    expect(await ask(keptAlive)).toBe(200);
    expect(staying.destroyed).toBe(false);
    staying.destroy();
  });
});
