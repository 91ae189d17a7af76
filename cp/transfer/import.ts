/** `headgate import`: read, judge, load, report. */
import type { Registry } from '#shared/schema/plugin-definition.ts';
import type { ProcessDeps } from '#shared/schema/process.ts';
import { AdminApi } from './admin-client.ts';
import { assess, type Assessment } from './assess.ts';
import type { SourceDocument, Verdict } from './document.ts';
import { allowsUnsupported, ensureWorkspace, load, type Loaded } from './load.ts';
import { type ImportOptions, urlOf } from './options.ts';
import { readAdmin } from './read-admin.ts';
import { readFiles } from './read-files.ts';
import { countsOf, jsonReport, textReport } from './report.ts';
import { SourceError, workspaceOf } from './settings.ts';

export interface TransferDeps extends ProcessDeps {
  readonly registry: Registry;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** What a command says, and the code that it ends with. */
export interface Ended {
  readonly output: string;
  readonly code: 0 | 1 | 2;
}

/** Something is not possible, and nothing was loaded. */
const IMPOSSIBLE = 2;

/** @throws SourceError, UsageError */
export async function runImport(options: ImportOptions, deps: TransferDeps): Promise<Ended> {
  const { source, to, headers, ca } = options;
  const documents = await readSource(options, deps);
  const workspace = options.workspace ?? commonWorkspace(documents);
  const server = new AdminApi({ url: to, headers, ca });
  const target = workspace === null ? server : server.in(workspace);
  const state = await stateOf(server, options);
  const assessment = await assess(documents, { ...deps, allowUnsupported: state.allowUnsupported });
  const outcome = await loadIfPossible(assessment, options, { server, target, workspace, state });
  const report = {
    source,
    target: state.isThere ? target.address : null,
    verdicts: assessment.verdicts,
    ...outcome,
  };
  const text = options.format === 'json' ? jsonReport(report) : textReport(report, options.verbose);
  return { output: text, code: outcome.code };
}

async function readSource(options: ImportOptions, deps: TransferDeps): Promise<SourceDocument[]> {
  const { source, sourceHeaders: headers, ca } = options;
  if (!/^https?:\/\//i.test(source)) return readFiles(source, deps.env);
  const api = new AdminApi({ url: urlOf('SOURCE', source), headers, ca });
  return [await readAdmin(api, deps.registry)];
}

function commonWorkspace(documents: readonly SourceDocument[]): string | null {
  const names = new Set(documents.map(workspaceOf).filter((name) => name !== null));
  if (names.size > 1) {
    throw new SourceError(
      `the files name several workspaces (${[...names].join(', ')}): import each by itself`,
    );
  }
  return [...names][0] ?? null;
}

interface ServerState {
  readonly isThere: boolean;
  readonly allowUnsupported: boolean;
}

/** Judging needs no control plane, so a dry run that was pointed to none goes on without. */
async function stateOf(server: AdminApi, options: ImportOptions): Promise<ServerState> {
  try {
    return { isThere: true, allowUnsupported: await allowsUnsupported(server) };
  } catch (error) {
    if (!options.dryRun || options.isToGiven || !(error instanceof SourceError)) throw error;
    return { isThere: false, allowUnsupported: false };
  }
}

interface Place {
  readonly server: AdminApi;
  /** The same server, in the workspace. */
  readonly target: AdminApi;
  readonly workspace: string | null;
  readonly state: ServerState;
}

interface LoadOutcome {
  readonly loaded: Loaded | null;
  readonly result: string;
  readonly code: Ended['code'];
}

async function loadIfPossible(
  { document, verdicts }: Assessment,
  options: ImportOptions,
  { server, target, workspace, state }: Place,
): Promise<LoadOutcome> {
  const impossible = countsOf(verdicts)['not possible'];
  if (impossible > 0 && !options.skipImpossible) {
    const result = 'nothing was loaded: --skip-impossible loads the rest';
    return { loaded: null, result, code: IMPOSSIBLE };
  }
  if (!state.isThere) {
    const result = `nothing was loaded; no control plane at ${server.address} could check it`;
    return { loaded: null, result, code: 0 };
  }
  if (workspace !== null) {
    const isThere = await ensureWorkspace(
      server,
      workspace,
      options.createWorkspace && !options.dryRun,
    );
    if (!isThere && options.createWorkspace) {
      const result = `nothing was loaded; workspace '${workspace}' would be made`;
      return { loaded: null, result, code: 0 };
    }
    if (!isThere) {
      throw new SourceError(
        `${server.address}: there is no workspace '${workspace}'; --create-workspace makes it`,
      );
    }
  }
  const loaded = await load(target, document, options);
  return { loaded, ...ending(loaded, target, verdicts) };
}

function ending(
  loaded: Loaded,
  target: AdminApi,
  verdicts: readonly Verdict[],
): Pick<LoadOutcome, 'result' | 'code'> {
  const { address } = target;
  if (!loaded.ok) {
    return { result: `nothing was loaded: ${address} answered ${loaded.message}`, code: 1 };
  }
  const opened = openedText(verdicts);
  if (loaded.dryRun)
    return {
      result: `nothing was loaded; ${address} would take it: ${loaded.changes}${opened}`,
      code: 0,
    };
  return { result: `loaded into ${address}: ${loaded.changes}${opened}`, code: 0 };
}

/** Whoever leaves out a plugin must know that it may have been a door. */
function openedText(verdicts: readonly Verdict[]): string {
  const left = verdicts.filter(
    ({ kind, outcome }) => kind === 'plugins' && outcome === 'not possible',
  ).length;
  return left === 0 ? '' : `; mind that ${left} plugins are left out: what they guarded is open`;
}
