/**
 * `Idempotency-Key` on a write: the answer is kept in the transaction of the write, so that the same
 * request, sent again because its answer was lost, gets that answer and is not done twice. What is
 * refused wrote nothing and is not kept: it is judged anew.
 *
 * Source: draft-ietf-httpapi-idempotency-key-header-07
 */
import { createHmac, type Hmac } from 'node:crypto';
import { must } from '#shared/base/assert.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import {
  assertInForce,
  GENERATION_COLUMNS,
  type GenerationRow,
  opening,
} from '../keys/fresh-keys.ts';
import type { RowKeySource } from '../keys/row-keys.ts';
import type { Db } from '../store/db.ts';
import type { AdminResponse } from './context.ts';
import { AdminError } from './errors.ts';

/** Present, `true`, on an answer that was given before. */
export const REPLAYED_HEADER = 'Idempotency-Replayed';

const HEADER = 'idempotency-key';
export const KEY_LENGTH_MAX = 255;
/** Longest body that is kept, in characters; a longer one has to be read back. */
export const KEPT_LENGTH_MAX = 4 * 1024 * 1024;
const KEPT_HOURS = 24;
const TABLE = 'kept_answers';
/** Rows removed in one statement, and statements in one sweep; the rest waits for the next. */
export const SWEPT_ROWS_MAX = 1_000;
const SWEEP_ROUNDS_MAX = 20;

/** A request that names a key, with its body watched as it is read. */
export interface Repeatable {
  readonly raw: Request;
  /** Of the key, for whoever sent it. */
  readonly id: string;
  /** Of the request, when its body has been read; a body that nobody reads does not count. */
  fingerprint(): string;
}

interface Scope {
  readonly tagKey: Uint8Array;
  /** Whose key it is: others may use the same. */
  readonly owner: string;
  readonly workspace: string;
}

/**
 * Null when the request names no key.
 *
 * @throws AdminError 400
 */
export function repeatableOf(raw: Request, { tagKey, owner, workspace }: Scope): Repeatable | null {
  const header = raw.headers.get(HEADER);
  if (header === null) return null;
  // The draft has a quoted string; most clients send the bare text.
  const key = /^"(.*)"$/.exec(header)?.[1] ?? header;
  if (!/^[\x21-\x7e]+$/.test(key) || key.length > KEY_LENGTH_MAX) {
    throw new AdminError(400, {
      message: `Idempotency-Key: expected 1 to ${KEY_LENGTH_MAX} visible ASCII characters`,
    });
  }
  const hash = (purpose: string) => createHmac('sha256', tagKey).update(`${purpose}\n`);
  const id = hash('idempotency-key').update(JSON.stringify([owner, workspace, key]));
  const { pathname, search } = new URL(raw.url);
  const meant = ['content-type', 'if-match', 'if-none-match'].map((name) => raw.headers.get(name));
  const head = [raw.method, pathname, search, ...meant];
  const seen = hash('idempotency-request').update(JSON.stringify(head));
  let digest: string | null = null;
  return {
    raw: watched(raw, seen),
    id: id.digest('base64url'),
    fingerprint: () => (digest ??= seen.digest('base64url')),
  };
}

/** Where answers are not kept, doing it twice must not pass for doing it once. */
export function notRepeatable(): AdminError {
  return new AdminError(400, {
    message: 'Idempotency-Key: only writes of entities can be repeated',
  });
}

/** The same request; what is read of its body goes through the hash. */
function watched(raw: Request, seen: Hmac): Request {
  if (raw.body === null) return raw;
  const watch = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      seen.update(chunk);
      controller.enqueue(chunk);
    },
  });
  const { method, headers } = raw;
  // `duplex` is needed for a body that is a stream; the DOM's types do not know it.
  const init = { method, headers, body: raw.body.pipeThrough(watch), duplex: 'half' };
  return new Request(raw.url, init as RequestInit);
}

interface Row {
  readonly fingerprint: string;
  readonly status: number | null;
  readonly headers: Readonly<Record<string, string>> | null;
  readonly body_cipher: Uint8Array | null;
}

/** Takes the key over, unless it is taken: by a request under way, whose end is waited for. */
const CLAIM = `
  INSERT INTO ${TABLE} AS kept (id, fingerprint) VALUES ($1, $2)
  ON CONFLICT (id) DO UPDATE
  SET fingerprint = excluded.fingerprint, status = NULL, headers = NULL, body_cipher = NULL,
    created_at = clock_timestamp()
  WHERE kept.created_at < now() - interval '${KEPT_HOURS} hours'
  RETURNING id`;

/**
 * First in the transaction.
 *
 * @returns the answer that was given before; null: it is for this request to do
 * @throws AdminError 422 when the key was used for another request
 */
export async function claim(
  db: Db,
  keys: RowKeySource,
  { id, fingerprint }: Repeatable,
): Promise<AdminResponse | null> {
  const own = fingerprint();
  const { count } = await db.query(CLAIM, [id, own]);
  if (count > 0) return null;
  const { rows } = await db.query<Row>(
    `SELECT fingerprint, status, headers, body_cipher FROM ${TABLE} WHERE id = $1`,
    [id],
  );
  const row = must(rows[0], 'nobody removes what is younger than a day');
  if (own !== row.fingerprint) {
    throw new AdminError(422, { message: 'Idempotency-Key: used before, for another request' });
  }
  const headers = { ...row.headers, [REPLAYED_HEADER]: 'true' };
  return { status: row.status ?? 200, body: await bodyOf(db, keys, id, row), headers };
}

async function bodyOf(
  db: Db,
  keys: RowKeySource,
  id: string,
  { headers, body_cipher: sealed }: Row,
): Promise<JsonObject | string | null> {
  if (sealed !== null) {
    return opening(db, keys, (current) => current.decrypt(TABLE, 'body', id, sealed));
  }
  // Only an answer with a body has a type.
  if (headers?.['Content-Type'] === undefined) return null;
  return {
    message: 'This was done; its answer was too long to be kept, so read back what it wrote',
  };
}

/** Last in the transaction. `answer` as it is sent, with all its headers. */
export async function keep(
  db: Db,
  keys: RowKeySource,
  { id }: Repeatable,
  { status, headers = {}, body }: AdminResponse,
): Promise<void> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const isKept = body !== null && text.length <= KEPT_LENGTH_MAX;
  const current = keys.current();
  // A write that changes no entity does not ask: the keys must be those that outlive it.
  const { rows } = await db.query<GenerationRow>(
    `SELECT ${GENERATION_COLUMNS} FROM cluster FOR SHARE`,
  );
  assertInForce(current, rows[0]);
  const sealed = isKept ? current.encrypt(TABLE, 'body', id, text) : null;
  const type = body === null ? {} : { 'Content-Type': 'application/json; charset=utf-8' };
  await db.query(
    `UPDATE ${TABLE} SET status = $2, headers = $3::jsonb, body_cipher = $4 WHERE id = $1`,
    [id, status, JSON.stringify({ ...type, ...headers }), sealed],
  );
}

/** Removes what is older than a day. @returns how many rows; more may wait for the next time */
export async function sweepKeptAnswers(db: Db): Promise<number> {
  let removed = 0;
  for (let round = 0; round < SWEEP_ROUNDS_MAX; round++) {
    const { count } = await db.query(
      `DELETE FROM ${TABLE} WHERE id IN (
         SELECT id FROM ${TABLE} WHERE created_at < now() - interval '${KEPT_HOURS} hours'
         ORDER BY created_at LIMIT $1)`,
      [SWEPT_ROWS_MAX],
    );
    removed += count;
    if (count < SWEPT_ROWS_MAX) break;
  }
  return removed;
}
