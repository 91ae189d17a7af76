/**
 * Decides who a peer is. A node proves its own key on every session (Ed25519 over our nonce and the
 * name it dialled); a join token only buys the first enrolment (decision 14). What a node claims
 * about its group counts for nothing: its record says.
 */
import { must } from '#shared/base/assert.ts';
import { base64url, fromBase64url, utf8 } from '#shared/base/bytes.ts';
import { groupSecretInfo } from '#shared/config/secrets.ts';
import { seal } from '#shared/config/seal.ts';
import type { Clock, Crypto, Logger, Random } from '#shared/platform/platform.ts';
import { DOMAIN, verifyText } from '#shared/config/signed-text.ts';
import { rotationText, verifyHello } from '#shared/sync/proof.ts';
import { rejoinReason, rejoinText } from '#shared/sync/rejoin.ts';
import type { About, FrameOf, Position } from '#shared/wire/frames.ts';
import type { ParamsOf, UpMethods } from '#shared/wire/rpc-methods.ts';
import { PING_INTERVAL_MS, PROTOCOL_VERSION } from '#shared/wire/protocol.ts';
import { LEVELS, levelFor, type Levels } from '../changes/levels.ts';
import type { ControlPlanes } from '../cluster/control-planes.ts';
import type { Keyring } from '../keys/keyring.ts';
import { cleanName, cleanPosition } from '../nodes/clean.ts';
import type { NodeIdentities } from '../nodes/identities.ts';
import { suspect } from '../nodes/suspicions.ts';
import type { Db } from '../store/db.ts';
import type { Enrolment } from './enrolment.ts';
import { ADMIT_JOIN, clonePolicyOf, CONFIRM_JOIN, IS_IN_FORCE, joinStep } from './join-counter.ts';
import { labelsText, NODE_COLUMNS, NODE_FROM, type NodeRow } from './node-row.ts';
import type { Admission, Refusal } from './session.ts';

export interface AuthenticatorOptions {
  /** Default: those of this release. */
  readonly levels?: Levels;
  readonly db: Db;
  readonly keyring: Keyring;
  readonly enrolment: Pick<Enrolment, 'enrol'>;
  readonly identities: Pick<NodeIdentities, 'locked'>;
  readonly clock: Clock;
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

/** `detail`: for the log, where the peer is to know less. */
type Decision =
  | Extract<Admission, { ok: true }>
  | (Extract<Admission, { ok: false }> & { readonly detail: string });

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const KEY_BYTES = 32;
const NOWHERE: Position = { epoch: 0, revision: 0, hash: '' };
/** Channel on which control planes learn that a node has come to another one. */
export const TAKEN_OVER_CHANNEL = 'headgate_taken_over';

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
    const decision = !isOurs
      ? refuse('unauthorized', 'not the nonce of this session')
      : !this.#isHost(frame.host, expected.hostHeader)
        ? refuse('unauthorized', 'not a name of this control plane')
        : frame.type === 'hello'
          ? await this.#hello(frame, expected)
          : this.#levelFor(frame) === null
            ? NO_LEVEL
            : await this.#enrol(frame, expected);
    if (decision.ok) return decision;
    const { detail, ...refusal } = decision;
    logger.log('warn', 'data plane refused', {
      reason: detail,
      ip: expected.ip,
      ...(frame.type === 'hello' ? { node: frame.node } : { token: cleanName(frame.token) }),
      host: cleanName(frame.host),
    });
    return refusal;
  }

  #levelFor({ level }: Hello | Enrol): number | null {
    return levelFor(level, this.#options.levels ?? LEVELS);
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

  async #hello(frame: Hello, expected: Expected): Promise<Decision> {
    const startedMs = this.#options.clock.monotonic();
    const unknown = refuse('unauthorized', 'unknown node or wrong signature');
    if (!UUID.test(frame.node)) return unknown;
    const found = await this.#find(frame.node);
    if (found === null) return unknown;
    const node = await this.#signer(frame, found);
    // Somebody has changed the key from under it: one of the two is a copy.
    if (node === null && (await this.#isSignedBefore(frame, found))) {
      return refusalOf(found) ?? this.#outOfForce(frame, expected, startedMs);
    }
    if (node === null) return unknown;
    const refusal = refusalOf(node);
    // Only its holder learns that a key was revoked.
    if (refusal !== null) return refusal;
    if (frame.group !== node.group_name && frame.group !== node.group_id)
      return refuse('unauthorized', 'not of this group');
    if (this.#levelFor(frame) === null) {
      const told = [node.id, frame.level, cleanName(frame.about.version)];
      // Shown beside the node: somebody has to bring it to a release of now.
      await this.#options.db.query('UPDATE nodes SET level = $2, version = $3 WHERE id = $1', told);
      return NO_LEVEL;
    }
    const joinPending = await this.#join(node, frame, expected.ip);
    if (joinPending === null) return this.#outOfForce(frame, expected, startedMs);
    return this.#welcome(node, { joinPending, frame, position: frame.position });
  }

  async #find(id: string): Promise<NodeRow | null> {
    const { rows } = await this.#options.db.query<NodeRow>(
      `SELECT ${NODE_COLUMNS} ${NODE_FROM} WHERE n.id = $1`,
      [id],
    );
    return rows[0] ?? null;
  }

  /** By the key that it has, or the one that it is changing to: then that is its key from now on. */
  async #signer(frame: Hello, node: NodeRow): Promise<NodeRow | null> {
    const { crypto, db, logger } = this.#options;
    const key = keyOf(node.public_key);
    if (key !== null && (await verifyHello(frame, key, crypto))) return node;
    const next = keyOf(node.next_public_key ?? '');
    if (next === null || !(await verifyHello(frame, next, crypto))) return null;
    const { count } = await db.query(
      `UPDATE nodes SET public_key = next_public_key, next_public_key = NULL,
         previous_public_key = public_key, key_made_at = now()
       WHERE id = $1 AND next_public_key = $2`,
      [node.id, node.next_public_key],
    );
    if (count > 0) logger.log('info', 'node key replaced', { node: node.id });
    return { ...node, is_key_old: false };
  }

  async #isSignedBefore(frame: Hello, { previous_public_key: text }: NodeRow): Promise<boolean> {
    const key = keyOf(text ?? '');
    return key !== null && (await verifyHello(frame, key, this.#options.crypto));
  }

  /** @returns the number handed out; null when the one presented is not in force */
  async #join(node: NodeRow, frame: Hello, ip: string): Promise<number | null> {
    const { db, random, self } = this.#options;
    const { about, join_seq: presented } = frame;
    const { epoch, revision, hash } = cleanPosition(frame.position);
    const { rows } = await db.query<{ join_pending: number }>(
      `UPDATE nodes n SET ${ADMIT_JOIN}, hostname = $4, version = $5, runtime = $6,
         labels = $7::jsonb, features = $8::text[], level = $9, ip = $10, epoch = $11,
         revision = $12, hash = $13, connected_to = $14, last_seen = now()
       FROM groups g
       WHERE n.id = $1 AND g.id = n.group_id AND n.revoked_at IS NULL AND n.locked_at IS NULL
         AND ${IS_IN_FORCE}
       RETURNING n.join_pending`,
      [
        node.id,
        presented,
        joinStep(random),
        cleanName(about.hostname),
        cleanName(about.version),
        about.runtime,
        labelsText(about.labels),
        about.features.map(cleanName),
        this.#levelFor(frame),
        ip,
        epoch,
        revision,
        hash,
        self,
      ],
    );
    const joinPending = rows[0]?.join_pending ?? null;
    if (joinPending !== null && node.connected_to !== null && node.connected_to !== self) {
      await db.notify(TAKEN_OVER_CHANNEL, `${node.id} ${joinPending} ${self}`);
    }
    return joinPending;
  }

  /**
   * It holds the key, but somebody has gone on from where its state stands: the state was copied, or
   * an older one restored.
   */
  async #outOfForce(frame: Hello, { nonce, ip }: Expected, startedMs: number): Promise<Decision> {
    const { db, clock, identities, keyring, logger } = this.#options;
    const node = await this.#find(frame.node);
    if (node === null) return refuse('unauthorized', 'unknown node or wrong signature');
    const refusal = refusalOf(node);
    if (refusal !== null) return refusal;
    const waitedSeconds = (clock.monotonic() - startedMs) / 1000;
    const late = await db.query(
      'SELECT 1 FROM nodes WHERE id = $1 AND joined_at > now() - make_interval(secs => $2)',
      [node.id, waitedSeconds],
    );
    // The same node has given up waiting for us and was let in meanwhile: nobody copied anything.
    if (late.count > 0) return refuse('overloaded', 'a later session of this node was faster');
    const isLocking = clonePolicyOf(node.clones) === 'lock';
    const suspected = { node: node.id, ip, hostname: frame.about.hostname };
    await suspect(db, logger, 'clone', suspected, isLocking);
    const detail = `retired join counter ${frame.join_seq}`;
    if (isLocking) {
      await identities.locked(node.id);
      return { ...LOCKED, detail };
    }
    const signature = await keyring.sign(utf8(rejoinText(node.id, nonce)));
    return { ...refuse('unauthorized', rejoinReason(base64url(signature))), detail };
  }

  async #enrol(frame: Enrol, { ip }: Expected): Promise<Decision> {
    const enrolled = await this.#options.enrolment.enrol(frame, ip);
    if (!enrolled.ok) {
      const { detail, isRevoked, isTold = false } = enrolled;
      if (isRevoked) return refuse('revoked', detail);
      if (isTold) return refuse('unauthorized', detail);
      return { ...refuse('unauthorized', 'the join token is not accepted'), detail };
    }
    const { node } = enrolled;
    const joinPending = node.join_pending ?? node.join_seq;
    return this.#welcome(node, { joinPending, frame, position: NOWHERE });
  }

  /**
   * Another key for a node that is in session. Both count until the new one is used.
   *
   * @returns whether both keys have signed it
   */
  async rotateKey(
    nodeId: string,
    { public_key: text, by_old, by_new }: ParamsOf<UpMethods['rotate_key']>,
  ): Promise<boolean> {
    const { crypto, db } = this.#options;
    const node = await this.#find(nodeId);
    const [old, next] = [keyOf(node?.public_key ?? ''), keyOf(text)];
    if (node === null || old === null || next === null) return false;
    const signed = rotationText(nodeId, text);
    const isSigned = async (signature: string, key: Uint8Array) =>
      verifyText(DOMAIN.rotate, { text: signed, signature }, key, crypto);
    if (!(await isSigned(by_old, old)) || !(await isSigned(by_new, next))) return false;
    const { count } = await db.query(
      `UPDATE nodes SET next_public_key = $2 WHERE id = $1 AND public_key = $3
         AND revoked_at IS NULL AND NOT EXISTS (SELECT 1 FROM nodes WHERE public_key = $2)`,
      [nodeId, text, node.public_key],
    );
    return count > 0;
  }

  async confirmJoin(nodeId: string, joinSeq: number): Promise<void> {
    await this.#options.db.query(CONFIRM_JOIN, [nodeId, joinSeq]);
  }

  async #welcome(
    node: NodeRow,
    at: {
      readonly joinPending: number;
      readonly frame: Hello | Enrol;
      readonly position: Position;
    },
  ): Promise<Decision> {
    const { joinPending, frame, position } = at;
    const { keyring, planes } = this.#options;
    const level = must(this.#levelFor(frame), 'a level, asked for before');
    const welcome: FrameOf<'welcome'> = {
      type: 'welcome',
      protocol: Math.min(frame.protocol, PROTOCOL_VERSION),
      cluster: keyring.clusterId,
      node: node.id,
      group: node.group_name,
      group_id: node.group_id,
      join_seq: joinPending,
      level,
      ping_interval_ms: PING_INTERVAL_MS,
      group_secrets: await this.#sealedSecrets(node),
      control_planes: planes?.addresses ?? [],
    };
    const member = {
      node: node.id,
      group: node.group_name,
      groupId: node.group_id,
      level,
      joinPending,
      isKeyOld: node.is_key_old,
      about: cleanAbout(frame.about),
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

function refuse(refusal: Refusal, reason: string): Extract<Decision, { ok: false }> {
  return { ok: false, refusal, reason, detail: reason };
}

const NO_LEVEL = refuse('incompatible', 'no common schema level');
const LOCKED = refuse('unauthorized', 'the node is locked: an administrator has to unlock it');

function refusalOf(node: NodeRow): Decision | null {
  if (node.is_revoked) return refuse('revoked', 'the node was revoked');
  return node.is_locked ? LOCKED : null;
}

/** A key's 32 bytes; null for anything else. */
function keyOf(text: string): Uint8Array | null {
  const bytes = fromBase64url(text);
  return bytes?.length === KEY_BYTES ? bytes : null;
}

function isSameText(a: string, b: string, crypto: Crypto): boolean {
  return crypto.timingSafeEqual(crypto.sha256(a), crypto.sha256(b));
}

function cleanAbout(about: About): About {
  const { hostname, version, features } = about;
  return {
    ...about,
    hostname: cleanName(hostname),
    version: cleanName(version),
    features: features.map(cleanName),
  };
}
