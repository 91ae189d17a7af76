/**
 * The paths of the Admin API against those of Kong Gateway 3.9 (`endpoints.json`: path → methods,
 * HEAD and OPTIONS left out, which every path answers).
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
import { adminEndpoints } from '../../../cp/admin/app.ts';
import { displayPath } from '../../../cp/admin/context.ts';

const KONGS = new Map<string, readonly string[]>(
  Object.entries(
    JSON.parse(readFileSync(new URL('endpoints.json', import.meta.url), 'utf8')) as Record<
      string,
      readonly string[]
    >,
  ),
);

const DISABLED = 'turned off in Kong as well: 404 for every method';
const AT_DATA_PLANES = 'what it shows is made by data planes, and stays there';

/** What Kong has and we have not, and why. */
const ABSENT: Readonly<Record<string, string>> = {
  '/targets': DISABLED,
  '/targets/{targets}': DISABLED,
  '/targets/{targets}/upstream': DISABLED,
  '/snis/{snis}/certificate': DISABLED,
  '/debug/cluster/log-level/{log_level}': 'of roles other than control_plane',
  '/metrics': AT_DATA_PLANES,
  '/acme': AT_DATA_PLANES,
  '/acme/certificates': AT_DATA_PLANES,
  '/acme/certificates/{certificates}': AT_DATA_PLANES,
  '/proxy-cache': AT_DATA_PLANES,
  '/proxy-cache/{cache_key}': AT_DATA_PLANES,
  '/proxy-cache/{plugin_id}/caches/{cache_key}': AT_DATA_PLANES,
};

/** Parameters have their place, whatever they are called. */
function shape(path: string): string {
  return path.replaceAll(/\{[^}]*\}/g, '{}');
}

const ours = new Map<string, ReadonlySet<string>>();
for (const endpoint of adminEndpoints(REGISTRY.entities)) {
  const path = shape(displayPath(endpoint));
  // Of two that match, the first one answers.
  if (!ours.has(path)) ours.set(path, new Set(Object.keys(endpoint.methods)));
}

describe('the paths of Kong', () => {
  it('are all known', () => {
    expect(KONGS.size).toBe(142);
  });

  it.each([...KONGS].filter(([path]) => !Object.hasOwn(ABSENT, path)))(
    'include %s %s, as here',
    (path, methods) => {
      expect([...(ours.get(shape(path)) ?? [])]).toEqual(expect.arrayContaining([...methods]));
    },
  );

  it('are absent here only as listed', () => {
    for (const path of Object.keys(ABSENT)) {
      expect(KONGS.has(path), `${path} is Kong's`).toBe(true);
      expect(ours.has(shape(path)), `${path} is here after all`).toBe(false);
    }
  });
});
