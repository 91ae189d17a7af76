/**
 * Spellings of protected paths, by real clients to real upstreams: what the platform makes of a path
 * before and after the core does must not open a way around a guard either.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AdminClient } from '../support/admin-client.ts';
import { answers, type Cluster } from '../support/cluster.ts';
import { type Echo, type EchoReport, startEcho } from '../support/echo.ts';
import { send } from '../support/http-client.ts';
import { spellings, STYLES } from '../support/path-spellings.ts';

export interface ConfusedProxy {
  readonly cluster: Cluster;
  readonly url: string;
}

const AT_ONCE = 24;
const GUARDED = /^\/*(?:api\/)?admin(?:\/|$)/;
const TIMEOUT_MS = 300_000;

export function pathConfusionSuite(name: string, start: () => Promise<ConfusedProxy>): void {
  let proxy: ConfusedProxy;
  let echo: Echo;
  beforeAll(async () => {
    proxy = await start();
    echo = await startEcho('one');
    await createGuards(proxy.cluster.admin, echo.address);
    await answers(proxy.url, '/canary', 200);
  });
  afterAll(async () => {
    await proxy?.cluster.close();
    await echo?.close();
  });

  describe(`protected paths on ${name}`, () => {
    it(
      'are not reached by any spelling, whatever the upstream reads',
      async () => {
        const targets = [...new Set(spellings())];
        const statuses = new Map<number, number>();
        const found: string[] = [];
        const rest = targets.values();
        const client = async (): Promise<void> => {
          for (const target of rest) {
            const answer = await send(proxy.url, target);
            statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
            if (answer.status !== 200) continue;
            const { url } = answer.json() as EchoReport;
            for (const style of stylesThatReach(url)) found.push(`${target} as ${url}: ${style}`);
          }
        };
        await Promise.all(Array.from({ length: AT_ONCE }, client));

        expect(found).toEqual([]);
        expect(targets.length).toBeGreaterThan(5000);
        // Those that are nobody else's path get through, and the guard is asked for a key.
        expect(statuses.get(200)).toBeGreaterThan(500);
        expect(statuses.get(401)).toBeGreaterThan(500);
        expect([...statuses.keys()].toSorted()).toEqual([200, 400, 401]);
      },
      TIMEOUT_MS,
    );
  });
}

/** Upstreams by whose reading a guarded path is asked for. */
function stylesThatReach(url: string): string[] {
  const path = url.split('?', 1)[0] ?? '';
  const reached = Object.entries(STYLES).filter(([, read]) => GUARDED.test(read(path)));
  return reached.map(([style]) => style);
}

async function createGuards(admin: AdminClient, upstream: string): Promise<void> {
  await admin.post('/services', { name: 'echo', url: `http://${upstream}` });
  const route = (name: string, path: string) =>
    admin.post('/services/echo/routes', { name, paths: [path], strip_path: false });
  await route('everything', '/');
  for (const [name, path] of [
    ['admin', '/admin'],
    ['api-admin', '/api/admin'],
  ] as const) {
    await route(name, path);
    await admin.post(`/routes/${name}/plugins`, { name: 'key-auth' });
  }
  await route('canary', '/canary');
}
