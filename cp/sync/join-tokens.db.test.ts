/** Join tokens before the real endpoint: who gets in, what others hear, what is written down. */
import { BlockList } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { REGISTRY } from '#shared/registry.ts';
import { parseJoinToken } from '#shared/sync/join-token.ts';
import { CLOSE } from '#shared/wire/close-codes.ts';
import { PULL_PATH } from '#shared/wire/protocol.ts';
import { openTestStore, type TestStore } from '../../test/support/pglite.ts';
import { ABOUT, RawNode, RawPeer, SyncEndpoint } from '../../test/support/sync-endpoint.ts';

let db: TestStore;
let endpoint: SyncEndpoint;

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
}, 60_000);
afterAll(() => db.close());
beforeEach(async () => {
  await db.store.db.query('TRUNCATE nodes, node_health');
  endpoint = await SyncEndpoint.start(db);
});
afterEach(() => endpoint.close());

interface Outcome {
  readonly isIn: boolean;
  readonly code: number | null;
  readonly reason: string;
}

async function attempt(token: string, hostname = 'dp.test', host = {}): Promise<Outcome> {
  const node = await RawNode.make();
  const peer = await RawPeer.connect(endpoint);
  const about = { ...ABOUT, hostname };
  peer.send(await node.enrol(peer, endpoint, token, { about, ...host }));
  const isIn = await peer.next('welcome').then(
    () => true,
    () => false,
  );
  if (!isIn) return { isIn, ...(await peer.closed()) };
  peer.close();
  await peer.closed();
  return { isIn, code: null, reason: '' };
}

function idOf(token: string): string {
  return must(parseJoinToken(token), 'a token').id;
}

/** Why the last refusal happened, by the log. */
function logged(): unknown {
  return endpoint.logs.findLast(({ message }) => message === 'data plane refused')?.fields;
}

async function audited(token: string): Promise<number[]> {
  const { rows } = await db.store.db.query<{ status: number }>(
    `SELECT status FROM audit WHERE method = 'ENROL' AND path = $1 ORDER BY id`,
    [`/clustering/join-tokens/${idOf(token)}`],
  );
  return rows.map(({ status }) => status);
}

const REFUSED = {
  isIn: false,
  code: CLOSE.unauthorized,
  reason: 'the join token is not accepted',
} as const;

describe('D-15: a join token', () => {
  it('lets in as many nodes as it says, each of them listed, and its redemptions are audited', async () => {
    const token = await endpoint.token(2);
    expect((await attempt(token)).isIn).toBe(true);
    expect((await attempt(token)).isIn).toBe(true);
    expect(await attempt(token)).toEqual(REFUSED);
    expect(logged()).toMatchObject({ reason: 'the token is spent', token: idOf(token) });
    expect(await endpoint.registry.list()).toHaveLength(2);
    expect(await audited(token)).toEqual([201, 201, 401]);
    const [shown] = await endpoint.tokens.list();
    expect(shown).toMatchObject({ id: idOf(token), status: 'spent', uses: 2, used: 2 });
    expect(JSON.stringify(shown)).not.toContain(token.split('_')[2]?.slice(0, 20));
  });

  const make = (more: Parameters<SyncEndpoint['token']>[1]) => endpoint.token(1, more);
  it.each<[string, () => Promise<string>, RegExp]>([
    [
      'expired',
      async () => {
        const token = await make({});
        await db.store.db.query("UPDATE join_tokens SET expires_at = now() - interval '1 s'");
        return token;
      },
      /has expired/,
    ],
    [
      'revoked',
      async () => {
        const token = await make({});
        expect(await endpoint.tokens.revoke(idOf(token))).toBe(true);
        return token;
      },
      /was revoked/,
    ],
    ['for another name', () => make({ name: 'other.test' }), /for the node named other\.test/],
    ['for another network', () => make({ cidrs: ['10.0.0.0/8', '::2'] }), /for 10\.0\.0\.0\/8/],
    [
      'of another secret',
      async () => {
        const [token, other] = [await make({}), await make({})];
        return other.replace(idOf(other), idOf(token));
      },
      /not the token’s secret/,
    ],
    [
      'unknown',
      async () => {
        const token = await make({});
        return token.replace(idOf(token), crypto.randomUUID());
      },
      /no such token/,
    ],
  ])('that is %s is refused as every other: the log knows why', async (_name, token, reason) => {
    const text = await token();
    expect(await attempt(text)).toEqual(REFUSED);
    expect(logged()).toMatchObject({
      token: idOf(text),
      reason: expect.stringMatching(reason) as unknown,
    });
    expect(await audited(text)).toEqual([401]);
    expect(await endpoint.registry.list()).toEqual([]);
  });

  it('that names host and network lets in who fits', async () => {
    const token = await make({ name: 'DP.test', cidrs: ['127.0.0.0/8'] });
    expect((await attempt(token)).isIn).toBe(true);
  });

  it('of one group does not lead into another, whatever the node says', async () => {
    const token = await endpoint.token();
    expect(await attempt(token, 'dp.test', { group: 'another' })).toMatchObject({ isIn: false });
  });

  it('with a network is checked against the client that a trusted terminator names', async () => {
    await endpoint.close();
    const trusted = new BlockList();
    trusted.addAddress('127.0.0.1');
    endpoint = await SyncEndpoint.start(db, { trusted });
    const token = await endpoint.token(2, { cidrs: ['192.0.2.0/24'] });
    const post = async (forwarded: string): Promise<number> => {
      const url = `http://${endpoint.host}${PULL_PATH}`;
      const { nonce } = (await (await fetch(url)).json()) as { nonce: string };
      const hello = await (await RawNode.make()).enrol({ nonce }, endpoint, token);
      const headers = { 'x-forwarded-for': forwarded };
      const body = JSON.stringify({ hello, frames: [] });
      return (await fetch(url, { method: 'POST', body, headers })).status;
    };
    expect(await post('198.51.100.1, 127.0.0.1')).toBe(401);
    expect(await post('192.0.2.7')).toBe(200);
    // What stands before the last stranger is that stranger's own word.
    expect(await post('192.0.2.7, 198.51.100.1')).toBe(401);
  });

  it('does not let strangers fill the audit', async () => {
    const token = await endpoint.token();
    await attempt(token);
    for (let tries = 0; tries < 70; tries += 1) await attempt(token);
    expect((await audited(token)).length).toBeLessThanOrEqual(61);
  });
});

describe('D-08: a node', () => {
  it('cannot enrol more nodes: its token is spent, and it keeps none', async () => {
    const token = await endpoint.token();
    const node = await RawNode.make();
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.enrol(peer, endpoint, token));
    node.take(await peer.next('welcome'));
    expect(await attempt(token)).toEqual(REFUSED);
    const { rows } = await db.store.db.query('SELECT count(*) AS count FROM nodes');
    expect(rows).toEqual([{ count: 1 }]);
  });
});
