/** `POST /headgate/bulk`: many writes in one transaction, all or none of them. */
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import { StoreError } from '../../store/store.ts';
import { readArguments } from '../arguments.ts';
import {
  type BulkResult,
  labelOf,
  parseOperation,
  perform,
  withOperation,
} from '../bulk-operation.ts';
import { commit } from '../commit.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import { entityTag, refuseConditions } from '../entity-tag.ts';
import { AdminError, schemaViolation, storeFailure } from '../errors.ts';
import { showAll } from '../show.ts';
import type { EntityWriter } from '../writer.ts';

/** In one request. */
export const OPERATIONS_MAX = 10_000;
/** Longest body, in bytes, unless a single entity's may be longer still. */
const BODY_MAX = 16 * 1024 * 1024;
/** Members and elements of the body. */
const VALUES_MAX = 1_000_000;

export function bulkEndpoints(): Endpoint[] {
  return [{ path: '/headgate/bulk', methods: { POST: bulk } }];
}

async function bulk(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  refuseConditions(request.raw.headers);
  const operations = await readOperations(context, request);
  const { entities } = context.registry;
  const on = <T>(index: number, work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw located(error, () => labelOf(operations[index] ?? null, index, entities));
    }
  };
  const parsed = operations.map((operation, index) =>
    on(index, () => parseOperation(operation, entities)),
  );
  return commit(context, request, async (writer) => {
    const results: JsonObject[] = [];
    for (const [index, operation] of parsed.entries()) {
      const done = perform(operation, writer, context.tagKey).catch((error: unknown) => {
        throw located(error, () => labelOf(operations[index] ?? null, index, entities));
      });
      results.push(await shown(context, writer, await done));
    }
    return { status: 200, body: { operations: results } };
  });
}

async function readOperations(
  context: AdminContext,
  request: AdminRequest,
): Promise<readonly JsonValue[]> {
  const type = request.raw.headers.get('content-type');
  // A form has no types, and no field here could tell it any.
  if (type !== null && !type.startsWith('application/json')) throw new AdminError(415, null);
  const bodyMax = Math.max(context.bodyMax, BODY_MAX);
  const input = await readArguments(request.raw, bodyMax, () => null, VALUES_MAX);
  const { operations, ...rest } = input;
  const unknown = Object.keys(rest).slice(0, 100);
  if (unknown.length > 0) {
    throw schemaViolation(Object.fromEntries(unknown.map((name) => [name, 'unknown field'])));
  }
  if (operations === undefined) throw schemaViolation({ operations: 'required field missing' });
  if (!Array.isArray(operations)) throw schemaViolation({ operations: 'expected an array' });
  if (operations.length > OPERATIONS_MAX) {
    throw schemaViolation({ operations: `length must be at most ${OPERATIONS_MAX}` });
  }
  return operations;
}

/** What the data is to blame for, with the operation that holds it; the rest as it is. */
function located(error: unknown, label: () => JsonObject): unknown {
  if (error instanceof AdminError) return withOperation(error, label());
  if (!(error instanceof StoreError)) return error;
  const known = storeFailure(error.failure);
  return known.status >= 500 ? error : withOperation(known, label());
}

async function shown(
  context: AdminContext,
  writer: EntityWriter,
  { status, definition, entity }: BulkResult,
): Promise<JsonObject> {
  const kind = definition.name;
  if (entity === null) return { status, kind, entity: null };
  const [body = null] = await showAll(context, writer.ws, definition, [entity], writer);
  return { status, kind, etag: entityTag(entity, context.tagKey), entity: body };
}
