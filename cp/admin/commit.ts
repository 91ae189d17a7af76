/** One request that writes is one transaction, and its answer is made inside it. */
import type { AdminContext, AdminRequest, AdminResponse } from './context.ts';
import { invalidOption } from './errors.ts';
import { EntityWriter } from './writer.ts';

/** Workspace version that a write made, or the current one when it changed nothing. */
export const VERSION_HEADER = 'Headgate-Version';
/** Present, `true`, on the answer of a write that was only tried. */
export const DRY_RUN_HEADER = 'Headgate-Dry-Run';

/** Ends a transaction that was only tried. */
class DryRun extends Error {
  override readonly name = 'DryRun';
  readonly answer: AdminResponse;
  constructor(answer: AdminResponse) {
    super('dry run');
    this.answer = answer;
  }
}

/**
 * Runs `work` in a transaction and answers what it answers. With `?dry_run=true` (or `1`) everything is done
 * and checked as usual, and then rolled back.
 *
 * @param work  may run more than once; must have no effect but on the writer it gets
 * @throws AdminError, StoreError
 */
export async function commit(
  context: AdminContext,
  request: AdminRequest,
  work: (writer: EntityWriter) => Promise<AdminResponse>,
): Promise<AdminResponse> {
  const isDryRun = readSwitch(request.query, 'dry_run');
  try {
    const { workspace, actor } = request;
    const { value, version } = await context.store.write(workspace, actor, async (tx) => {
      const answer = await work(new EntityWriter(tx, request, context));
      if (isDryRun) throw new DryRun(answer);
      return answer;
    });
    return withHeader(value, VERSION_HEADER, String(version));
  } catch (error) {
    if (!(error instanceof DryRun)) throw error;
    return withHeader(error.answer, DRY_RUN_HEADER, 'true');
  }
}

/**
 * An argument of the query that turns something on.
 *
 * @throws AdminError 400: what is misspelt must not count as off
 */
export function readSwitch(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  if (value === null || value === 'false' || value === '0') return false;
  if (value === 'true' || value === '1') return true;
  throw invalidOption(name, "expected 'true', '1', 'false' or '0'");
}

function withHeader(answer: AdminResponse, name: string, value: string): AdminResponse {
  return { ...answer, headers: { ...answer.headers, [name]: value } };
}
