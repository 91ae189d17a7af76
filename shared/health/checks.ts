/** An Upstream's health checks, compiled: what counts as what, and how many of it. */
import type { CounterName } from './health.ts';

/** What a request or a probe came to. */
export type CheckOutcome =
  | { readonly type: 'status'; readonly status: number }
  /** No answer in time. */
  | { readonly type: 'timeout' }
  /** No connection, or one that broke, or an answer that was none. */
  | { readonly type: 'tcp_failure' }
  /** A probe that needs no answer (tcp) was taken. */
  | { readonly type: 'success' };

/** One side of the checks: passive or active. */
export interface CheckRules {
  readonly healthyStatuses: ReadonlySet<number>;
  readonly unhealthyStatuses: ReadonlySet<number>;
  /** How many it takes; 0: not counted. */
  readonly limits: Readonly<Record<CounterName, number>>;
}

export interface HealthChecks {
  /** False: every address counts as available, whatever was seen of it. */
  readonly isOn: boolean;
  /** The available share of the weight, in percent, must be greater than this. */
  readonly threshold: number;
  readonly passive: CheckRules;
  readonly active: CheckRules;
  /** Data planes are to ask by themselves how the targets are. */
  readonly isActiveOn: boolean;
  /** Any passive outcome is counted: without, requests have nothing to report. */
  readonly isPassiveOn: boolean;
}

/** What of an Upstream the counting depends on. */
export interface CheckedFields {
  readonly healthchecks: {
    readonly threshold: number | null;
    readonly passive: RuleFields;
    readonly active: RuleFields & {
      readonly healthy: { readonly interval: number | null };
      readonly unhealthy: { readonly interval: number | null };
    };
  };
}

/** Source: Kong `runloop/balancer/healthcheckers.lua`, is_upstream_using_healthcheck */
export function compileChecks(upstream: CheckedFields): HealthChecks {
  const { active, passive, threshold } = upstream.healthchecks;
  const isActiveOn = isSet(active.healthy.interval) || isSet(active.unhealthy.interval);
  const { tcp_failures, timeouts, http_failures } = passive.unhealthy;
  const canEject = isSet(tcp_failures) || isSet(timeouts) || isSet(http_failures);
  const isOn = isActiveOn || canEject;
  return {
    isOn,
    threshold: threshold ?? 0,
    passive: rulesOf(passive),
    active: rulesOf(active),
    isActiveOn,
    isPassiveOn: isOn && (canEject || isSet(passive.healthy.successes)),
  };
}

/** Which counter an outcome belongs to; null: it says nothing. */
export function counterOf(outcome: CheckOutcome, rules: CheckRules): CounterName | null {
  if (outcome.type !== 'status') return outcome.type;
  if (rules.healthyStatuses.has(outcome.status)) return 'success';
  // 0 is what a probe reports that got an answer without a status.
  if (outcome.status === 0 || rules.unhealthyStatuses.has(outcome.status)) return 'http_failure';
  return null;
}

interface RuleFields {
  readonly healthy: {
    readonly successes: number | null;
    readonly http_statuses: readonly number[] | null;
  };
  readonly unhealthy: {
    readonly http_statuses: readonly number[] | null;
    readonly http_failures: number | null;
    readonly tcp_failures: number | null;
    readonly timeouts: number | null;
  };
}

function rulesOf({ healthy, unhealthy }: RuleFields): CheckRules {
  return {
    healthyStatuses: new Set(healthy.http_statuses ?? []),
    unhealthyStatuses: new Set(unhealthy.http_statuses ?? []),
    limits: {
      success: healthy.successes ?? 0,
      http_failure: unhealthy.http_failures ?? 0,
      tcp_failure: unhealthy.tcp_failures ?? 0,
      timeout: unhealthy.timeouts ?? 0,
    },
  };
}

function isSet(value: number | null): boolean {
  return value !== null && value !== 0;
}
