/**
 * What a deployment gives the Worker: two bindings and some settings, checked once per isolate.
 *
 * Settings are Worker variables (`[vars]`) and secrets (`wrangler secret put`), defined like every
 * other program's, so that a wrong value gets the same message.
 */
import type { ProxySettings } from '#shared/proxy/gateway.ts';
import { proxySettings } from '#shared/proxy/settings.ts';
import { EDGE_SETTINGS, type EdgeSettings } from '#shared/settings/edge.ts';
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

export interface Bindings {
  readonly kv: KVNamespace;
  readonly hub: DurableObjectNamespace<ConfigHub>;
  readonly settings: EdgeSettings;
  readonly proxy: ProxySettings;
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
  const proxy = parsed.ok ? proxySettings(parsed.value) : null;
  if (proxy?.ok === false) {
    problems.push(`HEADGATE_TRUSTED_IPS: ${JSON.stringify(proxy.item)} is no address or CIDR`);
  }
  if (problems.length > 0 || !parsed.ok || proxy?.ok !== true) {
    throw new BindingError(problems.join('; '));
  }
  return {
    kv: env.HEADGATE_CONFIG,
    hub: env.HEADGATE_HUB,
    settings: parsed.value,
    proxy: proxy.value,
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
