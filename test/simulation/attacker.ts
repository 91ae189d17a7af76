/** Somebody between a control plane and its nodes, with keys of their own, and everything ever sent. */
import { base64url } from '#shared/base/bytes.ts';
import { signKeyList, signingKeyId } from '#shared/config/key-list.ts';
import { signManifest, type Manifest } from '#shared/config/manifest.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import type { RawKeyPair } from '#shared/platform/platform.ts';
import { decodeDownFrame, encodeFrame } from '#shared/wire/codec.ts';
import type { SignedManifest } from '#shared/wire/frames.ts';
import type { Link } from './network.ts';
import { isConfiguration, type World } from './world.ts';

export class Attacker {
  readonly #world: World;
  readonly #keys: RawKeyPair;
  #isBetween = false;

  private constructor(world: World, keys: RawKeyPair) {
    this.#world = world;
    this.#keys = keys;
  }

  static async create(world: World): Promise<Attacker> {
    const attacker = new Attacker(world, await nodeCrypto.generateSigningKey());
    world.intercept = (link, text) => attacker.#intercept(link, text);
    return attacker;
  }

  /** From now until it is called again, or everything is healed, messages are not what was sent. */
  toggle(): void {
    this.#isBetween = !this.#isBetween;
  }

  stop(): void {
    this.#isBetween = false;
  }

  #intercept(link: Link, text: string): boolean {
    const { random } = this.#world;
    if (!this.#isBetween || !isConfiguration(text) || random.chance(0.5)) return false;
    void this.#instead(text, link.client.name).then((other) => {
      if (other !== null) link.inject(other);
      if (other === null || random.chance(0.5)) link.inject(text);
    });
    return true;
  }

  #instead(text: string, client: string): Promise<string | null> {
    const { random, recorded, machines } = this.#world;
    if (random.chance(0.5)) return this.#bent(text);
    const group = machines.find(({ name }) => name === client)?.joins.id;
    // Old news of its own group, or the newest of another.
    const isOwn = random.chance(0.5);
    const fitting = recorded.filter((record) => (record.group === group) === isOwn);
    const record = isOwn ? this.#world.pick(fitting) : fitting.at(-1);
    return Promise.resolve(record?.text ?? null);
  }

  /** Plays, bends or makes up what a random node hears. */
  async strike(): Promise<void> {
    const { network, random, recorded } = this.#world;
    const link = this.#world.pick([...network.links].filter(({ isOpen }) => isOpen));
    const record = this.#world.pick(recorded);
    if (link === null || record === null) return;
    const text = random.chance(0.5) ? record.text : await this.#bent(record.text);
    if (text !== null) link.inject(text);
  }

  /** The last whole configuration of each group, to all who are of another. */
  transplant(): void {
    const { network, recorded, machines, base, scheduler } = this.#world;
    for (const { id } of base.groups) {
      const own = recorded.filter(({ group }) => group === id).map(({ text }) => text);
      const at = own.findLastIndex((text) => text.startsWith('{"type":"manifest"'));
      const [manifest, ...later] = own.slice(at);
      if (at < 0 || manifest === undefined) continue;
      const shards = later.filter((text) => text.startsWith('{"type":"shards"'));
      for (const link of network.links) {
        const machine = machines.find(({ name }) => name === link.client.name);
        if (!link.isOpen || machine?.joins.id === id) continue;
        link.inject(manifest);
        // As soon as it asks for them, and before anyone else answers.
        scheduler.after(0.1, () => shards.forEach((text) => link.inject(text)));
      }
    }
  }

  async #bent(text: string): Promise<string | null> {
    const decoded = decodeDownFrame(text);
    if (!decoded.ok) return null;
    const { frame } = decoded;
    if (frame.type === 'shards') {
      const nodes = frame.nodes.map(({ id, text: node }) => ({ id, text: bentText(node) }));
      return encodeFrame({ ...frame, nodes });
    }
    if (frame.type !== 'manifest' && frame.type !== 'delta') return null;
    const manifest: Manifest = JSON.parse(frame.head.manifest);
    const later = { ...manifest, revision: manifest.revision + 1 + this.#world.random.below(5) };
    switch (this.#world.random.below(4)) {
      case 0:
        // The right signature of another text.
        return encodeFrame({ ...frame, head: { ...frame.head, manifest: JSON.stringify(later) } });
      case 1:
        return encodeFrame({ type: 'manifest', head: await this.#signed(later) });
      case 2:
        if (frame.type !== 'delta') return null;
        return encodeFrame({ ...frame, upserts: frame.upserts.map(bentText) });
      default:
        if (frame.type !== 'delta') return null;
        return encodeFrame({ ...frame, upserts: [], removals: [] });
    }
  }

  /** Everything in order, but for whose root key it is. */
  async #signed(manifest: Manifest): Promise<SignedManifest> {
    const id = signingKeyId(this.#keys.publicKey, nodeCrypto);
    const publicKey = base64url(this.#keys.publicKey);
    const key = { id, public_key: publicKey, not_before: 0, not_after: null };
    const { cluster } = manifest;
    const list = { format: 1, cluster, sequence: 9, keys: [key] } as const;
    const keyList = await signKeyList(list, this.#keys, nodeCrypto);
    const { hash: root } = ConfigTree.empty(nodeCrypto);
    const forged = { ...manifest, root, records: 0, key_id: id };
    const signed = await signManifest(forged, this.#keys, nodeCrypto);
    return { ...signed, key_list: keyList.text, key_list_signature: keyList.signature };
  }
}

function bentText(text: string): string {
  return text.replace(/n(\d+)/, 'n9$1');
}
