/**
 * How a node comes into being: it proves a join token and the possession of its own new key. A stranger
 * hears the same answer whatever is wrong with a token; the log and the audit hear why.
 */
import { fromBase64url } from '#shared/base/bytes.ts';
import { verifyEnrol, verifyTokenProof } from '#shared/sync/proof.ts';
import type { Crypto, Logger, Random } from '#shared/platform/platform.ts';
import type { FrameOf } from '#shared/wire/frames.ts';
import { cleanName } from '../nodes/clean.ts';
import { chooseGroup } from '../nodes/group-choice.ts';
import { type JoinTokens, unfitness, useJoinToken } from '../nodes/join-tokens.ts';
import { suspect } from '../nodes/suspicions.ts';
import { type Actor, insertAudit } from '../store/audited-request.ts';
import type { Db } from '../store/db.ts';
import { ENROL_AGAIN, joinStep } from './join-counter.ts';
import { labelsText, NODE_COLUMNS, NODE_FROM, type NodeRow } from './node-row.ts';

/** Where refused enrolments are written down; bounded per minute, as all of strangers. */
export interface EnrolmentAudit {
  recordRefusal(actor: Actor, status: number): Promise<void>;
}

export interface EnrolmentOptions {
  readonly db: Db;
  readonly tokens: JoinTokens;
  readonly crypto: Crypto;
  readonly random: Random;
  readonly logger: Logger;
  /** Id of this control plane's process, written into the node's row. */
  readonly self: string;
  /** Null: refusals are only logged. */
  readonly audit: EnrolmentAudit | null;
}

type Enrol = FrameOf<'enrol'>;

export type Enrolled =
  | { readonly ok: true; readonly node: NodeRow }
  /** For the log: the wire says one thing for all of them. */
  | {
      readonly ok: false;
      readonly detail: string;
      readonly isRevoked: boolean;
      /** Who holds a good token may know what keeps its node out. */
      readonly isTold?: true;
    };

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const KEY_BYTES = 32;
const ENROL = 'ENROL';
const CREATED = 201;
const UNAUTHORIZED = 401;

export class Enrolment {
  readonly #options: EnrolmentOptions;

  constructor(options: EnrolmentOptions) {
    this.#options = options;
  }

  async enrol(frame: Enrol, ip: string): Promise<Enrolled> {
    const enrolled = await this.#enrol(frame, ip);
    const { audit } = this.#options;
    if (!enrolled.ok && audit !== null) {
      const isKnown = UUID.test(frame.token);
      await audit.recordRefusal(this.#actor(isKnown ? frame.token : null, ip), UNAUTHORIZED);
    }
    return enrolled;
  }

  async #enrol(frame: Enrol, ip: string): Promise<Enrolled> {
    const { crypto, tokens } = this.#options;
    const publicKey = fromBase64url(frame.public_key);
    if (publicKey?.length !== KEY_BYTES) return refused('no signing key');
    if (fromBase64url(frame.sealing_key)?.length !== KEY_BYTES) return refused('no sealing key');
    if (!UUID.test(frame.token)) return refused('no such token');
    const token = await tokens.find(frame.token);
    if (token === null) return refused('no such token');
    // The signature first: it covers the proof, and refuses what has no canonical text.
    if (!(await verifyEnrol(frame, publicKey, crypto))) return refused('wrong signature');
    if (!verifyTokenProof(frame, token.verifier, crypto)) return refused('not the token’s secret');
    // A node whose welcome got lost asks again with the same key: that does not cost another use.
    const before = await this.#enrolledBefore(frame, token.groupId);
    if (before !== null) {
      if (before.is_revoked) return { ok: false, detail: 'the node was revoked', isRevoked: true };
      if (before.is_locked) return refused('the node is locked');
      return { ok: true, node: before };
    }
    const known = await this.#knownAs(frame, ip);
    if (known !== null) return refused(known);
    const unfit = unfitness(token, { hostname: frame.about.hostname, ip });
    if (unfit !== null) return refused(unfit);
    const choice = await chooseGroup(this.#options.db, token.groupId, frame.about.labels ?? {});
    if (!choice.ok) return { ...choice, isRevoked: false, isTold: true };
    const node = await this.#redeem(frame, choice.groupId, ip);
    return node === null ? refused('the token is spent') : { ok: true, node };
  }

  async #enrolledBefore(frame: Enrol, groupId: string | null): Promise<NodeRow | null> {
    const { db, random, self } = this.#options;
    const { rows } = await db.query<NodeRow>(
      `UPDATE nodes n SET ${ENROL_AGAIN}, connected_to = $5, joined_at = now(), last_seen = now()
       FROM groups g WHERE g.id = n.group_id
         AND n.public_key = $1 AND n.sealing_key = $2 AND ($3::uuid IS NULL OR n.group_id = $3)
         AND n.join_seq = 0
       RETURNING ${NODE_COLUMNS}`,
      [frame.public_key, frame.sealing_key, groupId, joinStep(random), self],
    );
    return rows[0] ?? null;
  }

  /**
   * A node that has confirmed its join number has kept its identity, and does not enrol by the same key:
   * this is its state of before, restored or copied. Why it is refused; null when the key is a new one.
   */
  async #knownAs({ public_key: publicKey, about }: Enrol, ip: string): Promise<string | null> {
    const { db, logger } = this.#options;
    const { rows } = await db.query<{ id: string }>('SELECT id FROM nodes WHERE public_key = $1', [
      publicKey,
    ]);
    const [row] = rows;
    if (row === undefined) return null;
    await suspect(db, logger, 'clone', { node: row.id, ip, hostname: about.hostname }, false);
    return 'the key is of a node that has joined';
  }

  /** One transaction: the use counts if and only if the node is there, and is written down. */
  async #redeem(frame: Enrol, groupId: string, ip: string): Promise<NodeRow | null> {
    const { db, logger } = this.#options;
    const node = await db.tx(async (tx) => {
      if (!(await useJoinToken(tx, frame.token))) return null;
      const made = await this.#insert(tx, frame, groupId, ip);
      await insertAudit(tx, this.#actor(frame.token, ip), CREATED);
      return made;
    });
    if (node === null) return null;
    logger.log('info', 'data plane joined', {
      node: node.id,
      group: node.group_name,
      token: frame.token,
      runtime: frame.about.runtime,
      hostname: cleanName(frame.about.hostname),
      ip,
    });
    return node;
  }

  async #insert(tx: Db, frame: Enrol, groupId: string, ip: string): Promise<NodeRow | null> {
    const { random, self } = this.#options;
    const { about } = frame;
    const id = random.uuid();
    await tx.query(
      `INSERT INTO nodes (id, group_id, public_key, sealing_key, join_seq, join_pending, join_handed,
         hostname, version, runtime, labels, features, level, ip, connected_to, join_token, joined_at,
         last_seen)
       VALUES ($1, $2, $3, $4, 0, $5, ARRAY[$5::bigint], $6, $7, $8, $9::jsonb, $10::text[], $11, $12,
         $13, $14, now(), now())`,
      [
        id,
        groupId,
        frame.public_key,
        frame.sealing_key,
        joinStep(random),
        cleanName(about.hostname),
        cleanName(about.version),
        about.runtime,
        labelsText(about.labels),
        about.features.map(cleanName),
        frame.level,
        ip,
        self,
        frame.token,
      ],
    );
    const { rows } = await tx.query<NodeRow>(
      `SELECT ${NODE_COLUMNS} ${NODE_FROM} WHERE n.id = $1`,
      [id],
    );
    return rows[0] ?? null;
  }

  /** @param token  null: no token's id. Strangers are one, however many tokens they make up */
  #actor(token: string | null, ip: string): Actor {
    const id = this.#options.random.uuid().replaceAll('-', '');
    return {
      name: 'data plane',
      source: ip,
      request: {
        id,
        tokenId: null,
        forwardedFor: null,
        method: ENROL,
        path: `/clustering/join-tokens${token === null ? '' : `/${token}`}`,
        status: CREATED,
        workspace: null,
        recorded: () => {},
      },
    };
  }
}

function refused(detail: string): Enrolled {
  return { ok: false, detail, isRevoked: false };
}
