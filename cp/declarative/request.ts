/** The body of `POST /config` in all the forms that Kong takes, as one table. */
import type { JsonObject } from '#shared/schema/field.ts';
import { isPlainObject } from '#shared/schema/validate.ts';
import { decode, parseJson, readArguments, readBody, refuseEncoded } from '../admin/arguments.ts';
import { AdminError } from '../admin/errors.ts';
import { invalidConfiguration } from './import-errors.ts';
import { readYamlApart } from './yaml-thread.ts';

/** Longest body, in bytes (decision 15). */
export const CONFIG_BODY_MAX = 128 * 1024 * 1024;
/** Members and elements at all levels of JSON. */
const VALUES_MAX = 5_000_000;

const YAML_TYPES = ['application/yaml', 'text/yaml', 'application/x-yaml'];

/**
 * JSON and forms may hold the table itself, or a text of it as `config`; YAML is the text.
 *
 * @throws AdminError 400, 413, 415
 */
export async function readConfiguration(request: Request): Promise<JsonObject> {
  const type = request.headers.get('content-type') ?? '';
  if (YAML_TYPES.some((prefix) => type.startsWith(prefix))) {
    refuseEncoded(request);
    const text = decode(await readBody(request, CONFIG_BODY_MAX));
    if (text === null) throw unreadable('not UTF-8');
    return tableOf(text);
  }
  const input = await readArguments(request, CONFIG_BODY_MAX, () => null, VALUES_MAX);
  if (Object.hasOwn(input, '_format_version')) return input;
  const { config = null } = input;
  if (typeof config === 'string') return tableOf(config);
  // A part of a form can itself be JSON.
  if (isPlainObject(config)) return config as JsonObject;
  throw new AdminError(400, { message: 'expected a declarative configuration' });
}

/** JSON first, as in Kong: a text that is both means the same, and JSON is read at once. */
async function tableOf(text: string): Promise<JsonObject> {
  const json = text.trimStart().startsWith('{') ? fromJson(text) : null;
  if (json !== null) return json;
  const result = await readYamlApart(text);
  if (!result.ok) throw unreadable(result.error);
  if (!isPlainObject(result.value)) throw unreadable('expected an object');
  // What the core schema of YAML yields is JSON, but for numbers that fields refuse (.nan, .inf).
  return result.value as JsonObject;
}

/** Null: it is no JSON, or too deep (flow style of YAML begins like it). */
function fromJson(text: string): JsonObject | null {
  try {
    return parseJson(text, VALUES_MAX);
  } catch (error) {
    if (error instanceof AdminError) return null;
    throw error;
  }
}

function unreadable(why: string): AdminError {
  return invalidConfiguration({ error: `failed parsing declarative configuration: ${why}` });
}
