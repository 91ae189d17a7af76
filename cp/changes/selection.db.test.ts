/** Slices of groups that select routes by tags, under random histories, against a closure computed from nothing. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { processInsert } from '#shared/schema/process.ts';
import { openTestStore, silent, type TestStore } from '../../test/support/pglite.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { StoreError } from '../store/store.ts';
import { SYSTEM_WORKSPACE } from '../store/migrations/0001-init.ts';
import { Publisher } from './publisher.ts';

const ACTOR = { name: 'test', source: null };
const SEED = Number(process.env['HEADGATE_TEST_SEED'] ?? Date.now() % 1_000_000);
const STEPS = Number(process.env['HEADGATE_TEST_STEPS'] ?? 150);
const DEPS = {
  nowSeconds: 1_800_000_000,
  uuid: () => nodeRandom.uuid(),
  randomText: (length: number) => nodeRandom.uuid().replaceAll('-', '').slice(0, length),
};

let db: TestStore;
let publisher: Publisher;
beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
  await db.store.db.query('DELETE FROM groups');
  publisher = new Publisher({
    store: db.store,
    keyring: db.keyring,
    registry: REGISTRY,
    crypto: nodeCrypto,
    clock: nodeClock,
    random: nodeRandom,
    logger: silent,
    pollMs: 60_000,
  });
}, 60_000);
afterAll(async () => {
  await publisher?.close();
  await db?.close();
});

function make(kind: string, input: JsonObject): AnyEntity {
  const made = processInsert(definitionOf(kind), input, REGISTRY, DEPS);
  if (!made.ok) throw new Error(`${kind}: ${JSON.stringify(made.violations)}`);
  return made.entity;
}

function definitionOf(kind: string) {
  return must(REGISTRY.entities.get(kind), kind);
}

/** Everything there is, by workspace and kind: what the database should hold. */
class World {
  readonly rows = new Map<string, AnyEntity>();

  key(ws: string, kind: string, id: string): string {
    return `${definitionOf(kind).workspaceable ? ws : SYSTEM_WORKSPACE} ${kind} ${id}`;
  }

  all(ws: string, kind: string): AnyEntity[] {
    const start = this.key(ws, kind, '');
    return [...this.rows].filter(([key]) => key.startsWith(start)).map(([, row]) => row);
  }

  async put(ws: string, kind: string, entity: AnyEntity): Promise<void> {
    const key = this.key(ws, kind, entity.id);
    const isNew = !this.rows.has(key);
    try {
      await db.store.write(ws, ACTOR, (tx) =>
        isNew
          ? tx.insert(definitionOf(kind), ws, entity)
          : tx.update(definitionOf(kind), ws, entity),
      );
    } catch (error) {
      if (error instanceof StoreError && error.failure.code === 'unique') return;
      throw error;
    }
    this.rows.set(key, entity);
  }

  /** With what goes with it, which the database is asked for. */
  async remove(ws: string, kind: string, id: string): Promise<void> {
    try {
      await db.store.write(ws, ACTOR, (tx) => tx.remove(definitionOf(kind), ws, id));
    } catch (error) {
      if (error instanceof StoreError && error.failure.code === 'foreign_referenced') return;
      throw error;
    }
    for (const [key, row] of this.rows) {
      const [owner = '', of = ''] = key.split(' ');
      if ((await db.store.get(definitionOf(of), owner, row.id)) === null) this.rows.delete(key);
    }
  }
}

const idOf = (value: JsonValue | undefined): string | null =>
  ((value ?? null) as { id: string } | null)?.id ?? null;

/** What a group should have of a workspace, by the words of decision 3. SNIs and certificates aside. */
function expected(world: World, ws: string, tags: readonly string[] | null): Set<string> {
  const routes = world
    .all(ws, 'routes')
    .filter(
      (route) => tags === null || tags.some((tag) => (route['tags'] as string[]).includes(tag)),
    );
  const of = (kind: string, test: (entity: AnyEntity) => boolean) =>
    world.all(ws, kind).filter((entity) => tags === null || test(entity));
  const routeIds = new Set(routes.map(({ id }) => id));
  const services = of('services', ({ id }) => routes.some(({ service }) => idOf(service) === id));
  const serviceIds = new Set(services.map(({ id }) => id));
  const upstreams = of('upstreams', ({ name }) => services.some(({ host }) => host === name));
  const upstreamIds = new Set(upstreams.map(({ id }) => id));
  const targets = of('targets', ({ upstream }) => upstreamIds.has(String(idOf(upstream))));
  const plugins = of('plugins', ({ route, service }) => {
    const [byRoute, byService] = [idOf(route), idOf(service)];
    return (
      (byRoute === null || routeIds.has(byRoute)) &&
      (byService === null || serviceIds.has(byService))
    );
  });
  const kinds = { routes, services, upstreams, targets, plugins };
  const always = ['consumers', 'keyauth_credentials'];
  return new Set([
    ...Object.entries(kinds).flatMap(([kind, rows]) => rows.map(({ id }) => `${ws} ${kind} ${id}`)),
    ...always.flatMap((kind) => world.all(ws, kind).map(({ id }) => `${ws} ${kind} ${id}`)),
  ]);
}

function expectedAuthorities(world: World, slices: ReadonlySet<string>, ws: readonly string[]) {
  return ws.flatMap((each) =>
    world
      .all(each, 'services')
      .filter(({ id }) => slices.has(`${each} services ${id}`))
      .flatMap((service) => (service['ca_certificates'] ?? []) as string[]),
  );
}

/** Which certificate a handshake would get (`shared/tables/certificates.ts`), of these SNIs. */
function lookUp(name: string, snis: readonly AnyEntity[]): AnyEntity | undefined {
  const labels = name.split('.');
  const tries = [name, `*.${labels.slice(1).join('.')}`, `${labels.slice(0, -1).join('.')}.*`, '*'];
  return tries.map((each) => snis.find((sni) => sni['name'] === each)).find(Boolean);
}

const NAMES = ['a', 'b', 'c'].flatMap((one) =>
  ['x', 'y'].flatMap((two) => [`${one}.${two}.test`, `${one}.${two}.org`]),
);

function hostMatches(pattern: string, name: string): boolean {
  if (pattern.startsWith('*')) return name.endsWith(pattern.slice(1));
  if (pattern.endsWith('*')) return name.startsWith(pattern.slice(0, -1));
  return pattern === name;
}

interface Published {
  readonly kind: string;
  readonly ws_id: string;
  readonly entity_id: string;
  readonly hash: string;
}

async function published(group: string): Promise<Map<string, string>> {
  const { rows } = await db.store.db.query<Published>(
    'SELECT kind, ws_id, entity_id, hash FROM group_records WHERE group_id = $1',
    [group],
  );
  return new Map(rows.map((row) => [`${row.ws_id} ${row.kind} ${row.entity_id}`, row.hash]));
}

async function needs(group: string): Promise<string[]> {
  const { rows } = await db.store.db.query<{ need: string }>(
    `SELECT concat_ws(' ', ws_id, kind, entity_id, need) AS need FROM group_needs
     WHERE group_id = $1 ORDER BY 1`,
    [group],
  );
  return rows.map(({ need }) => need);
}

class History {
  readonly random = new SeededRandom(SEED);
  readonly world = new World();
  readonly workspaces = [nodeRandom.uuid(), nodeRandom.uuid()];
  readonly group = nodeRandom.uuid();
  tags: string[] | null = ['t0'];
  count = 0;

  pick<T>(items: readonly T[]): T {
    return must(items[this.random.below(items.length)], 'something to pick');
  }

  some<T>(items: readonly T[], most: number): T[] {
    const length = items.length === 0 ? 0 : this.random.below(most + 1);
    return [...new Set(Array.from({ length }, () => this.pick(items)))];
  }

  reference(ws: string, kind: string, chance: number): JsonValue {
    const all = this.world.all(ws, kind);
    const isGiven = this.random.next() < chance && all.length > 0;
    return isGiven ? { id: this.pick(all).id } : null;
  }

  /** An entity like those that clients write. Null: there is nothing that it could belong to. */
  entity(ws: string, kind: string): JsonObject | null {
    const n = this.count++;
    const host = () => `up${this.random.below(5)}.internal`;
    const pattern = () => this.pick([...NAMES, '*.x.test', '*.y.org', 'a.x.*', '*.test', 'b.*']);
    switch (kind) {
      case 'routes':
        return {
          paths: [`/${n}`],
          tags: this.some(['t0', 't1', 't2'], 2),
          protocols: this.pick([['http'], ['https'], ['http', 'https']]),
          hosts: this.random.next() < 0.02 ? null : [pattern()],
          service: this.reference(ws, 'services', 0.9),
        };
      case 'services': {
        const cas = this.world.all(ws, 'ca_certificates').map(({ id }) => id);
        return {
          host: host(),
          protocol: 'https',
          client_certificate: this.reference(ws, 'certificates', 0.3),
          ca_certificates: this.random.next() < 0.5 ? null : this.some(cas, 2),
        };
      }
      case 'upstreams':
        return { name: host(), client_certificate: this.reference(ws, 'certificates', 0.3) };
      case 'targets':
        return this.under(ws, 'upstreams', 'upstream', { target: `10.0.0.${n % 250}:${n + 1}` });
      case 'plugins':
        return {
          name: this.pick(['key-auth', 'cors']),
          route: this.reference(ws, 'routes', 0.5),
          service: this.reference(ws, 'services', 0.4),
        };
      case 'consumers':
        return { username: `c${n}` };
      case 'keyauth_credentials':
        return this.under(ws, 'consumers', 'consumer', { key: `key-${n}` });
      case 'certificates':
        return { cert: `{vault://env/c${n}}`, key: `{vault://env/k${n}}` };
      case 'snis':
        return this.under(ws, 'certificates', 'certificate', {
          name: this.random.next() < 0.1 ? '*' : pattern(),
        });
      default:
        return { cert: `{vault://env/ca${n}}`, cert_digest: `digest ${n}` };
    }
  }

  under(ws: string, kind: string, field: string, rest: JsonObject): JsonObject | null {
    const parent = this.reference(ws, kind, 1);
    return parent === null ? null : { ...rest, [field]: parent };
  }
}

const KINDS =
  'routes routes routes services services upstreams targets plugins consumers keyauth_credentials certificates snis snis ca_certificates'.split(
    ' ',
  );

async function step(history: History): Promise<void> {
  const { random, world, workspaces } = history;
  const ws = history.pick(workspaces);
  const kind = history.pick(KINDS);
  const all = world.all(ws, kind);
  const dice = random.next();
  if (dice < 0.2 && all.length > 0) return world.remove(ws, kind, history.pick(all).id);
  const input = history.entity(ws, kind);
  if (input === null) return;
  const entity = make(kind, input);
  const isUpdate = dice < 0.55 && all.length > 0;
  await world.put(ws, kind, isUpdate ? { ...entity, id: history.pick(all).id } : entity);
}

async function select(history: History): Promise<void> {
  history.tags = history.random.next() < 0.15 ? null : history.some(['t0', 't1', 't2'], 2);
  if (history.tags?.length === 0) history.tags = ['t3'];
  await db.store.db.query('UPDATE groups SET tags = $2 WHERE id = $1', [
    history.group,
    history.tags,
  ]);
}

/** @throws when the published slice is not what the rules say */
async function check(history: History): Promise<void> {
  const { world, workspaces, tags } = history;
  const now = await published(history.group);
  const plain = (kinds: readonly string[]) =>
    [...now.keys()].filter((key) => kinds.includes(key.split(' ')[1] ?? '')).toSorted();
  const wanted = new Set(workspaces.flatMap((ws) => [...expected(world, ws, tags)]));
  const kinds = ['routes', 'services', 'upstreams', 'targets', 'plugins'];
  expect(plain([...kinds, 'consumers', 'keyauth_credentials'])).toEqual([...wanted].toSorted());
  const every = world.all(workspaces[0] ?? '', 'ca_certificates').map(({ id }) => id);
  const authorities = tags === null ? every : expectedAuthorities(world, wanted, workspaces);
  expect(plain(['ca_certificates'])).toEqual(
    [...new Set(authorities.filter((id) => every.includes(id)))]
      .map((id) => `${SYSTEM_WORKSPACE} ca_certificates ${id}`)
      .toSorted(),
  );
  for (const ws of workspaces) checkCertificates(history, ws, now);
}

/** Those that a handshake for a selected route would get are there; so are those that others present. */
function checkCertificates(history: History, ws: string, now: ReadonlyMap<string, string>): void {
  const { world } = history;
  const isThere = (kind: string, id: string) => now.has(`${ws} ${kind} ${id}`);
  const snis = world.all(ws, 'snis');
  const tls = world
    .all(ws, 'routes')
    .filter((route) => isThere('routes', route.id))
    .filter((route) => (route['protocols'] as string[]).includes('https'))
    .map((route) => (route['hosts'] as string[] | null) ?? ['*']);
  const names = NAMES.filter((name) => tls.flat().some((host) => hostMatches(host, name)));
  for (const name of names) {
    const sni = lookUp(name, snis);
    if (sni !== undefined) expect(isThere('snis', sni.id), `${name} of ${ws}`).toBe(true);
  }
  // Of another domain altogether: never.
  if (history.tags !== null && tls.length === 0) {
    expect(snis.filter(({ id }) => isThere('snis', id))).toEqual([]);
  }
  const users = ['services', 'upstreams', 'snis'].flatMap((kind) =>
    world.all(ws, kind).filter(({ id }) => isThere(kind, id)),
  );
  const used = new Set(
    users.map((user) => idOf(user['client_certificate'] ?? user['certificate'])),
  );
  const wanted = world
    .all(ws, 'certificates')
    .filter(({ id }) => history.tags === null || used.has(id));
  expect(world.all(ws, 'certificates').filter(({ id }) => isThere('certificates', id))).toEqual(
    wanted,
  );
}

describe('the slice of a group that selects routes', () => {
  it(`is what the rules say after any history (seed ${SEED})`, { timeout: 300_000 }, async () => {
    const history = new History();
    const sql = db.store.db;
    for (const ws of history.workspaces) {
      await sql.query('INSERT INTO workspace_versions (ws_id, version) VALUES ($1, 0)', [ws]);
    }
    await sql.query('INSERT INTO groups (id, name, workspaces, tags) VALUES ($1, $2, $3, $4)', [
      history.group,
      'selecting',
      history.workspaces,
      history.tags,
    ]);
    for (let count = 0; count < 80; count += 1) await step(history);
    // A selector may select little in the end, but not all along.
    let largest = 0;
    for (let count = 0; count < STEPS; count += 1) {
      const batch = history.random.below(3) + 1;
      for (let each = 0; each < batch; each += 1) await step(history);
      if (history.random.next() < 0.08) await select(history);
      await publisher.flush();
      await check(history);
      largest = Math.max(largest, (await published(history.group)).size);
      if (count % 10 !== 9) continue;
      // Anew: an older release, which writes down nothing, may have published since.
      const before = [await published(history.group), await needs(history.group)];
      await sql.query('UPDATE groups SET published_as = NULL WHERE id = $1', [history.group]);
      await publisher.flush();
      expect([await published(history.group), await needs(history.group)]).toEqual(before);
    }
    expect(largest).toBeGreaterThan(20);
  });
});
