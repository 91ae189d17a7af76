/** Plugins: whether there is one of that name, and Lua code in its configuration. */
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { isObject, type Item, textOf } from './document.ts';
import { missingPluginText, RENAMED_FIELDS } from './kong-names.ts';
import { strings } from './leaves.ts';

const SERVERLESS = new Set(['pre-function', 'post-function']);

/** decK: the name of a configuration in `_plugin_configs`. */
const SHARED_CONFIG = '_config';

/** Where `$(…)` in a value is a template. Source: Kong `kong/plugins/request-transformer/access.lua` */
const WITH_TEMPLATES = new Set(['request-transformer']);

/** Looks up one value: `headers.name`, `headers["x-name"]`, `uri_captures[1]`. */
const LOOK_UP =
  /^\s*(?:headers|query_params|uri_captures|shared|template_environment)(?:\.\w+|\[\s*(?:\d+|"[^"\\]*"|'[^'\\]*')\s*\])+\s*$/;

/** @param allowUnsupported  Lua code may be stored with a plugin that no data plane runs anyway */
export function judgePlugin(item: Item, registry: Registry, allowUnsupported: boolean): void {
  applySharedConfig(item);
  judgeEnterpriseFields(item);
  const name = textOf(item.entity['name']);
  if (name === null) return;
  renameOldFields(item, name);
  const config = item.entity['config'] ?? null;
  const isStored = allowUnsupported && registry.plugins.get(name)?.runtimes.length === 0;
  judgeLua(isStored ? item.notes : item.reasons, name, config);
  if (item.reasons.length === 0 && !registry.plugins.has(name)) {
    item.reasons.push(missingPluginText(name));
  }
}

function renameOldFields(item: Item, plugin: string): void {
  const renamed = RENAMED_FIELDS.get(plugin);
  const { config } = item.entity;
  if (renamed === undefined || !isObject(config)) return;
  const kept = new Map(Object.entries(config));
  for (const [old, name] of renamed) {
    const value = kept.get(old) ?? null;
    kept.delete(old);
    if (value === null) continue;
    const other = kept.get(name) ?? null;
    if (other !== null && JSON.stringify(other) !== JSON.stringify(value)) {
      item.reasons.push(`config.${old} and config.${name}, its new name, say different things`);
    } else {
      item.changes.push(`config.${old} is called config.${name} now`);
      kept.set(name, value);
    }
  }
  item.entity = { ...item.entity, config: Object.fromEntries(kept) };
}

/** What a plugin says itself wins over what it shares, member by member. */
function applySharedConfig(item: Item): void {
  const { [SHARED_CONFIG]: name, ...entity } = item.entity;
  if (name === undefined) return;
  item.entity = entity;
  const shared = typeof name === 'string' ? item.document.pluginConfigs.get(name) : undefined;
  if (shared === undefined) {
    item.reasons.push(`${SHARED_CONFIG}: there is no ${String(name)} in _plugin_configs`);
    return;
  }
  const own = entity['config'];
  item.entity = { ...entity, config: mergeOver(isObject(own) ? own : {}, shared) };
}

export function mergeOver(top: JsonObject, bottom: JsonObject): JsonObject {
  const merged = new Map(Object.entries(bottom));
  for (const [name, value] of Object.entries(top)) {
    const below = merged.get(name);
    merged.set(name, isObject(value) && isObject(below) ? mergeOver(value, below) : value);
  }
  return Object.fromEntries(merged);
}

/** Fields that change what the plugin does, so that it is not taken over without them. */
function judgeEnterpriseFields(item: Item): void {
  const { consumer_group: group, partials, ordering, condition, ...rest } = item.entity;
  const isSet = (value: JsonValue | undefined): boolean => {
    if (value === undefined || value === null || value === '') return false;
    return typeof value !== 'object' || Object.keys(value).length > 0;
  };
  if (isSet(group)) {
    item.reasons.push('consumer_group: there are no consumer groups, so it has no such scope here');
  }
  if (isSet(partials)) item.reasons.push('partials: write what it shares into its own config');
  if (isSet(ordering)) item.reasons.push('ordering: plugins run in the order of their priorities');
  if (isSet(condition))
    item.reasons.push('condition: plugins run for every request in their scope');
  item.entity = rest;
}

function judgeLua(texts: string[], name: string, config: JsonValue): void {
  if (!isObject(config)) return;
  if (SERVERLESS.has(name)) {
    const phases = Object.entries(config).flatMap(([phase, code]) =>
      Array.isArray(code) && code.length > 0 ? [phase] : [],
    );
    const where = phases.length === 0 ? '' : ` in ${phases.join(', ')}`;
    texts.push(`plugin '${name}' is Lua code${where}: no data plane runs Lua`);
    return;
  }
  for (const [field, value] of Object.entries(config)) {
    if (!field.endsWith('_by_lua') || !isObject(value) || Object.keys(value).length === 0) continue;
    const names = Object.keys(value).join(', ');
    texts.push(`config.${field} is Lua code (${names}): no data plane runs Lua`);
  }
  if (!WITH_TEMPLATES.has(name)) return;
  for (const [path, text] of strings(config, 'config')) {
    for (const code of templates(text)) {
      if (LOOK_UP.test(code)) continue;
      texts.push(
        `${path}: $(${code}) is Lua code; a template can only look a value up, as in $(headers.name)`,
      );
    }
  }
}

/** The insides of each `$(…)`, parentheses within counted. */
function templates(text: string): string[] {
  const found: string[] = [];
  let at = text.indexOf('$(');
  while (at !== -1) {
    const end = closing(text, at + 2);
    found.push(text.slice(at + 2, end));
    at = text.indexOf('$(', end);
  }
  return found;
}

function closing(text: string, from: number): number {
  let depth = 1;
  for (let at = from; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === '(') depth += 1;
    else if (char === ')') depth -= 1;
    if (depth === 0) return at;
  }
  return text.length;
}
