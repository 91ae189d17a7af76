/**
 * `npm run bench:admin`: the control plane as a whole process over HTTP, on the embedded database and
 * on a PostgreSQL server. Loads of 10,000 routes, single creates, pages of 100,000 entities.
 *
 * Settings: BENCH_ROUTES (10000), BENCH_ENTITIES (100000), BENCH_SECONDS (3) of creates.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must } from '#shared/base/assert.ts';
import { type Program, startProgram } from '../support/program.ts';
import { startPostgres } from '../support/postgres.ts';

const number = (name: string, fallback: number) => Number(process.env[name] ?? fallback);
const ROUTES = number('BENCH_ROUTES', 10_000);
const ENTITIES = number('BENCH_ENTITIES', 100_000);
const SECONDS = number('BENCH_SECONDS', 3);
const ROUTES_PER_SERVICE = 10;
const PAGE_SIZE = 1_000;
const PAGE_ROUNDS = 21;

const JSON_TYPE = { 'content-type': 'application/json' };

interface Answer {
  readonly ms: number;
  readonly text: string;
}

/** @throws when it is refused */
async function call(
  base: string,
  path: string,
  body?: string,
  headers = JSON_TYPE,
): Promise<Answer> {
  const start = performance.now();
  const sent = body === undefined ? {} : { method: 'POST', headers, body };
  const response = await fetch(`${base}${path}`, sent);
  const text = await response.text();
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text.slice(0, 500)}`);
  return { ms: performance.now() - start, text };
}

function routesFile(): string {
  const services = Array.from({ length: ROUTES / ROUTES_PER_SERVICE }, (_, s) => ({
    name: `service-${s}`,
    url: `http://service-${s}.internal`,
    routes: Array.from({ length: ROUTES_PER_SERVICE }, (__, r) => ({
      name: `route-${s}-${r}`,
      hosts: [`h${s}.test`],
      paths: [`/s${s}/r${r}`],
      tags: ['bench'],
    })),
  }));
  return JSON.stringify({ _format_version: '3.0', services });
}

async function loads(base: string): Promise<void> {
  const file = routesFile();
  say(
    `load of ${ROUTES} routes, ${ROUTES / ROUTES_PER_SERVICE} services (JSON)`,
    (await call(base, '/config?force=1', file)).ms,
  );
  say('the same again: nothing to change', (await call(base, '/config', file)).ms);
  const retagged = file.replaceAll('"bench"', '"changed"');
  say('all routes changed', (await call(base, '/config', retagged)).ms);
  const shown = await call(base, '/config');
  say('shown as YAML', shown.ms);
  // What `GET /config` answers is a text under this name.
  const { config } = JSON.parse(shown.text) as { config: string };
  const yaml = await call(base, '/config', config, { 'content-type': 'application/yaml' });
  say(`that loaded: ${(config.length / 1e6).toFixed(1)} MB of YAML`, yaml.ms);
  await call(base, '/config?force=1', '{"_format_version":"3.0"}');
}

async function creates(base: string, clients: number): Promise<void> {
  const end = performance.now() + SECONDS * 1_000;
  let made = 0;
  const client = async () => {
    while (performance.now() < end) {
      await call(base, '/services', `{"name":"c-${clients}-${made++}","host":"a.test"}`);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  console.log(
    `  ${'single creates'.padEnd(52)} ${Math.round(made / SECONDS)} per second, ${clients} clients`,
  );
}

async function pages(base: string): Promise<void> {
  await call(base, '/workspaces', '{"name":"many"}');
  const consumers = Array.from({ length: ENTITIES }, (_, i) => ({ username: `c-${i}` }));
  const file = JSON.stringify({ _format_version: '3.0', consumers });
  say(`load of ${ENTITIES} consumers`, (await call(base, '/many/config', file)).ms);
  let last = `/many/consumers?size=${PAGE_SIZE}`;
  const first = last;
  for (let next: string | null = last; next !== null;) {
    last = next;
    // A page of a collection names the next one.
    ({ next } = JSON.parse((await call(base, next)).text) as { next: string | null });
  }
  const times = new Map<string, number[]>([first, last].map((path) => [path, []]));
  for (let round = 0; round < PAGE_ROUNDS; round++) {
    for (const [path, list] of times) list.push((await call(base, path)).ms);
  }
  const median = (path: string) =>
    must(times.get(path)?.toSorted((a, b) => a - b)[PAGE_ROUNDS >> 1], path);
  const ratio = (median(last) / median(first)).toFixed(2);
  say(`first page of ${PAGE_SIZE}, median`, median(first));
  say(`last page, median (x${ratio})`, median(last));
}

function say(what: string, ms: number): void {
  console.log(
    `  ${what.padEnd(52)} ${ms < 1_000 ? `${ms.toFixed(1)} ms` : `${(ms / 1_000).toFixed(2)} s`}`,
  );
}

async function measure(name: string, url: string | null): Promise<void> {
  console.log(name);
  const folder = await mkdtemp(join(tmpdir(), 'headgate-bench-'));
  const env: Record<string, string> = {
    HEADGATE_DATA_DIR: folder,
    HEADGATE_ADMIN_LISTEN: '127.0.0.1:0',
    HEADGATE_CLUSTER_LISTEN: '127.0.0.1:0',
    HEADGATE_LOG_LEVEL: 'error',
    ...(url === null
      ? {}
      : { HEADGATE_DATABASE_URL: url, HEADGATE_KEK: Buffer.alloc(32, 7).toString('base64') }),
  };
  let program: Program | null = null;
  try {
    program = await startProgram('cp', env);
    const base = program.url('admin');
    await loads(base);
    await creates(base, 1);
    await creates(base, 8);
    await pages(base);
  } finally {
    await program?.kill('SIGTERM');
    await rm(folder, { recursive: true, force: true });
  }
}

await measure('embedded database', null);
const postgres = await startPostgres();
if ('missing' in postgres) console.log(postgres.missing);
else {
  await measure('PostgreSQL server', await postgres.createDatabase()).finally(() =>
    postgres.stop(),
  );
}
