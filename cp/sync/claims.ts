/**
 * What nodes hold that was never published here, or was published as something else: numbers were given
 * twice then, or will be, and a new epoch begins for the whole cluster (`cluster/epochs.ts`). So no node is
 * believed by its word: it shows the manifest that it holds, which a key of this cluster has signed for
 * this group. Who has one has it from a control plane.
 */
import { fromBase64url } from '#shared/base/bytes.ts';
import { must } from '#shared/base/assert.ts';
import { MANIFEST_LENGTH_MAX, verifySigned } from '#shared/config/manifest.ts';
import type { Crypto, Logger } from '#shared/platform/platform.ts';
import type { Position } from '#shared/wire/frames.ts';
import { HEAD_PART_LENGTH } from '#shared/wire/rpc-methods.ts';
import type { Epochs } from '../cluster/epochs.ts';
import type { Keyring } from '../keys/keyring.ts';
import { Slots } from '../slots.ts';
import type { Session } from './runner.ts';
import type { Member } from './session.ts';

/** Nodes that are asked for proof at the same time; thousands come back with the same claim. */
const ASKED_MAX = 32;
/** Claims that are remembered as settled, and nodes that are remembered as not believed. */
const REMEMBERED_MAX = 1_000;
const PARTS_MAX = Math.ceil(MANIFEST_LENGTH_MAX / HEAD_PART_LENGTH);

export interface ClaimsOptions {
  /** Null: nothing is compared with what was published. */
  readonly epochs: Pick<Epochs, 'doubts' | 'claimed'> | null;
  readonly keyring: Pick<Keyring, 'clusterId' | 'keyList' | 'rootPublicKey'>;
  readonly crypto: Crypto;
  readonly logger: Logger;
}

export class Claims {
  readonly #options: ClaimsOptions;
  readonly #settled = new Set<string>();
  readonly #doubted = new Set<string>();
  readonly #slots = new Slots(ASKED_MAX);

  constructor(options: ClaimsOptions) {
    this.#options = options;
  }

  /**
   * Begins an epoch if the node proves that it holds this, and the database does not know it.
   *
   * @throws DbError
   */
  async settle(session: Pick<Session, 'ask'>, member: Member, position: Position): Promise<void> {
    const { epochs } = this.#options;
    const { groupId, node } = member;
    const name = `${groupId} ${position.epoch}.${position.revision} ${position.hash}`;
    if (epochs === null || this.#settled.has(name)) return;
    const release = await this.#slots.take();
    try {
      if (this.#settled.has(name)) return;
      if (await epochs.doubts(groupId, position)) {
        const lack = await this.#lackOf(session, groupId, position);
        if (lack !== null) return this.#doubt(node, position, lack);
        await epochs.claimed(groupId, position, node);
      }
      remember(this.#settled, name);
    } finally {
      release();
    }
  }

  /** Why it is not proven; null when it is. */
  async #lackOf(
    session: Pick<Session, 'ask'>,
    groupId: string,
    { epoch, revision, hash }: Position,
  ): Promise<string | null> {
    const { keyring, crypto } = this.#options;
    const shown = await show(session);
    if (typeof shown === 'string') return shown;
    // By our list: what a key has signed that was dropped since is no proof.
    const { text, signature } = keyring.keyList;
    const rootKey = must(fromBase64url(keyring.rootPublicKey), 'a key');
    const signed = { ...shown, key_list: text, key_list_signature: signature };
    const verified = await verifySigned(
      signed,
      { cluster: keyring.clusterId, groupId, rootKey },
      crypto,
    );
    if (!verified.ok) return `${verified.code}: ${verified.detail}`;
    const { manifest } = verified;
    const isIt =
      verified.hash === hash && manifest.epoch === epoch && manifest.revision === revision;
    return isIt ? null : `it shows ${manifest.epoch}.${manifest.revision} instead`;
  }

  /** Once for each node: it may come back as often as it likes. */
  #doubt(node: string, { epoch, revision }: Position, reason: string): void {
    if (this.#doubted.has(node)) return;
    remember(this.#doubted, node);
    const message = 'a data plane claims what is not known, without proof: no epoch for it';
    this.#options.logger.log('warn', message, { node, epoch, revision, reason });
  }
}

/** The manifest that the node holds, in as many parts as it takes; a text that says why there is none. */
async function show(
  session: Pick<Session, 'ask'>,
): Promise<{ readonly manifest: string; readonly signature: string } | string> {
  let manifest = '';
  for (let part = 0; part < PARTS_MAX; part += 1) {
    const outcome = await session.ask('head', { from: manifest.length });
    if (!outcome.ok) return `${outcome.code}: ${outcome.detail}`;
    const { length, signature } = outcome.value;
    manifest += outcome.value.manifest;
    if (manifest.length >= length) return { manifest, signature };
  }
  return 'it shows too much';
}

function remember(names: Set<string>, name: string): void {
  if (names.size >= REMEMBERED_MAX) names.clear();
  names.add(name);
}
