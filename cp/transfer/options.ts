/** Command lines of `headgate import` and `headgate export`. Secrets come by file or environment only. */
import { readFileSync } from 'node:fs';
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';

export const DEFAULT_URL = 'http://127.0.0.1:8001';

type Env = Readonly<Record<string, string | undefined>>;

/** A wrong command line. The message names the argument. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const IMPORT_USAGE = `usage: headgate import SOURCE [options]

Takes over the configuration of a Kong. SOURCE is
  a file         a decK state file or a kong.yml (_format_version 1.1, 2.1 or 3.0), YAML or JSON
  a folder       all its .yaml, .yml and .json files together, as decK reads them
  a URL          the Admin API of a running Kong, or http://HOST:8001/WORKSPACE for a workspace of it

Says of every entity whether it is taken over as it is, changed (and how), or not possible (and why).
When all is possible the configuration is loaded in one transaction, and replaces what the workspace
holds; otherwise nothing is.

  --to URL              the Admin API to load into (${DEFAULT_URL})
  --workspace NAME      the workspace to load into (what the file says in _workspace, or default)
  --create-workspace    make it when it is not there
  --dry-run             say what would happen, and let the control plane check it; load nothing
  --skip-impossible     load the rest without what is not possible
  --force               also when much of what the workspace holds would be dropped
  --format text|json    how to report (text)
  --verbose             in text, name the entities as well that are taken over as they are
  --token-file FILE     admin token of --to (or HEADGATE_ADMIN_TOKEN, HEADGATE_ADMIN_TOKEN_FILE)
  --cacert FILE         CA to trust for https, in PEM
  --source-token-file FILE    admin token of the source (or HEADGATE_SOURCE_TOKEN, …_FILE)
  --source-headers-file FILE  headers for the source, one "Name: value" a line

Exit code: 0 all well, 1 an error, 2 something is not possible and was not skipped.`;

export const EXPORT_USAGE = `usage: headgate export [options]

Writes the configuration of a workspace to a file that only its owner can read: it holds secrets.

  --from URL            the Admin API to read (${DEFAULT_URL})
  --workspace NAME      the workspace to read (default)
  --format deck|kong    a state file that decK reads back, or what GET /config answers (deck)
  -o, --output FILE     where to write; - is standard output (-)
  --token-file FILE     admin token (or HEADGATE_ADMIN_TOKEN, HEADGATE_ADMIN_TOKEN_FILE)
  --cacert FILE         CA to trust for https, in PEM

Exit code: 0 all well, 1 an error.`;

export interface ImportOptions {
  readonly source: string;
  readonly to: URL;
  /** True: it was named, so it must be there. */
  readonly isToGiven: boolean;
  readonly workspace: string | null;
  readonly createWorkspace: boolean;
  readonly dryRun: boolean;
  readonly skipImpossible: boolean;
  readonly force: boolean;
  readonly format: 'text' | 'json';
  readonly verbose: boolean;
  readonly headers: Readonly<Record<string, string>>;
  readonly sourceHeaders: Readonly<Record<string, string>>;
  readonly ca: string | null;
}

export interface ExportOptions {
  readonly from: URL;
  readonly workspace: string | null;
  readonly format: 'deck' | 'kong';
  /** Null: standard output. */
  readonly output: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly ca: string | null;
}

/** Null: help was asked for. @throws UsageError */
export function importOptions(args: readonly string[], env: Env): ImportOptions | null {
  const { values, positionals } = parse(args, {
    to: { type: 'string' },
    workspace: { type: 'string' },
    'create-workspace': { type: 'boolean' },
    'dry-run': { type: 'boolean' },
    'skip-impossible': { type: 'boolean' },
    force: { type: 'boolean' },
    format: { type: 'string' },
    verbose: { type: 'boolean' },
    'token-file': { type: 'string' },
    cacert: { type: 'string' },
    'source-token-file': { type: 'string' },
    'source-headers-file': { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  });
  if (values['help'] === true) return null;
  const [source, extra] = positionals;
  if (source === undefined) throw new UsageError('SOURCE is missing: a file, a folder or a URL');
  if (extra !== undefined) throw new UsageError(`one SOURCE only; '${extra}' is one too many`);
  return {
    source,
    to: urlOf('--to', textOf(values['to']) ?? DEFAULT_URL),
    isToGiven: values['to'] !== undefined,
    workspace: workspaceOf(values['workspace']),
    createWorkspace: values['create-workspace'] === true,
    dryRun: values['dry-run'] === true,
    skipImpossible: values['skip-impossible'] === true,
    force: values['force'] === true,
    format: choiceOf('--format', values['format'], ['text', 'json']),
    verbose: values['verbose'] === true,
    headers: tokenHeader(
      secretOf(values['token-file'], '--token-file', 'HEADGATE_ADMIN_TOKEN', env),
    ),
    sourceHeaders: {
      ...tokenHeader(
        secretOf(values['source-token-file'], '--source-token-file', 'HEADGATE_SOURCE_TOKEN', env),
      ),
      ...headersOf(textOf(values['source-headers-file'])),
    },
    ca: fileOf('--cacert', textOf(values['cacert'])),
  };
}

/** Null: help was asked for. @throws UsageError */
export function exportOptions(args: readonly string[], env: Env): ExportOptions | null {
  const { values, positionals } = parse(args, {
    from: { type: 'string' },
    workspace: { type: 'string' },
    format: { type: 'string' },
    output: { type: 'string', short: 'o' },
    'token-file': { type: 'string' },
    cacert: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  });
  if (values['help'] === true) return null;
  const [extra] = positionals;
  if (extra !== undefined) throw new UsageError(`'${extra}' is not known; -o names the file`);
  const output = textOf(values['output']);
  return {
    from: urlOf('--from', textOf(values['from']) ?? DEFAULT_URL),
    workspace: workspaceOf(values['workspace']),
    format: choiceOf('--format', values['format'], ['deck', 'kong']),
    output: output === '-' ? null : output,
    headers: tokenHeader(
      secretOf(values['token-file'], '--token-file', 'HEADGATE_ADMIN_TOKEN', env),
    ),
    ca: fileOf('--cacert', textOf(values['cacert'])),
  };
}

function parse(args: readonly string[], options: ParseArgsOptionsConfig) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    // Its messages name the argument; some go on with advice about positional arguments.
    const message = error instanceof Error ? error.message : String(error);
    throw new UsageError(message.split('. To specify')[0] ?? message);
  }
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

/** @throws UsageError */
export function urlOf(name: string, text: string): URL {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new UsageError(`${name} is '${text}'; allowed: http://HOST:PORT or https://HOST:PORT`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new UsageError(`${name} must not hold a user or password: they would be seen by others`);
  }
  return url;
}

function workspaceOf(value: unknown): string | null {
  const name = textOf(value);
  if (name === '') throw new UsageError('--workspace is empty');
  return name;
}

function choiceOf<T extends string>(
  name: string,
  value: unknown,
  allowed: readonly [T, ...T[]],
): T {
  if (value === undefined) return allowed[0];
  const found = allowed.find((choice) => choice === value);
  if (found === undefined) {
    throw new UsageError(`${name} is '${String(value)}'; allowed: ${allowed.join(', ')}`);
  }
  return found;
}

/** A secret by file, or by NAME or NAME_FILE in the environment. */
function secretOf(file: unknown, option: string, name: string, env: Env): string | null {
  const given = fileOf(option, textOf(file));
  if (given !== null) return given.trim();
  const direct = env[name];
  if (direct !== undefined && direct !== '') return direct;
  return fileOf(`${name}_FILE`, env[`${name}_FILE`] ?? null)?.trim() ?? null;
}

function fileOf(name: string, path: string | null): string | null {
  if (path === null || path === '') return null;
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`${name} is '${path}': cannot read it, ${reason}`);
  }
}

function tokenHeader(token: string | null): Record<string, string> {
  if (token === null) return {};
  if (!/^[\x21-\x7e]+$/.test(token)) throw new UsageError('the token must be printable characters');
  return { 'Kong-Admin-Token': token };
}

function headersOf(path: string | null): Record<string, string> {
  const text = fileOf('--source-headers-file', path);
  const lines = (text ?? '').split(/\r?\n/).filter((line) => line.trim() !== '');
  return Object.fromEntries(
    lines.map((line, index): [string, string] => {
      const [, name, value] = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+):\s*([\x20-\x7e]+)$/.exec(line) ?? [];
      if (name !== undefined && value !== undefined) return [name, value.trim()];
      throw new UsageError(`--source-headers-file: line ${index + 1} is no "Name: value"`);
    }),
  );
}
