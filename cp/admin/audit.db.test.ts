/** What the audit knows of requests to the Admin API. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '#shared/schema/field.ts';
import { REFUSALS_PER_MINUTE, SWEPT_ROWS_MAX } from '../access/audit.ts';
import { CHANGES_SHOWN_MAX } from '../access/audit-log.ts';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { type Answer, openTestAdmin, TERMINATOR, type TestAdmin } from './admin.suite.ts';

const BOOTSTRAP = 'a-bootstrap-token-of-some-length';
const clock = new FakeClock();

let test: TestAdmin;
beforeAll(async () => {
  test = await openTestAdmin({ policy: { token: BOOTSTRAP }, clock });
});
afterAll(() => test?.close());

function call(method: string, path: string, body?: unknown, more: object = {}): Promise<Answer> {
  return test.call(method, path, body, { 'kong-admin-token': BOOTSTRAP, ...more });
}

async function rows(query = ''): Promise<JsonObject[]> {
  const { body, status, text } = await call('GET', `/headgate/audit?size=1000${query}`);
  expect(status, text).toBe(200);
  // The endpoint answers a list of objects.
  return body['data'] as unknown as JsonObject[];
}

/** Rows that a request left. */
async function rowsOf(answer: Answer): Promise<JsonObject[]> {
  const id = answer.headers.get('x-kong-admin-request-id');
  return (await rows()).filter((row) => row['request_id'] === id);
}

describe('a write', () => {
  it('leaves a row that says who, when, from where, and what changed', async () => {
    const made = await call('POST', '/services', { name: 'a', url: 'http://x/y' });
    const [row, ...others] = await rowsOf(made);
    expect(others).toEqual([]);
    expect(row).toMatchObject({
      actor: 'bootstrap',
      token_id: null,
      source: '127.0.0.1',
      forwarded_for: null,
      method: 'POST',
      path: '/services',
      status: 201,
      workspace: 'default',
      version: Number(made.headers.get('headgate-version')),
      changes_total: 1,
      changes: [{ kind: 'services', id: made.body['id'], operation: 'create' }],
    });
    expect(Math.abs(Number(row?.['at']) - Date.now() / 1000)).toBeLessThan(10);
  });

  it('tells the fields that were changed, and no others', async () => {
    await call('PUT', '/services/b', { url: 'http://x/y' });
    const changed = await call('PATCH', '/services/b', { port: 81, tags: ['t'] });
    expect((await rowsOf(changed))[0]).toMatchObject({
      status: 200,
      changes: [{ operation: 'update', fields: ['port', 'tags'] }],
    });
    const removed = await call('DELETE', '/services/b');
    expect((await rowsOf(removed))[0]).toMatchObject({
      status: 204,
      changes: [{ operation: 'delete', fields: [] }],
    });
  });

  it('never shows a secret, in the path or in what was changed', async () => {
    const canary = `canary-${randomUUID()}`;
    await call('PUT', '/consumers/bob', {});
    await call('POST', '/consumers/bob/key-auth', { key: canary });
    const tagged = await call('PATCH', `/key-auths/${canary}`, { tags: ['t'] });
    expect((await rowsOf(tagged))[0]).toMatchObject({
      path: '/key-auths/***',
      changes: [{ fields: ['tags'] }],
    });
    const rekeyed = await call('PATCH', `/consumers/bob/key-auth/${canary}`, {
      key: `${canary}-2`,
    });
    expect(rekeyed.status).toBe(200);
    expect((await rowsOf(rekeyed))[0]).toMatchObject({
      path: '/consumers/bob/key-auth/***',
      changes: [{ fields: ['key'] }],
    });
    await call('PUT', `/key-auths/${canary}-3?secret=${canary}`, { consumer: { username: 'bob' } });
    expect(JSON.stringify(await rows())).not.toContain(canary);
    const { rows: stored } = await test.store.db.query('SELECT a::text FROM audit a');
    expect(JSON.stringify(stored)).not.toContain(canary);
  });

  it('has its row in its own transaction', async () => {
    const { db } = test.store;
    await db.query('ALTER TABLE audit RENAME TO audit_away');
    const refused = await call('POST', '/services', { name: 'unseen', url: 'http://x' });
    await db.query('ALTER TABLE audit_away RENAME TO audit');
    expect(refused.status).toBe(500);
    expect((await call('GET', '/services/unseen')).status).toBe(404);
  });

  it('is told from where by a trusted terminator only', async () => {
    const more = { 'kong-admin-token': BOOTSTRAP, 'x-forwarded-for': '1.1.1.1, 203.0.113.9' };
    const service = { url: 'http://x' };
    const behind = await test.call('POST', '/services', service, more, TERMINATOR);
    const alone = await test.call('POST', '/services', service, more, '10.9.9.9');
    expect((await rowsOf(behind))[0]).toMatchObject({
      source: TERMINATOR,
      forwarded_for: '203.0.113.9',
    });
    expect((await rowsOf(alone))[0]).toMatchObject({ source: '10.9.9.9', forwarded_for: null });
  });

  it('of a named token is its holder’s', async () => {
    const scopes = { workspaces: [{ workspace: '*', access: 'write' }] };
    const made = await call('POST', '/headgate/tokens', { name: 'ci', scopes });
    const headers = { 'kong-admin-token': made.body['token'] };
    const answer = await test.call('POST', '/services', { url: 'http://x' }, headers);
    expect((await rowsOf(answer))[0]).toMatchObject({ actor: 'ci', token_id: made.body['id'] });
  });

  it('of many entities tells the first of them and how many there are', async () => {
    const operations = Array.from({ length: CHANGES_SHOWN_MAX + 5 }, (_, i) => ({
      op: 'create',
      path: '/consumers',
      body: { username: `many-${i}` },
    }));
    const answer = await call('POST', '/headgate/bulk', { operations });
    expect(answer.status, answer.text).toBe(200);
    const [row] = await rowsOf(answer);
    expect(row).toMatchObject({ status: 200, changes_total: CHANGES_SHOWN_MAX + 5 });
    expect(row?.['changes']).toHaveLength(CHANGES_SHOWN_MAX);
  });

  it('that is no entity’s leaves a row too', async () => {
    const body = { name: 'seen', scopes: { cluster: 'read' } };
    const made = await call('POST', '/headgate/tokens', body);
    expect(await rowsOf(made)).toMatchObject([{ status: 201, path: '/headgate/tokens' }]);
    const rotated = await call('POST', '/headgate/tokens/seen/rotate');
    expect(await rowsOf(rotated)).toMatchObject([{ status: 200, version: null, changes: [] }]);
    const level = await call('PUT', '/debug/node/log-level/debug');
    expect(await rowsOf(level)).toMatchObject([{ path: '/debug/node/log-level/debug' }]);
    const nothing = await call('DELETE', '/services/not-there');
    expect(await rowsOf(nothing)).toMatchObject([{ status: 204, version: null }]);
  });

  it('leaves none when nothing was written', async () => {
    for (const [method, path, body] of [
      ['GET', '/services'],
      ['POST', '/services', { port: 'x' }],
      ['PATCH', '/services/not-there', {}],
      ['POST', '/services?dry_run=true', { url: 'http://x' }],
      ['POST', '/schemas/services/validate', { host: 'x' }],
      ['POST', '/nowhere', {}],
    ] as const) {
      expect(await rowsOf(await call(method, path, body)), `${method} ${path}`).toEqual([]);
    }
  });
});

describe('a refused write', () => {
  it('leaves a row, whoever it was and wherever it went', async () => {
    const stranger = await test.call('DELETE', '/services/a', undefined, {
      'kong-admin-token': 'wrong',
    });
    expect(await rowsOf(stranger)).toMatchObject([
      { actor: 'anonymous', method: 'DELETE', path: '/services/a', status: 401, version: null },
    ]);
    const made = await call('POST', '/headgate/tokens', {
      name: 'reader',
      scopes: { workspaces: [{ workspace: 'default', access: 'read' }] },
    });
    const headers = { 'kong-admin-token': made.body['token'] };
    const refused = await test.call('POST', '/services', {}, headers);
    expect(await rowsOf(refused)).toMatchObject([
      { actor: 'reader', status: 403, path: '/services', workspace: 'default' },
    ]);
    const elsewhere = await test.call('POST', '/team-x/services', {}, headers);
    expect(await rowsOf(elsewhere)).toMatchObject([
      { actor: 'reader', status: 403, path: '/team-x/services' },
    ]);
    const page = await call('POST', '/services', {}, { origin: 'https://evil.test' });
    expect(await rowsOf(page)).toMatchObject([{ actor: 'anonymous', status: 403 }]);
  });

  it('cannot fill the database', async () => {
    await clock.advance(60_000);
    const count = async () =>
      (await test.store.db.query('SELECT 1 FROM audit WHERE status = 401')).count;
    const before = await count();
    for (let i = 0; i < REFUSALS_PER_MINUTE + 10; i++) {
      await test.call('POST', '/services', {}, { 'kong-admin-token': 'wrong' });
    }
    expect((await count()) - before).toBe(REFUSALS_PER_MINUTE);
    // Nor hide what others were refused.
    const { body } = await call('POST', '/headgate/tokens/reader/rotate');
    const known = { 'kong-admin-token': body['token'] };
    expect(await rowsOf(await test.call('POST', '/services', {}, known))).toHaveLength(1);
    await clock.advance(60_000);
    await test.call('POST', '/services', {}, { 'kong-admin-token': 'wrong' });
    expect((await count()) - before).toBe(REFUSALS_PER_MINUTE + 1);
  });
});

describe('/headgate/audit', () => {
  it('goes back page by page, newest first', async () => {
    const all = await rows();
    const seen: unknown[] = [];
    let next: string | null = '/headgate/audit?size=3';
    while (next !== null) {
      const page: Answer = await call('GET', next);
      expect(page.status).toBe(200);
      seen.push(...(page.body['data'] as unknown as JsonObject[]).map(({ id }) => id));
      next = page.body['next'] as string | null;
    }
    expect(seen).toEqual(all.map(({ id }) => id));
    expect(seen.map(Number)).toEqual(seen.map(Number).toSorted((a, b) => b - a));
  });

  it('can be narrowed', async () => {
    await call('PUT', '/workspaces/audited', {});
    await call('POST', '/audited/services', { url: 'http://x' });
    expect(await rows('&workspace=audited')).toMatchObject([{ path: '/audited/services' }]);
    const byActor = await rows('&actor=ci');
    expect(byActor.map(({ actor }) => actor)).toEqual(byActor.map(() => 'ci'));
    expect(byActor.length).toBeGreaterThan(0);
    expect(await rows('&path=/audited/')).toHaveLength(1);
    const now = Math.floor(Date.now() / 1000);
    expect(await rows(`&since=${now + 60}`)).toEqual([]);
    expect(await rows(`&until=${now - 600}`)).toEqual([]);
    expect((await rows(`&since=${now - 600}&until=${now + 60}`)).length).toBeGreaterThan(5);
    const page = await call('GET', '/headgate/audit?size=1&actor=bootstrap&path=/');
    expect(page.body['next']).toMatch(/actor=bootstrap.*path=%2F/);
  });

  it.each(['since=x', 'until=-1', 'actor=', 'offset=x', 'size=0', 'size=1001'])(
    'refuses %s',
    async (query) => expect((await call('GET', `/headgate/audit?${query}`)).status).toBe(400),
  );

  it('takes any text to look for', async () => {
    expect(await rows('&actor=%00&path=%ff%00')).toEqual([]);
  });

  it('forgets what is too old, in batches', async () => {
    const { db } = test.store;
    const kept = (await rows()).length;
    await db.query(
      `INSERT INTO audit (at, request_id, actor, method, path, status)
       SELECT now() - make_interval(days => 401), 'old', 'x', 'POST', '/', 200
       FROM generate_series(1, $1)`,
      [SWEPT_ROWS_MAX + 1],
    );
    expect(await test.audit.sweep()).toBe(SWEPT_ROWS_MAX + 1);
    expect(await rows()).toHaveLength(kept);
  });
});
