/**
 * Groups: the workspaces they name, the one that always exists, and the row that publishing and joining
 * go by.
 */
import { must } from '#shared/base/assert.ts';
import { isUuid } from '#shared/schema/attributes.ts';
import type { JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { AdminError, schemaViolation } from '../admin/errors.ts';
import { DEFAULT_NAME } from '../store/bootstrap.ts';
import { removeGroupRow, saveGroupRow } from '../store/group-row.ts';
import type { Reader } from '../store/store.ts';
import type { EntityRules, RuleContext } from './rules.ts';

export const groupRules: EntityRules = {
  resolve: async (input, tx, context) => {
    const named = textsOf(input['workspaces']);
    if (named === null) return input;
    return { ...input, workspaces: await resolve(named, tx, context) };
  },
  afterWrite: (entity, _change, { db }) => saveGroupRow(db, entity.id),
  beforeRemove: async ({ id, name = null }, { db }) => {
    if (name === DEFAULT_NAME) {
      throw new AdminError(400, { message: `The group '${DEFAULT_NAME}' cannot be removed` });
    }
    const count = await removeGroupRow(db, id);
    if (count === 0) return;
    const nodes = count === 1 ? '1 data plane' : `${count} data planes`;
    const message = `The group '${String(name)}' has ${nodes}; remove them first`;
    throw new AdminError(409, { message });
  },
  complete: async (entities, reader, { ws, registry }) => {
    const ids = new Set(entities.flatMap(({ workspaces }) => textsOf(workspaces) ?? []));
    const found = await reader.getMany(workspacesOf(registry), ws, [...ids]);
    return entities.map((entity) => {
      const workspaces = textsOf(entity['workspaces']);
      return workspaces === null
        ? entity
        : { ...entity, workspaces: workspaces.map((id) => shownName(found.get(id), id)) };
    });
  },
};

/** Names and ids to ids. A name may change; what a group serves must not change with it. */
async function resolve(
  named: readonly string[],
  tx: Reader,
  { ws, registry }: RuleContext,
): Promise<string[]> {
  const definition = workspacesOf(registry);
  const ids = named.filter(isUuid).map((id) => id.toLowerCase());
  // The rows stay locked: none of them goes before the group is there.
  const byId = await tx.getMany(definition, ws, ids);
  const byName = await tx.getManyBy(definition, ws, 'name', named);
  const missing: string[] = [];
  const found = named.flatMap((name) => {
    const workspace = byId.get(name.toLowerCase()) ?? byName.get(name);
    if (workspace === undefined) missing.push(name);
    return workspace?.id ?? [];
  });
  if (missing.length > 0) {
    const shown = missing.slice(0, 10).map((name) => `'${name}'`);
    throw schemaViolation({ workspaces: `there is no workspace ${shown.join(', ')}` });
  }
  return [...new Set(found)];
}

/** A name that reads as an id would be taken for one when it is sent back. */
function shownName(workspace: AnyEntity | undefined, id: string): string {
  const name = workspace?.['name'];
  return typeof name === 'string' && !isUuid(name) ? name : id;
}

function workspacesOf({ entities }: RuleContext['registry']) {
  return must(entities.get('workspaces'), 'workspaces are defined');
}

/** Null for anything but a list of texts. */
function textsOf(value: JsonValue | undefined): readonly string[] | null {
  if (!Array.isArray(value)) return null;
  const texts = value.filter((text) => typeof text === 'string');
  return texts.length === value.length ? texts : null;
}
