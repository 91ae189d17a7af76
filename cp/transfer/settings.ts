/** The members of a document that begin with `_`: what they mean for its entities. */
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import { type DocumentSettings, isObject, type SourceDocument, textOf } from './document.ts';

/** Kong's, and those that decK wrote before. */
const FORMAT_VERSIONS = ['0.1', '1.1', '2.1', '3.0'];

/** decK's singular names of what `_info.defaults` speaks of. */
const DEFAULTS_OF: ReadonlyMap<string, string> = new Map([
  ['service', 'services'],
  ['route', 'routes'],
  ['upstream', 'upstreams'],
  ['target', 'targets'],
]);

/** Known and without meaning here. */
const IGNORED = new Set(['_comment', '_ignore', '_konnect']);

const KNOWN_INFO = new Set([
  'select_tags',
  'defaults',
  'skip_hash_for_basic_auth',
  'default_lookup_tags',
  'consumer_group_policy_overrides',
  'include_plugin_definitions',
]);

/** A source that cannot be read at all. The message is for a person. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
}

/** @throws SourceError  it is no declarative configuration, or says something not understood */
export function settingsOf(document: SourceDocument): DocumentSettings {
  const { content, label, isLive } = document;
  const info = objectAt(content, '_info', label);
  for (const key of Object.keys(content)) {
    if (key.startsWith('_') && !IGNORED.has(key) && !READ.has(key)) {
      throw new SourceError(`${label}: ${key} is not known`);
    }
  }
  for (const key of Object.keys(info)) {
    if (!KNOWN_INFO.has(key)) throw new SourceError(`${label}: _info.${key} is not known`);
  }
  const version = formatVersion(content, label);
  return {
    label,
    isLive,
    hasOldPaths: version !== '3.0',
    passwords: passwordsOf(content, info, label),
    selectTags: stringsAt(info, 'select_tags', label),
    defaults: defaultsOf(info, label),
    pluginConfigs: pluginConfigsOf(content, label),
  };
}

const READ = new Set(['_format_version', '_transform', '_info', '_workspace', '_plugin_configs']);

/** The workspace that decK would load a document into; null: it does not say. */
export function workspaceOf({ content, label }: SourceDocument): string | null {
  const value = content['_workspace'] ?? null;
  if (value !== null && typeof value !== 'string') {
    throw new SourceError(`${label}: _workspace must be a string`);
  }
  return textOf(value);
}

function formatVersion(content: JsonObject, label: string): string {
  const value = content['_format_version'];
  const allowed = FORMAT_VERSIONS.map((version) => `"${version}"`).join(', ');
  if (value === undefined) {
    throw new SourceError(
      `${label}: _format_version is missing, so this is no declarative configuration of Kong; ` +
        `allowed: ${allowed}`,
    );
  }
  // Without quotes YAML reads a number.
  const text = typeof value === 'number' ? value.toFixed(1) : value;
  if (typeof text !== 'string' || !FORMAT_VERSIONS.includes(text)) {
    throw new SourceError(
      `${label}: _format_version is ${JSON.stringify(value)}; allowed: ${allowed}`,
    );
  }
  return text;
}

function passwordsOf(
  content: JsonObject,
  info: JsonObject,
  label: string,
): DocumentSettings['passwords'] {
  const transform = booleanAt(content, '_transform', label);
  if (transform !== null) return transform ? 'plain' : 'hashed';
  return booleanAt(info, 'skip_hash_for_basic_auth', label) === true ? 'hashed' : null;
}

function defaultsOf(info: JsonObject, label: string): ReadonlyMap<string, JsonObject> {
  const given = Object.entries(objectAt(info, 'defaults', label));
  return new Map(
    given.map(([name, value]): [string, JsonObject] => {
      const kind = DEFAULTS_OF.get(name);
      if (kind === undefined)
        throw new SourceError(`${label}: _info.defaults.${name} is not known`);
      if (!isObject(value)) throw new SourceError(`${label}: _info.defaults.${name} must be a map`);
      return [kind, value];
    }),
  );
}

function pluginConfigsOf(content: JsonObject, label: string): ReadonlyMap<string, JsonObject> {
  return new Map(
    Object.entries(objectAt(content, '_plugin_configs', label)).map(([name, value]) => {
      if (!isObject(value))
        throw new SourceError(`${label}: _plugin_configs.${name} must be a map`);
      return [name, value];
    }),
  );
}

function objectAt(content: JsonObject, key: string, label: string): JsonObject {
  const value: JsonValue = content[key] ?? {};
  if (!isObject(value)) throw new SourceError(`${label}: ${key} must be a map`);
  return value;
}

function booleanAt(content: JsonObject, key: string, label: string): boolean | null {
  const value = content[key] ?? null;
  if (value !== null && typeof value !== 'boolean') {
    throw new SourceError(`${label}: ${key} must be true or false`);
  }
  return value;
}

function stringsAt(content: JsonObject, key: string, label: string): readonly string[] {
  const value = content[key] ?? [];
  if (!Array.isArray(value) || value.some((item: JsonValue) => typeof item !== 'string')) {
    throw new SourceError(`${label}: _info.${key} must be a list of strings`);
  }
  return value.map(String);
}
