/** Which plugins would run for a request, in which phases and order, by which configuration. */
import type { JsonObject } from '../schema/field.ts';
import {
  type PlanStep,
  type PluginInstance,
  type PluginPlan,
  resolveStep,
} from '../tables/plugin-plan.ts';
import type { Tables, WorkspaceTable } from '../tables/tables.ts';
import type { Exchange } from './request-context.ts';

/** Phases by the name they have in a plugin's definition. */
const PHASES = [
  ['access', 'access'],
  ['headerFilter', 'header_filter'],
  ['bodyFilter', 'body_filter'],
  ['log', 'log'],
] as const;

/** @param hasAccess  false: the request ends before its route's plugins get their turn */
export function explainPlugins(
  ctx: Exchange,
  consumer: string | null,
  hasAccess: boolean,
): JsonObject {
  const { governing } = ctx;
  const named = consumer === null ? null : findConsumer(governing, consumer);
  const plan = ctx.routed !== null && hasAccess ? ctx.routed.plan : (governing?.globalPlan ?? null);
  const early = ctx.tables?.fallback?.globalPlan.rewrite ?? [];
  const view = (step: PlanStep, phases: readonly string[]): JsonObject | null =>
    stepView(step, phases, named);
  return {
    workspace: governing?.id ?? null,
    consumer: named,
    // Before the route is known those of the workspace called default run.
    before_routing: early.map((step) => view(step, ['rewrite'])).filter((step) => step !== null),
    steps: (plan?.steps ?? [])
      .map((step) => view(step, phasesOf(step, plan, hasAccess)))
      .filter((step) => step !== null),
  };
}

/** A plugin that cannot be built ends every request before its route is known. */
export function isClosedEarly({ fallback }: Tables): boolean {
  return fallback?.globalPlan.rewrite.some((step) => step.base?.state === 'closed') === true;
}

/** The first step that ends the request because its plugin cannot be built; null: none does. */
export function closingStep(ctx: Exchange, consumer: string | null): PlanStep | null {
  const id = consumer === null ? null : findConsumer(ctx.governing, consumer);
  const isClosed = (step: PlanStep): boolean => resolveStep(step, id)?.state === 'closed';
  return ctx.routed?.plan.access.find(isClosed) ?? null;
}

/** The id. */
function findConsumer(workspace: WorkspaceTable | null, idOrName: string): string | null {
  const fields = workspace?.index.get('consumers');
  for (const field of ['id', 'username']) {
    const found = fields?.get(field)?.byValue.get(idOrName);
    if (found !== undefined) return found.id;
  }
  return null;
}

function phasesOf(step: PlanStep, plan: PluginPlan | null, hasAccess: boolean): string[] {
  return PHASES.filter(
    ([list, phase]) => (hasAccess || phase !== 'access') && plan?.[list].includes(step) === true,
  ).map(([, phase]) => phase);
}

/** Null: nothing of it applies. */
function stepView(
  step: PlanStep,
  phases: readonly string[],
  consumer: string | null,
): JsonObject | null {
  const instance = resolveStep(step, null);
  const own = consumer === null ? instance : resolveStep(step, consumer);
  if (instance === null && own === null) return null;
  return {
    name: step.name,
    priority: step.priority,
    phases: [...phases],
    configuration: instanceView(instance),
    // From the moment that authentication has told who it is.
    for_consumer: own === instance ? null : instanceView(own),
  };
}

function instanceView(instance: PluginInstance | null): JsonObject | null {
  if (instance === null) return null;
  const { id, state, fault, route, service, consumer } = instance;
  return { id, state, fault, scope: { route, service, consumer } };
}
