import { describe, expect, it } from 'vitest';
import { randomConnection, randomRequest, randomRoute } from './random-routes.suite.ts';
import { referenceOrder, referenceStreamOrder } from './reference.suite.ts';
import { buildRouter, Router } from './router.ts';
import type { RouteEntry } from './router.ts';
import { SEED, Seeded } from './seeded.suite.ts';

const ROUNDS = 120;

describe.each(['traditional_compatible', 'traditional', 'expressions'] as const)(
  'over random histories of routes, the router of the flavor %s',
  (flavor) => {
    it('decides as the plain reading of the rules does, and ranks what comes next', () => {
      const random = new Seeded(SEED);
      let router = Router.empty(flavor);
      let entries: RouteEntry[] = [];
      let matched = 0;
      for (let round = 0; round < ROUNDS; round += 1) {
        const removed = entries.filter(() => random.chance(0.2));
        const added = Array.from({ length: random.below(12) }, () => randomRoute(random, flavor));
        entries = [...entries.filter((entry) => !removed.includes(entry)), ...added];
        const build = router.update(removed, added);
        router = build.router;
        expect(build.failures).toEqual([]);
        for (let i = 0; i < 25; i += 1) {
          const where = `seed ${SEED}, round ${round}, request ${i}`;
          const request = randomRequest(random);
          const expected = referenceOrder(entries, request, flavor);
          const match = router.match(request);
          expect(match?.entry.route.id, where).toBe(expected[0]?.id);
          const explained = router.explain(request, entries.length + 1).matches;
          const order = explained.map(({ match: { entry, matchedPath } }) => ({
            id: entry.route.id,
            matchedPath,
          }));
          expect(order, where).toEqual(expected);
          expect(explained[0]?.match ?? null, where).toEqual(match);
          const connection = randomConnection(random);
          const streams = referenceStreamOrder(entries, connection, flavor);
          expect(router.matchStream(connection)?.route.id, where).toBe(streams[0]);
          const ids = router
            .explainStream(connection, entries.length + 1)
            .matches.map(({ match: { entry } }) => entry.route.id);
          expect(ids, where).toEqual(streams);
          if (match !== null) matched += 1;
        }
      }
      expect(matched).toBeGreaterThan(ROUNDS * 10);
    });

    it('says the same as one that is built from what is left', () => {
      const random = new Seeded(SEED + 1);
      let router = Router.empty(flavor);
      let entries: RouteEntry[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        const removed = entries.filter(() => random.chance(0.3));
        const added = Array.from({ length: random.below(8) }, () => randomRoute(random, flavor));
        entries = [...entries.filter((entry) => !removed.includes(entry)), ...added];
        router = router.update(removed, added).router;
        const fresh = buildRouter(entries, flavor).router;
        for (let i = 0; i < 5; i += 1) {
          const where = `seed ${SEED}, round ${round}, request ${i}`;
          const request = randomRequest(random);
          expect(router.explain(request, 5), where).toEqual(fresh.explain(request, 5));
          const connection = randomConnection(random);
          expect(router.explainStream(connection, 5), where).toEqual(
            fresh.explainStream(connection, 5),
          );
        }
      }
    });
  },
);
