/**
 * Decides who a peer is. A node proves its own key on every session (Ed25519 over our nonce and the
 * name it dialled); a join token only buys the first enrolment (decision 14). What a node claims
 * about its group counts for nothing: its record says.
 */
import { fromBase64url } from '#shared/base/bytes.ts';
import { CanonicalError } from '#shared/config/canonical.ts';
import { groupSecretInfo } from '#shared/config/secrets.ts';
import { seal } from '#shared/config/seal.ts';
import type { Crypto, Logger, Random } from '#shared/platform/platform.ts';
import { verifyEnrol, verifyHello, verifyTokenProof } from '#shared/sync/proof.ts';
import type { FrameOf, Position } from '#shared/wire/frames.ts';
import { PING_INTERVAL_MS, PROTOCOL_VERSION } from '#shared/wire/protocol.ts';
import { LEVEL } from '../changes/to-wire.ts';
import type { ControlPlanes } from '../cluster/control-planes.ts';
import { opening } from '../keys/fresh-keys.ts';
import type { Keyring } from '../keys/keyring.ts';
import { clean, cleanPosition } from '../nodes/clean.ts';
import type { Db } from '../store/db.ts';
import type { Admission, Refusal } from './session.ts';

export interface AuthenticatorOptions {
  readonly db: Db;
  readonly keyring: Keyring;
  readonly crypto: Crypto;
  readonly random: Random;
  readonly logger: Logger;
  /** `HEADGATE_CLUSTER_HOSTS`; empty: the name must be the request's Host. */
  readonly hosts: readonly string[];
  /** Null: this control plane knows of no others. */
  readonly planes: ControlPlanes | null;
  /** Id of this control plane's process, written into the node's row. */
  readonly self: string;
}

export interface Expected {
  readonly nonce: string;
  /** Host header of the request. */
  readonly hostHeader: string;
  readonly ip: string;
}

interface NodeRow {
  readonly id: string;
  readonly group_id: string;
  readonly group_name: string;
  readonly secret_generation: number;
  readonly public_key: string;
  readonly sealing_key: string;
  readonly join_seq: number;
  readonly join_pending: number | null;
  readonly is_revoked: boolean;
}

interface TokenRow {
  readonly verifier: Uint8Array;
  readonly group_id: string;
}

const NODE_COLUMNS = `n.id, n.group_id, g.name AS group_name, g.secret_generation, n.public_key,
  n.sealing_key, n.join_seq, n.join_pending, n.revoked_at IS NOT NULL AS is_revoked`;
const NODE_FROM = 'FROM nodes n JOIN groups g ON g.id = n.group_id';
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const KEY_BYTES = 32;
const NOWHERE: Position = { epoch: 0, revision: 0, hash: '' };

type Hello = FrameOf<'hello'>;
type Enrol = FrameOf<'enrol'>;

export class Authenticator {
  readonly #options: AuthenticatorOptions;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  async admit(frame: Hello | Enrol, expected: Expected): Promise<Admission> {
    const { crypto, logger } = this.#options;
    const isOurs = isSameText(frame.nonce, expected.nonce, crypto);
    const admission = !isOurs
      ? refuse('unauthorized', 'not the nonce of this session')
      : !this.#isHost(frame.host, expected.hostHeader)
        ? refuse('unauthorized', 'not a name of this control plane')
        : frame.level < LEVEL
          ? refuse('incompatible', 'no common schema level')
          : frame.type === 'hello'
            ? await this.#hello(frame, expected)
            : await this.#enrol(frame, expected);
    if (!admission.ok) {
      logger.log('warn', 'data plane refused', {
        reason: admission.reason,
        ip: expected.ip,
        node: frame.type === 'hello' ? frame.node : null,
        host: frame.host,
      });
    }
    return admission;
  }

  /** The signature holds for one control plane only: a node that dialled elsewhere is not ours. */
  #isHost(host: string, hostHeader: string): boolean {
    const { hosts } = this.#options;
    const name = host.toLowerCase();
    if (hosts.length === 0) return name === hostHeader.toLowerCase();
    return hosts.some((allowed) => {
      const known = allowed.toLowerCase();
      return name === known || name.replace(/:\d+$/, '') === known;
    });
  }

  async #hello(frame: Hello, { ip }: Expected): Promise<Admission> {
    const { db, crypto } = this.#options;
    const unknown = refuse('unauthorized', 'unknown node or wrong signature');
    if (!UUID.test(frame.node)) return unknown;
    const { rows } = await db.query<NodeRow>(
      `SELECT ${NODE_COLUMNS} ${NODE_FROM} WHERE n.id = $1`,
      [frame.node],
    );
    const node = rows[0];
    const publicKey = keyOf(node?.public_key ?? '');
    if (node === undefined || publicKey === null) return unknown;
    if (!(await orFalse(verifyHello(frame, publicKey, crypto)))) return unknown;
    // Only its holder learns that a key was revoked.
    if (node.is_revoked) return refuse('revoked', 'the node was revoked');
    if (frame.group !== node.group_name && frame.group !== node.group_id)
      return refuse('unauthorized', 'not of this group');
    const seq = this.#joinSeq(node, frame.join_seq);
    await this.#saveHello(node.id, seq, frame, ip);
    return this.#welcome(node, { joinPending: seq.pending, frame, position: frame.position });
  }

  /**
   * Presenting the pending number counts as confirming it. Anything but the two numbers that are in
   * force was retired by somebody: the node's state was copied, or restored.
   */
  #joinSeq(node: NodeRow, presented: number): { current: number; pending: number } {
    const current = presented === node.join_pending ? presented : node.join_seq;
    if (presented !== current) {
      this.#options.logger.log('warn', 'retired join counter', {
        node: node.id,
        presented,
        current: node.join_seq,
        pending: node.join_pending,
      });
    }
    return { current, pending: current + 1 };
  }

  async #saveHello(
    nodeId: string,
    seq: { readonly current: number; readonly pending: number },
    { about, level, position }: Hello,
    ip: string,
  ): Promise<void> {
    const { epoch, revision, hash } = cleanPosition(position);
    await this.#options.db.query(
      `UPDATE nodes SET join_seq = $2, join_pending = $3, hostname = $4, version = $5,
         runtime = $6, labels = $7::jsonb, features = $8::text[], level = $9, ip = $10, epoch = $11,
         revision = $12, hash = $13, connected_to = $14, last_seen = now()
       WHERE id = $1`,
      [
        nodeId,
        seq.current,
        seq.pending,
        clean(about.hostname),
        clean(about.version),
        about.runtime,
        labelsText(about.labels),
        about.features.map(clean),
        level,
        ip,
        epoch,
        revision,
        hash,
        this.#options.self,
      ],
    );
  }

  async #enrol(frame: Enrol, { ip }: Expected): Promise<Admission> {
    const { db, crypto, keyring } = this.#options;
    const refused = refuse('unauthorized', 'join token unknown, spent or expired');
    const publicKey = keyOf(frame.public_key);
    if (publicKey === null || keyOf(frame.sealing_key) === null) return refused;
    if (!UUID.test(frame.token)) return refused;
    const token = await opening(db, keyring.rows, async (keys) => {
      const { rows } = await db.query<TokenRow>(
        'SELECT verifier, group_id FROM join_tokens WHERE id = $1 AND revoked_at IS NULL',
        [frame.token],
      );
      const [row] = rows;
      if (row === undefined) return null;
      const text = keys.decrypt('join_tokens', 'verifier', frame.token, row.verifier);
      return { ...row, secret: fromBase64url(text) };
    });
    if (token === null || token.secret === null) return refused;
    const verifier = token.secret;
    // The signature first: it covers the proof, and refuses what has no canonical text.
    if (!(await orFalse(verifyEnrol(frame, publicKey, crypto)))) return refused;
    if (!verifyTokenProof(frame, verifier, crypto)) return refused;
    // A node whose welcome got lost asks again with the same key: that does not cost another use.
    const node = (await this.#enrolledBefore(frame, token)) ?? (await this.#redeem(frame, ip));
    if (node === null) return refused;
    if (node.is_revoked) return refuse('revoked', 'the node was revoked');
    return this.#welcome(node, { joinPending: node.join_seq + 1, frame, position: NOWHERE });
  }

  async #enrolledBefore(frame: Enrol, token: TokenRow): Promise<NodeRow | null> {
    const { rows } = await this.#options.db.query<NodeRow>(
      `UPDATE nodes n SET join_pending = n.join_seq + 1, connected_to = $4, last_seen = now()
       FROM groups g WHERE g.id = n.group_id
         AND n.public_key = $1 AND n.sealing_key = $2 AND n.group_id = $3
       RETURNING ${NODE_COLUMNS}`,
      [frame.public_key, frame.sealing_key, token.group_id, this.#options.self],
    );
    return rows[0] ?? null;
  }

  /** One transaction: the use counts if and only if the node is there. */
  async #redeem(frame: Enrol, ip: string): Promise<NodeRow | null> {
    const { db, random, logger, self } = this.#options;
    const { about } = frame;
    const node = await db.tx(async (tx) => {
      const used = await tx.query<{ group_id: string }>(
        `UPDATE join_tokens SET uses = uses + 1
         WHERE id = $1 AND uses < max_uses AND expires_at > now() AND revoked_at IS NULL
         RETURNING group_id`,
        [frame.token],
      );
      const groupId = used.rows[0]?.group_id;
      if (groupId === undefined) return null;
      const id = random.uuid();
      await tx.query(
        `INSERT INTO nodes (id, group_id, public_key, sealing_key, join_seq, join_pending, hostname,
           version, runtime, labels, features, level, ip, connected_to, last_seen)
         VALUES ($1, $2, $3, $4, 0, 1, $5, $6, $7, $8::jsonb, $9::text[], $10, $11, $12, now())`,
        [
          id,
          groupId,
          frame.public_key,
          frame.sealing_key,
          clean(about.hostname),
          clean(about.version),
          about.runtime,
          labelsText(about.labels),
          about.features.map(clean),
          frame.level,
          ip,
          self,
        ],
      );
      const { rows } = await tx.query<NodeRow>(
        `SELECT ${NODE_COLUMNS} ${NODE_FROM} WHERE n.id = $1`,
        [id],
      );
      return rows[0] ?? null;
    });
    if (node !== null) {
      logger.log('info', 'data plane joined', {
        node: node.id,
        group: node.group_name,
        runtime: about.runtime,
        hostname: about.hostname,
        ip,
      });
    }
    return node;
  }

  async confirmJoin(nodeId: string, joinSeq: number): Promise<void> {
    await this.#options.db.query(
      `UPDATE nodes SET join_seq = $2, join_pending = NULL WHERE id = $1 AND join_pending = $2`,
      [nodeId, joinSeq],
    );
  }

  async #welcome(
    node: NodeRow,
    at: {
      readonly joinPending: number;
      readonly frame: Hello | Enrol;
      readonly position: Position;
    },
  ): Promise<Admission> {
    const { joinPending, frame, position } = at;
    const { keyring, planes } = this.#options;
    const welcome: FrameOf<'welcome'> = {
      type: 'welcome',
      protocol: Math.min(frame.protocol, PROTOCOL_VERSION),
      cluster: keyring.clusterId,
      node: node.id,
      group: node.group_name,
      group_id: node.group_id,
      join_seq: joinPending,
      level: LEVEL,
      ping_interval_ms: PING_INTERVAL_MS,
      group_secrets: await this.#sealedSecrets(node),
      control_planes: planes?.addresses ?? [],
    };
    const member = {
      node: node.id,
      group: node.group_name,
      groupId: node.group_id,
      level: LEVEL,
      joinPending,
      about: frame.about,
    };
    return { ok: true, member, welcome, position };
  }

  /** The newest, and the one before it: what is published may have been made with that. */
  #sealedSecrets(node: NodeRow): Promise<{ generation: number; sealed: string }[]> {
    const { secret_generation: newest } = node;
    const generations = newest > 1 ? [newest, newest - 1] : [newest];
    return Promise.all(
      generations.map(async (generation) => ({
        generation,
        sealed: await this.#sealedSecret(node, generation),
      })),
    );
  }

  async #sealedSecret({ id, group_id: groupId, sealing_key }: NodeRow, generation: number) {
    const { keyring, crypto } = this.#options;
    const secret = keyring.groupSecret(groupId, generation);
    const { clusterId: cluster } = keyring;
    const info = groupSecretInfo({ cluster, groupId, node: id, generation });
    const recipient = keyOf(sealing_key) ?? new Uint8Array(KEY_BYTES);
    return seal(recipient, secret, info, crypto);
  }
}

/** A frame that has no canonical text (half a character in it) cannot have been signed. */
async function orFalse(check: Promise<boolean>): Promise<boolean> {
  try {
    return await check;
  } catch (error) {
    if (error instanceof CanonicalError) return false;
    throw error;
  }
}

function refuse(refusal: Refusal, reason: string): Admission {
  return { ok: false, refusal, reason };
}

/** A key's 32 bytes; null for anything else. */
function keyOf(text: string): Uint8Array | null {
  const bytes = fromBase64url(text);
  return bytes?.length === KEY_BYTES ? bytes : null;
}

function isSameText(a: string, b: string, crypto: Crypto): boolean {
  return crypto.timingSafeEqual(crypto.sha256(a), crypto.sha256(b));
}

function labelsText(labels: Hello['about']['labels']): string {
  const cleaned = Object.entries(labels ?? {}).map(([name, value]) => [clean(name), clean(value)]);
  return JSON.stringify(Object.fromEntries(cleaned));
}
