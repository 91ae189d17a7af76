/** Workspaces: names that a path can tell from the API's own, and the one that always exists. */
import { must } from '#shared/base/assert.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { AdminError } from '../admin/errors.ts';
import { DEFAULT_NAME } from '../store/bootstrap.ts';
import { SYSTEM_WORKSPACE } from '../store/migrations/0001-init.ts';
import type { EntityRules } from './rules.ts';

export const workspaceRules: EntityRules = {
  check: (entity, { reserved }) => {
    const name = String(entity['name']);
    if (name === '.' || name === '..') {
      return { name: `'${name}' cannot stand in a path; choose another name` };
    }
    if (!reserved.has(name)) return null;
    return { name: `'${name}' is the first segment of paths of this API; choose another name` };
  },
  derive: (entity, current) => {
    if (isDefault(current) && entity['name'] !== DEFAULT_NAME) throw refusal('renamed');
    return entity;
  },
  beforeRemove: async (entity, tx, { registry }) => {
    if (isDefault(entity)) throw refusal('removed');
    const groups = must(registry.entities.get('clustering_groups'), 'groups are defined');
    const holder = await tx.findHolder(groups, ['workspaces'], entity.id);
    const group = holder === null ? null : await tx.get(groups, SYSTEM_WORKSPACE, holder);
    if (group === null) return;
    const message = `The workspace is named by the group '${String(group['name'])}'; change that first`;
    throw new AdminError(400, { message });
  },
};

function isDefault(entity: AnyEntity | null): boolean {
  return entity?.['name'] === DEFAULT_NAME;
}

function refusal(what: string): AdminError {
  return new AdminError(400, { message: `The workspace '${DEFAULT_NAME}' cannot be ${what}` });
}
