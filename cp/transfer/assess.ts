/**
 * From what Kong has to what Headgate can take over: a verdict per entity, and the configuration to
 * load. Pure: time and randomness come in.
 */
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { processInsert, type ProcessDeps } from '#shared/schema/process.ts';
import { type Violations, violationMessage } from '#shared/schema/violations.ts';
import { rulesOf } from '../rules/rules.ts';
import { judgeBasicAuth, judgeLifetime, judgeOauth2 } from './credentials.ts';
import { isObject, type Item, type SourceDocument, textOf, type Verdict } from './document.ts';
import { emit } from './emit.ts';
import { modernize } from './fields.ts';
import { flatten } from './flatten.ts';
import { missingKindText } from './kong-names.ts';
import { judgeRoute } from './paths.ts';
import { judgePlugin, mergeOver } from './plugins.ts';
import { nameOf, propagate, resolveReferences } from './references.ts';
import { judgeReferences, judgeVault } from './vaults.ts';

export interface AssessDeps extends ProcessDeps {
  readonly registry: Registry;
  /** The control plane stores what no data plane can run yet. */
  readonly allowUnsupported: boolean;
}

export interface Assessment {
  /** In Kong's declarative format 3.0: all that is possible, flat. */
  readonly document: JsonObject;
  /** In the order of the source. */
  readonly verdicts: readonly Verdict[];
}

/** @throws SourceError  a document is no declarative configuration */
export async function assess(
  documents: readonly SourceDocument[],
  deps: AssessDeps,
): Promise<Assessment> {
  const items = flatten(documents, deps.registry);
  for (const item of items) addFromDocument(item);
  resolveReferences(items);
  const vaults = vaultsOf(items);
  const hashed = new Set<Item>();
  for (const item of items) {
    if (judge(item, vaults, deps)) hashed.add(item);
  }
  propagate(items);
  const possible = items.filter((item) => item.reasons.length === 0);
  return {
    document: await emit(possible, hashed, deps.registry),
    verdicts: items.map(verdictOf),
  };
}

/** What decK adds to each entity when it loads the file. */
function addFromDocument(item: Item): void {
  if (item.definition === null) return;
  const defaults = item.document.defaults.get(item.kind);
  if (defaults !== undefined) item.entity = mergeOver(item.entity, defaults);
  const { selectTags } = item.document;
  if (selectTags.length === 0 || !Object.hasOwn(item.definition.fields, 'tags')) return;
  const own = item.entity['tags'];
  const tags: readonly JsonValue[] = Array.isArray(own) ? own : [];
  item.entity = { ...item.entity, tags: [...new Set([...tags, ...selectTags])] };
}

function vaultsOf(items: readonly Item[]): ReadonlyMap<string, Item> {
  const vaults = items.filter((item) => item.kind === 'vaults');
  return new Map(vaults.map((item) => [textOf(item.entity['prefix']) ?? '', item]));
}

/** Whether its password or secret stays the hash that it is. */
function judge(item: Item, vaults: ReadonlyMap<string, Item>, deps: AssessDeps): boolean {
  if (item.definition === null) {
    item.reasons.push(missingKindText(item.kind));
    return false;
  }
  const { registry } = deps;
  if (item.kind === 'routes') judgeRoute(item);
  if (item.kind === 'plugins') judgePlugin(item, registry, deps.allowUnsupported);
  if (item.kind === 'vaults') judgeVault(item);
  judgeReferences(item, vaults);
  judgeLifetime(item);
  const isHashed =
    (item.kind === 'basicauth_credentials' && judgeBasicAuth(item)) ||
    (item.kind === 'oauth2_credentials' && judgeOauth2(item));
  // What follows would only say the same again, less clearly.
  if (item.reasons.length > 0) return isHashed;
  modernize(item, registry);
  if (item.reasons.length === 0) validate(item, deps);
  return isHashed;
}

/** Where an id is asked for and none is known yet. */
const SOME_ID = '00000000-0000-4000-8000-000000000000';

function validate(item: Item, deps: AssessDeps): void {
  const { definition, kind, parents } = item;
  if (definition === null) return;
  const foreign = [...parents.keys()].map((field) => [field, { id: SOME_ID }] as const);
  const input: JsonObject = { ...item.entity, ...Object.fromEntries(foreign) };
  const processed = processInsert(definition, input, deps.registry, deps);
  if (!processed.ok) {
    item.reasons.push(...textsOf(processed.violations));
    return;
  }
  const { check } = rulesOf(kind);
  const context = { ws: SOME_ID, registry: deps.registry, reserved: new Set<string>() };
  const violations = check?.(processed.entity, { ...context, allowUnsupported: false }) ?? null;
  if (violations === null) return;
  const remaining = deps.allowUnsupported
    ? (check?.(processed.entity, { ...context, allowUnsupported: true }) ?? null)
    : violations;
  if (remaining !== null) item.reasons.push(...textsOf(remaining));
  else
    item.notes.push('no data plane can run it yet: it is stored, and what it protects stays shut');
}

/** One text per field that is wrong. */
function textsOf(violations: Violations): readonly string[] {
  const message = violationMessage(violations);
  const [, inner] = /^schema violation \((.*)\)$/s.exec(message) ?? [];
  if (inner !== undefined) return [inner];
  const [, list = message] = /^\d+ schema violations \((.*)\)$/s.exec(message) ?? [];
  return list.split('; ');
}

function verdictOf(item: Item): Verdict {
  const { kind, at, entity, changes, reasons, notes } = item;
  const outcome =
    reasons.length > 0 ? 'not possible' : changes.length > 0 ? 'changed' : 'taken over';
  return {
    kind,
    name: nameOf(item),
    id: isObject(entity) ? textOf(entity['id']) : null,
    at,
    outcome,
    changes: outcome === 'not possible' ? [] : changes,
    reasons,
    notes: outcome === 'not possible' ? [] : notes,
  };
}
