/** A cluster of one test's own: signs configurations as a control plane would. */
import { base64url } from '#shared/base/bytes.ts';
import { signKeyList, signingKeyId } from '#shared/config/key-list.ts';
import { signManifest, type Manifest } from '#shared/config/manifest.ts';
import { makeRecord, type ConfigRecord } from '#shared/config/record.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import type { RawKeyPair } from '#shared/platform/platform.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { processInsert } from '#shared/schema/process.ts';
import type { SignedManifest } from '#shared/wire/frames.ts';
import { identityText } from '#shared/sync/identity.ts';
import type { BootRecord } from '#shared/config/boot-record.ts';
import { edgeCrypto } from './crypto.ts';
import { HubStore, type TreeNode } from './hub-store.ts';

export const WORKSPACE = '00000000-0000-4000-8000-000000000001';
const NOW_SECONDS = 1_700_000_000;

export interface SignedConfig {
  readonly head: SignedManifest;
  readonly nodes: readonly TreeNode[];
}

/** One entity as the Admin API would make it, as a record. */
export function recordOf(kind: string, input: JsonObject & { id: string }): ConfigRecord {
  const definition = REGISTRY.entities.get(kind);
  if (definition === undefined) throw new Error(`no entity is called ${kind}`);
  const deps = {
    nowSeconds: NOW_SECONDS,
    uuid: () => crypto.randomUUID(),
    randomText: (length: number) => 'x'.repeat(length),
  };
  const made = processInsert(definition, input, REGISTRY, deps);
  if (!made.ok) throw new Error(JSON.stringify(made.violations));
  const key = { kind, ws: WORKSPACE, id: input.id, placement: input.id };
  return makeRecord(key, made.entity, edgeCrypto);
}

export class TestCluster {
  readonly boot: BootRecord;
  readonly #root: RawKeyPair;
  readonly #signing: RawKeyPair;

  static async create(): Promise<TestCluster> {
    const root = await edgeCrypto.generateSigningKey();
    return new TestCluster(root, await edgeCrypto.generateSigningKey());
  }

  constructor(root: RawKeyPair, signing: RawKeyPair) {
    this.#root = root;
    this.#signing = signing;
    this.boot = {
      cluster: crypto.randomUUID(),
      groupId: crypto.randomUUID(),
      rootKey: root.publicKey,
      groupSecrets: [{ generation: 1, secret: new Uint8Array(32).fill(5) }],
    };
  }

  /** The identity of a node that has joined, as a hub keeps it. */
  async identity(): Promise<string> {
    const { cluster, groupId, rootKey, groupSecrets } = this.boot;
    return identityText({
      tag: 'joined',
      cluster,
      node: crypto.randomUUID(),
      group: 'default',
      groupId,
      rootKey,
      signing: await edgeCrypto.generateSigningKey(),
      sealing: await edgeCrypto.generateSealingKey(),
      joinSeq: 1,
      groupSecrets,
      highWater: { epoch: 0, revision: 0 },
      keySequence: 1,
    });
  }

  async sign(
    revision: number,
    records: readonly ConfigRecord[],
    change: Partial<Manifest> = {},
  ): Promise<SignedConfig> {
    const tree = ConfigTree.empty(edgeCrypto).apply(records, []);
    const { cluster, groupId } = this.boot;
    const keyId = signingKeyId(this.#signing.publicKey, edgeCrypto);
    const list = await signKeyList(
      {
        format: 1,
        cluster,
        sequence: 1,
        keys: [
          {
            id: keyId,
            public_key: base64url(this.#signing.publicKey),
            not_before: 0,
            not_after: null,
          },
        ],
      },
      this.#root,
      edgeCrypto,
    );
    const signed = await signManifest(
      {
        format: 1,
        cluster,
        group: 'default',
        group_id: groupId,
        epoch: 1,
        revision,
        level: 1,
        previous: '',
        root: tree.hash,
        records: tree.size,
        workspaces: { [WORKSPACE]: revision },
        secret_generation: null,
        created_at: NOW_SECONDS,
        control_planes: [],
        features: [],
        settings: null,
        key_id: keyId,
        ...change,
      },
      this.#signing,
      edgeCrypto,
    );
    const head = { ...signed, key_list: list.text, key_list_signature: list.signature };
    return { head, nodes: [...tree.nodes()] };
  }
}

/** Puts a configuration into a hub's storage, as if it had come from a control plane. */
export async function keep(
  storage: DurableObjectStorage,
  identity: string,
  config: SignedConfig,
): Promise<void> {
  const store = new HubStore(storage);
  store.setMeta('identity', identity);
  await store.save({
    manifest: config.head.manifest,
    signature: config.head.signature,
    keyList: config.head.key_list,
    keyListSignature: config.head.key_list_signature,
    nodes: new Map(config.nodes.map(({ id, text }) => [id, text])),
  });
}
