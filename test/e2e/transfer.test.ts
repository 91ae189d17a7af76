/** Moving in and out: `headgate import` and `headgate export` as processes, against control planes. */
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Cluster } from '../support/cluster.ts';
import { Program, startProgram } from '../support/program.ts';

interface Result {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

let folder = '';
let source: Cluster;
let target: Cluster;
/** Each test loads into a workspace of its own. */
let workspace = '';
let count = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-transfer-'));
  [source, target] = await Promise.all([Cluster.start(), Cluster.start()]);
  await fill();
});
afterAll(async () => {
  await Promise.all([source?.close(), target?.close()]);
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  count += 1;
  workspace = `team-${count}`;
});

async function headgate(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Result> {
  const program = new Program(['headgate.mjs', ...args], env);
  const { code } = await program.ended;
  return { code, output: program.output, errors: program.errors };
}

function into(from: string, ...more: string[]): Promise<Result> {
  const to = ['--to', target.admin.url, '--workspace', workspace, '--create-workspace'];
  return headgate(['import', from, ...to, ...more]);
}

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

async function listed(admin: Cluster['admin'], path: string): Promise<Record<string, unknown>[]> {
  return (await admin.ok('GET', path))['data'] as Record<string, unknown>[];
}

/** A configuration with something of everything, in the source's default workspace. */
async function fill(): Promise<void> {
  const { admin } = source;
  await admin.post('/services', { name: 'shop', url: 'http://shop.test:81/x', retries: 2 });
  await admin.post('/services/shop/routes', { name: 'cart', paths: ['/cart', '~/c/\\d+$'] });
  await admin.post('/routes', { paths: ['/lonely'], tags: ['a b'] });
  await admin.post('/routes/cart/plugins', { name: 'rate-limiting', config: { minute: 5 } });
  await admin.post('/plugins', { name: 'correlation-id', instance_name: 'ids' });
  await admin.post('/consumers', { username: 'ann', custom_id: 'a-1' });
  await admin.post('/consumers/ann/key-auth', { key: 'ann-key', ttl: 3600 });
  await admin.post('/consumers/ann/basic-auth', { username: 'ann', password: 'open sesame' });
  await admin.post('/consumers/ann/acls', { group: 'staff' });
  await admin.post('/consumers/ann/jwt', { key: 'iss' });
  await admin.post('/consumers/ann/hmac-auth', { username: 'ann' });
  await admin.post('/consumers/ann/oauth2', {
    name: 'app',
    client_secret: 'hush',
    hash_secret: true,
  });
  await admin.post('/upstreams', { name: 'shop.test', algorithm: 'least-connections' });
  await admin.post('/upstreams/shop.test/targets', { target: '10.0.0.1:80', weight: 7 });
  await admin.post('/vaults', { name: 'env', prefix: 'my-vault', config: { prefix: 'X_' } });
  await admin.post('/certificates', {
    cert: '{vault://my-vault/cert}',
    key: '{vault://env/key}',
    snis: ['a.test', '*.b.test'],
  });
  await admin.post('/key-sets', { name: 'keys' });
}

const COLLECTIONS = [
  'services',
  'routes',
  'plugins',
  'consumers',
  'key-auths',
  'basic-auths',
  'acls',
  'jwts',
  'hmac-auths',
  'oauth2',
  'upstreams',
  'upstreams/shop.test/targets',
  'vaults',
  'certificates',
  'snis',
  'key-sets',
];

function comparable(row: Record<string, unknown>): unknown {
  const lasting = Object.entries(row).filter(([name]) => name !== 'ttl' && name !== 'updated_at');
  return { ...Object.fromEntries(lasting), hasEnd: row['ttl'] !== null };
}

/** Times to live go on while a test runs, and dates of change are each control plane's own. */
async function everything(cluster: Cluster, prefix: string): Promise<unknown> {
  const lists = COLLECTIONS.map(async (path) => {
    const rows = await listed(cluster.admin, `${prefix}/${path}?size=1000`);
    return [path, rows.map(comparable)];
  });
  return Object.fromEntries(await Promise.all(lists));
}

describe('headgate import', () => {
  it('takes over a running Kong as it is, and changes nothing the second time', async () => {
    const first = await into(source.admin.url, '--format', 'json');
    expect(first).toMatchObject({ code: 0, errors: '' });
    expect(JSON.parse(first.output)).toMatchObject({ loaded: true, changed: 0, not_possible: 0 });
    // A vault's prefix is unique over all workspaces, and so are SNIs: this is where they are now.
    expect(await everything(target, `/${workspace}`)).toEqual(await everything(source, ''));

    const again = await into(source.admin.url);
    expect(again.output).toMatch(/: created=0, updated=0, removed=0\n$/);
    await target.admin.ok('POST', `/${workspace}/config?force=true`, { _format_version: '3.0' });
  });

  it('takes over a decK state file', async () => {
    const path = await file(
      'state.yml',
      `_format_version: "3.0"
_info:
  select_tags: [shop]
_workspace: ${workspace}
services:
- name: shop
  url: "http://\${{ env "DECK_SHOP" }}:81"
  routes:
  - name: cart
    paths: [/cart]
    plugins:
    - name: rate-limiting
      _config: strict
_plugin_configs:
  strict: {minute: 5, redis_timeout: 100}
consumers:
- username: bob
  keyauth_credentials:
  - {key: bob-key, ttl: 60}
  basicauth_credentials:
  - {username: bob, password: open sesame}
plugins:
- name: key-auth
  service: shop
`,
    );
    const to = ['--to', target.admin.url, '--create-workspace'];
    const { code, output } = await headgate(['import', path, ...to], { DECK_SHOP: 'shop.test' });

    expect(output).toContain(
      'config.redis_timeout is deprecated and has moved to config.redis.timeout',
    );
    expect(output).toMatch(/7 entities: 6 taken over, 1 changed, 0 not possible\n/);
    expect(output).toMatch(/: created=7, updated=0, removed=0\n$/);
    expect(code).toBe(0);
    const base = `/${workspace}`;
    const [service] = await listed(target.admin, `${base}/services`);
    expect(service).toMatchObject({ host: 'shop.test', port: 81, tags: ['shop'] });
    const [limits] = await listed(target.admin, `${base}/routes/cart/plugins`);
    expect(limits).toMatchObject({ config: { minute: 5, redis: { timeout: 100 } } });
    const [key] = await listed(target.admin, `${base}/key-auths`);
    expect(key?.['ttl']).toBeLessThanOrEqual(60);
    const [password] = await listed(target.admin, `${base}/basic-auths`);
    expect(password?.['password']).toMatch(/^[0-9a-f]{40}$/);
  });

  it('takes over an old kong.yml, and says what it changes', async () => {
    const path = await file(
      'kong.yml',
      '_format_version: "2.1"\nservices:\n- name: s\n  url: http://a.test\n' +
        "  routes:\n  - name: r\n    paths: ['/a/\\d+', /b]\n",
    );
    const { code, output } = await into(path);
    expect(code).toBe(0);
    expect(output).toContain("changed: routes 'r' of services 's'");
    expect(output).toContain('path /a/\\d+ is now ~/a/\\d+');
    const [route] = await listed(target.admin, `/${workspace}/routes`);
    expect(route?.['paths']).toEqual(['~/a/\\d+', '/b']);
  });

  const IMPOSSIBLE =
    '_format_version: "3.0"\nservices:\n- name: s\n  host: a\n  routes:\n' +
    '  - {name: good, paths: [/a]}\n  - {name: bad, paths: ["~/(?!x)"]}\n' +
    '  plugins:\n  - name: openid-connect\n';

  it('loads nothing when something is not possible, unless that is skipped', async () => {
    const path = await file('impossible.yml', IMPOSSIBLE);
    const refused = await into(path);
    expect(refused.code).toBe(2);
    expect(refused.output).toContain('nothing was loaded: --skip-impossible loads the rest');
    expect((await target.admin.call('GET', `/workspaces/${workspace}`)).status).toBe(404);

    const loaded = await into(path, '--skip-impossible');
    expect(loaded.code).toBe(0);
    expect(loaded.output).toMatch(
      /created=2, updated=0, removed=0; mind that 1 plugins are left out/,
    );
    const routes = await listed(target.admin, `/${workspace}/routes`);
    expect(routes.map(({ name }) => name)).toEqual(['good']);
  });

  it('changes nothing in a dry run', async () => {
    await target.admin.post('/workspaces', { name: workspace });
    const path = await file('dry.yml', '_format_version: "3.0"\nconsumers: [{username: c}]\n');
    const { code, output } = await into(path, '--dry-run');
    expect(output).toMatch(/nothing was loaded; .* would take it: created=1, updated=0, removed=0/);
    expect(code).toBe(0);
    expect(await listed(target.admin, `/${workspace}/consumers`)).toEqual([]);
  });

  it('judges without a control plane in a dry run that names none', async () => {
    const path = await file('alone.yml', IMPOSSIBLE);
    const { code, output } = await headgate(['import', path, '--dry-run', '--skip-impossible']);
    // Where somebody runs a Kong or Headgate on 8001, it is asked.
    expect(output).toContain('look-ahead');
    expect(code).toBe(0);
  });

  it('does not drop much of a workspace unless it is forced to', async () => {
    const many = Array.from({ length: 30 }, (_, i) => `{username: c${i}}`).join(', ');
    const full = await file('full.yml', `_format_version: "3.0"\nconsumers: [${many}]\n`);
    const cut = await file('cut.yml', '_format_version: "3.0"\nconsumers: [{username: c0}]\n');
    await into(full);
    const refused = await into(cut);
    expect(refused.code).toBe(1);
    expect(refused.output).toMatch(/409 This would remove 29 of 30 entities.*--force\n$/);
    expect(await listed(target.admin, `/${workspace}/consumers`)).toHaveLength(30);
    expect((await into(cut, '--force')).output).toMatch(/created=0, updated=0, removed=29\n$/);
  });

  it('shows what the control plane refuses, by entity', async () => {
    const path = await file(
      'twice.yml',
      '_format_version: "3.0"\nplugins:\n- name: correlation-id\n- name: correlation-id\n',
    );
    const { code, output } = await into(path);
    expect(code).toBe(1);
    expect(output).toContain('plugin correlation-id\n  refused: uniqueness violation');
    expect(output).toMatch(/nothing was loaded: .* answered 400/);
  });

  it('names what is wrong with the command', async () => {
    const wrong = await headgate(['import', 'x.yml', '--frobnicate']);
    expect(wrong).toMatchObject({ code: 1, output: '' });
    expect(wrong.errors).toMatch(/^headgate import: .*'--frobnicate'/);
    const gone = await headgate(['import', 'gone.yml', '--dry-run']);
    expect(gone.errors).toMatch(/^headgate import: gone\.yml: cannot read it, ENOENT/);
    const absent = ['--to', target.admin.url, '--workspace', 'nowhere'];
    const nowhere = await headgate([
      'import',
      await file('e.yml', '_format_version: "3.0"'),
      ...absent,
    ]);
    expect(nowhere.errors).toMatch(/there is no workspace 'nowhere'; --create-workspace makes it/);
    expect((await headgate(['import', '--help'])).output).toMatch(/^usage: headgate import SOURCE/);
  });
});

describe('a control plane behind TLS and a token', () => {
  it('is a source, a workspace of it by its path, and a target, with secrets from files', async () => {
    const data = join(folder, 'guarded');
    const guarded = await startProgram('cp', {
      HEADGATE_DATA_DIR: data,
      HEADGATE_ADMIN_LISTEN: '127.0.0.1:0 ssl',
      HEADGATE_ADMIN_TOKEN: 'let-me-in-please',
      HEADGATE_CLUSTER_LISTEN: '127.0.0.1:0',
    });
    try {
      const url = guarded.url('admin');
      const token = await file('token', 'let-me-in-please\n');
      const trust = ['--cacert', join(data, 'admin-tls.pem')];
      const state = await file('c.yml', '_format_version: "3.0"\nconsumers: [{username: only}]\n');
      const to = ['--to', url, '--workspace', 'inner', '--create-workspace'];

      const stranger = await headgate(['import', state, ...to, ...trust]);
      expect(stranger.code).toBe(1);
      expect(stranger.errors).toMatch(/GET \/ answered 401/);
      const untrusting = await headgate(['import', state, ...to, '--token-file', token]);
      expect(untrusting.errors).toMatch(/self-signed certificate/);
      const loaded = await headgate(['import', state, ...to, ...trust, '--token-file', token]);
      expect(loaded.output).toMatch(/: created=1, updated=0, removed=0\n$/);

      const asSource = [...trust, '--source-token-file', token];
      const copied = await into(`${url}/inner`, ...asSource);
      expect(copied.output).toMatch(/: created=1, updated=0, removed=0\n$/);
      const env = { HEADGATE_ADMIN_TOKEN_FILE: token };
      const exported = await headgate(
        ['export', '--from', url, '--workspace', 'inner', ...trust],
        env,
      );
      expect(exported.output).toContain('username: only');
    } finally {
      await guarded.kill('SIGKILL');
    }
  });
});

describe('headgate export', () => {
  it.each(['deck', 'kong'])(
    'writes a file of format %s that only its owner reads, and that changes nothing when loaded',
    async (format) => {
      const path = join(folder, `${format}-out.yml`);
      const from = ['--from', source.admin.url, '--format', format, '-o', path];
      const { code, output, errors } = await headgate(['export', ...from]);
      expect({ code, output }).toEqual({ code: 0, output: '' });
      expect(errors).toBe(`headgate export: written to ${path} with mode 0600: it holds secrets\n`);
      expect((await stat(path)).mode & 0o777).toBe(0o600);

      const back = await headgate(['import', path, '--to', source.admin.url]);
      expect(back.output).toMatch(/: created=0, updated=0, removed=0\n$/);
      expect(back.code).toBe(0);
    },
  );

  it('writes to standard output, and names what is wrong', async () => {
    const { output } = await headgate(['export', '--from', source.admin.url]);
    expect(output).toMatch(/^_format_version: "3\.0"\n/);
    const gone = join(folder, 'gone', 'x.yml');
    const wrong = await headgate(['export', '--from', source.admin.url, '-o', gone]);
    expect(wrong.code).toBe(1);
    expect(wrong.errors).toMatch(/^headgate export: -o is '.*x\.yml': cannot write there, ENOENT/);
    expect((await headgate(['export', '--help'])).output).toMatch(/^usage: headgate export/);
  });

  it('reads a workspace by its name', async () => {
    await target.admin.post('/workspaces', { name: workspace });
    await target.admin.post(`/${workspace}/consumers`, { username: 'only-here' });
    const from = ['--from', target.admin.url, '--workspace', workspace];
    const path = join(folder, 'workspace.yml');
    await headgate(['export', ...from, '-o', path]);
    const text = await readFile(path, 'utf8');
    expect(text).toContain(`_workspace: ${workspace}\n`);
    expect(text).toContain('username: only-here');
  });
});
