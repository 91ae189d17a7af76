/** Nanoseconds per match. Run: node shared/router/router.bench.ts */
import { HeaderList } from '../http/headers.ts';
import { buildRouter } from './router.ts';
import type { RequestFacts } from './facts.ts';
import { routeEntry } from './route-entry.suite.ts';
import { Seeded } from './seeded.suite.ts';

const MATCHES = 200_000;
const HEADERS = new HeaderList([
  'Host',
  'x',
  'User-Agent',
  'curl/8',
  'Accept',
  '*/*',
  'Cookie',
  'a=b',
]);

interface Shape {
  readonly name: string;
  readonly route: (index: number) => Parameters<typeof routeEntry>[0];
  readonly request: (index: number) => { host: string; path: string };
}

const SHAPES: readonly Shape[] = [
  {
    name: 'one prefix each, no host',
    route: (i) => ({ paths: [`/service-${i}/v1`] }),
    request: (i) => ({ host: 'api.example.com', path: `/service-${i}/v1/users/42` }),
  },
  {
    name: 'one host each',
    route: (i) => ({ hosts: [`h${i}.example.com`], paths: ['/'] }),
    request: (i) => ({ host: `h${i}.example.com`, path: '/users/42' }),
  },
  {
    name: 'one regex each, no host',
    route: (i) => ({ paths: [`~/service-${i}/(?<id>\\d+)$`] }),
    request: (i) => ({ host: 'api.example.com', path: `/service-${i}/42` }),
  },
  {
    name: 'no match',
    route: (i) => ({ hosts: [`h${i}.example.com`, `*.w${i}.example`], paths: [`/service-${i}`] }),
    request: () => ({ host: 'www.other.example.org', path: '/nothing/here' }),
  },
];

for (const shape of SHAPES) {
  for (const count of [10, 1_000, 10_000]) {
    const startedAt = performance.now();
    const random = new Seeded(1);
    const entries = Array.from({ length: count }, (_, i) => routeEntry(shape.route(i), random));
    const { router } = buildRouter(entries);
    const buildMs = performance.now() - startedAt;
    const requests: RequestFacts[] = Array.from({ length: 1_000 }, () => ({
      method: 'GET',
      ...shape.request(random.below(count)),
      scheme: 'http',
      query: null,
      sourceAddress: '192.0.2.1',
      sourcePort: 50_000,
      address: '192.0.2.2',
      port: 8000,
      headers: HEADERS,
      sni: null,
    }));
    let matched = 0;
    const run = (times: number): void => {
      for (let i = 0; i < times; i += 1) {
        const facts = requests[i % requests.length];
        if (facts !== undefined && router.match(facts) !== null) matched += 1;
      }
    };
    run(MATCHES / 10);
    const beganAt = performance.now();
    run(MATCHES);
    const ns = ((performance.now() - beganAt) * 1e6) / MATCHES;
    console.log(
      `${shape.name.padEnd(26)} ${String(count).padStart(6)} routes: ${ns.toFixed(0).padStart(5)} ns` +
        `, built in ${buildMs.toFixed(0)} ms, ${matched > 0 ? 'hits' : 'misses'}`,
    );
  }
}
