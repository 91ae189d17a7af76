import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, openTestAdmin, type TestAdmin } from './admin.suite.ts';
import { KEPT_LENGTH_MAX, sweepKeptAnswers, SWEPT_ROWS_MAX } from './idempotency.ts';

let admin: TestAdmin;
let count = 0;
beforeAll(async () => {
  admin = await openTestAdmin();
});
afterAll(() => admin.close());

const send = (method: string, path: string, body: unknown, key: string, more = {}) =>
  admin.call(method, path, body, { 'idempotency-key': key, ...more });
const replayed = ({ headers }: Answer) => headers.get('idempotency-replayed');
const version = ({ headers }: Answer) => headers.get('headgate-version');
const newKey = () => `key-${count++}`;

describe('a write with an Idempotency-Key', () => {
  it('is done once, and answered the same again', async () => {
    const key = newKey();
    const body = { name: 'once', host: 'a.test' };
    const first = await send('POST', '/services', body, key);
    expect([first.status, replayed(first)]).toEqual([201, null]);
    const second = await send('POST', '/services', body, key);
    expect([second.status, second.text, replayed(second)]).toEqual([201, first.text, 'true']);
    for (const name of ['etag', 'headgate-version', 'content-type']) {
      expect(second.headers.get(name)).toBe(first.headers.get(name));
    }
    const third = await admin.call('DELETE', '/services/nobody');
    expect(version(third)).toBe(version(first));
  });

  it.each<[string, string, string, unknown]>([
    ['PUT', 'PUT', '/services/put', { host: 'a.test' }],
    ['PATCH', 'PATCH', '/services/put', { port: 81 }],
    ['DELETE', 'DELETE', '/services/put', undefined],
    ['what changes nothing', 'DELETE', '/services/put', undefined],
    [
      'a bulk write',
      'POST',
      '/headgate/bulk',
      { operations: [{ op: 'create', path: '/services', body: { host: 'a' } }] },
    ],
    [
      'a load',
      'POST',
      '/config?force=true',
      { _format_version: '3.0', consumers: [{ username: 'c', jwt_secrets: [{}] }] },
    ],
    [
      'a load of what is there',
      'POST',
      '/config?check_hash=1',
      { _format_version: '3.0', consumers: [{ username: 'c', jwt_secrets: [{}] }] },
    ],
  ])('may be %s', async (_, method, path, body) => {
    const key = newKey();
    const first = await send(method, path, body, key);
    const second = await send(method, path, body, key);
    expect(first.status).toBe(path.endsWith('check_hash=1') ? 304 : Math.min(first.status, 204));
    expect([second.status, second.text]).toEqual([first.status, first.text]);
    expect([replayed(second), version(second)]).toEqual(['true', version(first)]);
  });

  it.each<[string, string, string, unknown, object]>([
    ['method', 'PUT', '/services', { host: 'a.test' }, {}],
    ['path', 'POST', '/services/x/routes', { host: 'a.test' }, {}],
    ['query', 'POST', '/services?force=1', { host: 'a.test' }, {}],
    ['body', 'POST', '/services', { host: 'b.test' }, {}],
    [
      'type',
      'POST',
      '/services',
      'host=a.test',
      { 'content-type': 'application/x-www-form-urlencoded' },
    ],
    ['condition', 'POST', '/services', { host: 'a.test' }, { 'if-none-match': '"x"' }],
  ])('is not another request: of another %s', async (what, method, path, body, headers) => {
    const key = newKey();
    await admin.call('PUT', '/services/x', { host: 'x' });
    expect((await send('POST', '/services', { host: 'a.test' }, key)).status).toBe(201);
    const other = await send(method, path, body, key, headers);
    // What no endpoint answers is no write.
    expect(other.status).toBe(what === 'method' ? 405 : 422);
  });

  it('is judged anew when it was refused, for then nothing was written', async () => {
    const key = newKey();
    const body = { paths: ['/'], service: { name: 'to-come' } };
    expect((await send('POST', '/routes', body, key)).status).toBe(400);
    await admin.call('PUT', '/services/to-come', { host: 'a.test' });
    const again = await send('POST', '/routes', body, key);
    expect([again.status, replayed(again)]).toEqual([201, null]);
  });

  it("is its sender's: others may use the same key, and so may other workspaces", async () => {
    const key = newKey();
    const scopes = { workspaces: [{ workspace: '*', access: 'write' }] };
    const { body } = await admin.call('POST', '/headgate/tokens', { name: 'other', scopes });
    await admin.call('POST', '/workspaces', { name: 'elsewhere' });
    const entity = { host: 'a.test' };
    const token = { 'kong-admin-token': String(body['token']) };
    const answers = [
      await send('POST', '/services', entity, key),
      await send('POST', '/services', entity, key, token),
      await send('POST', '/elsewhere/services', entity, key),
    ];
    expect(answers.map((answer) => [answer.status, replayed(answer)])).toEqual(
      answers.map(() => [201, null]),
    );
    expect(new Set(answers.map((answer) => answer.body['id'])).size).toBe(3);
  });

  it('leaves no trace when it is only tried', async () => {
    const key = newKey();
    const body = { name: 'tried', host: 'a.test' };
    for (let i = 0; i < 2; i++) {
      expect(replayed(await send('POST', '/services?dry_run=1', body, key))).toBeNull();
    }
    expect((await send('POST', '/services', body, key)).status).toBe(201);
  });

  it.each([
    ['empty', ''],
    ['too long', 'k'.repeat(256)],
    ['with a space', 'a b'],
    ['not ASCII', 'schl\u00fcssel'],
  ])('is refused with a key that is %s', async (_, key) => {
    const { status, body } = await send('POST', '/consumers', { username: 'refused' }, key);
    expect([status, body['message']]).toEqual([400, expect.stringContaining('1 to 255')]);
    expect((await admin.call('GET', '/consumers/refused')).status).toBe(404);
  });

  it('is refused where answers are not kept', async () => {
    for (const path of ['/headgate/tokens', '/clustering/join-tokens']) {
      const { status, body } = await send('POST', path, { name: 'twice' }, newKey());
      expect([status, body['message']]).toEqual([400, expect.stringContaining('only writes')]);
    }
  });

  it('takes a key of 255 letters, and one in quotes for the same without', async () => {
    const body = { host: 'a.test' };
    const key = 'q'.repeat(255);
    expect((await send('POST', '/services', body, key)).status).toBe(201);
    expect(replayed(await send('POST', '/services', body, `"${key}"`))).toBe('true');
  });
});

describe('an answer that is kept', () => {
  it('is no secret in the clear, and survives another key', async () => {
    const key = newKey();
    const body = { key: 'canary-of-idempotency' };
    await admin.call('PUT', '/consumers/kept', {});
    const first = await send('POST', '/consumers/kept/key-auth', body, key);
    const { rows } = await admin.store.db.query('SELECT * FROM kept_answers');
    expect(
      JSON.stringify(rows, (_, value: unknown) =>
        value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value,
      ),
    ).not.toContain('canary');
    expect(first.text).toContain('canary');
    const rotated = await admin.call('POST', '/headgate/keys/rotate', { data: true });
    expect(rotated.status, rotated.text).toBeLessThan(300);
    const second = await send('POST', '/consumers/kept/key-auth', body, key);
    expect([second.text, replayed(second)]).toEqual([first.text, 'true']);
  });

  it('is so long and no longer; what is longer has to be read back', async () => {
    const key = newKey();
    const consumers = Array.from({ length: 500 }, (_, i) => ({
      username: `long-${i}`,
      custom_id: `${i}${'x'.repeat(KEPT_LENGTH_MAX / 490)}`,
    }));
    // Too long for the index of a unique field: tags are not.
    const operations = consumers.map(({ username, custom_id: tag }) => ({
      op: 'create',
      kind: 'consumers',
      body: { username, tags: [tag] },
    }));
    const first = await send('POST', '/headgate/bulk', { operations }, key);
    expect([first.status, first.text.length > KEPT_LENGTH_MAX]).toEqual([200, true]);
    const second = await send('POST', '/headgate/bulk', { operations }, key);
    expect([second.status, replayed(second), second.body['message']]).toEqual([
      200,
      'true',
      expect.stringContaining('read back'),
    ]);
  });

  it('is forgotten after a day, and swept in batches', async () => {
    const key = newKey();
    const { db } = admin.store;
    await send('POST', '/services', { host: 'a.test' }, key);
    await db.query("UPDATE kept_answers SET created_at = created_at - interval '25 hours'");
    const again = await send('POST', '/services', { host: 'other.test' }, key);
    expect([again.status, replayed(again)]).toEqual([201, null]);
    await db.query(
      `INSERT INTO kept_answers (id, fingerprint, created_at)
       SELECT 'old-' || i, '', now() - interval '25 hours' FROM generate_series(1, $1) AS i`,
      [2 * SWEPT_ROWS_MAX],
    );
    expect(await sweepKeptAnswers(db)).toBeGreaterThanOrEqual(2 * SWEPT_ROWS_MAX);
    const kept = await db.query('SELECT id FROM kept_answers');
    expect(kept.count).toBe(1);
    expect(replayed(await send('POST', '/services', { host: 'other.test' }, key))).toBe('true');
  });
});
