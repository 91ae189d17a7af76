/**
 * Data key, pepper, key-encryption key and the clients' own token are changed while clients write over
 * HTTP through two control planes on one PostgreSQL server: no request fails, and afterwards neither
 * the old keys nor a dump of the database tell a secret.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../test/support/eventually.ts';
import { type Received, send } from '../test/support/http-client.ts';
import { startPostgres } from '../test/support/postgres.ts';
import { type Program, startProgram } from '../test/support/program.ts';

const WRITERS = 3;
const BOOTSTRAP = 'a-bootstrap-token-of-this-test';
const CANARY = 'canary-5309';
const [OLD_KEK, NEW_KEK] = [1, 2].map((byte) => Buffer.alloc(32, byte).toString('base64'));
const DUMP_BYTES_MAX = 256 * 1024 * 1024;

const postgres = await startPostgres();

describe.skipIf('missing' in postgres)('keys and tokens changed under load', () => {
  let folder: string;
  let url: string;
  let planes: Program[] = [];
  let token = '';
  const stop = new AbortController();
  const keys = new Map<string, string>();
  const failures: string[] = [];

  const kekFile = () => join(folder, 'kek');

  function start(name: string, env: Readonly<Record<string, string>> = {}): Promise<Program> {
    return startProgram('cp', {
      HEADGATE_DATA_DIR: join(folder, name),
      HEADGATE_DATABASE_URL: url,
      HEADGATE_KEK_FILE: kekFile(),
      HEADGATE_ADMIN_TOKEN: BOOTSTRAP,
      HEADGATE_ADMIN_LISTEN: '127.0.0.1:0',
      HEADGATE_CLUSTER_LISTEN: '127.0.0.1:0',
      ...env,
    });
  }

  beforeAll(async () => {
    if ('missing' in postgres) return;
    folder = await mkdtemp(join(tmpdir(), 'headgate-rotation-'));
    url = await postgres.createDatabase();
    await writeFile(kekFile(), OLD_KEK ?? '', { mode: 0o600 });
    planes = await Promise.all([start('a'), start('b')]);
    const scopes = { workspaces: [{ workspace: 'default', access: 'write' }] };
    const made = await root('POST', '/headgate/tokens', { name: 'clients', scopes });
    token = String((made.json() as { token: string }).token);
  });

  afterAll(async () => {
    stop.abort();
    await Promise.all(planes.map((plane) => plane.kill('SIGTERM')));
    if (!('missing' in postgres)) await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  });

  function call(plane: Program, by: string, method: string, path: string, body?: object) {
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = {
      'kong-admin-token': by,
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(text)),
    };
    return send(plane.url('admin'), path, { method, headers, body: text });
  }

  async function root(method: string, path: string, body?: object): Promise<Received> {
    const [plane] = planes;
    if (plane === undefined) throw new Error('no control plane');
    const answer = await call(plane, BOOTSTRAP, method, path, body);
    expect(answer.status, answer.text).toBeLessThan(300);
    return answer;
  }

  /** Makes credentials, and finds each by its key through both control planes. */
  async function write(index: number, plane: Program): Promise<void> {
    for (let round = 0; !stop.signal.aborted; round++) {
      const name = `c-${index}-${round % 5}`;
      const key = `${CANARY}-${index}-${round}`;
      const answers = [
        await call(plane, token, 'PUT', `/consumers/${name}`, {}),
        await call(plane, token, 'POST', `/consumers/${name}/key-auth`, { key }),
      ];
      for (const other of planes) {
        answers.push(await call(other, token, 'GET', `/key-auths/${key}`));
      }
      for (const { status, text } of answers) if (status >= 300) failures.push(`${status} ${text}`);
      keys.set(key, name);
    }
  }

  async function settled(): Promise<void> {
    await eventually(
      'nothing of the old generations is left',
      async () => {
        const status = (await root('GET', '/headgate/keys')).json() as Record<
          'data' | 'pepper',
          { older: unknown[] }
        >;
        return status.data.older.length === 0 && status.pepper.older.length === 0;
      },
      30_000,
    );
  }

  it('let every request succeed', async () => {
    const writers = planes.flatMap((plane, p) =>
      Array.from({ length: WRITERS }, (_, w) => write(p * WRITERS + w, plane)),
    );
    await eventually('clients write', () => keys.size > 20);
    await root('POST', '/headgate/keys/rotate', { data: true, pepper: true });
    const rotated = await root('POST', '/headgate/tokens/clients/rotate', { overlap: 60 });
    token = String((rotated.json() as { token: string }).token);
    const atOnce = keys.size;
    await eventually('clients write with the new ones', () => keys.size > atOnce + 20);
    await settled();

    await writeFile(kekFile(), NEW_KEK ?? '', { mode: 0o600 });
    await root('POST', '/headgate/keys/rotate', { kek: true });
    const after = keys.size;
    await eventually('clients write on', () => keys.size > after + 20);
    stop.abort();
    await Promise.all(writers);
    expect(failures).toEqual([]);
  });

  it('find every key afterwards', async () => {
    for (const plane of planes) {
      for (const key of keys.keys()) {
        expect((await call(plane, token, 'GET', `/key-auths/${key}`)).status, key).toBe(200);
      }
    }
  });

  it('start with the new key-encryption key, and with no other', async () => {
    const again = await start('c');
    expect((await call(again, token, 'GET', '/services')).status).toBe(200);
    await again.kill('SIGTERM');
    const old = { HEADGATE_KEK_FILE: '', HEADGATE_KEK: OLD_KEK ?? '' };
    await expect(start('d', old)).rejects.toThrow('HEADGATE_KEK');
  });

  it('leave no secret in a dump of the database', async () => {
    const options = { maxBuffer: DUMP_BYTES_MAX };
    const { stdout } = await promisify(execFile)('pg_dump', [url], options);
    const hex = Buffer.from(CANARY).toString('hex');
    expect(stdout).toContain('keyauth_credentials');
    expect([CANARY, hex, token.split('_')[2] ?? ''].filter((it_) => stdout.includes(it_))).toEqual(
      [],
    );
  });
});
