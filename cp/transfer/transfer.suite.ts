/** What the tests of an import share. */
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { assess, type AssessDeps, type Assessment } from './assess.ts';
import type { Verdict } from './document.ts';

let counter = 0;

export const DEPS: AssessDeps = {
  registry: REGISTRY,
  allowUnsupported: false,
  nowSeconds: 1_700_000_000,
  uuid: () => {
    counter += 1;
    return `00000000-0000-4000-8000-${String(counter).padStart(12, '0')}`;
  },
  randomText: (length) => 'x'.repeat(length),
};

/** One document of format 3.0, unless `content` says otherwise. */
export function assessed(
  content: JsonObject,
  options: { readonly isLive?: boolean; readonly allowUnsupported?: boolean } = {},
): Promise<Assessment> {
  const { isLive = false, allowUnsupported = false } = options;
  const document = { label: 'kong.yml', content: { _format_version: '3.0', ...content }, isLive };
  return assess([document], { ...DEPS, allowUnsupported });
}

/** The verdict of the only entity of a kind. */
export function verdictOf({ verdicts }: Assessment, kind: string): Verdict {
  const found = verdicts.filter((verdict) => verdict.kind === kind);
  const [only] = found;
  if (only === undefined || found.length > 1) throw new Error(`${found.length} of ${kind}`);
  return only;
}

/** The only entity of a kind in what is loaded. */
export function loadedOf({ document }: Assessment, kind: string): JsonObject {
  const list = document[kind];
  if (!Array.isArray(list) || list.length !== 1) throw new Error(`not one of ${kind}`);
  return list[0] as JsonObject;
}

export async function judgeRoute(route: JsonObject, version = '3.0'): Promise<Verdict> {
  const content = { _format_version: version, routes: [{ name: 'r', ...route }] };
  return verdictOf(await assessed(content), 'routes');
}

export async function judgePlugin(plugin: JsonObject, allowUnsupported = false): Promise<Verdict> {
  return verdictOf(await assessed({ plugins: [plugin] }, { allowUnsupported }), 'plugins');
}
