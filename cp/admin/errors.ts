/**
 * Failures of the Admin API as Kong shows them: numbered, named, with a message and the fields.
 * The one place where a store's or a schema's failure becomes a status and a body.
 */
import { unreachable } from '#shared/base/assert.ts';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import { violationMessage, type Violations } from '#shared/schema/violations.ts';
import type { StoreFailure } from '../store/errors.ts';

/** Thrown by handlers, turned into a response by the app. */
export class AdminError extends Error {
  override readonly name = 'AdminError';
  readonly status: number;
  readonly body: JsonObject | null;
  constructor(status: number, body: JsonObject | null) {
    super(typeof body?.['message'] === 'string' ? body['message'] : `status ${status}`);
    this.status = status;
    this.body = body;
  }
}

function coded(
  status: number,
  code: number,
  name: string,
  message: string,
  rest: JsonObject = {},
): AdminError {
  return new AdminError(status, { code, name, message, ...rest });
}

/** The plain body of a look-up that found nothing. */
export function notFound(): AdminError {
  return new AdminError(404, { message: 'Not found' });
}

export function methodNotAllowed(): AdminError {
  return new AdminError(405, { message: 'Method not allowed' });
}

/** Code 1: the path's key is neither a UUID nor anything else the entity could be found by. */
export function invalidPrimaryKey(): AdminError {
  const text = 'expected a valid UUID';
  return coded(400, 1, 'invalid primary key', `invalid primary key: '{id="${text}"}'`, {
    fields: { id: text },
  });
}

export function schemaViolation(violations: Violations): AdminError {
  return coded(400, 2, 'schema violation', violationMessage(violations), { fields: violations });
}

/** Code 6: an update of something that is not there. `key` is what it was looked up by. */
export function entityNotFound(key: JsonObject): AdminError {
  const message = `could not find the entity with primary key '${luaTable(key)}'`;
  return coded(404, 6, 'not found', message, { fields: key });
}

export function invalidOffset(offset: string, reason: string): AdminError {
  return coded(400, 7, 'invalid offset', `'${offset}' is not a valid offset: ${reason}`);
}

export function invalidSize(message: string): AdminError {
  return coded(400, 9, 'invalid size', message);
}

export function invalidUnique(field: string, message: string): AdminError {
  return coded(400, 10, `invalid unique ${field}`, message);
}

export function invalidOption(option: string, message: string): AdminError {
  return coded(400, 11, 'invalid options', `invalid option (${option}: ${message})`, {
    options: { [option]: message },
  });
}

/** Code 13: a foreign key given by another field than the id does not lead anywhere. */
export function foreignUnresolved(
  field: string,
  key: string,
  value: string,
  reference: string,
): AdminError {
  const text = `the foreign key cannot be resolved with '${luaTable({ [key]: value })}' for an existing '${reference}' entity`;
  return coded(
    400,
    13,
    'foreign keys unresolved',
    `foreign key unresolved (${field}.${key}: ${text})`,
    { fields: { [field]: { [key]: text } } },
  );
}

/** What the database refused. */
export function storeFailure(failure: StoreFailure): AdminError {
  switch (failure.code) {
    case 'unique':
      return coded(
        409,
        5,
        'unique constraint violation',
        `UNIQUE violation detected on '${luaTable(failure.fields)}'`,
        { fields: failure.fields },
      );
    case 'primary_key':
      return coded(
        400,
        3,
        'primary key violation',
        `primary key violation on key '${luaTable({ id: failure.id })}'`,
        { fields: { id: failure.id } },
      );
    case 'foreign_missing':
      return coded(
        400,
        4,
        'foreign key violation',
        `the foreign key '${luaTable({ id: failure.id })}' does not reference an existing '${failure.reference}' entity.`,
        { fields: { [failure.field]: { id: failure.id } } },
      );
    case 'foreign_referenced':
      return coded(
        400,
        4,
        'foreign key violation',
        `an existing '${failure.by}' entity references this '${failure.kind}' entity`,
        { fields: { '@referenced_by': failure.by } },
      );
    case 'too_long':
      return schemaViolation({ [failure.field]: 'is too long to be searched for' });
    case 'invalid':
      return new AdminError(400, { message: `The database refuses a value: ${failure.detail}` });
    case 'outcome_unknown':
      return new AdminError(503, {
        message:
          'The database did not say whether the change was committed; read it back before you repeat it',
        outcome: 'unknown',
      });
    case 'unavailable':
      return new AdminError(503, { message: 'The database cannot be reached' });
    default:
      return unreachable(failure);
  }
}

/** Kong renders keys as Lua tables: sorted, quoted, without spaces. */
export function luaTable(value: JsonValue): string {
  if (typeof value === 'string') return `"${value}"`;
  if (value === null || typeof value !== 'object') return String(value);
  if (Array.isArray(value)) return `{${value.map((item) => luaTable(item)).join(',')}}`;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${key}=${luaTable(item)}`).join(',')}}`;
}
