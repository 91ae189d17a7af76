/**
 * `/{workspace}/…`: every path of the Admin API also exists under the name of a workspace. The first
 * segments of the API's own paths are reserved, so a path means one thing (decision 27).
 */
import type { EntityDefinition } from '#shared/schema/field.ts';
import type { Store } from '../store/store.ts';
import { notFound } from './errors.ts';

export interface WorkspacePath {
  /** Workspace id. */
  readonly workspace: string;
  readonly workspaceName: string;
  /** `/{workspace}` as it was spelt, or empty. */
  readonly prefix: string;
  /** The path without it, percent-encoded. */
  readonly path: string;
}

export const DEFAULT_WORKSPACE = 'default';

/**
 * @param path  percent-encoded, well formed
 * @param reserved  first segments of the API's own paths
 * @throws AdminError 404 when the first segment is neither reserved nor a workspace
 */
export async function resolveWorkspace(
  path: string,
  reserved: ReadonlySet<string>,
  definition: EntityDefinition,
  store: Store,
): Promise<WorkspacePath> {
  const [first = '', ...rest] = path.slice(1).split('/');
  const workspace = store.defaultWorkspace();
  const name = workspaceIn(path, reserved);
  if (name === null) return { workspace, workspaceName: DEFAULT_WORKSPACE, prefix: '', path };
  const found = await store.getBy(definition, workspace, 'name', name);
  if (found === null) throw notFound();
  return {
    workspace: found.id,
    workspaceName: name,
    prefix: `/${first}`,
    // Kong's clients ask for the node's information there, where they name a workspace.
    path: rest.length === 1 && rest[0] === 'kong' ? '/' : `/${rest.join('/')}`,
  };
}

/** Name of the workspace that a path begins with; null: with none. */
export function workspaceIn(path: string, reserved: ReadonlySet<string>): string | null {
  const [first = ''] = path.slice(1).split('/');
  return first === '' || reserved.has(first) ? null : decodeURIComponent(first);
}

/** First segments of these endpoint paths: no workspace can be called so. */
export function firstSegments(paths: readonly string[]): Set<string> {
  return new Set(paths.map((path) => path.split('/')[1] ?? '').filter((name) => name !== ''));
}
