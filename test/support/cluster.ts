/** A control plane and data planes for a test, each a process with a folder of its own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Edge, startEdge } from '../../infra/dev/edge.ts';
import { AdminClient } from './admin-client.ts';
import { eventually } from './eventually.ts';
import { send } from './http-client.ts';
import { type Program, startProgram } from './program.ts';

type Env = Readonly<Record<string, string>>;

export class Cluster {
  readonly folder: string;
  controlPlane: Program;
  #edges: Edge[] = [];
  #programs = new Set<Program>();
  /** Fixed after the first start, so that a restarted control plane is found again. */
  #ports: { admin: string; cluster: string };

  private constructor(folder: string, controlPlane: Program) {
    this.folder = folder;
    this.controlPlane = controlPlane;
    this.#programs.add(controlPlane);
    const listen = (role: string): string => new URL(controlPlane.url(role)).host;
    this.#ports = { admin: listen('admin'), cluster: listen('cluster') };
  }

  static async start(env: Env = {}): Promise<Cluster> {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-cluster-'));
    const controlPlane = await startProgram('cp', {
      HEADGATE_DATA_DIR: folder,
      HEADGATE_ADMIN_LISTEN: '127.0.0.1:0',
      HEADGATE_CLUSTER_LISTEN: '127.0.0.1:0',
      ...env,
    });
    return new Cluster(folder, controlPlane);
  }

  get admin(): AdminClient {
    return new AdminClient(`http://${this.#ports.admin}`);
  }

  get clusterAddress(): string {
    return `ws://${this.#ports.cluster}`;
  }

  async killControlPlane(): Promise<void> {
    await this.controlPlane.kill('SIGKILL');
    this.#programs.delete(this.controlPlane);
  }

  async restartControlPlane(): Promise<void> {
    this.controlPlane = await startProgram('cp', {
      HEADGATE_DATA_DIR: this.folder,
      HEADGATE_ADMIN_LISTEN: this.#ports.admin,
      HEADGATE_CLUSTER_LISTEN: this.#ports.cluster,
    });
    this.#programs.add(this.controlPlane);
  }

  /** Starts a Node data plane; with its token the first time, without one again. */
  async startNode(env: Env = {}, name = 'node'): Promise<Program> {
    const program = await startProgram('dp', {
      HEADGATE_DATA_DIR: join(this.folder, name),
      HEADGATE_CONTROL_PLANES: this.clusterAddress,
      HEADGATE_PROXY_LISTEN: '127.0.0.1:0',
      HEADGATE_STATUS_LISTEN: '127.0.0.1:0',
      ...env,
    });
    this.#programs.add(program);
    return program;
  }

  async startEdge(bindings: Env = {}, port = 0): Promise<Edge> {
    const edge = await startEdge({
      port,
      persistDir: join(this.folder, 'edge'),
      bindings: {
        HEADGATE_DEPLOYMENT: 'test',
        HEADGATE_CONTROL_PLANES: this.clusterAddress,
        ...bindings,
      },
      quiet: true,
    });
    this.#edges.push(edge);
    return edge;
  }

  async stopEdge(edge: Edge): Promise<void> {
    this.#edges = this.#edges.filter((other) => other !== edge);
    await edge.close();
  }

  async close(): Promise<void> {
    await Promise.all(this.#edges.map((edge) => edge.close()));
    await Promise.all([...this.#programs].map((program) => program.kill('SIGKILL')));
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Waits until a data plane answers a path with a status: its configuration has come so far. */
export function answers(base: string, path: string, status: number, deadlineMs = 15_000) {
  return eventually(
    `${base}${path} answers ${status}`,
    async () => (await send(base, path)).status === status,
    deadlineMs,
  );
}
