/**
 * What an administrator does to the identities of nodes: ends them, lets them in again, replaces what
 * they hold. Everything that must not come apart is one transaction.
 */
import { must } from '#shared/base/assert.ts';
import { SCHEMA_LEVEL } from '#shared/config/levels.ts';
import { kindOfSealed, sealedKind } from '#shared/config/sealed-secrets.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { Db } from '../store/db.ts';

/** Channel on which all control planes learn of a revoked node; payload: its id. */
export const REVOKED_CHANNEL = 'headgate_revoked';
/** The same of one that was locked. */
export const LOCKED_CHANNEL = 'headgate_locked';
/** On which they learn that a node is to make another key; payload: its id. */
export const RENEW_CHANNEL = 'headgate_renew_key';

/** Secrets named one by one when a node is revoked; the others are counted. */
export const SECRETS_NAMED_MAX = 1_000;
/** And in the log. */
const SECRETS_LOGGED_MAX = 50;

export interface IdentitiesOptions {
  readonly db: Db;
  readonly logger: Logger;
}

/** Who can be sent away, and why. */
export type Ending = 'revoked' | 'locked';

export interface Revocation {
  readonly node: string;
  readonly group: string;
  /** Of the group's secret: the node has none from this one on. */
  readonly secretGeneration: number;
  /** What it held and somebody should replace. */
  readonly secrets: {
    readonly count: number;
    readonly named: readonly { readonly kind: string; readonly ws: string; readonly id: string }[];
  };
}

export class NodeIdentities {
  readonly #options: IdentitiesOptions;
  readonly #endListeners = new Set<(nodeId: string, ending: Ending) => void>();
  readonly #secretListeners = new Set<(groupId: string) => void>();

  constructor(options: IdentitiesOptions) {
    this.#options = options;
  }

  /** Calls `fn` when this process revokes or locks a node; the answer unsubscribes. */
  onEnded(fn: (nodeId: string, ending: Ending) => void): () => void {
    this.#endListeners.add(fn);
    return () => this.#endListeners.delete(fn);
  }

  /** Calls `fn` when this process replaced the secret of a group: everything must be sealed again. */
  onSecretReplaced(fn: (groupId: string) => void): () => void {
    this.#secretListeners.add(fn);
    return () => this.#secretListeners.delete(fn);
  }

  /**
   * Ends a node's identity for good, and replaces its group's secret with the same commit: whatever is
   * published after it is no use to that node.
   *
   * @returns null when there is no such node, or it is revoked already
   */
  async revoke(nodeId: string): Promise<Revocation | null> {
    const { db, logger } = this.#options;
    const revocation = await db.tx(async (tx) => {
      // The group first: publishing holds it while it waits for nobody.
      const group = await lockGroupOf(tx, nodeId);
      if (group === null) return null;
      const { count } = await tx.query(
        'UPDATE nodes SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL',
        [nodeId],
      );
      if (count === 0) return null;
      const secretGeneration = await replaceSecret(tx, group.id);
      const secrets = await secretsOf(tx, group.id);
      return { groupId: group.id, node: nodeId, group: group.name, secretGeneration, secrets };
    });
    if (revocation === null) return null;
    const { groupId, ...rest } = revocation;
    const { group, secretGeneration, secrets } = rest;
    logger.log('warn', 'node revoked: replace the secrets that it held', {
      node: nodeId,
      group,
      secretGeneration,
      count: secrets.count,
      secrets: secrets.named
        .slice(0, SECRETS_LOGGED_MAX)
        .map(({ kind, id }) => `${kind} ${id}`)
        .join(', '),
    });
    await this.#ended(nodeId, 'revoked');
    this.#secretReplaced(groupId);
    return rest;
  }

  /** Replaces the secret of a group by hand. @returns null when there is no such group */
  async rotateSecret(group: string): Promise<JsonObject | null> {
    const { db, logger } = this.#options;
    const done = await db.tx(async (tx) => {
      const { rows } = await tx.query<{ id: string; name: string }>(
        'SELECT id, name FROM groups WHERE name = $1 OR id::text = $1 FOR UPDATE',
        [group],
      );
      const [row] = rows;
      if (row === undefined) return null;
      return { ...row, secretGeneration: await replaceSecret(tx, row.id) };
    });
    if (done === null) return null;
    const { id, name, secretGeneration } = done;
    logger.log('info', 'group secret replaced', { group: name, secretGeneration });
    this.#secretReplaced(id);
    return { id, name, secret_generation: secretGeneration };
  }

  /**
   * Takes back what is held against a node. Whoever comes next with its key is let in, whatever join
   * counter it presents: somebody has looked, and found that there is only one.
   *
   * @returns false when there is no such node
   */
  async unlock(nodeId: string): Promise<boolean> {
    const { db, logger } = this.#options;
    const { count } = await db.query(
      `UPDATE nodes SET locked_at = NULL, alert = NULL, join_open = true
       WHERE id = $1 AND revoked_at IS NULL`,
      [nodeId],
    );
    if (count === 0) return false;
    logger.log('info', 'node unlocked', { node: nodeId });
    return true;
  }

  /**
   * Has a node make another key: at once if it is connected, else when it comes back.
   *
   * @returns false when there is no such node
   */
  async renewKey(nodeId: string): Promise<boolean> {
    const { db } = this.#options;
    const { count } = await db.query(
      `UPDATE nodes SET key_made_at = '-infinity' WHERE id = $1 AND revoked_at IS NULL`,
      [nodeId],
    );
    if (count === 0) return false;
    await db.notify(RENEW_CHANNEL, nodeId);
    return true;
  }

  /** Tells all control planes that a node was locked. */
  async locked(nodeId: string): Promise<void> {
    await this.#ended(nodeId, 'locked');
  }

  async #ended(nodeId: string, ending: Ending): Promise<void> {
    for (const listener of this.#endListeners) listener(nodeId, ending);
    const channel = ending === 'revoked' ? REVOKED_CHANNEL : LOCKED_CHANNEL;
    await this.#options.db.notify(channel, nodeId);
  }

  #secretReplaced(groupId: string): void {
    for (const listener of this.#secretListeners) listener(groupId);
  }
}

async function lockGroupOf(tx: Db, nodeId: string): Promise<{ id: string; name: string } | null> {
  const { rows } = await tx.query<{ id: string; name: string }>(
    `SELECT g.id, g.name FROM groups g
     WHERE g.id = (SELECT group_id FROM nodes WHERE id = $1) FOR UPDATE`,
    [nodeId],
  );
  return rows[0] ?? null;
}

async function replaceSecret(tx: Db, groupId: string): Promise<number> {
  const { rows } = await tx.query<{ generation: number }>(
    `UPDATE groups SET secret_generation = secret_generation + 1 WHERE id = $1
     RETURNING secret_generation AS generation`,
    [groupId],
  );
  return must(rows[0], 'a locked group').generation;
}

/** Entities whose secrets the nodes of a group can open. */
async function secretsOf(tx: Db, groupId: string): Promise<Revocation['secrets']> {
  const { rows } = await tx.query<{ kind: string; ws: string; id: string; count: number }>(
    `SELECT kind, ws_id AS ws, entity_id AS id, count(*) OVER ()::int AS count FROM group_records
     WHERE group_id = $1 AND level = $4 AND kind LIKE $2
     ORDER BY kind, ws_id, entity_id LIMIT $3`,
    [groupId, `${sealedKind('')}%`, SECRETS_NAMED_MAX, SCHEMA_LEVEL],
  );
  const named = rows.map(({ kind, ws, id }) => ({ kind: kindOfSealed(kind) ?? kind, ws, id }));
  return { count: rows[0]?.count ?? 0, named };
}
