import { describe, expect, it } from 'vitest';
import { type PluginInstance, type PluginPlan, resolveStep } from './plugin-plan.ts';
import { PluginScopes } from './plugin-scopes.ts';

const WS = 'w';

type Scope = Partial<Pick<PluginInstance, 'route' | 'service' | 'consumer'>>;

function instance(
  id: string,
  scope: Scope = {},
  more: Partial<PluginInstance> = {},
): PluginInstance {
  return {
    id,
    ws: WS,
    name: 'test',
    priority: 1,
    state: 'ready',
    fault: null,
    handler: { access: () => {} },
    prepared: null,
    route: null,
    service: null,
    consumer: null,
    ...scope,
    ...more,
  };
}

/** From most to least specific; each is called by its initials. */
const LEVELS: readonly PluginInstance[] = [
  instance('rsc', { route: 'r', service: 's', consumer: 'c' }),
  instance('rc', { route: 'r', consumer: 'c' }),
  instance('sc', { service: 's', consumer: 'c' }),
  instance('rs', { route: 'r', service: 's' }),
  instance('c', { consumer: 'c' }),
  instance('r', { route: 'r' }),
  instance('s', { service: 's' }),
  instance('g'),
];

function planOf(
  instances: readonly PluginInstance[],
  route: string | null = null,
  service: string | null = null,
): PluginPlan {
  return PluginScopes.EMPTY.with([], instances).plan(WS, route, service);
}

function chosen(
  instances: readonly PluginInstance[],
  request: { route: string | null; service: string | null; consumer: string | null },
): string | null {
  const plan = planOf(instances, request.route, request.service);
  const [step] = plan.steps;
  return step === undefined ? null : (resolveStep(step, request.consumer)?.id ?? null);
}

/** The rule itself, without any index: the first level all of whose parts fit. */
function expected(
  instances: readonly PluginInstance[],
  request: { route: string | null; service: string | null; consumer: string | null },
): string | null {
  for (const level of LEVELS) {
    if (!instances.includes(level)) continue;
    const fits =
      (level.route === null || level.route === request.route) &&
      (level.service === null || level.service === request.service) &&
      (level.consumer === null || level.consumer === request.consumer);
    if (fits) return level.id;
  }
  return null;
}

describe('the configuration of a plugin for a request', () => {
  it.each(LEVELS.map((level, i) => [level.id, LEVELS.slice(i)] as const))(
    'is %s when nothing more specific is there',
    (id, instances) => {
      expect(chosen(instances, { route: 'r', service: 's', consumer: 'c' })).toBe(id);
    },
  );

  it('is the most specific that fits, whichever are there and whoever asks', () => {
    let compared = 0;
    for (let mask = 0; mask < 2 ** LEVELS.length; mask++) {
      const instances = LEVELS.filter((_, bit) => (mask & (1 << bit)) !== 0);
      for (const route of ['r', 'other', null]) {
        for (const service of ['s', 'other', null]) {
          for (const consumer of ['c', 'other', null]) {
            const request = { route, service, consumer };
            const why = JSON.stringify({ ids: instances.map(({ id }) => id), request });
            expect(chosen(instances, request), why).toBe(expected(instances, request));
            compared += 1;
          }
        }
      }
    }
    expect(compared).toBe(256 * 27);
  });
});

describe('a plan', () => {
  it('runs by priority, then by name, both downward', () => {
    const plan = planOf([
      instance('1', {}, { name: 'a', priority: 5 }),
      instance('2', {}, { name: 'c', priority: 5 }),
      instance('3', {}, { name: 'b', priority: 9 }),
    ]);
    expect(plan.steps.map(({ name }) => name)).toEqual(['b', 'c', 'a']);
  });

  it('is shared by routes that no row tells apart', () => {
    const scopes = PluginScopes.EMPTY.with([], [instance('r', { route: 'r' }), instance('g')]);
    expect(scopes.plan(WS, 'x', 'y')).toBe(scopes.plan(WS, 'z', null));
    expect(scopes.plan(WS, 'r', 'y')).not.toBe(scopes.plan(WS, 'z', 'y'));
  });

  it('knows in which phases there is something to do', () => {
    const handler = { headerFilter: () => {}, log: () => {} };
    const plan = planOf([instance('g', {}, { handler })]);
    const lengths = [plan.rewrite, plan.access, plan.headerFilter, plan.bodyFilter, plan.log];
    expect(lengths.map((steps) => steps.length)).toEqual([0, 0, 1, 0, 1]);
  });

  it('gives a closed plugin its turn even where it has no code', () => {
    const plan = planOf([instance('g', {}, { handler: {}, state: 'closed' })]);
    expect(plan.access).toHaveLength(1);
  });
});
