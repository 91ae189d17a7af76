/**
 * How long the store takes: 10,000 routes in one transaction, their publication, and list pages at
 * 100,000 entities. `node test/bench/store.ts`, or with `postgres` for a PostgreSQL server.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must } from '#shared/base/assert.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import { processInsert } from '#shared/schema/process.ts';
import { Publisher } from '../../cp/changes/publisher.ts';
import { openPg } from '../../cp/store/drivers/pg.ts';
import { openPglite } from '../../cp/store/drivers/pglite.ts';
import { openStoreOn, type OpenedStore } from '../../cp/store/open-store.ts';
import type { Page } from '../../cp/store/store.ts';
import { silent } from '../support/pglite.ts';
import { startPostgres } from '../support/postgres.ts';

const ROUTES = 10_000;
const LISTED = 100_000;
const PAGE_SIZE = 1_000;
const ACTOR = { name: 'bench', source: null };

const definition = (kind: string): EntityDefinition => must(REGISTRY.entities.get(kind), kind);
const SERVICE = definition('services');
const ROUTE = definition('routes');
const CONSUMER = definition('consumers');

function make(def: EntityDefinition, input: JsonObject): AnyEntity {
  const made = processInsert(def, input, REGISTRY, {
    nowSeconds: 1_800_000_000,
    uuid: () => nodeRandom.uuid(),
    randomText: () => nodeRandom.uuid(),
  });
  if (!made.ok) throw new Error(JSON.stringify(made.violations));
  return made.entity;
}

async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const value = await work();
  console.log(`${what}: ${Math.round(performance.now() - started)} ms`);
  return value;
}

async function open(dataDir: string): Promise<{ opened: OpenedStore; stop: () => Promise<void> }> {
  const kek = Buffer.alloc(32, 7).toString('base64');
  const database = { url: null, driver: null, dataDir };
  const options = { database, kek, registry: REGISTRY, logger: silent };
  if (process.argv[2] !== 'postgres') {
    const db = await openPglite(join(dataDir, 'pglite'), silent);
    return { opened: await openStoreOn(db, options), stop: async () => {} };
  }
  const postgres = await startPostgres();
  if ('missing' in postgres) throw new Error(postgres.missing);
  const url = await postgres.createDatabase();
  const opened = await openStoreOn(openPg({ url, isPooled: false, logger: silent }), options);
  return { opened, stop: () => postgres.stop() };
}

async function load({ store }: OpenedStore): Promise<void> {
  const ws = store.defaultWorkspace();
  const service = make(SERVICE, { name: 'svc', host: 'upstream.test' });
  const routes = Array.from({ length: ROUTES }, (_, index) =>
    make(ROUTE, {
      name: `r${index}`,
      paths: [`/p${index}`],
      hosts: [`h${index}.test`],
      tags: ['bench'],
      service: { id: service.id },
    }),
  );
  await timed(`${ROUTES} routes in one transaction`, () =>
    store.write(ws, ACTOR, async (tx) => {
      await tx.insert(SERVICE, ws, service);
      await tx.insertMany(ROUTE, ws, routes);
    }),
  );
  const changed = routes.map((route) => Object.assign({}, route, { strip_path: false }));
  await timed(`${ROUTES} routes updated in one transaction`, () =>
    store.write(ws, ACTOR, (tx) => tx.updateMany(ROUTE, ws, changed)),
  );
}

async function publish({ store, keyring }: OpenedStore, what: string): Promise<void> {
  const ports = { clock: nodeClock, random: nodeRandom, crypto: nodeCrypto, logger: silent };
  const publisher = new Publisher({
    store,
    keyring,
    registry: REGISTRY,
    pollMs: 60_000,
    ...ports,
  });
  await timed(what, () => publisher.flush());
  await publisher.close();
}

async function pages({ store }: OpenedStore): Promise<void> {
  const ws = store.defaultWorkspace();
  const consumers = Array.from({ length: LISTED }, (_, index) =>
    make(CONSUMER, { username: `u${index}`, tags: index % 2 === 0 ? ['even'] : ['odd'] }),
  );
  await timed(`${LISTED} consumers in one transaction`, () =>
    store.write(ws, ACTOR, (tx) => tx.insertMany(CONSUMER, ws, consumers)),
  );
  for (const tags of [null, { all: ['even'] }] as const) {
    const times: number[] = [];
    for (let after: string | null = null, isFirst = true; isFirst || after !== null;) {
      isFirst = false;
      const started = performance.now();
      const query = { size: PAGE_SIZE, after, ...(tags === null ? {} : { tags }) };
      const page: Page = await store.list(CONSUMER, ws, query);
      times.push(performance.now() - started);
      after = page.next;
    }
    const median = (some: number[]) => some.toSorted((a, b) => a - b)[some.length >> 1] ?? 0;
    const [first, last] = [median(times.slice(0, 9)), median(times.slice(-9))];
    const of = tags === null ? 'all' : 'by tag';
    console.log(
      `pages of ${PAGE_SIZE}, ${of}: first ${first.toFixed(1)} ms, last ${last.toFixed(1)} ms`,
    );
  }
}

const dataDir = await mkdtemp(join(tmpdir(), 'headgate-bench-'));
const { opened, stop } = await open(dataDir);
await publish(opened, 'first publication');
await load(opened);
await publish(opened, `publication of ${ROUTES} routes`);
await pages(opened);
await opened.store.close();
await stop();
await rm(dataDir, { recursive: true });
