/**
 * The edge data plane on one machine: the Worker as it would be deployed, bundled and run in workerd.
 *
 * KV and the hub's storage are kept in a folder, so that a second start finds them again. There is no
 * cron here: the hub's own alarm does what the cron is the second net for.
 */
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { listenFailure } from '#shared/platform/node/start-error.ts';
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from 'miniflare';

/** As in wrangler.toml; a test compares the two. */
export const EDGE_COMPATIBILITY_DATE = '2026-10-01';
export const EDGE_COMPATIBILITY_FLAGS = ['global_fetch_strictly_public', 'enable_request_signal'];

const WORKER = fileURLToPath(new URL('../../edge-dp/worker.ts', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** How long the Worker may take to answer its first request. */
const FIRST_ANSWER_MS = 20_000;

export interface EdgeOptions {
  /** 0: any free port. */
  readonly port: number;
  readonly host?: string;
  /** Folder for KV and the hub's storage. */
  readonly persistDir: string;
  /** Settings (`HEADGATE_*`) as the deployment's variables and secrets would be. */
  readonly bindings: Readonly<Record<string, string>>;
  /** No line of the Worker's log on standard output. */
  readonly quiet?: boolean;
}

export interface Edge {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Bundles and starts the Worker, and makes its hub dial.
 *
 * @throws when the port is taken or the Worker does not start
 */
export async function startEdge(options: EdgeOptions): Promise<Edge> {
  const miniflare = new Miniflare(miniflareOptions(options, await bundleEdge()));
  try {
    await miniflare.ready;
    const { origin: url } = await miniflare.unsafeGetDirectURL();
    // The first request makes the isolate ask its hub, and thereby the hub dial.
    const prefix = options.bindings['HEADGATE_STATUS_PREFIX'] ?? '/_headgate';
    const first = await fetch(`${url}${prefix}/status/ready`, {
      signal: AbortSignal.timeout(FIRST_ANSWER_MS),
    });
    await first.body?.cancel();
    return { url, close: () => miniflare.dispose() };
  } catch (error) {
    // What failed to start reports the same failure again when it is disposed of.
    await miniflare.dispose().catch(() => undefined);
    throw clearer(error, options);
  }
}

/** Miniflare's own words for a port that is taken do not name it. */
function clearer(error: unknown, { host, port }: EdgeOptions): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  if (code !== 'ERR_ADDRESS_IN_USE') return error;
  return listenFailure(
    'HEADGATE_EDGE_LISTEN',
    { host: host ?? '127.0.0.1', port, tls: false },
    error,
  );
}

/** The Worker as one module, as wrangler would bundle it. */
export async function bundleEdge(entry: string = WORKER): Promise<string> {
  const result = await build({
    entryPoints: [entry],
    absWorkingDir: ROOT,
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2024',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    conditions: ['workerd', 'worker', 'browser'],
    external: ['cloudflare:*', 'node:*'],
    logLevel: 'silent',
  });
  const [file] = result.outputFiles;
  if (file === undefined) throw new Error('the Worker bundle is empty');
  return file.text;
}

/** The only place that knows how this release of Miniflare spells its options. */
function miniflareOptions(
  options: EdgeOptions,
  bundle: string,
): ReturnType<typeof convertV4MiniflareOptions> {
  return convertV4MiniflareOptions({
    name: 'headgate-edge',
    // Straight to the Worker: Miniflare's own front would believe a client's X-Forwarded-Proto and
    // other headers, which the platform does not.
    unsafeDirectSockets: [{ host: options.host ?? '127.0.0.1', port: options.port }],
    host: '127.0.0.1',
    port: 0,
    cf: false,
    log: new Log(options.quiet ? LogLevel.NONE : LogLevel.WARN),
    compatibilityDate: EDGE_COMPATIBILITY_DATE,
    compatibilityFlags: EDGE_COMPATIBILITY_FLAGS,
    modules: [{ type: 'ESModule', path: 'worker.mjs', contents: bundle }],
    durableObjects: { HEADGATE_HUB: { className: 'ConfigHub', useSQLite: true } },
    kvNamespaces: ['HEADGATE_CONFIG'],
    bindings: { ...options.bindings },
    resourcePersistencePath: options.persistDir,
    handleStructuredLogs: options.quiet ? () => undefined : (line) => console.log(line.message),
  });
}
