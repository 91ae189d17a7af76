/** Runs the steps of a plan, phase by phase. Awaits only when a plugin hands back a promise. */
import { isPromise, type MaybePromise } from '../base/maybe-promise.ts';
import type { BodyFilter } from '../http/body.ts';
import type { GatewayResponse } from '../http/message.ts';
import { type PlanStep, type PluginInstance, resolveStep } from '../tables/plugin-plan.ts';
import type { Exchange } from './request-context.ts';

/** Global plugins, before the route is known. A response ends the request. */
export function runRewrite(ctx: Exchange): MaybePromise<GatewayResponse | null> {
  const { steps, rewrite } = ctx.plan;
  return rewrite.length === 0 ? null : runEarly(ctx, 'rewrite', ctx.resolved ? steps : rewrite, 0);
}

/** A response ends the request. */
export function runAccess(ctx: Exchange): MaybePromise<GatewayResponse | null> {
  const { steps, access } = ctx.plan;
  // Where consumers make a difference every step resolves at its own turn, whatever its phases:
  // what runs before authentication must not see the consumer.
  return runEarly(ctx, 'access', ctx.resolved ? steps : access, 0);
}

/** True: all ran. False: one crashed, and the response must not go out as it is. */
export function runHeaderFilters(ctx: Exchange): MaybePromise<boolean> {
  return runHeaderFiltersFrom(ctx, 0);
}

/** The filters for this response; null when a plugin crashed. */
export function collectBodyFilters(ctx: Exchange): readonly BodyFilter[] | null {
  const steps = ctx.plan.bodyFilter;
  if (steps.length === 0) return NO_FILTERS;
  const filters: BodyFilter[] = [];
  for (const step of steps) {
    const instance = instanceFor(ctx, step);
    if (instance === null || instance.state !== 'ready') continue;
    try {
      const filter = step.handler.bodyFilter?.(ctx, instance.prepared) ?? null;
      if (filter !== null) filters.push(filter);
    } catch (error) {
      report(ctx, step.name, 'body_filter', error);
      return null;
    }
  }
  return filters;
}

/** After the last byte. A crash is logged and stops nothing. */
export async function runLog(ctx: Exchange): Promise<void> {
  for (const step of ctx.plan.log) {
    const instance = instanceFor(ctx, step);
    if (instance === null || instance.state !== 'ready') continue;
    try {
      // One after the other: a plugin may build on what an earlier one left in `shared`.
      await step.handler.log?.(ctx, instance.prepared);
    } catch (error) {
      report(ctx, step.name, 'log', error);
    }
  }
}

const NO_FILTERS: readonly BodyFilter[] = [];

type EarlyPhase = 'rewrite' | 'access';

function runEarly(
  ctx: Exchange,
  phase: EarlyPhase,
  steps: readonly PlanStep[],
  from: number,
): MaybePromise<GatewayResponse | null> {
  for (let i = from; i < steps.length; i++) {
    const outcome = runStep(ctx, phase, steps[i] as PlanStep);
    if (isPromise(outcome)) return resumeEarly(ctx, phase, steps, { after: i, pending: outcome });
    if (outcome !== null) return outcome;
  }
  return null;
}

/** The rest of a phase once one step's promise has settled. Never rejects. */
async function resumeEarly(
  ctx: Exchange,
  phase: EarlyPhase,
  steps: readonly PlanStep[],
  at: { readonly after: number; readonly pending: Promise<GatewayResponse | void> },
): Promise<GatewayResponse | null> {
  let outcome: GatewayResponse | void;
  try {
    outcome = await at.pending;
  } catch (error) {
    return crashed(ctx, steps[at.after]?.name ?? '', phase, error);
  }
  return outcome ?? runEarly(ctx, phase, steps, at.after + 1);
}

function runStep(
  ctx: Exchange,
  phase: EarlyPhase,
  step: PlanStep,
): GatewayResponse | null | Promise<GatewayResponse | void> {
  const instance = instanceFor(ctx, step);
  if (instance === null) return null;
  if (instance.state !== 'ready') {
    return instance.state === 'closed' ? closed(ctx) : null;
  }
  try {
    return step.handler[phase]?.(ctx, instance.prepared) ?? null;
  } catch (error) {
    return crashed(ctx, step.name, phase, error);
  }
}

function runHeaderFiltersFrom(ctx: Exchange, from: number): MaybePromise<boolean> {
  const steps = ctx.plan.headerFilter;
  for (let i = from; i < steps.length; i++) {
    const step = steps[i] as PlanStep;
    const instance = instanceFor(ctx, step);
    if (instance === null || instance.state !== 'ready') continue;
    try {
      const outcome = step.handler.headerFilter?.(ctx, instance.prepared);
      if (outcome !== undefined && isPromise(outcome)) {
        return resumeHeaderFilters(ctx, step.name, outcome, i + 1);
      }
    } catch (error) {
      report(ctx, step.name, 'header_filter', error);
      return false;
    }
  }
  return true;
}

async function resumeHeaderFilters(
  ctx: Exchange,
  name: string,
  pending: Promise<void>,
  next: number,
): Promise<boolean> {
  try {
    await pending;
  } catch (error) {
    report(ctx, name, 'header_filter', error);
    return false;
  }
  return runHeaderFiltersFrom(ctx, next);
}

/** Resolved once per request, at the step's first turn. */
function instanceFor(ctx: Exchange, step: PlanStep): PluginInstance | null {
  const resolved = ctx.resolved;
  if (resolved === null) return step.base;
  const known = resolved[step.index];
  if (known !== undefined) return known;
  const instance = resolveStep(step, ctx.consumer === null ? null : ctx.consumer.id);
  resolved[step.index] = instance;
  return instance;
}

export function closed(ctx: Exchange): GatewayResponse {
  return ctx.error(503, CLOSED_MESSAGE);
}

/** What a client reads where a broken entity keeps its scope closed (decision 22). */
export const CLOSED_MESSAGE = 'no valid configuration for this request';

function crashed(ctx: Exchange, name: string, phase: string, error: unknown): GatewayResponse {
  report(ctx, name, phase, error);
  return ctx.error(500, 'An unexpected error occurred');
}

/** Name and message only: a plugin's error may carry what the request held. */
function report(ctx: Exchange, name: string, phase: string, error: unknown): void {
  ctx.platform.logger.log('error', 'plugin crashed', {
    plugin: name,
    phase,
    request_id: ctx.requestId,
    error: error instanceof Error ? `${error.name}: ${error.message}` : 'not an Error',
  });
}
