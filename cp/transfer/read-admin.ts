/** All that an Admin API holds, collection by collection, as one declarative document. */
import type { EntityDefinition, JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { type AdminApi, type Answer, described } from './admin-client.ts';
import { isObject, type SourceDocument, textOf } from './document.ts';
import { FOREIGN_COLLECTIONS } from './kong-names.ts';
import { SourceError } from './settings.ts';

/** Largest page that Kong gives. */
const PAGE_SIZE = 1000;
/** Of one collection. */
export const PAGES_MAX = 1_000;
/** Requests at once, as decK does. */
const PARALLEL = 10;

/** How much a collection is needed: some exist in every Kong, others are only looked for. */
type Need = 'essential' | 'usual' | 'rare';

/**
 * Statuses that mean that there is no such collection. One that may exist and may not be read is an
 * error: what it holds would be missing and nobody would know.
 */
const ABSENT: Readonly<Record<Need, readonly number[]>> = {
  essential: [],
  usual: [400, 404, 405],
  rare: [400, 403, 404, 405],
};

const ESSENTIAL = new Set(['services', 'routes', 'consumers', 'plugins', 'upstreams']);

/** Not configuration, or read with what they belong to. */
const NOT_READ = new Set([
  'targets',
  'tags',
  'workspaces',
  'clustering/data-planes',
  'clustering/groups',
]);

/** @throws SourceError  it is no Admin API, refuses to be read, or never ends */
export async function readAdmin(api: AdminApi, registry: Registry): Promise<SourceDocument> {
  const information = await api.get('/');
  const version = isObject(information) ? textOf(information['version']) : null;
  const major = /^(\d+)\./.exec(version ?? '')?.[1];
  if (major === undefined) {
    throw new SourceError(`${api.address}: this is no Admin API of Kong: GET / names no version`);
  }
  // Headgate's other collections (tokens, nodes) are no configuration of Kong's.
  const isHeadgate = isObject(information) && information['headgate_version'] !== undefined;
  const listed = isHeadgate ? [] : await listedCollections(api);
  const collections = collectionsOf(listed, registry);
  const lists = await inParallel([...collections], async ([path, kind]) => {
    const usual = registry.entities.has(kind) ? 'usual' : 'rare';
    const need = ESSENTIAL.has(path) ? 'essential' : usual;
    return [kind, await readCollection(api, `/${path}`, need)] as const;
  });
  const content = new Map<string, JsonValue>(lists.filter(([, list]) => list.length > 0));
  const upstreams = content.get('upstreams');
  if (Array.isArray(upstreams)) {
    content.set('targets', await readTargets(api, upstreams));
  }
  return {
    label: api.address,
    isLive: true,
    content: { _format_version: Number(major) < 3 ? '2.1' : '3.0', ...Object.fromEntries(content) },
  };
}

/** Path → kind: what is defined here, what Kong's other editions have, and what it says it has. */
function collectionsOf(listed: readonly string[], registry: Registry): ReadonlyMap<string, string> {
  const collections = new Map(FOREIGN_COLLECTIONS);
  for (const definition of registry.entities.values()) {
    collections.set(pathOf(definition), definition.name);
  }
  const named = new Set(collections.values());
  for (const path of listed) {
    const kind = path.replaceAll('-', '_');
    if (!collections.has(path) && !named.has(kind)) collections.set(path, kind);
  }
  for (const path of NOT_READ) collections.delete(path);
  return collections;
}

export function pathOf(definition: EntityDefinition): string {
  return definition.admin_api_name ?? definition.name;
}

/** Paths `/x` beside `/x/{x}`: collections, also those of custom plugins. */
async function listedCollections(api: AdminApi): Promise<string[]> {
  const answer = await api.call('GET', '/endpoints');
  const data = isObject(answer.json) ? answer.json['data'] : null;
  const paths = new Set(Array.isArray(data) ? data.map(String) : []);
  return [...paths].flatMap((path) => {
    const [, name] = /^\/([a-z0-9_-]+)$/.exec(path) ?? [];
    return name !== undefined && paths.has(`/${name}/{${name}}`) ? [name] : [];
  });
}

async function readTargets(
  api: AdminApi,
  upstreams: readonly JsonValue[],
): Promise<readonly JsonValue[]> {
  const lists = await inParallel(upstreams, async (upstream) => {
    const id = isObject(upstream) ? textOf(upstream['id']) : null;
    if (id === null) return [];
    return readCollection(api, `/upstreams/${encodeURIComponent(id)}/targets`, 'essential');
  });
  return lists.flat();
}

/** Pages by `offset`, as go-kong does; `next` loses the page size in nested collections. */
async function readCollection(api: AdminApi, path: string, need: Need): Promise<JsonObject[]> {
  const rows: JsonObject[] = [];
  let offset: string | null = null;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const more: string = offset === null ? '' : `&offset=${encodeURIComponent(offset)}`;
    const answer: Answer = await api.call('GET', `${path}?size=${PAGE_SIZE}${more}`);
    if (page === 0 && ABSENT[need].includes(answer.status)) return rows;
    const data = dataOf(answer);
    if (data === null) {
      throw new SourceError(`${api.address}: GET ${path} answered ${described(answer)}`);
    }
    rows.push(...data);
    const next: string | null = isObject(answer.json) ? textOf(answer.json['offset']) : null;
    if (next === null) return rows;
    if (next === offset) throw new SourceError(`${api.address}: GET ${path} repeats a page`);
    offset = next;
  }
  throw new SourceError(`${api.address}: GET ${path} has more than ${PAGES_MAX} pages`);
}

/** The rows of a page; null: it is none. */
function dataOf({ status, json }: Answer): readonly JsonObject[] | null {
  if (status !== 200 || !isObject(json)) return null;
  const data = json['data'] ?? null;
  // An empty list of Lua may be an empty map.
  if (isObject(data) && Object.keys(data).length === 0) return [];
  return Array.isArray(data) && data.every((row: JsonValue) => isObject(row)) ? data : null;
}

/** Results in the order of the inputs. */
async function inParallel<T, R>(
  inputs: readonly T[],
  work: (input: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let at = 0;
  const worker = async (): Promise<void> => {
    while (at < inputs.length) {
      const index = at;
      at += 1;
      // In range: `at` only grows.
      results[index] = await work(inputs[index] as T);
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, inputs.length) }, worker));
  return results;
}
