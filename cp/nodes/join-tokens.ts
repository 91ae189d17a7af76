/**
 * Join tokens: who may become a node of which group, how often and for how long. The secret is shown
 * once; kept is a verifier of it, encrypted. A row stays for a while after its token is of no use any
 * more, so that it can be told what it let in.
 */
import { assert, must } from '#shared/base/assert.ts';
import { base64url, fromBase64url } from '#shared/base/bytes.ts';
import { isInCidr, parseCidr, parseIp } from '#shared/base/ip.ts';
import type { Crypto, Random } from '#shared/platform/platform.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { formatJoinToken, TOKEN_SECRET_BYTES } from '#shared/sync/join-token.ts';
import { opening, sealing } from '../keys/fresh-keys.ts';
import type { Keyring } from '../keys/keyring.ts';
import { DEFAULT_NAME } from '../store/bootstrap.ts';
import type { Db } from '../store/db.ts';

export const TOKEN_TTL_S_MIN = 60;
export const TOKEN_TTL_S_MAX = 24 * 3600;
export const TOKEN_USES_MAX = 1_000;
export const TOKEN_CIDRS_MAX = 32;
/** Tokens that are shown: the newest. */
export const TOKENS_LISTED_MAX = 1_000;
/** How long a token is still shown after it has expired. */
const KEPT_AFTER_EXPIRY_DAYS = 30;

export interface JoinTokensOptions {
  readonly db: Db;
  readonly keyring: Keyring;
  readonly random: Random;
  readonly crypto: Crypto;
}

export interface JoinTokenRequest {
  /** A group's name; null: the labels of the node choose it, where groups ask for labels. */
  readonly group: string | null;
  readonly ttlSeconds: number;
  readonly uses: number;
  /** The only hostname that may join with it; null: any. */
  readonly name: string | null;
  /** The only networks that may join with it; empty: any. */
  readonly cidrs: readonly string[];
  /** Who asked for it. */
  readonly actor: string;
}

export interface JoinToken {
  readonly id: string;
  /** Name of its group; null: the labels of the node choose it. */
  readonly group: string | null;
  /** Shown once; only a verifier of it is kept, encrypted. */
  readonly token: string;
  /** Epoch seconds. */
  readonly expiresAt: number;
}

/** What is kept of a token, for whoever checks a node that comes with it. */
export interface KeptToken {
  readonly id: string;
  /** Null: the labels of the node choose it. */
  readonly groupId: string | null;
  /** SHA-256 of the secret. */
  readonly verifier: Uint8Array;
  readonly name: string | null;
  readonly cidrs: readonly string[];
  readonly isRevoked: boolean;
  readonly isExpired: boolean;
  readonly isSpent: boolean;
}

interface TokenRow {
  readonly id: string;
  readonly group_id: string | null;
  readonly group_name: string | null;
  readonly uses: number;
  readonly max_uses: number;
  readonly node_name: string | null;
  readonly cidrs: readonly string[] | null;
  readonly created_by: string;
  readonly created_at: number;
  readonly expires_at: number;
  readonly is_expired: boolean;
  readonly is_revoked: boolean;
}

interface MintedRow {
  readonly expires_at: number;
  readonly group_name: string | null;
}

/** `$3`: its name. Without one, and while no group asks for labels, there is only `default` to join. */
const GROUP = `
  SELECT id FROM groups WHERE name = $3
  UNION ALL SELECT CASE WHEN EXISTS (SELECT 1 FROM groups WHERE labels <> '{}') THEN NULL
    ELSE (SELECT id FROM groups WHERE name = '${DEFAULT_NAME}') END WHERE $3::text IS NULL`;

const COLUMNS = `t.id, t.group_id, g.name AS group_name, t.uses, t.max_uses, t.node_name, t.cidrs,
  t.created_by, floor(extract(epoch FROM t.created_at))::bigint AS created_at,
  floor(extract(epoch FROM t.expires_at))::bigint AS expires_at,
  t.expires_at <= now() AS is_expired, t.revoked_at IS NOT NULL AS is_revoked`;
const FROM = 'FROM join_tokens t LEFT JOIN groups g ON g.id = t.group_id';

export class JoinTokens {
  readonly #options: JoinTokensOptions;

  constructor(options: JoinTokensOptions) {
    this.#options = options;
  }

  /** @returns null when there is no such group */
  async mint(request: JoinTokenRequest): Promise<JoinToken | null> {
    const { group, ttlSeconds, uses, name, cidrs, actor } = request;
    assert(ttlSeconds >= TOKEN_TTL_S_MIN && ttlSeconds <= TOKEN_TTL_S_MAX, `ttl ${ttlSeconds}`);
    assert(uses >= 1 && uses <= TOKEN_USES_MAX, `uses ${uses}`);
    assert(cidrs.length <= TOKEN_CIDRS_MAX, `${cidrs.length} networks`);
    const { db, keyring, random, crypto } = this.#options;
    const id = random.uuid();
    const secret = random.bytes(TOKEN_SECRET_BYTES);
    const verifier = base64url(crypto.sha256(secret));
    const rows = await sealing(db, keyring.rows, async (tx, keys) => {
      await tx.query(
        'DELETE FROM join_tokens WHERE expires_at < now() - make_interval(days => $1)',
        [KEPT_AFTER_EXPIRY_DAYS],
      );
      const sealed = keys.encrypt('join_tokens', 'verifier', id, verifier);
      const made = await tx.query<MintedRow>(
        `INSERT INTO join_tokens
           (id, verifier, group_id, expires_at, max_uses, created_by, node_name, cidrs)
         SELECT $1, $2, g.id, now() + make_interval(secs => $4), $5, $6, $7, $8::text[]
         FROM (${GROUP}) AS g
         RETURNING floor(extract(epoch FROM expires_at))::bigint AS expires_at,
           (SELECT name FROM groups WHERE id = group_id) AS group_name`,
        [id, sealed, group, ttlSeconds, uses, actor, name, cidrs.length === 0 ? null : cidrs],
      );
      return made.rows;
    });
    const row = rows[0];
    if (row === undefined) return null;
    const rootKey = must(fromBase64url(keyring.rootPublicKey), 'a root key');
    const token = formatJoinToken({ id, secret, rootKey }, crypto);
    return { id, token, group: row.group_name, expiresAt: row.expires_at };
  }

  /** Newest first, without their secrets. */
  async list(): Promise<JsonObject[]> {
    const { rows } = await this.#options.db.query<TokenRow>(
      `SELECT ${COLUMNS} ${FROM} ORDER BY t.created_at DESC, t.id LIMIT $1`,
      [TOKENS_LISTED_MAX],
    );
    return rows.map(viewOf);
  }

  async get(id: string): Promise<JsonObject | null> {
    const { rows } = await this.#options.db.query<TokenRow>(
      `SELECT ${COLUMNS} ${FROM} WHERE t.id = $1`,
      [id],
    );
    return rows[0] === undefined ? null : viewOf(rows[0]);
  }

  /** Nobody joins with it any more; who did stays. @returns false when there is none */
  async revoke(id: string): Promise<boolean> {
    const { count } = await this.#options.db.query(
      'UPDATE join_tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1',
      [id],
    );
    return count > 0;
  }

  /** For whoever checks a node that comes with it; null when there is none. */
  find(id: string): Promise<KeptToken | null> {
    const { db, keyring } = this.#options;
    return opening(db, keyring.rows, async (keys) => {
      const { rows } = await db.query<TokenRow & { verifier: Uint8Array }>(
        `SELECT t.verifier, ${COLUMNS} ${FROM} WHERE t.id = $1`,
        [id],
      );
      const [row] = rows;
      if (row === undefined) return null;
      const text = keys.decrypt('join_tokens', 'verifier', id, row.verifier);
      return {
        id,
        groupId: row.group_id,
        verifier: must(fromBase64url(text), 'a verifier'),
        name: row.node_name,
        cidrs: row.cidrs ?? [],
        isRevoked: row.is_revoked,
        isExpired: row.is_expired,
        isSpent: row.uses >= row.max_uses,
      };
    });
  }
}

/** Counts a use. False when there is none left: whoever else redeems it waits for this transaction. */
export async function useJoinToken(tx: Db, id: string): Promise<boolean> {
  const { count } = await tx.query(
    `UPDATE join_tokens SET uses = uses + 1
     WHERE id = $1 AND uses < max_uses AND expires_at > now() AND revoked_at IS NULL`,
    [id],
  );
  return count > 0;
}

/**
 * Why this node may not join with it; null when it may. For the log only: a stranger who tries tokens
 * must not learn what was wrong with one.
 */
export function unfitness(
  token: KeptToken,
  { hostname, ip }: { readonly hostname: string; readonly ip: string },
): string | null {
  if (token.isRevoked) return 'the token was revoked';
  if (token.isExpired) return 'the token has expired';
  if (token.name !== null && token.name.toLowerCase() !== hostname.toLowerCase()) {
    return `the token is for the node named ${token.name}`;
  }
  if (token.cidrs.length > 0 && !isWithin(ip, token.cidrs)) {
    return `the token is for ${token.cidrs.join(', ')}`;
  }
  return null;
}

function isWithin(ip: string, cidrs: readonly string[]): boolean {
  const address = parseIp(ip);
  if (address === null) return false;
  return cidrs.some((text) => {
    const cidr = parseCidr(text);
    return cidr !== null && isInCidr(address, cidr);
  });
}

function viewOf(row: TokenRow): JsonObject {
  const { id, group_name: group, uses: used, max_uses: uses, is_expired, is_revoked } = row;
  const isSpent = used >= uses;
  return {
    id,
    group,
    status: is_revoked ? 'revoked' : is_expired ? 'expired' : isSpent ? 'spent' : 'valid',
    uses,
    used,
    name: row.node_name,
    cidrs: row.cidrs === null ? null : [...row.cidrs],
    expires_at: row.expires_at,
    created_by: row.created_by,
    created_at: row.created_at,
  };
}
