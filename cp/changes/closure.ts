/**
 * What belongs to a group that selects routes by tags (decision 3). Tags select routes, nothing else. What
 * a selected route needs follows: its service, the upstream by host name, certificates and authorities. What
 * has a foreign key to one of those follows it, if all of its own are there. Everything else of the
 * workspace (plugins in force everywhere, consumers and their credentials) always comes along: an
 * untagged key-auth must never vanish from a tagged route.
 */
import type { EntityDefinition, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { foreignId } from '../store/sql.ts';
import { keysOfHosts, keysOfName } from './server-names.ts';

/** In the order in which one may need the other; all other kinds come after them. */
const NEEDED_KINDS = ['services', 'upstreams', 'snis', 'certificates', 'ca_certificates'] as const;

/** What may need something beside itself. */
export const NEEDING_KINDS: ReadonlySet<string> = new Set([
  'routes',
  'services',
  'upstreams',
  'snis',
]);

/** What is followed by whatever has a foreign key to it. */
export const FOLLOWED_KINDS: ReadonlySet<string> = new Set(['routes', 'services', 'upstreams']);

const TLS_PROTOCOLS: ReadonlySet<string> = new Set(['https', 'grpcs', 'tls']);
/** A longer one cannot be an upstream's: those are indexed. */
const HOST_LENGTH_MAX = 2_000;

/** Foreign field → the kind it points to, of those that are followed. */
export function followedFields({ name, fields }: EntityDefinition): [string, string][] {
  if (name === 'routes' || isNeeded(name)) return [];
  return Object.entries(fields).flatMap(([field, declared]): [string, string][] =>
    declared.type === 'foreign' && FOLLOWED_KINDS.has(declared.reference)
      ? [[field, declared.reference]]
      : [],
  );
}

/** Definitions such that what is needed comes after what needs it, and followers after both. */
export function inOrder(definitions: Iterable<EntityDefinition>): EntityDefinition[] {
  const order: readonly string[] = ['routes', ...NEEDED_KINDS];
  const rank = ({ name }: EntityDefinition) => order.indexOf(name) + 1 || order.length + 1;
  return [...definitions].toSorted((a, b) => rank(a) - rank(b));
}

/** What an entity that is there needs beside itself: `kind/key`. */
export function needsOf(kind: string, entity: AnyEntity): string[] {
  switch (kind) {
    case 'routes':
      return [...byId('services', entity['service']), ...serverNames(entity)];
    case 'services':
      return [
        ...upstreamOf(entity),
        ...byId('certificates', entity['client_certificate']),
        ...texts(entity['ca_certificates']).map((id) => `ca_certificates/${id.toLowerCase()}`),
      ];
    case 'upstreams':
      return byId('certificates', entity['client_certificate']);
    case 'snis':
      return byId('certificates', entity['certificate']);
    default:
      return [];
  }
}

/** What an entity may be needed as; null: nothing of this kind is there because it is needed. */
export function neededAs(kind: string, entity: AnyEntity): string[] | null {
  switch (kind) {
    case 'upstreams':
      return [`upstreams/${String(entity['name'])}`];
    case 'snis':
      return keysOfName(String(entity['name'])).map((key) => `snis/${key}`);
    default:
      return isNeeded(kind) ? [`${kind}/${entity.id}`] : null;
  }
}

function isNeeded(kind: string): boolean {
  return (NEEDED_KINDS as readonly string[]).includes(kind);
}

/** Host names are compared as they are written (`shared/tables/services.ts`). */
function upstreamOf({ host }: AnyEntity): string[] {
  const isName = typeof host === 'string' && host.length <= HOST_LENGTH_MAX;
  return isName ? [`upstreams/${host}`] : [];
}

function serverNames(route: AnyEntity): string[] {
  if (!texts(route['protocols']).some((protocol) => TLS_PROTOCOLS.has(protocol))) return [];
  const snis = texts(route['snis']);
  // An expression may say anything of them.
  const isPlain = typeof route['expression'] !== 'string';
  const hosts = snis.length > 0 ? snis : isPlain ? texts(route['hosts']) : [];
  return keysOfHosts(hosts).map((key) => `snis/${key}`);
}

function byId(kind: string, reference: JsonValue | undefined): string[] {
  const id = foreignId(reference);
  return id === null ? [] : [`${kind}/${id.toLowerCase()}`];
}

export function texts(value: JsonValue | undefined): string[] {
  return Array.isArray(value) ? value.filter((text) => typeof text === 'string') : [];
}
