/** What every run begins with: a cluster with two workspaces, three groups and a token for each. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must } from '#shared/base/assert.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { processInsert } from '#shared/schema/process.ts';
import { JoinTokens } from '../../cp/nodes/join-tokens.ts';
import { saveGroupRow } from '../../cp/store/group-row.ts';
import { openStoreOn } from '../../cp/store/open-store.ts';
import { SYSTEM_WORKSPACE } from '../../cp/store/migrations/0001-init.ts';
import type { Store } from '../../cp/store/store.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { KEK } from './control-plane.ts';
import { ModelDatabase } from './database/model-database.ts';
import { EMPTY_STATE, type DbState } from './database/sql-tables.ts';
import { EPOCH_MS, sources } from './determinism.ts';
import { CANARIES } from './oracle.ts';
import { SimProcess } from './process.ts';
import { Scheduler } from './scheduler.ts';

export interface SimGroup {
  readonly id: string;
  readonly name: string;
  readonly workspaces: readonly string[];
  readonly joinToken: string;
}

export interface Base {
  readonly state: DbState;
  readonly nextRow: number;
  readonly workspaces: readonly string[];
  readonly groups: readonly SimGroup[];
  readonly services: AnyDefinition;
}

type AnyDefinition = NonNullable<ReturnType<typeof REGISTRY.entities.get>>;

const ACTOR = { name: 'simulator', source: null };
const silent = { log() {} };

export function definition(name: string): AnyDefinition {
  return must(REGISTRY.entities.get(name), name);
}

export function newEntity(kind: string, input: JsonObject): AnyEntity {
  const processed = processInsert(definition(kind), input, REGISTRY, {
    nowSeconds: sources.nowMs() / 1000,
    uuid: () => sources.random.uuid(),
    randomText: (length) => 'x'.repeat(length),
  });
  if (!processed.ok) throw new Error(`${kind}: ${JSON.stringify(processed.violations)}`);
  return processed.entity;
}

/** Made once per process: what it is made of never changes. */
export async function makeBase(): Promise<Base> {
  const scheduler = new Scheduler();
  const random = new SeededRandom(1);
  sources.random = random;
  sources.nowMs = () => EPOCH_MS + scheduler.nowMs;
  sources.delay = (ms) => scheduler.delay(ms);
  const database = new ModelDatabase({ scheduler, random, state: EMPTY_STATE, nextRow: 1 });
  const folder = await mkdtemp(join(tmpdir(), 'headgate-simulation-'));
  const making = make(database, scheduler, folder);
  const end = new AbortController();
  void making.then(
    () => end.abort(),
    () => end.abort(),
  );
  // The root key is a real file: there is real waiting here.
  while (!end.signal.aborted) await scheduler.step();
  await rm(folder, { recursive: true, force: true });
  return making;
}

async function make(database: ModelDatabase, scheduler: Scheduler, dataDir: string): Promise<Base> {
  const process = new SimProcess('base', scheduler);
  const db = database.connect(process);
  const { store, keyring } = await openStoreOn(db, {
    database: { url: 'postgres://model', driver: null, dataDir },
    kek: KEK,
    registry: REGISTRY,
    logger: silent,
  });
  const first = store.defaultWorkspace();
  const second = await addWorkspace(store, 'second');
  for (const ws of [first, second]) await addCanaries(store, ws);
  const ports = { clock: process, random: sources.random, crypto: nodeCrypto, logger: silent };
  const tokens = new JoinTokens({ db, keyring, ...ports });
  const groups: SimGroup[] = [];
  for (const [name, workspaces] of [
    ['default', [first, second]],
    ['one', [first]],
    ['two', [second]],
  ] as const) {
    if (name !== 'default') await addGroup(store, name, [...workspaces]);
    const { rows } = await db.query<{ id: string }>('SELECT id FROM groups WHERE name = $1', [
      name,
    ]);
    const terms = { ttlSeconds: 24 * 3600, uses: 1_000, name: null, cidrs: [] };
    const minted = await tokens.mint({ group: name, ...terms, actor: 'simulator' });
    const { token } = must(minted, `the group ${name}`);
    groups.push({ id: must(rows[0], name).id, name, workspaces, joinToken: token });
  }
  process.kill();
  const { state, nextRow } = database;
  return { state, nextRow, workspaces: [first, second], groups, services: definition('services') };
}

async function addWorkspace(store: Store, name: string): Promise<string> {
  const workspace = newEntity('workspaces', { name });
  await store.write(SYSTEM_WORKSPACE, ACTOR, (tx) =>
    tx.insert(definition('workspaces'), SYSTEM_WORKSPACE, workspace),
  );
  return workspace.id;
}

async function addGroup(store: Store, name: string, workspaces: string[]): Promise<void> {
  const kind = 'clustering_groups';
  const group = newEntity(kind, { name, workspaces });
  await store.write(SYSTEM_WORKSPACE, ACTOR, async (tx) => {
    await tx.insert(definition(kind), SYSTEM_WORKSPACE, group);
    await saveGroupRow(tx.db, group.id);
  });
}

async function addCanaries(store: Store, ws: string): Promise<void> {
  await store.write(ws, ACTOR, async (tx) => {
    for (const name of CANARIES) {
      const service = newEntity('services', { name, host: 'canary.test', tags: ['n0'] });
      await tx.insert(definition('services'), ws, service);
    }
  });
}
