/** How routing rules are shown: routes by name, a request, and the order in which they are taken. */
import { expect } from 'vitest';
import type { Route } from '../entities/route.ts';
import { HeaderList } from '../http/headers.ts';
import type { RouterFlavor } from '../settings/common.ts';
import type { RequestFacts, StreamFacts } from './facts.ts';
import { routeEntry } from './route-entry.suite.ts';
import { buildRouter } from './router.ts';
import type { RouteEntry } from './router.ts';

/** Fields of a route of any flavour. */
export type Fields = Partial<Route> & { readonly expression?: string; readonly priority?: number };

export interface Rule<Facts> {
  /** What the rule says. */
  readonly rule: string;
  /** Where it is said: a line of kong-contract 5.2, a function of Kong, or a test of its spec. */
  readonly source: string;
  readonly routes: Readonly<Record<string, Fields>>;
  readonly request: Partial<Facts>;
  /** Names of the routes that match, as each would be taken without those before it. */
  readonly order: readonly string[];
}

export type RequestRule = Rule<Omit<RequestFacts, 'headers'> & { readonly headers: string[] }>;
export type StreamRuleCase = Rule<StreamFacts>;

export function requestFacts(fields: RequestRule['request']): RequestFacts {
  return {
    method: 'GET',
    host: 'example.com',
    path: '/',
    query: null,
    scheme: 'http',
    sourceAddress: '192.0.2.1',
    sourcePort: 50_000,
    address: '192.0.2.2',
    port: 8000,
    sni: null,
    ...fields,
    headers: new HeaderList(fields.headers ?? []),
  };
}

export function streamFacts(fields: Partial<StreamFacts>): StreamFacts {
  return {
    protocol: 'tcp',
    sni: null,
    sourceAddress: '192.0.2.1',
    sourcePort: 50_000,
    address: '192.0.2.2',
    port: 9000,
    ...fields,
  };
}

/** Ids ascend in the order of the names, so that a tie shows itself. */
function entriesOf(routes: Rule<unknown>['routes'], fields: Fields): RouteEntry[] {
  return Object.entries(routes).map(([name, route], index) => {
    const id = `00000000-0000-4000-8000-0000000000${String(index).padStart(2, '0')}`;
    return routeEntry({ id, name, ...fields, ...route });
  });
}

export function showRequestRule(rule: RequestRule, flavor: RouterFlavor): void {
  const facts = requestFacts(rule.request);
  show(entriesOf(rule.routes, {}), rule.order, flavor, (router) => ({
    taken: router.match(facts)?.entry ?? null,
    explained: router.explain(facts, 20).matches.map(({ match }) => match.entry.route.name),
  }));
}

export function showStreamRule(rule: StreamRuleCase, flavor: RouterFlavor): void {
  const facts = streamFacts(rule.request);
  const fields: Fields = { protocols: ['tcp', 'tls', 'udp'] };
  show(entriesOf(rule.routes, fields), rule.order, flavor, (router) => ({
    taken: router.matchStream(facts),
    explained: router.explainStream(facts, 20).matches.map(({ match }) => match.entry.route.name),
  }));
}

interface Decision {
  readonly taken: RouteEntry | null;
  readonly explained: readonly (string | null)[];
}

/** Takes the best away again and again; what explains it must say the same at once. */
function show(
  entries: readonly RouteEntry[],
  order: readonly string[],
  flavor: RouterFlavor,
  decide: (router: ReturnType<typeof buildRouter>['router']) => Decision,
): void {
  const build = buildRouter(entries, flavor);
  expect(build.failures).toEqual([]);
  let { router } = build;
  expect(decide(router).explained).toEqual(order);
  const names: (string | null)[] = [];
  for (;;) {
    const { taken } = decide(router);
    if (taken === null) break;
    names.push(taken.route.name);
    router = router.update([taken], []).router;
  }
  expect(names).toEqual(order);
}
