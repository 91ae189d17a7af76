/**
 * A data plane's folder as a control plane would have left it: an identity and a signed cache, so
 * that a data plane serves without any control plane.
 */
import { join } from 'node:path';
import { base64url } from '#shared/base/bytes.ts';
import { signingKeyId, signKeyList } from '#shared/config/key-list.ts';
import { signManifest, type Manifest } from '#shared/config/manifest.ts';
import { makeRecord, type ConfigRecord } from '#shared/config/record.ts';
import { groupPepper, lookupHash } from '#shared/config/secrets.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { ensurePrivateDir } from '#shared/platform/node/files.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import type { RawKeyPair, StoredConfig } from '#shared/platform/platform.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { NodeIdentity } from '#shared/sync/identity.ts';
import { FileConfigStore } from '../../node-dp/config-store.ts';
import { fileIdentityStore } from '../../node-dp/identity-store.ts';

const GENERATION = 1;
const FROM_SECONDS = 1_700_000_000;

type Position = NodeIdentity['highWater'];

const NOTHING: Position = { epoch: 0, revision: 0 };

/** The keys of a cluster with one group and one node. */
export class TestCluster {
  readonly id = nodeRandom.uuid();
  readonly groupId = nodeRandom.uuid();
  readonly groupSecret = nodeRandom.bytes(32);
  readonly root: RawKeyPair;
  readonly signing: RawKeyPair;
  #revision = 0;

  private constructor(root: RawKeyPair, signing: RawKeyPair) {
    this.root = root;
    this.signing = signing;
  }

  static async create(): Promise<TestCluster> {
    return new TestCluster(
      await nodeCrypto.generateSigningKey(),
      await nodeCrypto.generateSigningKey(),
    );
  }

  /** A look-up secret as data planes get it. */
  lookup(kind: string, ws: string, value: string): string {
    const pepper = groupPepper(this.groupSecret, GENERATION, nodeCrypto);
    return lookupHash(pepper, { kind, ws, value }, nodeCrypto);
  }

  /** A key-auth credential as a record. */
  credential(ws: string, entity: AnyEntity, key: string): ConfigRecord {
    const kind = 'keyauth_credentials';
    const hashed = this.lookup(kind, ws, key);
    const place = { kind, ws, id: entity.id, placement: hashed };
    return makeRecord(place, { ...entity, key: hashed }, nodeCrypto);
  }

  /** Signs records as the group's next revision. */
  async publish(
    records: Iterable<ConfigRecord>,
    groupId: string = this.groupId,
  ): Promise<StoredConfig> {
    const tree = ConfigTree.empty(nodeCrypto).apply([...records], []);
    const keyId = signingKeyId(this.signing.publicKey, nodeCrypto);
    const keyList = await signKeyList(
      {
        format: 1,
        cluster: this.id,
        sequence: 1,
        keys: [
          {
            id: keyId,
            public_key: base64url(this.signing.publicKey),
            not_before: FROM_SECONDS,
            not_after: null,
          },
        ],
      },
      this.root,
      nodeCrypto,
    );
    this.#revision += 1;
    const manifest: Manifest = {
      format: 1,
      cluster: this.id,
      group: 'default',
      group_id: groupId,
      epoch: 1,
      revision: this.#revision,
      level: 1,
      previous: '',
      root: tree.hash,
      records: tree.size,
      workspaces: {},
      secret_generation: GENERATION,
      created_at: FROM_SECONDS + 1,
      control_planes: [],
      features: [],
      settings: null,
      key_id: keyId,
    };
    const signed = await signManifest(manifest, this.signing, nodeCrypto);
    return {
      ...signed,
      keyList: keyList.text,
      keyListSignature: keyList.signature,
      nodes: tree.nodeMap(),
    };
  }

  async identity(highWater: Position = NOTHING): Promise<NodeIdentity> {
    return {
      tag: 'joined',
      cluster: this.id,
      node: nodeRandom.uuid(),
      group: 'default',
      groupId: this.groupId,
      rootKey: this.root.publicKey,
      signing: await nodeCrypto.generateSigningKey(),
      sealing: await nodeCrypto.generateSealingKey(),
      joinSeq: 1,
      groupSecrets: [{ generation: GENERATION, secret: this.groupSecret }],
      highWater,
      keySequence: 0,
    };
  }

  /** Fills `dataDir` (HEADGATE_DATA_DIR) for a node that serves these records. */
  async furnish(
    dataDir: string,
    records: Iterable<ConfigRecord>,
    highWater: Position = NOTHING,
  ): Promise<void> {
    await this.furnishWith(dataDir, await this.publish(records), highWater);
  }

  /** The same with what was published before. */
  async furnishWith(
    dataDir: string,
    config: StoredConfig,
    highWater: Position = NOTHING,
  ): Promise<void> {
    const folder = join(dataDir, 'dp');
    await ensurePrivateDir(folder);
    await fileIdentityStore(join(folder, 'node.json')).save(await this.identity(highWater));
    await new FileConfigStore(join(folder, 'config.json')).save(config);
  }
}
