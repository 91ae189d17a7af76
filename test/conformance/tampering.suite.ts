/**
 * The tampering matrix: whatever is done to a configuration on its way, no data plane takes it, and what
 * it serves stays. Who brings bytes to a data plane, by whichever way, runs this against that way.
 *
 * Everything is done to a revision that would be taken as it is; that one is taken too, so that a way
 * which takes nothing does not pass.
 */
import { describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { base64url } from '#shared/base/bytes.ts';
import { canonicalJson } from '#shared/config/canonical.ts';
import { type KeyList, signingKeyId, signKeyList } from '#shared/config/key-list.ts';
import { type Manifest, type Pinned, signManifest } from '#shared/config/manifest.ts';
import { makeRecord } from '#shared/config/record.ts';
import { DOMAIN, signText } from '#shared/config/signed-text.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import type { Crypto, RawKeyPair, StoredConfig } from '#shared/platform/platform.ts';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';

export interface TamperingWay {
  readonly name: string;
  readonly crypto: Crypto;
  /** Whether it brings the records alone, and no nodes that name others. */
  readonly isOfRecords?: boolean;
  /**
   * Lets a data plane serve `good` (where it can have something before), gives it `bytes`, and tells
   * which revision it serves after that; null for none.
   */
  give(good: StoredConfig, bytes: StoredConfig, pinned: Pinned): Promise<number | null>;
}

const WS = '11111111-1111-4111-8111-111111111111';
const IDS = {
  cluster: '22222222-2222-4222-8222-222222222222',
  other: '33333333-3333-4333-8333-333333333333',
  group: '44444444-4444-4444-8444-444444444444',
} as const;
/** Enough for a tree of several nodes. */
const RECORDS = 300;
const GOOD = 2;
const NEXT = 3;

export function tamperingSuite(way: TamperingWay): void {
  describe(`D-06, D-07: a configuration that was tampered with, by ${way.name}`, () => {
    it('is taken as it is, and never when anything was done to it', async () => {
      const forge = await Forge.make(way.crypto);
      const good = await forge.config(GOOD);
      const next = await forge.config(NEXT);
      const pinned = forge.pinned(GOOD);
      expect(await way.give(good, next, pinned), 'untouched').toBe(NEXT);

      const accepted: string[] = [];
      let count = 0;
      for await (const [name, bytes] of variants(forge, good, next, way)) {
        count += 1;
        const served = await way.give(good, bytes, pinned);
        if (served !== null && served !== GOOD) accepted.push(`${name}: serves ${served}`);
      }
      expect(accepted).toEqual([]);
      // Fields that are added to the definitions are tampered with too.
      expect(count).toBeGreaterThan(150);
    }, 120_000);
  });
}

type Variant = readonly [string, StoredConfig];

async function* variants(
  forge: Forge,
  good: StoredConfig,
  next: StoredConfig,
  { isOfRecords = false }: TamperingWay,
): AsyncGenerator<Variant> {
  yield* textVariants('manifest', next, (manifest) => ({ ...next, manifest }));
  yield* textVariants('key list', { manifest: next.keyList }, (keyList) => ({ ...next, keyList }));
  yield* signatureVariants(good, next);
  yield* await forge.signedVariants(next);
  yield* nodeVariants(good, next, isOfRecords);
  yield* recordVariants(next);
}

/** Each field changed, each left out, one more, and another spelling of the same: the signature kept. */
function* textVariants(
  name: string,
  { manifest: text }: Pick<StoredConfig, 'manifest'>,
  make: (text: string) => StoredConfig,
): Generator<Variant> {
  const value = JSON.parse(text) as JsonObject;
  for (const [field, before] of Object.entries(value)) {
    const { [field]: _, ...without } = value;
    yield [`${name} without ${field}`, make(canonicalJson(without))];
    for (const [index, after] of changesOf(before).entries()) {
      if (JSON.stringify(after) === JSON.stringify(before)) continue;
      yield [`${name}.${field} ${index}`, make(canonicalJson({ ...value, [field]: after }))];
    }
  }
  yield [`${name} with a field more`, make(canonicalJson({ ...value, more: 1 }))];
  yield [`${name} with a space`, make(`${text} `)];
  yield [`${name} reordered`, make(JSON.stringify(value, Object.keys(value).toReversed()))];
  yield [`${name} empty`, make('')];
  yield [`${name} null`, make('null')];
}

function changesOf(before: JsonValue | undefined): JsonValue[] {
  if (typeof before === 'number') return [before + 1, before - 1, Number.MAX_SAFE_INTEGER, null];
  if (typeof before === 'string') return [`${before}x`, before.slice(1), IDS.other, null];
  if (Array.isArray(before)) return [[...before, 'x'], [], null];
  if (typeof before === 'object' && before !== null) return [{ ...before, x: 1 }, {}, null];
  return [1, 'x', []];
}

function* signatureVariants(good: StoredConfig, next: StoredConfig): Generator<Variant> {
  const flipped = (text: string, at: number): string =>
    text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
  for (const field of ['signature', 'keyListSignature'] as const) {
    const text = next[field];
    const other = field === 'signature' ? next.keyListSignature : next.signature;
    const stripped = ['', ' ', 'AAAA', text.slice(0, -1), `${text}A`, '='.repeat(86)];
    for (const changed of [...stripped, flipped(text, 0), flipped(text, 40), other]) {
      yield [`${field} ${changed.slice(0, 8)}`, { ...next, [field]: changed }];
    }
  }
  yield ['signature of the revision before', { ...next, signature: good.signature }];
}

function withNode(next: StoredConfig, id: string, text: string | null): StoredConfig {
  const nodes = new Map(next.nodes);
  if (text === null) nodes.delete(id);
  else nodes.set(id, text);
  return { ...next, nodes };
}

/** The record that is new: left out, changed, with others beside it. */
function* recordVariants(next: StoredConfig): Generator<Variant> {
  for (const [id, text] of next.nodes) {
    const line = text.split('\n').find((record) => record.includes(`"mark":${NEXT}`));
    if (line === undefined) continue;
    const put = (...lines: string[]) => withNode(next, id, text.replace(line, lines.join('\n')));
    const other = line.replaceAll('"r0"', '"r999"');
    yield ['the record of before', put(line.replace(`"mark":${NEXT}`, `"mark":${GOOD}`))];
    yield ['another record', put(other)];
    yield ['a record more', put(line, other)];
    yield ['a record that is none', put(line, '{}')];
    yield ['a record with a member more', put(line.replace('{', '{"a":1,'))];
    yield ['a record of another workspace', put(line.replaceAll(WS, IDS.other))];
    yield ['a record of another kind', put(line.replace('"routes"', '"services"'))];
  }
}

/** Every node that is new: changed, cut, emptied, exchanged for another, left out. */
function* nodeVariants(
  good: StoredConfig,
  next: StoredConfig,
  isOfRecords: boolean,
): Generator<Variant> {
  const tampered = (id: string, text: string | null) => withNode(next, id, text);
  const all = [...next.nodes];
  for (const [id, text] of all) {
    if (good.nodes.has(id) || (isOfRecords && !text.startsWith('leaf'))) continue;
    const middle = Math.floor(text.length / 2);
    const digit = text[middle] === '1' ? '2' : '1';
    const [, another] = must(
      all.find(([other]) => other !== id),
      'several nodes',
    );
    yield [
      `node ${id} changed`,
      tampered(id, text.slice(0, middle) + digit + text.slice(middle + 1)),
    ];
    yield [`node ${id} cut`, tampered(id, text.slice(0, middle))];
    yield [`node ${id} longer`, tampered(id, `${text} `)];
    yield [`node ${id} empty`, tampered(id, '')];
    yield [`node ${id} exchanged`, tampered(id, another)];
    yield [`node ${id} left out`, tampered(id, null)];
  }
}

/** A cluster, and all the keys that somebody may have beside those of the cluster. */
class Forge {
  readonly #crypto: Crypto;
  readonly #root: RawKeyPair;
  readonly #signing: RawKeyPair;
  /** Of a list before the one in force: dropped, because it leaked. */
  readonly #leaked: RawKeyPair;
  readonly #stranger: RawKeyPair;

  static async make(crypto: Crypto): Promise<Forge> {
    const key = () => crypto.generateSigningKey();
    return new Forge(crypto, [await key(), await key(), await key(), await key()]);
  }

  private constructor(
    crypto: Crypto,
    keys: readonly [RawKeyPair, RawKeyPair, RawKeyPair, RawKeyPair],
  ) {
    this.#crypto = crypto;
    [this.#root, this.#signing, this.#leaked, this.#stranger] = keys;
  }

  pinned(revision: number): Pinned {
    const rootKey = this.#root.publicKey;
    const highWater = { epoch: 1, revision };
    return { cluster: IDS.cluster, groupId: IDS.group, rootKey, keySequence: 2, highWater };
  }

  async config(
    revision: number,
    change: Partial<Manifest> = {},
    signer: RawKeyPair = this.#signing,
    list: Promise<{ text: string; signature: string }> = this.#list({}),
  ): Promise<StoredConfig> {
    const records = Array.from({ length: RECORDS }, (_, index) => {
      const id = `r${index}`;
      // One of them changes with every revision, so that most nodes are the same.
      const body = { id, mark: index === 0 ? revision : 0 };
      return makeRecord({ kind: 'routes', ws: WS, id, placement: id }, body, this.#crypto);
    });
    const tree = ConfigTree.empty(this.#crypto).apply(records, []);
    const manifest: Manifest = {
      format: 1,
      cluster: IDS.cluster,
      group: 'default',
      group_id: IDS.group,
      epoch: 1,
      revision,
      level: 1,
      previous: '',
      root: tree.hash,
      records: tree.size,
      workspaces: { [WS]: revision },
      secret_generation: 1,
      created_at: 1_800_000_000,
      control_planes: ['wss://cp.example.com'],
      features: [],
      settings: null,
      key_id: this.#idOf(signer),
      ...change,
    };
    const signed = await signManifest(manifest, signer, this.#crypto);
    const { text, signature } = await list;
    const nodes = new Map([...tree.nodes()].map(({ id, text: node }) => [id, node]));
    return { ...signed, keyList: text, keyListSignature: signature, nodes };
  }

  /** Signed, and well: by somebody else, for something else, or of another time. */
  async signedVariants(next: StoredConfig): Promise<Variant[]> {
    const { other } = IDS;
    const resigned = async (key: RawKeyPair, domain: (typeof DOMAIN)[keyof typeof DOMAIN]) => ({
      ...next,
      signature: await signText(domain, next.manifest, key.privateKey, this.#crypto),
    });
    const earlier = this.#list({ sequence: 1, keys: [this.#listed(this.#leaked)] });
    const late = this.#list({ keys: [{ ...this.#listed(this.#signing), not_after: 1 }] });
    const early = this.#list({
      keys: [{ ...this.#listed(this.#signing), not_before: 1_900_000_000 }],
    });
    const byStranger = this.#list({ keys: [this.#listed(this.#stranger)] }, this.#stranger);
    const domains = Object.entries(DOMAIN).filter(([name]) => name !== 'manifest');
    const config = this.config.bind(this);
    return [
      ['another group', await config(NEXT, { group_id: other })],
      ['another cluster', await config(NEXT, { cluster: other })],
      [
        'a list of another cluster',
        await config(NEXT, {}, this.#signing, this.#list({ cluster: other })),
      ],
      ['an older revision', await config(1)],
      ['other content under the number held', await config(GOOD, { created_at: 1_800_000_001 })],
      ['an earlier epoch', await config(NEXT, { epoch: 0 })],
      [
        'an epoch of before a recovery',
        await config(NEXT, {}, this.#signing, this.#list({ recoveries: 1 })),
      ],
      ['an epoch beyond the list', await config(NEXT, { epoch: 2 ** 52 })],
      ['a feature that is not known', await config(NEXT, { features: ['later'] })],
      ['another format', { ...(await config(NEXT, { format: 2 as 1 })) }],
      ['another root', await config(NEXT, { root: 'f'.repeat(64) })],
      ['another count of records', await config(NEXT, { records: RECORDS + 1 })],
      ['the id of another key', await config(NEXT, { key_id: this.#idOf(this.#stranger) })],
      ['the root key as signer', await config(NEXT, {}, this.#root)],
      ['a key that is not listed', await config(NEXT, {}, this.#stranger)],
      ['a list that a stranger signed', await config(NEXT, {}, this.#stranger, byStranger)],
      [
        'a key that leaked, and the list before it was dropped',
        await config(NEXT, {}, this.#leaked, earlier),
      ],
      ['a key that leaked, and the list of now', await config(NEXT, {}, this.#leaked)],
      ['a key whose time is over', await config(NEXT, {}, this.#signing, late)],
      ['a key whose time has not come', await config(NEXT, {}, this.#signing, early)],
      ...(await Promise.all(
        domains.map(async ([name, domain]): Promise<Variant> => [
          `signed as ${name}`,
          await resigned(this.#signing, domain),
        ]),
      )),
      ['signed by a stranger', await resigned(this.#stranger, DOMAIN.manifest)],
    ];
  }

  #list(
    change: Partial<KeyList>,
    by: RawKeyPair = this.#root,
  ): Promise<{ text: string; signature: string }> {
    const keys = [this.#listed(this.#signing)];
    const list = { format: 1, cluster: IDS.cluster, sequence: 2, keys, ...change } as const;
    return signKeyList(list, by, this.#crypto);
  }

  #listed(key: RawKeyPair): KeyList['keys'][number] {
    const { publicKey } = key;
    const id = this.#idOf(key);
    return { id, public_key: base64url(publicKey), not_before: 0, not_after: null };
  }

  #idOf({ publicKey }: RawKeyPair): string {
    return signingKeyId(publicKey, this.#crypto);
  }
}
