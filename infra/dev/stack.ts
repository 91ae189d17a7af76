/** The parts of `npm start` in their order: control plane, tokens, data planes. */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { ensurePrivateDir, writeFileAtomic } from '#shared/platform/node/files.ts';
import { folderFailure, StartError } from '#shared/platform/node/start-error.ts';
import type { DevSettings } from '#shared/settings/dev.ts';
import { parseListens } from '#shared/settings/listen.ts';
import { Child } from './child.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Seconds that a join token of a start lives: long enough for a slow machine. */
const TOKEN_TTL_S = 300;
/** From listening to joined, on a slow machine. */
const JOINED_MS_MAX = 15_000;
const JOINED_POLL_MS = 50;

export class DevStack {
  readonly #settings: DevSettings;
  readonly #env: Environment;
  readonly #dataDir: string;
  readonly #children: Child[] = [];
  #controlPlane: Child | null = null;
  #fail: (message: string) => void = () => {};
  #addresses = { admin: '', cluster: '', proxy: '', status: '', edge: '' };

  constructor(settings: DevSettings, env: Environment) {
    this.#settings = settings;
    this.#env = env;
    this.#dataDir = resolve(settings.HEADGATE_DATA_DIR);
  }

  onFailure(fail: (message: string) => void): void {
    this.#fail = fail;
  }

  async start(): Promise<void> {
    await this.#checkDataDir();
    await this.#startControlPlane();
    const [node, edge] = await Promise.all([this.#startNode(), this.#startEdge()]);
    this.#addresses = { ...this.#addresses, ...node, ...edge };
    await Promise.all([
      ready('Node data plane', node.status),
      ready('edge data plane', edge.edge === '' ? '' : `${edge.edge}/_headgate`),
    ]);
  }

  /** Data planes first, so that none of them logs a lost control plane. */
  async stop(): Promise<void> {
    const dataPlanes = this.#children.filter((child) => child !== this.#controlPlane);
    await Promise.all(dataPlanes.map((child) => child.stop()));
    await this.#controlPlane?.stop();
  }

  banner(): string {
    const { admin, proxy, status, edge, cluster } = this.#addresses;
    const through = [proxy, edge].filter((url) => url !== '');
    return [
      '',
      'Headgate is up.',
      '',
      `  Admin API          ${admin}`,
      `  Cluster endpoint   ${cluster}`,
      `  Node data plane    ${proxy}   (status ${status}/status)`,
      ...(edge === '' ? [] : [`  Edge data plane    ${edge}`]),
      `  State              ${this.#dataDir}`,
      '',
      'Create a service and a route:',
      '',
      `  curl -s ${admin}/services -d name=example -d url=${status}/status`,
      `  curl -s ${admin}/services/example/routes -d name=example -d 'paths[]=/example'`,
      '',
      'Send a request through each data plane:',
      '',
      ...through.map((url) => `  curl -i ${url}/example`),
      '',
      'Ctrl-C stops all of it.',
      '',
    ].join('\n');
  }

  async #checkDataDir(): Promise<void> {
    try {
      await ensurePrivateDir(this.#dataDir);
      accessSync(this.#dataDir, constants.W_OK);
    } catch (error) {
      throw folderFailure(this.#dataDir, error);
    }
  }

  async #startControlPlane(): Promise<void> {
    const starting = this.#run('control plane', 'headgate.mjs', ['cp'], {});
    this.#controlPlane = this.#children[0] ?? null;
    const addresses = await starting;
    const admin = addresses['admin']?.[0];
    const cluster = addresses['cluster']?.[0];
    if (admin === undefined || cluster === undefined) {
      throw new StartError(
        'npm start needs an Admin API and a cluster endpoint; neither may be off',
      );
    }
    this.#addresses = { ...this.#addresses, admin, cluster };
  }

  async #startNode(): Promise<{ proxy: string; status: string }> {
    const identity = join(this.#dataDir, 'dp', 'node.json');
    const env: Record<string, string> = {
      HEADGATE_CONTROL_PLANES: this.#addresses.cluster.replace(/^http/, 'ws'),
    };
    if (existsSync(identity)) await this.#checkCluster('dp', clusterOf(identity));
    else env['HEADGATE_JOIN_TOKEN_FILE'] = await this.#tokenFile('dp');
    const addresses = await this.#run('Node data plane', 'headgate.mjs', ['dp'], env);
    return { proxy: addresses['proxy']?.[0] ?? '', status: addresses['status']?.[0] ?? '' };
  }

  async #startEdge(): Promise<{ edge: string }> {
    const [listen] = parseListens(this.#settings.HEADGATE_EDGE_LISTEN);
    if (listen === undefined) return { edge: '' };
    const env = {
      HEADGATE_JOIN_TOKEN_FILE: await this.#tokenFile('edge'),
      HEADGATE_CONTROL_PLANES: this.#addresses.cluster.replace(/^http/, 'ws'),
    };
    // The hub's identity lies in its storage; this file says beside it to which cluster it belongs.
    const marker = join(this.#dataDir, 'edge', 'cluster-id');
    if (existsSync(marker)) await this.#checkCluster('edge', readFileSync(marker, 'utf8'));
    const addresses = await this.#run('edge data plane', 'infra/dev/edge-main.ts', [], env);
    await writeFileAtomic(marker, await this.#clusterId(), 0o600);
    return { edge: addresses['edge']?.[0] ?? '' };
  }

  async #run(
    name: string,
    program: string,
    args: readonly string[],
    env: Record<string, string>,
  ): Promise<Readonly<Record<string, readonly string[]>>> {
    const child = new Child({
      name,
      program,
      args,
      env: { ...this.#env, ...env },
      onDeath: (message) => this.#mourn(child, name, message),
    });
    this.#children.push(child);
    return child.ready();
  }

  /** The others go on: that they do is what the product is about. */
  #mourn(child: Child, name: string, message: string): void {
    this.#children.splice(this.#children.indexOf(child), 1);
    console.error(`headgate: the ${name} died (${message}); the rest goes on, Ctrl-C stops it`);
    if (this.#children.length === 0) this.#fail('nothing is left running');
  }

  /** Mints a token and writes it where only this user can read it. */
  async #tokenFile(name: string): Promise<string> {
    const response = await fetch(`${this.#addresses.admin}/clustering/join-tokens`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...this.#adminHeaders() },
      body: JSON.stringify({ ttl: TOKEN_TTL_S }),
    });
    const answer = (await response.json()) as { token?: string; message?: string };
    if (answer.token === undefined) {
      throw new StartError(`no join token for the ${name} data plane: ${answer.message ?? ''}`);
    }
    const file = join(this.#dataDir, `${name}.join-token`);
    await writeFileAtomic(file, answer.token, 0o600);
    return file;
  }

  #adminHeaders(): Record<string, string> {
    const file = this.#env['HEADGATE_ADMIN_TOKEN_FILE'];
    const token =
      file === undefined || file === ''
        ? this.#env['HEADGATE_ADMIN_TOKEN']
        : readFileSync(file, 'utf8').trim();
    return token === undefined || token === '' ? {} : { 'kong-admin-token': token };
  }

  /** Somebody deleted one folder and kept the other: say so in one line, with the fix. */
  async #checkCluster(folder: 'dp' | 'edge', cluster: string | null): Promise<void> {
    if (cluster !== null && cluster !== (await this.#clusterId())) {
      throw new StartError(
        `the data plane in ${join(this.#dataDir, folder)} belongs to another cluster than the control plane; delete that folder to let it join anew`,
      );
    }
  }

  async #clusterId(): Promise<string> {
    const response = await fetch(this.#addresses.admin, { headers: this.#adminHeaders() });
    return String(((await response.json()) as { cluster_id?: unknown }).cluster_id);
  }
}

/** Waits until a data plane has joined and runs a verified configuration. */
async function ready(name: string, base: string): Promise<void> {
  if (base === '') return;
  const end = performance.now() + JOINED_MS_MAX;
  while (performance.now() < end) {
    const response = await fetch(`${base}/status/ready`).catch(() => null);
    await response?.body?.cancel();
    if (response?.ok) return;
    await pause(JOINED_POLL_MS);
  }
  throw new StartError(`the ${name} did not get its configuration; its log lines above say why`);
}

/** The cluster in a node's identity; null when the file is not readable, which the node reports. */
function clusterOf(identity: string): string | null {
  try {
    const { cluster } = JSON.parse(readFileSync(identity, 'utf8')) as { cluster?: unknown };
    return typeof cluster === 'string' ? cluster : null;
  } catch {
    return null;
  }
}
