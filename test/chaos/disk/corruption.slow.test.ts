/**
 * Seeded damage to what lies on a data plane's disk: 10,000 times by default, `CORRUPTIONS=1000000` by hand. Nothing
 * that was changed is ever loaded, nothing crashes; what is left is a configuration that was signed and
 * is not below the high-water mark, or none.
 */
import { chmod, mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { type ConfigRecord, parseRecordText } from '#shared/config/record.ts';
import { loadReplica, makeState, type ReplicaState, verifyHead } from '#shared/config/replica.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import type { StoredConfig } from '#shared/platform/platform.ts';
import type { NodeIdentity } from '#shared/sync/identity.ts';
import { readLog, wholeFile } from '../../../node-dp/config-log.ts';
import { FileConfigStore } from '../../../node-dp/config-store.ts';
import { TestCluster } from '../../support/dp-folder.ts';
import { consumerRecord, largeRecords } from '../../support/large-configuration.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { loadFrom } from './judge.ts';

const COUNT = Number(process.env['CORRUPTIONS'] ?? 10_000);
const SEED = Number(process.env['SEED'] ?? 20_261_124);
const SHAPE = { routes: 40, services: 5, plugins: 3, consumers: 100 };

let folder = '';
let path = '';
let identity: NodeIdentity;
/** Two configurations in one file, as a change leaves it. */
let whole: Buffer;
/** Files of others, and of earlier. */
let others: readonly Buffer[];
/** Manifest → root of its tree, of all that may be loaded. */
const genuine = new Map<string, string>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-damage-'));
  path = join(folder, 'config.json');
  const cluster = await TestCluster.create();
  const records = [...largeRecords(cluster, 9, SHAPE)];
  identity = await cluster.identity({ epoch: 1, revision: 2 });
  const [oldest, before, newest] = [
    await cluster.publish(records),
    await cluster.publish([...records, consumerRecord(1000, 1)]),
    await cluster.publish([...records, consumerRecord(1000, 2)]),
  ];
  whole = await fileOf(before, newest);
  for (const config of [before, newest]) {
    const loaded = await loadReplica(config, identity, nodeCrypto);
    if (loaded.ok) genuine.set(config.manifest, loaded.state.tree.hash);
  }
  const stranger = await TestCluster.create();
  others = [
    await fileOf(oldest),
    await fileOf(await cluster.publish(records, stranger.groupId)),
    await fileOf(await stranger.publish(records)),
  ];
});
afterAll(() => rm(folder, { recursive: true }));

async function fileOf(...configs: readonly StoredConfig[]): Promise<Buffer> {
  const file = join(folder, 'made.json');
  await rm(file, { force: true });
  const store = new FileConfigStore(file);
  for (const config of configs) await store.save(config);
  return readFile(file);
}

type Damage = (bytes: Buffer, random: SeededRandom) => Buffer;

const DAMAGES: Readonly<Record<string, Damage>> = {
  'a bit': (bytes, random) => {
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    return bytes;
  },
  'some bytes': (bytes, random) => {
    for (let n = random.below(20) + 1; n > 0; n--) {
      bytes[random.below(bytes.length)] = random.below(256);
    }
    return bytes;
  },
  'cut off': (bytes, random) => bytes.subarray(0, random.below(bytes.length)),
  'zeros from somewhere': (bytes, random) => bytes.fill(0, random.below(bytes.length)),
  'a piece missing': (bytes, random) => {
    const at = random.below(bytes.length);
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(4096))]);
  },
  'lines swapped': (bytes, random) => {
    const lines = bytes.toString('latin1').split('\n');
    const [a, b] = [random.below(lines.length), random.below(lines.length)];
    [lines[a], lines[b]] = [lines[b] ?? '', lines[a] ?? ''];
    return Buffer.from(lines.join('\n'), 'latin1');
  },
  'a line twice': (bytes, random) => {
    const lines = bytes.toString('latin1').split('\n');
    const at = random.below(lines.length);
    return Buffer.from(lines.toSpliced(at, 0, lines[at] ?? '').join('\n'), 'latin1');
  },
  'of two files': (bytes, random) => {
    const other = others[random.below(others.length)] ?? bytes;
    const at = random.below(Math.min(bytes.length, other.length));
    return Buffer.concat([bytes.subarray(0, at), other.subarray(at)]);
  },
  'another file': (_bytes, random) => Buffer.from(others[random.below(others.length)] ?? ''),
  'garbage behind it': (bytes, random) =>
    Buffer.concat([bytes, Buffer.from(random.bytes(1 + random.below(300)))]),
  /** What an attacker who can write would do: a block with the right checksum. */
  'a forged record': (bytes, random) => forge(bytes, random),
};

/** Changes a letter within records or heads and makes the blocks' checksums right again. */
function forge(bytes: Buffer, random: SeededRandom): Buffer {
  const content = must(readLog(bytes), 'a log');
  const [config] = content.configs;
  const { nodes, ...signed } = must(config, 'a configuration');
  const ids = [...nodes.keys()];
  const changed = new Map(nodes);
  const id = ids[random.below(ids.length)] ?? '';
  const text = nodes.get(id) ?? '';
  const at = random.below(text.length);
  changed.set(id, `${text.slice(0, at)}x${text.slice(at + 1)}`);
  const isHead = random.next() < 0.3;
  const manifest = signed.manifest.replace(/"revision":\d+/, `"revision":${random.below(99)}`);
  const forged = isHead ? { ...signed, manifest, nodes } : { ...signed, nodes: changed };
  return Buffer.concat([...wholeFile([forged], new Set())]);
}

/** What was loaded and must not be; null when it is none, or genuine. */
function altered(state: ReplicaState | null): string | null {
  if (state === null) return null;
  const root = genuine.get(state.signed.manifest);
  if (root === undefined) return 'a manifest that may not be loaded';
  return state.tree.hash === root ? null : 'other records than were signed';
}

describe(`${COUNT} times damaged (seed ${SEED})`, () => {
  it('is never loaded otherwise than it was signed', { timeout: 3_600_000 }, async () => {
    const kinds = Object.keys(DAMAGES);
    const random = new SeededRandom(SEED);
    const came = { newest: 0, before: 0, none: 0 };
    const wrong: string[] = [];
    for (let n = 0; n < COUNT; n++) {
      const kind = kinds[n % kinds.length] ?? '';
      const bytes = must(DAMAGES[kind], kind)(Buffer.from(whole), random);
      await writeFile(path, bytes);
      const state = await loadFrom(path, identity);
      const fault = altered(state);
      if (fault !== null) wrong.push(`${n} (${kind}): ${fault}`);
      came[state === null ? 'none' : state.replica.revision === 3 ? 'newest' : 'before'] += 1;
    }
    console.log(JSON.stringify(came));
    expect(wrong).toEqual([]);
    // Damage to what was added last leaves the one before; damage beside the point leaves all.
    if (COUNT >= 1000) {
      expect(came.before).toBeGreaterThan(0);
      expect(came.none).toBeGreaterThan(0);
    }
  });

  it('is found when it is taken for what it says (a loader without the hash check)', async () => {
    const random = new SeededRandom(SEED);
    const wrong: string[] = [];
    for (let n = 0; n < 50; n++) {
      const bytes = must(DAMAGES['a forged record'], 'a forgery')(Buffer.from(whole), random);
      const fault = altered(await loadBelieving(must(readLog(bytes)?.configs[0], 'one')));
      if (fault !== null) wrong.push(fault);
    }
    expect(wrong).not.toEqual([]);
  });
});

/** The mutant: verifies the manifest, and takes tree nodes by their names. */
async function loadBelieving(config: StoredConfig): Promise<ReplicaState | null> {
  const { manifest, signature, keyList, keyListSignature } = config;
  const signed = {
    manifest,
    signature,
    key_list: keyList,
    key_list_signature: keyListSignature,
  };
  const verified = await verifyHead(signed, identity, nodeCrypto);
  if (!verified.ok) return null;
  const records: ConfigRecord[] = [];
  const walk = (id: string): void => {
    const [type, ...lines] = (config.nodes.get(id) ?? '').split('\n');
    for (const line of lines) {
      const record = type === 'leaf' ? parseRecordText(line, nodeCrypto) : null;
      if (record !== null) records.push(record);
      else if (type === 'inner' && line !== '-') walk(line.slice(line.indexOf(':') + 1));
    }
  };
  walk(verified.head.manifest.root);
  const tree = ConfigTree.empty(nodeCrypto).apply(records, []);
  const { head } = verified;
  const made = makeState(
    { ...head, manifest: { ...head.manifest, root: tree.hash, records: tree.size } },
    tree,
  );
  return made.ok ? made.state : null;
}

describe('a log of changes, with the mark at the last of them', () => {
  it('gives the last one, whole, or none, wherever a byte is damaged', async () => {
    const cluster = await TestCluster.create();
    const records = [...largeRecords(cluster, 9, { ...SHAPE, routes: 2, consumers: 2 })];
    const configs: StoredConfig[] = [];
    for (let turn = 1; turn <= 4; turn++) {
      configs.push(await cluster.publish([...records, consumerRecord(1000, turn)]));
    }
    const log = await fileOf(...configs);
    const mark = await cluster.identity({ epoch: 1, revision: configs.length });
    const last = must(await loadReplica(must(configs.at(-1), 'one'), mark, nodeCrypto), 'it');
    const root = last.ok ? last.state.tree.hash : '';
    const came = { last: 0, none: 0 };
    for (let at = 0; at < log.length; at += 31) {
      const damaged = Buffer.from(log);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      await writeFile(path, damaged);
      const state = await loadFrom(path, mark);
      came[state === null ? 'none' : 'last'] += 1;
      if (state === null) continue;
      expect([state.replica.revision, state.tree.hash]).toEqual([configs.length, root]);
    }
    console.log(JSON.stringify({ bytes: log.length, ...came }));
    // A small tree is written anew with each change: what came before it is needed no more.
    expect(came.last).toBeGreaterThan(came.none / 10);
    expect(came.none).toBeGreaterThan(0);
  });
});

describe('an older snapshot that comes back', () => {
  it('is refused below the high-water mark, whatever else was deleted', async () => {
    const older = must(others[0], 'the oldest');
    await writeFile(path, older);
    expect(await loadFrom(path, identity)).toBeNull();
    // After a restart, from the same mark.
    expect(await loadFrom(path, { ...identity })).toBeNull();
  });

  it('is loaded only by who never held anything newer: an identity without a mark', async () => {
    // Whoever deletes the identity too has to enrol: there is no key to load anything with.
    await writeFile(path, must(others[0], 'the oldest'));
    const fresh = { ...identity, highWater: { epoch: 0, revision: 0 } };
    expect((await loadFrom(path, fresh))?.replica.revision).toBe(1);
  });
});

describe('what is no file of ours', () => {
  it.each([
    ['nothing in it', async () => writeFile(path, '')],
    [
      'a link to elsewhere',
      async () => {
        await writeFile(join(folder, 'elsewhere'), whole);
        await symlink(join(folder, 'elsewhere'), path);
      },
    ],
    [
      'far too large',
      async () => {
        await writeFile(path, whole);
        await truncate(path, 4 * 1024 ** 3);
      },
    ],
  ] as const)('is not loaded: %s', async (_what, make) => {
    await rm(path, { force: true });
    await make();
    expect(await loadFrom(path, identity)).toBeNull();
    await rm(path);
  });

  it('is tightened where others may read it', async () => {
    await writeFile(path, whole);
    await chmod(path, 0o644);
    expect((await loadFrom(path, identity))?.replica.revision).toBe(3);
  });
});
