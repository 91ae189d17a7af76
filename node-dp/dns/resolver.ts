/**
 * The Resolver port over DNS. A name is looked up as Kong 3.9 does it by default: SRV, A and AAAA in
 * the order that is set, the type that was found last time first, under the search domains of
 * `resolv.conf`; what has ended and cannot be had anew is used a while longer.
 *
 * Source: Kong `resty/dns/client.lua`
 */
import type { MaybePromise } from '#shared/base/maybe-promise.ts';
import { parseIp } from '#shared/base/ip.ts';
import {
  type Clock,
  type Resolution,
  type ResolvedAddress,
  ResolveError,
  type Resolver,
} from '#shared/platform/platform.ts';
import { type ClientOptions, DnsClient } from './client.ts';
import type { HostAddresses, Hosts } from './hosts-file.ts';
import type { Question, RecordType, SrvRecord } from './message.ts';
import { type Known, type Lives, RecordCache } from './record-cache.ts';

export type OrderItem = RecordType | 'LAST';

export interface ResolverOptions {
  readonly client: ClientOptions;
  /** Types to ask for, in turn. */
  readonly order: readonly OrderItem[];
  readonly search: readonly string[];
  readonly ndots: number;
  readonly hosts: Hosts;
  readonly lives: Lives;
  /** Entries of each cache: of records, and of what names came to. */
  readonly cacheSize: number;
}

/** From alias to alias, over several answers. */
export const ALIASES_MAX = 8;
/** Names that one SRV answer may point to. */
export const SERVICES_MAX = 256;

/** What a name came to the last time. */
interface Entry {
  resolution: Resolution | null;
  /** How long `resolution` may be used beyond its life; monotonic, ms. */
  staleUntil: number;
  /** Of `resolution`. */
  type: RecordType | null;
  /** Why there is none. */
  error: ResolveError | null;
  /** Until then, nothing is asked again; monotonic, ms. */
  dueAt: number;
  asking: Promise<Resolution> | null;
}

export class DnsResolver implements Resolver {
  readonly #options: ResolverOptions;
  readonly #clock: Clock;
  readonly #client: DnsClient;
  readonly #records: RecordCache;
  /** By name and whether SRV counts; those used last at the end. */
  readonly #names = new Map<string, Entry>();

  constructor(options: ResolverOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#client = new DnsClient(options.client);
    const ask = (question: Question) => this.#client.ask(question);
    this.#records = new RecordCache(ask, clock, options.lives, options.cacheSize);
  }

  resolve(name: string, useSrv: boolean): MaybePromise<Resolution> {
    if (parseIp(name) !== null) return forEver([name.replace(/^\[|\]$/g, '')]);
    const lower = name.toLowerCase();
    const host = this.#options.hosts.get(lower.replace(/\.$/, ''));
    if (host !== undefined) return forEver(this.#preferred(host));
    if (!NAME.test(lower) || lower.length > NAME_LENGTH_MAX) {
      throw new ResolveError(`no host name: ${name}`);
    }
    const entry = this.#entry(`${useSrv ? 'srv' : 'ip'} ${lower}`);
    const nowMs = this.#clock.monotonic();
    const { resolution, error } = entry;
    const isCurrent = nowMs < entry.dueAt;
    if (isCurrent && error !== null) throw error;
    if (isCurrent && resolution !== null) return resolution;
    entry.asking ??= this.#refresh(entry, lower, useSrv);
    if (resolution === null || nowMs >= entry.staleUntil) return entry.asking;
    // The old ones serve while new ones are asked for; whoever asked comes back for those.
    entry.asking.catch(() => {});
    return { ...resolution, expiresAt: nowMs + STALE_ANSWER_MS };
  }

  /** Forgets what names came to. @returns how many names */
  purge(): number {
    const { size } = this.#names;
    this.#names.clear();
    this.#records.clear();
    return size;
  }

  /** What is under way fails. */
  close(): void {
    this.#client.close();
  }

  #entry(key: string): Entry {
    const known = this.#names.get(key);
    this.#names.delete(key);
    const entry = known ?? {
      resolution: null,
      staleUntil: 0,
      type: null,
      error: null,
      dueAt: Number.NEGATIVE_INFINITY,
      asking: null,
    };
    this.#names.set(key, entry);
    for (const oldest of this.#names.keys()) {
      if (this.#names.size <= this.#options.cacheSize) break;
      this.#names.delete(oldest);
    }
    return entry;
  }

  #preferred({ v4, v6 }: HostAddresses): string[] {
    const first = this.#options.order.find((type) => type === 'A' || type === 'AAAA');
    const address = first === 'AAAA' ? (v6 ?? v4) : (v4 ?? v6);
    return address === null ? [] : [address];
  }

  async #refresh(entry: Entry, name: string, useSrv: boolean): Promise<Resolution> {
    const { lives } = this.#options;
    const found = await this.#search(name, useSrv, entry.type);
    const nowMs = this.#clock.monotonic();
    entry.asking = null;
    if (found.tag === 'found') {
      const { addresses, expiresAt } = found;
      entry.resolution = { addresses, expiresAt };
      entry.type = found.type;
      entry.error = null;
      entry.dueAt = expiresAt;
      entry.staleUntil = expiresAt + lives.stale * 1000;
      return entry.resolution;
    }
    entry.dueAt = nowMs + (found.isCertain ? lives.notFound : lives.error) * 1000;
    // What a server says for certain to be gone is not used any longer. Source: Kong, cacheinsert
    if (entry.resolution !== null && !found.isGone && nowMs < entry.staleUntil) {
      entry.resolution = { addresses: entry.resolution.addresses, expiresAt: entry.dueAt };
      return entry.resolution;
    }
    entry.resolution = null;
    entry.type = null;
    entry.error = new ResolveError(`${name} does not resolve: ${found.reason}`);
    throw entry.error;
  }

  /** All names and types in turn. */
  async #search(name: string, useSrv: boolean, last: RecordType | null): Promise<Found | NotFound> {
    const names = candidates(name, this.#options.search, this.#options.ndots);
    const missing = new Set<string>();
    let doubt: string | null = null;
    for (const type of this.#types(useSrv, last)) {
      for (const candidate of names) {
        if (missing.has(candidate)) continue;
        const found = await this.#look(candidate, type);
        if (found.tag === 'found') return found;
        // Another type or name might answer, and be the wrong one. Source: Kong, resolve
        if (found.isFinal) return found;
        if (found.isGone) missing.add(candidate);
        if (!found.isCertain) doubt ??= found.reason;
      }
    }
    if (doubt !== null) return notFound(doubt);
    const isGone = names.every((candidate) => missing.has(candidate));
    return {
      ...notFound(isGone ? 'no such name' : 'no addresses'),
      isCertain: true,
      isGone,
    };
  }

  #types(useSrv: boolean, last: RecordType | null): Iterable<RecordType> {
    const types = new Set<RecordType>();
    for (const item of this.#options.order) {
      const type = item === 'LAST' ? last : item;
      if (type !== null && (useSrv || type !== 'SRV')) types.add(type);
    }
    return types;
  }

  /** One type of one name; aliases are followed. */
  async #look(name: string, type: RecordType): Promise<Found | NotFound> {
    let current = name;
    let expiresAt = Number.POSITIVE_INFINITY;
    for (let step = 0; step <= ALIASES_MAX; step += 1) {
      const entry = await this.#records.get({ name: current, type });
      expiresAt = Math.min(expiresAt, entry.expiresAt);
      const { known } = entry;
      switch (known.tag) {
        case 'addresses':
          return { tag: 'found', type, addresses: plain(known.addresses), expiresAt };
        case 'services':
          return this.#services(name, known.services, expiresAt);
        case 'alias':
          current = known.name;
          continue;
        default:
          return failed(known);
      }
    }
    return notFound('too many aliases');
  }

  /** Source: Kong `runloop/balancer/targets.lua`: those of the best priority only. */
  async #services(
    name: string,
    services: readonly SrvRecord[],
    expiresAt: number,
  ): Promise<Found | NotFound> {
    // Kubernetes has names whose SRV records are themselves. Source: Kong, resolve
    if (services.every(({ target }) => target === name)) {
      return { ...notFound('SRV records of itself'), isCertain: true };
    }
    const best = services.reduce((min, { priority }) => Math.min(min, priority), Infinity);
    // RFC 2782: a target of "." says that the service is decidedly not there.
    if (services.every(({ target }) => target === '')) {
      return { ...notFound('no such service'), isCertain: true, isGone: true, isFinal: true };
    }
    const chosen = services
      .filter(({ priority, target }) => priority === best && target !== '')
      .toSorted(bySpelling)
      .slice(0, SERVICES_MAX);
    const looked = await Promise.all(chosen.map(({ target }) => this.#addressesOf(target)));
    const addresses: ResolvedAddress[] = [];
    let end = expiresAt;
    let failure: NotFound = notFound('no addresses');
    for (const [i, service] of chosen.entries()) {
      const found = looked[i];
      if (found === undefined) continue;
      end = Math.min(end, found.tag === 'found' ? found.expiresAt : this.#retryAt(found));
      if (found.tag === 'found') addSrv(addresses, service, found);
      else failure = found;
    }
    if (addresses.length === 0) return { ...failure, isGone: false };
    return { tag: 'found', type: 'SRV', addresses, expiresAt: end };
  }

  #retryAt({ isCertain }: NotFound): number {
    const { notFound: certain, error } = this.#options.lives;
    return this.#clock.monotonic() + (isCertain ? certain : error) * 1000;
  }

  /** Of the name that an SRV record points to: fully qualified, so there is nothing to search. */
  async #addressesOf(target: string): Promise<Found | NotFound> {
    if (parseIp(target) !== null) {
      return { tag: 'found', type: 'A', addresses: plain([target]), expiresAt: Infinity };
    }
    const host = this.#options.hosts.get(target);
    if (host !== undefined) {
      const addresses = plain(this.#preferred(host));
      return { tag: 'found', type: 'A', addresses, expiresAt: Infinity };
    }
    let failure: NotFound = notFound('no addresses');
    for (const type of this.#types(false, null)) {
      const found = await this.#look(target, type);
      if (found.tag === 'found' || found.isFinal) return found;
      failure = found;
      if (found.isGone) break;
    }
    return failure;
  }
}

/** Labels of what RFC 2181 allows are any bytes; those of hosts, services and containers are these. */
const NAME = /^(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?$/;
const NAME_LENGTH_MAX = 254;
/** How soon to come back for what is being asked for. */
const STALE_ANSWER_MS = 1000;

interface Found {
  readonly tag: 'found';
  readonly type: RecordType;
  readonly addresses: readonly ResolvedAddress[];
  readonly expiresAt: number;
}

interface NotFound {
  readonly tag: 'not_found';
  readonly reason: string;
  /** A server said so; otherwise it may only be a failure. */
  readonly isCertain: boolean;
  /** There is no such name, whatever the type. */
  readonly isGone: boolean;
  /** Nothing else may be tried: no server answered, or the service is said not to be there. */
  readonly isFinal: boolean;
}

function notFound(reason: string): NotFound {
  return { tag: 'not_found', reason, isCertain: false, isGone: false, isFinal: false };
}

type Failed = Extract<Known, { tag: 'no_name' | 'no_data' | 'refused' | 'unanswered' }>;

function failed(known: Failed): NotFound {
  switch (known.tag) {
    case 'no_name':
      return { ...notFound('no such name'), isCertain: true, isGone: true };
    case 'no_data':
      return { ...notFound('no addresses'), isCertain: true };
    case 'refused':
      return notFound(known.reason);
    case 'unanswered':
      return { ...notFound(known.reason), isFinal: true };
  }
}

/** In the order in which they are to be tried. Source: Kong, search_iter */
export function candidates(name: string, search: readonly string[], ndots: number): string[] {
  if (name.endsWith('.')) return [name.slice(0, -1)];
  const under = search.map((domain) => `${name}.${domain}`);
  const names = name.split('.').length - 1 < ndots ? [...under, name] : [name, ...under];
  return names.filter(({ length }) => length < NAME_LENGTH_MAX);
}

function plain(addresses: readonly string[]): ResolvedAddress[] {
  return addresses.toSorted().map((address) => ({ address, port: null, name: null, weight: 1 }));
}

function forEver(addresses: readonly string[]): Resolution {
  return { addresses: plain(addresses), expiresAt: Number.POSITIVE_INFINITY };
}

/** The record's weight is its target's: several addresses share it. */
function addSrv(into: ResolvedAddress[], { target, port, weight }: SrvRecord, found: Found): void {
  // Source: Kong: a weight of 0 counts as 1, so that it gets a little.
  const share = Math.max(weight, 1) / found.addresses.length;
  for (const { address } of found.addresses) {
    into.push({ address, port, name: target, weight: share });
  }
}

function bySpelling(a: SrvRecord, b: SrvRecord): number {
  const left = `${a.target}:${a.port}:${a.weight}`;
  const right = `${b.target}:${b.port}:${b.weight}`;
  return left < right ? -1 : Number(left > right);
}
