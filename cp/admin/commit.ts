/** One request that writes is one transaction, and its answer is made inside it. */
import type { Written } from '../store/store.ts';
import type { AdminContext, AdminRequest, AdminResponse } from './context.ts';
import { type AdminError, invalidOption } from './errors.ts';
import { claim, keep } from './idempotency.ts';
import { awaitReceipt, readWait } from './wait.ts';
import { EntityWriter } from './writer.ts';

/** Workspace version that a write made, or the current one when it changed nothing. */
export const VERSION_HEADER = 'Headgate-Version';
/** Present, `true`, on the answer of a write that was only tried. */
export const DRY_RUN_HEADER = 'Headgate-Dry-Run';

/** Ends a transaction that has nothing to commit: it was only tried, or had been done before. */
class Unwritten extends Error {
  override readonly name = 'Unwritten';
  readonly answer: AdminResponse;
  constructor(answer: AdminResponse) {
    super('unwritten');
    this.answer = answer;
  }
}

/**
 * Runs `work` in a transaction and answers what it answers. With `?dry_run=true` (or `1`) everything
 * is done and checked as usual, and then rolled back. With an `Idempotency-Key` the answer is kept
 * with what was written, and a request that was answered before is answered the same.
 *
 * @param work  may run more than once; must have no effect but on the writer it gets
 * @throws AdminError, StoreError
 */
export async function commit(
  context: AdminContext,
  request: AdminRequest,
  work: (writer: EntityWriter) => Promise<AdminResponse>,
): Promise<AdminResponse> {
  const { store, rowKeys } = context;
  const isDryRun = readSwitch(request.query, 'dry_run');
  const repeatable = isDryRun ? null : request.repeatable;
  const wait = isDryRun ? null : readWait(request);
  const settled = ({ value, version }: Written<AdminResponse>) =>
    withHeader(value, VERSION_HEADER, String(version));
  try {
    const written = await store.write(
      request.workspace,
      request.actor,
      async (tx) => {
        const before = repeatable === null ? null : await claim(tx.db, rowKeys, repeatable);
        if (before !== null) throw new Unwritten(before);
        const answer = await work(new EntityWriter(tx, request, context));
        if (isDryRun) throw new Unwritten(withHeader(answer, DRY_RUN_HEADER, 'true'));
        return answer;
      },
      async (db, done) => {
        if (repeatable !== null) await keep(db, rowKeys, repeatable, settled(done));
      },
    );
    return await awaitReceipt(context, wait, settled(written), versionsOf(request, written));
  } catch (error) {
    if (!(error instanceof Unwritten)) throw error;
    const { answer } = error;
    // Done before; whether it is served by now is worth to be known again.
    const version = Number(answer.headers?.[VERSION_HEADER] ?? Number.NaN);
    if (!Number.isSafeInteger(version)) return answer;
    return awaitReceipt(context, wait, answer, new Map([[request.workspace, version]]));
  }
}

/** What must be served for the write to be: of the workspace, and of any other that it changed. */
function versionsOf(
  { workspace }: AdminRequest,
  { version, versions }: Written<AdminResponse>,
): Map<string, number> {
  return versions.size > 0 ? new Map(versions) : new Map([[workspace, version]]);
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

/** Where a write cannot be rolled back, doing it must not pass for trying it. */
export function notTryable(): AdminError {
  return invalidOption('dry_run', 'only writes of entities can be tried');
}

function withHeader(answer: AdminResponse, name: string, value: string): AdminResponse {
  return { ...answer, headers: { ...answer.headers, [name]: value } };
}
