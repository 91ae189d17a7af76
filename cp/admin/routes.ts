/**
 * The Admin API's generated paths, read off the definitions: every kind's collection and entity, and
 * both directions of each foreign key. Hand-written endpoints stand in `endpoints/`, and are only for
 * where Kong itself deviates.
 */
import type { EntityDefinition } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { holdsSecrets } from '#shared/schema/secret-leaves.ts';
import { type Area, GROUPS } from './access.ts';
import type { AdminContext, AdminRequest, Endpoint } from './context.ts';
import { foreignId } from '../store/sql.ts';
import { Crud, type Parent } from './crud.ts';
import { methodNotAllowed, notFound } from './errors.ts';
import { find, keyOf } from './lookup.ts';
import {
  createDocs,
  foreignDocs,
  getDocs,
  listDocs,
  removeDocs,
  updateDocs,
  upsertDocs,
} from './openapi/entity-docs.ts';

export function generatedEndpoints(entities: ReadonlyMap<string, EntityDefinition>): Endpoint[] {
  const endpoints: Endpoint[] = [];
  for (const definition of entities.values()) {
    if (!hasCollection(definition)) continue;
    endpoints.push(collection(definition), single(definition));
    for (const [field, declared] of Object.entries(definition.fields)) {
      // Kong has turned off `/snis/{s}/certificate`: it would change the certificate of other names.
      const parent = declared.type === 'foreign' ? entities.get(declared.reference) : undefined;
      if (!parent) continue;
      if (definition.name !== 'snis') endpoints.push(foreignEntity(definition, field, parent));
      endpoints.push(nestedCollection(definition, field, parent));
      endpoints.push(nestedEntity(definition, field, parent));
    }
  }
  return endpoints;
}

/** Segment of the collection. */
export function apiName(definition: EntityDefinition): string {
  return definition.admin_api_name ?? definition.name;
}

export function hasCollection(definition: EntityDefinition): boolean {
  return definition.generate_admin_api !== false && definition.stored !== false;
}

/** Segment of the collection under a parent. */
export function nestedName(definition: EntityDefinition): string {
  return definition.admin_api_nested_name ?? apiName(definition);
}

/** What access to entities of this kind is called. */
export function areaOf({ name, workspaceable, fields }: EntityDefinition): Area {
  if (name === 'workspaces') return name;
  if (name === GROUPS) return 'groups';
  return !workspaceable && Object.values(fields).some(holdsSecrets) ? 'shared' : 'entities';
}

function collection(definition: EntityDefinition): Endpoint {
  const path = `/${apiName(definition)}`;
  return {
    path,
    area: areaOf(definition),
    methods: {
      GET: (context, request) => new Crud(context, request, definition).list(path, null),
      POST: (context, request) => new Crud(context, request, definition).create(null),
    },
    docs: { GET: listDocs(definition, null), POST: createDocs(definition, null) },
  };
}

function single(definition: EntityDefinition): Endpoint {
  const key = (request: AdminRequest) => request.params[0] ?? '';
  return {
    path: `/${apiName(definition)}/:0`,
    parameters: [definition.name],
    area: areaOf(definition),
    methods: {
      GET: (context, request) => new Crud(context, request, definition).get(key(request), null),
      PUT: (context, request) => new Crud(context, request, definition).upsert(key(request), null),
      PATCH: (context, request) =>
        new Crud(context, request, definition).update(key(request), null),
      DELETE: (context, request) =>
        new Crud(context, request, definition).remove(key(request), null),
    },
    docs: entityDocs(definition, null),
  };
}

/** `/routes/{r}/service`: the entity that a foreign field points to. */
function foreignEntity(
  definition: EntityDefinition,
  field: string,
  parent: EntityDefinition,
): Endpoint {
  const child = async (context: AdminContext, request: AdminRequest): Promise<AnyEntity> => {
    const key = keyOf(definition, request.params[0] ?? '');
    const found = await find(context.store, definition, request.workspace, key);
    if (found === null) throw notFound();
    return found;
  };
  const target = (entity: AnyEntity): string => {
    const id = foreignId(entity[field]);
    if (id === null) throw notFound();
    return id;
  };
  return {
    path: `/${apiName(definition)}/:0/${field}`,
    parameters: [definition.name],
    methods: {
      GET: async (context, request) =>
        new Crud(context, request, parent).get(target(await child(context, request)), null),
      PUT: (context, request) =>
        new Crud(context, request, parent).upsertOf({
          definition,
          field,
          segment: request.params[0] ?? '',
        }),
      PATCH: async (context, request) =>
        new Crud(context, request, parent).update(target(await child(context, request)), null),
      DELETE: async (context, request) => {
        target(await child(context, request));
        throw methodNotAllowed();
      },
    },
    docs: foreignDocs(definition, parent),
  };
}

/** Finds the entity above in a nested path. */
export async function findParent(
  context: AdminContext,
  request: AdminRequest,
  parent: EntityDefinition,
  field: string,
): Promise<Parent> {
  const key = keyOf(parent, request.params[0] ?? '');
  const found = await find(context.store, parent, request.workspace, key);
  if (found === null) throw notFound();
  return { field, id: found.id };
}

function nestedCollection(
  definition: EntityDefinition,
  field: string,
  parent: EntityDefinition,
): Endpoint {
  const above = (context: AdminContext, request: AdminRequest) =>
    findParent(context, request, parent, field);
  return {
    path: `/${apiName(parent)}/:0/${nestedName(definition)}`,
    parameters: [parent.name],
    methods: {
      GET: async (context, request) => {
        const owner = await above(context, request);
        const key = encodeURIComponent(request.params[0] ?? '');
        const path = `/${apiName(parent)}/${key}/${nestedName(definition)}`;
        return new Crud(context, request, definition).list(path, owner);
      },
      POST: async (context, request) =>
        new Crud(context, request, definition).create(await above(context, request)),
    },
    docs: { GET: listDocs(definition, parent), POST: createDocs(definition, parent) },
  };
}

function nestedEntity(
  definition: EntityDefinition,
  field: string,
  parent: EntityDefinition,
): Endpoint {
  const above = (context: AdminContext, request: AdminRequest) =>
    findParent(context, request, parent, field);
  const key = (request: AdminRequest) => request.params[1] ?? '';
  return {
    path: `/${apiName(parent)}/:0/${nestedName(definition)}/:1`,
    parameters: [parent.name, definition.name],
    methods: {
      GET: async (context, request) =>
        new Crud(context, request, definition).get(key(request), await above(context, request)),
      PUT: async (context, request) =>
        new Crud(context, request, definition).upsert(key(request), await above(context, request)),
      PATCH: async (context, request) =>
        new Crud(context, request, definition).update(key(request), await above(context, request)),
      DELETE: async (context, request) =>
        new Crud(context, request, definition).remove(key(request), await above(context, request)),
    },
    docs: entityDocs(definition, parent),
  };
}

function entityDocs(definition: EntityDefinition, above: EntityDefinition | null) {
  return {
    GET: getDocs(definition, above),
    PUT: upsertDocs(definition, above),
    PATCH: updateDocs(definition, above),
    DELETE: removeDocs(definition, above),
  };
}
