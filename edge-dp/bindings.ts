/**
 * What a deployment gives the Worker: two bindings and some settings, checked once per isolate.
 *
 * Settings are Worker variables (`[vars]`) and secrets (`wrangler secret put`), defined like every
 * other program's, so that a wrong value gets the same message.
 */
import { TrustedProxies } from '#shared/http/forwarded.ts';
import { defineFields, type RecordOf } from '#shared/schema/infer.ts';
import { cidrError } from '#shared/settings/common.ts';
import { parseSettings, problemText } from '#shared/settings/settings.ts';
import type { ConfigHub } from './config-hub.ts';
import type { Hub } from './hub-api.ts';

/** The bindings as the runtime hands them over: any of them may be missing or misnamed. */
export interface Env {
  /** KV namespace of this deployment: the configuration as isolates boot from it. */
  readonly HEADGATE_CONFIG: KVNamespace;
  /** Durable Object namespace of the class `ConfigHub`. */
  readonly HEADGATE_HUB: DurableObjectNamespace<ConfigHub>;
  readonly [setting: string]: unknown;
}

function controlPlaneError(url: string): string | null {
  if (/^(wss|https):\/\/[^\s/]+(\/\S*)?$/.test(url)) return null;
  if (/^(ws|http):\/\/(localhost|127\.[\d.]+|\[::1\])(:\d+)?(\/\S*)?$/.test(url)) return null;
  return 'wss:// (or https:// to pull) addresses; ws:// and http:// only for loopback';
}

function prefixError(text: string): string | null {
  return /^\/[A-Za-z0-9._~/-]*[A-Za-z0-9._~-]$/.test(text)
    ? null
    : 'a path that starts with / and does not end with it, such as /_headgate';
}

function deploymentError(text: string): string | null {
  return /^[A-Za-z0-9._-]{1,63}$/.test(text)
    ? null
    : '1 to 63 letters, digits, dots, dashes and underscores';
}

function bootKeyError(text: string): string | null {
  return /^[A-Za-z0-9+/_-]{43}=?$/.test(text) ? null : '32 random bytes in base64';
}

export const EDGE_SETTINGS = defineFields({
  HEADGATE_DEPLOYMENT: {
    type: 'string',
    required: true,
    default: 'default',
    custom_validator: deploymentError,
    description:
      'Name of this deployment: its node identity and its keys in KV. One per environment.',
  },
  HEADGATE_CONTROL_PLANES: {
    type: 'array',
    required: true,
    default: [],
    elements: { type: 'string', custom_validator: controlPlaneError },
    description:
      'Addresses of the control planes, tried in turn. https:// pulls instead of WebSocket.',
  },
  HEADGATE_JOIN_TOKEN: {
    type: 'string',
    encrypted: true,
    description: 'Join token for the first enrolment; not needed once the hub has its identity.',
  },
  HEADGATE_BOOT_KEY: {
    type: 'string',
    encrypted: true,
    custom_validator: bootKeyError,
    description:
      'Encrypts the group secret in KV, so that an isolate starts complete without the hub.',
  },
  HEADGATE_STATUS_PREFIX: {
    type: 'string',
    required: true,
    default: '/_headgate',
    custom_validator: prefixError,
    description: 'Reserved path prefix of /status and /status/ready.',
  },
  HEADGATE_STATUS_TOKEN: {
    type: 'string',
    encrypted: true,
    description: 'Bearer token of /status; without it that address answers 404.',
  },
  HEADGATE_TRUSTED_IPS: {
    type: 'array',
    required: true,
    default: [],
    elements: { type: 'string', custom_validator: cidrError },
    description: 'Peers whose X-Forwarded-* headers are believed. Default: nobody.',
  },
  HEADGATE_ALLOW_DEBUG_HEADER: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Answer a Kong-Debug request header with the route and service in the response.',
  },
  HEADGATE_ALLOW_ODD_TARGETS: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Take request targets that runtimes read differently (backslash, odd escapes).',
  },
  HEADGATE_PROXY_ACCESS_LOG: {
    type: 'string',
    required: true,
    default: 'stdout',
    one_of: ['stdout', 'off'],
    description: 'Whether each request leaves a line in the Worker log.',
  },
  HEADGATE_LOG_LEVEL: {
    type: 'string',
    required: true,
    default: 'info',
    one_of: ['debug', 'info', 'warn', 'error'],
    description: 'Least level that is written to the Worker log, as JSON lines.',
  },
  HEADGATE_MAX_ISOLATE_AGE_SECONDS: {
    type: 'integer',
    required: true,
    default: 60,
    between: [1, 86400],
    description: 'An isolate that has not heard from the hub for longer asks before it answers.',
  },
});

export type EdgeSettings = RecordOf<typeof EDGE_SETTINGS>;

export interface Bindings {
  readonly kv: KVNamespace;
  readonly hub: DurableObjectNamespace<ConfigHub>;
  readonly settings: EdgeSettings;
  readonly trustedIps: TrustedProxies;
}

/** The deployment itself is wrong; the message names binding or setting, and never a secret. */
export class BindingError extends Error {
  override readonly name = 'BindingError';
}

/** @throws BindingError that names every binding and setting that is missing or wrong */
export function parseBindings(env: Env): Bindings {
  const problems: string[] = [];
  if (typeof methodOf(env.HEADGATE_CONFIG, 'get') !== 'function') {
    problems.push('HEADGATE_CONFIG: a KV namespace must be bound under this name');
  }
  if (typeof methodOf(env.HEADGATE_HUB, 'idFromName') !== 'function') {
    problems.push('HEADGATE_HUB: the Durable Object class ConfigHub must be bound under this name');
  }
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith('HEADGATE_')) continue;
    if (typeof value === 'string') texts[name] = value;
    else if (typeof value === 'number') texts[name] = String(value);
    else if (typeof value === 'boolean') texts[name] = value ? 'on' : 'off';
  }
  const parsed = parseSettings(EDGE_SETTINGS, { env: texts, readFile: refuseFile });
  if (!parsed.ok) problems.push(...parsed.problems.map(problemText));
  const trusted = TrustedProxies.parse(parsed.ok ? parsed.value.HEADGATE_TRUSTED_IPS : []);
  if (!trusted.ok) {
    problems.push(`HEADGATE_TRUSTED_IPS: ${JSON.stringify(trusted.item)} is no address or CIDR`);
  }
  if (problems.length > 0 || !parsed.ok || !trusted.ok) throw new BindingError(problems.join('; '));
  return {
    kv: env.HEADGATE_CONFIG,
    hub: env.HEADGATE_HUB,
    settings: parsed.value,
    trustedIps: trusted.value,
  };
}

/** The types say that the bindings are there; only the deployment decides whether they are. */
function methodOf(binding: unknown, name: string): unknown {
  if (typeof binding !== 'object' || binding === null) return undefined;
  return Reflect.get(binding, name);
}

function refuseFile(): string {
  throw new Error('a Worker has no files: put the secret with `wrangler secret put`');
}

/** The one hub of this deployment. */
export function hubOf(bindings: Bindings): Hub {
  const id = bindings.hub.idFromName(bindings.settings.HEADGATE_DEPLOYMENT);
  return bindings.hub.get(id);
}
