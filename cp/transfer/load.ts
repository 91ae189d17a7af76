/** The load: one `POST /config`, in one transaction. */
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import { CHANGES_HEADER } from '../admin/endpoints/config.ts';
import { type AdminApi, type Answer, described } from './admin-client.ts';
import { isObject, textOf } from './document.ts';
import { SourceError } from './settings.ts';

/** What the control plane says of one entity. */
export interface LoadError {
  readonly kind: string;
  readonly name: string;
  readonly texts: readonly string[];
}

export type Loaded =
  | {
      readonly ok: true;
      readonly dryRun: boolean;
      /** `created=3, updated=0, removed=1` */
      readonly changes: string;
    }
  | { readonly ok: false; readonly message: string; readonly errors: readonly LoadError[] };

export interface LoadOptions {
  readonly dryRun: boolean;
  readonly force: boolean;
}

/** Of what would remove a great share of the workspace. */
const GREAT_LOSS = 409;

/** @throws SourceError  it cannot be reached */
export async function load(
  api: AdminApi,
  document: JsonObject,
  { dryRun, force }: LoadOptions,
): Promise<Loaded> {
  const switches = [
    'flatten_errors=1',
    ...(dryRun ? ['dry_run=1'] : []),
    ...(force ? ['force=1'] : []),
  ];
  const answer = await api.call('POST', `/config?${switches.join('&')}`, document);
  if (answer.status < 300) {
    return {
      ok: true,
      dryRun,
      changes: String(answer.headers[CHANGES_HEADER.toLowerCase()] ?? ''),
    };
  }
  const hint = answer.status === GREAT_LOSS && !force ? '; here that is --force' : '';
  return { ok: false, message: described(answer) + hint, errors: errorsOf(answer) };
}

function errorsOf({ json }: Answer): readonly LoadError[] {
  const flattened = isObject(json) ? json['flattened_errors'] : null;
  if (!Array.isArray(flattened)) return [];
  return flattened.flatMap((error: JsonValue) => {
    if (!isObject(error)) return [];
    const entity = error['entity'] ?? null;
    const username = isObject(entity) ? textOf(entity['username']) : null;
    const name = textOf(error['entity_name']) ?? username ?? textOf(error['entity_id']) ?? '';
    const list = Array.isArray(error['errors']) ? error['errors'] : [];
    return [{ kind: textOf(error['entity_type']) ?? 'entity', name, texts: list.flatMap(textsOf) }];
  });
}

function textsOf(error: JsonValue): readonly string[] {
  if (!isObject(error)) return [];
  const field = textOf(error['field']);
  const messages = Array.isArray(error['messages'])
    ? error['messages']
    : [error['message'] ?? null];
  return messages
    .filter((message: JsonValue) => message !== null)
    .map((message: JsonValue) =>
      field === null ? String(message) : `${field}: ${String(message)}`,
    );
}

/** What the control plane stores although no data plane can run it. @throws SourceError */
export async function allowsUnsupported(api: AdminApi): Promise<boolean> {
  const information = await api.get('/');
  const configuration = isObject(information) ? (information['configuration'] ?? null) : null;
  return isObject(configuration) && configuration['allow_unsupported_plugins'] === true;
}

/**
 * Makes sure that a workspace is there.
 *
 * @returns false: it is not, and was not to be made
 * @throws SourceError
 */
export async function ensureWorkspace(
  api: AdminApi,
  name: string,
  create: boolean,
): Promise<boolean> {
  const { status } = await api.call('GET', `/workspaces/${encodeURIComponent(name)}`);
  if (status === 200) return true;
  if (!create) return false;
  const made = await api.call('POST', '/workspaces', { name });
  if (made.status === 201 || made.status === 409) return true;
  throw new SourceError(`${api.address}: cannot make workspace '${name}': ${described(made)}`);
}
