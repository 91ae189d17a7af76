/** What Kong tells of one node, as far as a control plane has it: timers, caches, plugins, paths. */
import { AdminError, notFound } from '../errors.ts';
import { displayPath, type AdminResponse, type Endpoint } from '../context.ts';

export function nodeEndpoints(): Endpoint[] {
  return [
    { path: '/timers', area: 'info', methods: { GET: () => ({ status: 200, body: TIMERS }) } },
    {
      path: '/status/dns',
      area: 'info',
      methods: {
        GET: () => {
          const message = 'not implemented with the legacy DNS client';
          throw new AdminError(501, { message });
        },
      },
    },
    {
      path: '/plugins/enabled',
      area: 'info',
      methods: {
        GET: ({ registry }) => ({
          status: 200,
          body: { enabled_plugins: [...registry.plugins.keys()] },
        }),
      },
    },
    // Nothing is cached in front of the database, so nothing can be found or purged here.
    { path: '/cache', area: 'info', methods: { DELETE: () => NOTHING } },
    {
      path: '/cache/:0',
      area: 'info',
      parameters: ['key'],
      methods: { GET: () => Promise.reject(notFound()), DELETE: () => NOTHING },
    },
    {
      path: '/robots.txt',
      area: 'info',
      methods: {
        GET: () => ({
          status: 200,
          body: 'User-agent: *\nDisallow: /\n',
          headers: { 'Content-Type': 'text/plain; charset=utf-8' },
        }),
      },
    },
  ];
}

const NOTHING: AdminResponse = { status: 204, body: null };

const TIMERS = {
  worker: { id: 0, count: 1 },
  stats: {
    flamegraph: {},
    sys: { total: 0, runs: 0, running: 0, pending: 0, waiting: 0 },
    timers: {},
  },
};

/** `/endpoints`: all the others, segment by segment in order. */
export function endpointsEndpoint(others: readonly Endpoint[]): Endpoint {
  const paths = [...new Set([...others.map(displayPath), '/endpoints'])];
  const data = paths
    .map((path) => path.split('/'))
    .toSorted(bySegments)
    .map((segments) => segments.join('/'));
  return {
    path: '/endpoints',
    area: 'info',
    methods: { GET: () => ({ status: 200, body: { data } }) },
  };
}

function bySegments(a: readonly string[], b: readonly string[]): number {
  for (const [index, segment] of a.entries()) {
    const other = b[index];
    if (other === undefined) return 1;
    if (segment !== other) return segment < other ? -1 : 1;
  }
  return a.length - b.length;
}
