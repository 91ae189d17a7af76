/**
 * A request that writes, and the row that tells of it in `audit`. A commit of entities writes the row
 * in its own transaction, so that no write lacks one.
 */
import type { Db } from './db.ts';

/** What the row says. Nothing here may be a secret. */
export interface AuditedRequest {
  readonly id: string;
  /** Of a named token. */
  readonly tokenId: string | null;
  /** The client's address as a trusted terminator tells it. */
  readonly forwardedFor: string | null;
  readonly method: string;
  readonly path: string;
  /** What it will be answered, as far as is known before the commit. */
  readonly status: number;
  /** Name of the workspace. */
  readonly workspace: string | null;
  /** Called once a transaction that wrote the row was committed. */
  recorded(): void;
}

/** Who writes, and from where. */
export interface Actor {
  /** Who: the name of a token, or of a part of the control plane. */
  readonly name: string;
  /** From where: an address; null when it is the control plane itself. */
  readonly source: string | null;
  /** Null or absent when no request is behind it: then there is no row. */
  readonly request?: AuditedRequest | null;
}

export const AUDIT_COLUMNS = 'request_id, token_id, forwarded_for, method, path, status, workspace';
export const AUDIT_RECORD =
  'a(request_id text, token_id text, forwarded_for text, method text, path text, status integer,' +
  ' workspace text)';

/**
 * JSON for `jsonb_to_recordset`: one row, or none without a request.
 *
 * @param status  where it is known by now
 */
export function auditRecords({ request = null }: Actor, status: number | null = null): string {
  if (request === null) return '[]';
  const { id, tokenId, forwardedFor, method, path, workspace } = request;
  const row = {
    request_id: id,
    token_id: tokenId,
    forwarded_for: forwardedFor,
    method,
    path,
    status: status ?? request.status,
    workspace,
  };
  return JSON.stringify([row]);
}

/** The row of a request that writes no entity. @throws DbError */
export async function insertAudit(
  db: Db,
  actor: Actor,
  status: number | null = null,
): Promise<void> {
  await db.query(
    `INSERT INTO audit (${AUDIT_COLUMNS}, actor, source)
     SELECT ${AUDIT_COLUMNS}, $2, $3 FROM jsonb_to_recordset($1::jsonb) AS ${AUDIT_RECORD}`,
    [auditRecords(actor, status), actor.name, actor.source],
  );
}
