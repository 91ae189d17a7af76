/** Workspaces: names that a path can tell from the API's own, and the one that always exists. */
import type { AnyEntity } from '#shared/schema/infer.ts';
import { AdminError } from '../admin/errors.ts';
import { DEFAULT_NAME } from '../store/bootstrap.ts';
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
  beforeRemove: async (entity) => {
    if (isDefault(entity)) throw refusal('removed');
  },
};

function isDefault(entity: AnyEntity | null): boolean {
  return entity?.['name'] === DEFAULT_NAME;
}

function refusal(what: string): AdminError {
  return new AdminError(400, { message: `The workspace '${DEFAULT_NAME}' cannot be ${what}` });
}
