/**
 * One probe of one address: over a connection of its own, which is dropped as soon as the outcome is
 * there.
 *
 * Source: lua-resty-healthcheck, run_single_check. There, `grpc` sends HTTP/1.1; here it asks the
 * service's own health check (see `grpc-probe.ts`).
 */
import { connect, isIP, type Socket } from 'node:net';
import type { CheckOutcome } from '#shared/health/checks.ts';
import type { ClientCertificate } from '#shared/platform/platform.ts';
import type { UpstreamTlsContexts } from '../tls/upstream-tls.ts';
import { checkByGrpc } from './grpc-probe.ts';
import { checkByHttp } from './http-probe.ts';
import type { ProbePlan } from './plan.ts';

/** Where to go, and who is meant. */
export interface ProbeTarget {
  /** Name or address of the target, IPv6 without brackets. */
  readonly host: string;
  /** Address to connect to, or a name that the system resolves. */
  readonly ip: string;
  readonly port: number;
}

export interface ProbeTools {
  readonly tls: UpstreamTlsContexts;
  /** What `plan.clientCertificate` is; null: it is not to be had, or there is none. */
  readonly clientCertificate: ClientCertificate | null;
}

export interface RunningProbe {
  /** Null when it was cancelled. Never rejects. */
  readonly outcome: Promise<CheckOutcome | null>;
  cancel(): void;
}

/** How an attempt ends; only the first word counts. */
export type Settle = (outcome: CheckOutcome) => void;

const SUCCESS: CheckOutcome = { type: 'success' };
const TIMEOUT: CheckOutcome = { type: 'timeout' };
export const TCP_FAILURE: CheckOutcome = { type: 'tcp_failure' };

export function startProbe(plan: ProbePlan, target: ProbeTarget, tools: ProbeTools): RunningProbe {
  let cancel = (): void => {};
  const outcome = new Promise<CheckOutcome | null>((resolve) => {
    const socket = tryTo(() => open(plan, target, tools));
    if (socket === null) return resolve(TCP_FAILURE);
    const end = (result: CheckOutcome | null): void => {
      clearTimeout(timer);
      // Its errors are no news any more, but must be heard.
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => end(TIMEOUT), plan.timeoutMs);
    cancel = () => end(null);
    socket.on('error', () => end(TCP_FAILURE));
    socket.once('close', () => end(TCP_FAILURE));
    socket.once(isTls(plan) ? 'secureConnect' : 'connect', () => {
      if (tryTo(() => check(plan, target, socket, end)) === null) end(TCP_FAILURE);
    });
    return undefined;
  });
  return { outcome, cancel: () => cancel() };
}

/** Node throws at certificates and fields that it does not like; null then. */
function tryTo<T>(work: () => T): T | null {
  try {
    return work();
  } catch {
    return null;
  }
}

function check(plan: ProbePlan, target: ProbeTarget, socket: Socket, settle: Settle): void {
  switch (plan.type) {
    case 'tcp':
      return settle(SUCCESS);
    case 'http':
    case 'https':
      return checkByHttp(plan, plan.host ?? bracketed(target.host), socket, settle);
    case 'grpc':
    case 'grpcs':
      return checkByGrpc(
        plan,
        plan.host ?? `${bracketed(target.host)}:${target.port}`,
        socket,
        settle,
      );
  }
}

function open(plan: ProbePlan, target: ProbeTarget, tools: ProbeTools): Socket {
  const { ip, port, host } = target;
  if (!isTls(plan)) return connect({ host: ip, port });
  // Source: lua-resty-healthcheck: https_sni, else the Host header, else the target's name.
  const name = plan.serverName ?? nameIn(plan.host) ?? host;
  return tools.tls.opener({
    address: ip,
    port,
    host,
    tls: {
      // RFC 6066 section 3 allows names only.
      serverName: isIP(name) === 0 ? name : null,
      verify: plan.verify,
      verifyDepth: null,
      ca: null,
      clientCertificate: tools.clientCertificate,
    },
    alpn: [plan.type === 'grpcs' ? 'h2' : 'http/1.1'],
  })();
}

function isTls({ type }: ProbePlan): boolean {
  return type === 'https' || type === 'grpcs';
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** Of `name` or `name:port`. */
function nameIn(host: string | null): string | null {
  return host?.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1') ?? null;
}
