/** Complete routes for tests, from the fields that matter to them. */
import type { Route } from '../entities/route.ts';
import type { RouteEntry } from './router.ts';
import type { Seeded } from './seeded.suite.ts';

const PLAIN: Route = {
  id: '00000000-0000-4000-8000-000000000000',
  created_at: 0,
  updated_at: 0,
  name: null,
  protocols: ['http', 'https'],
  methods: null,
  hosts: null,
  paths: null,
  headers: null,
  https_redirect_status_code: 426,
  regex_priority: 0,
  strip_path: true,
  path_handling: 'v0',
  preserve_host: false,
  request_buffering: true,
  response_buffering: true,
  snis: null,
  sources: null,
  destinations: null,
  tags: null,
  service: null,
};

/** A route of a workspace; its id comes from the fields, or from `random`, or is all zeros. */
export function routeEntry(fields: Partial<Route>, random?: Seeded): RouteEntry {
  const id = random === undefined ? PLAIN.id : random.uuid();
  return { ws: 'default', route: { ...PLAIN, id, ...fields } };
}
