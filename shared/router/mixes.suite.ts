/** Mixes of routes that routers are measured with. */
import { HeaderList } from '../http/headers.ts';
import type { RequestFacts, StreamFacts } from './facts.ts';
import { routeEntry } from './route-entry.suite.ts';
import type { RouterFlavor } from '../settings/common.ts';
import type { RouteEntry, Router } from './router.ts';
import type { Seeded } from './seeded.suite.ts';

type Fields = Parameters<typeof routeEntry>[0];

export interface Mix {
  readonly name: string;
  readonly flavor?: RouterFlavor;
  readonly route: (index: number) => Fields;
  /** What the route with this index matches, if any does. */
  readonly request: (index: number) => Asked;
}

/** A connection names a port instead of a path; its host is its SNI. */
type Asked =
  | { readonly host: string; readonly path: string; readonly sni?: string }
  | { readonly host: string | null; readonly port: number };

/** Asks the router something that one of the routes answers to. */
export type Ask = (router: Router) => RouteEntry | null;

export const MIXES: readonly Mix[] = [
  {
    name: 'one host each',
    route: (i) => ({ hosts: [`h${i}.example.com`], paths: ['/'] }),
    request: (i) => ({ host: `h${i}.example.com`, path: '/users/42' }),
  },
  {
    name: 'one prefix each, no host',
    route: (i) => ({ paths: [`/service-${i}/v1`] }),
    request: (i) => ({ host: 'api.example.com', path: `/service-${i}/v1/users/42` }),
  },
  {
    name: 'one prefix each, one host',
    route: (i) => ({ hosts: ['api.example.com'], paths: [`/service-${i}/v1`] }),
    request: (i) => ({ host: 'api.example.com', path: `/service-${i}/v1/users/42` }),
  },
  {
    name: 'prefixes of 200 lengths',
    route: (i) => ({ paths: [`/${'x'.repeat(i % 200)}/${i}`] }),
    request: (i) => ({ host: 'api.example.com', path: `/${'x'.repeat(i % 200)}/${i}/42` }),
  },
  {
    name: '100 hosts, prefixes, methods',
    route: (i) => ({
      hosts: [`h${i % 100}.example.com`],
      paths: [`/service-${i}`, `/service-${i}/admin`],
      methods: ['GET', 'POST'],
    }),
    request: (i) => ({ host: `h${i % 100}.example.com`, path: `/service-${i}/admin/42` }),
  },
  {
    name: 'wildcard hosts',
    route: (i) => ({ hosts: [i % 2 === 0 ? `*.w${i}.example` : `w${i}.*`], paths: ['/a'] }),
    request: (i) => ({ host: i % 2 === 0 ? `www.w${i}.example` : `w${i}.example.org`, path: '/a' }),
  },
  {
    name: 'a third each: host, wildcard, none',
    route: (i) => {
      if (i % 3 === 0) return { hosts: [`h${i}.example.com`], paths: ['/'] };
      if (i % 3 === 1) return { hosts: [`*.w${i}.example`], paths: [`/service-${i}`] };
      return { paths: [`/service-${i}`] };
    },
    request: (i) => {
      if (i % 3 === 0) return { host: `h${i}.example.com`, path: '/' };
      return { host: i % 3 === 1 ? `www.w${i}.example` : 'other', path: `/service-${i}/x` };
    },
  },
  {
    name: 'requests, one SNI each',
    route: (i) => ({ protocols: ['https'], snis: [`s${i}.com`], paths: ['/'] }),
    request: (i) => ({ host: 'api.example.com', path: '/users', sni: `s${i}.com` }),
  },
  {
    name: 'one regex each, no host',
    route: (i) => ({ paths: [`~/service-${i}/(?<id>\\d+)$`] }),
    request: (i) => ({ host: 'api.example.com', path: `/service-${i}/42` }),
  },
  {
    name: 'expressions by host and path',
    flavor: 'expressions',
    route: (i) =>
      // A route of the expressions flavour has more fields.
      ({
        expression: `http.host == "h${i % 1000}.example.com" && http.path ^= "/service-${i}"`,
        priority: i % 7,
      }) as Fields,
    request: (i) => ({ host: `h${i % 1000}.example.com`, path: `/service-${i}/42` }),
  },
  {
    name: 'connections, one SNI each',
    route: (i) => ({ protocols: ['tls'], snis: [i % 9 === 0 ? `*.s${i}.com` : `s${i}.com`] }),
    request: (i) => ({ host: i % 9 === 0 ? `a.s${i}.com` : `s${i}.com`, port: 9000 }),
  },
  {
    name: 'connections, one port and network each',
    route: (i) => ({
      protocols: ['tcp'],
      destinations: [{ ip: null, port: i % 65_536 }],
      sources: [{ ip: '192.0.2.0/24', port: null }],
    }),
    request: (i) => ({ host: null, port: i % 65_536 }),
  },
  {
    name: 'no match',
    route: (i) => ({ hosts: [`h${i}.example.com`, `*.w${i}.example`], paths: [`/service-${i}`] }),
    request: () => ({ host: 'www.other.example.org', path: '/nothing/here' }),
  },
];

const HEADERS = new HeaderList('Host x User-Agent curl/8 Accept */* Cookie a=b'.split(' '));

export function entriesOf(mix: Mix, count: number, random: Seeded): RouteEntry[] {
  return Array.from({ length: count }, (_, index) => routeEntry(mix.route(index), random));
}

/** For routes all over the mix. */
export function asksOf(mix: Mix, count: number, random: Seeded): Ask[] {
  return Array.from({ length: 1_000 }, () => askFor(mix.request(random.below(count))));
}

const SIDES = { sourceAddress: '192.0.2.1', sourcePort: 50_000, address: '192.0.2.2' };

function askFor(asked: Asked): Ask {
  if ('port' in asked) {
    const { host: sni, port } = asked;
    const facts: StreamFacts = { ...SIDES, protocol: sni === null ? 'tcp' : 'tls', sni, port };
    return (router) => router.matchStream(facts);
  }
  const facts: RequestFacts = {
    method: 'GET',
    query: null,
    scheme: asked.sni === undefined ? 'http' : 'https',
    headers: HEADERS,
    sni: null,
    ...asked,
    ...SIDES,
    port: 8000,
  };
  return (router) => router.match(facts)?.entry ?? null;
}
