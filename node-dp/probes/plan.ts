/** What of an Upstream says how its targets are probed. */
import type { Upstream } from '#shared/entities/upstream.ts';

export type ProbeType = 'http' | 'https' | 'grpc' | 'grpcs' | 'tcp';

export interface ProbePlan {
  readonly type: ProbeType;
  readonly timeoutMs: number;
  /** Addresses probed at a time. */
  readonly concurrency: number;
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Null: the target's host. */
  readonly host: string | null;
  /** Of `https` and `grpcs`. Null: the host. */
  readonly serverName: string | null;
  readonly verify: boolean;
  /** Id of the certificate that is shown; null for none. */
  readonly clientCertificate: string | null;
  /** From round to round over those that are healthy; null: they are not probed. */
  readonly healthyMs: number | null;
  readonly unhealthyMs: number | null;
}

/** A timeout of 0 is Kong's default of a second: without one, nothing would ever fail. */
const TIMEOUT_MS_DEFAULT = 1000;
/** Shorter ones are that long. Source: lua-resty-healthcheck, CHECK_INTERVAL */
export const INTERVAL_MS_MIN = 100;

/** Null: nothing is probed. */
export function planOf(upstream: Upstream): ProbePlan | null {
  const { active } = upstream.healthchecks;
  const healthyMs = intervalMs(active.healthy.interval);
  const unhealthyMs = intervalMs(active.unhealthy.interval);
  if (healthyMs === null && unhealthyMs === null) return null;
  return {
    type: active.type ?? 'http',
    timeoutMs: (active.timeout ?? 0) * 1000 || TIMEOUT_MS_DEFAULT,
    concurrency: active.concurrency ?? 10,
    path: active.http_path ?? '/',
    headers: headersOf(active.headers ?? {}),
    host: upstream.host_header ?? null,
    serverName: active.https_sni ?? null,
    verify: active.https_verify_certificate,
    clientCertificate: upstream.client_certificate?.id ?? null,
    healthyMs,
    unhealthyMs,
  };
}

/** Whether going over from one to the other changes anything. */
export function isSamePlan(a: ProbePlan, b: ProbePlan): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function intervalMs(seconds: number | null): number | null {
  return seconds === null || seconds === 0 ? null : Math.max(seconds * 1000, INTERVAL_MS_MIN);
}

/** What would break the head of a request is left out: nobody checks it when it is written. */
function headersOf(
  headers: Readonly<Record<string, readonly string[]>>,
): (readonly [string, string])[] {
  return Object.entries(headers).flatMap(([name, values]) =>
    values
      .filter((value) => /^[\t\x20-\x7e\x80-\xff]*$/.test(value))
      .map((value) => [name, value] as const),
  );
}
