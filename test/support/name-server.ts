/** A DNS server of its own for a test file: NSD, a temporary folder, a free port on loopback. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { decode, encode } from 'dns-packet';
import { eventually } from './eventually.ts';

const ZONES = ['test', 'other.example'];

export interface NameServer {
  readonly address: '127.0.0.1';
  readonly port: number;
  /**
   * Serves these records from now on, in the format of zone files, names relative to `test.`: such as
   * `a.svc 30 A 10.0.0.1`. Lines that begin with `!` belong to `other.example.`.
   */
  serve(records: readonly string[]): Promise<void>;
  /** Lets questions wait until `resume`. */
  pause(): void;
  resume(): void;
  /** Is gone until `start`: its port refuses. */
  stop(): Promise<void>;
  start(): Promise<void>;
  remove(): Promise<void>;
}

/** Starts a server, or null where there is none to start: in CI, that is a failure. */
export async function startNameServer(): Promise<NameServer | null> {
  const binary = findBinary();
  if (binary === null) {
    const missing = 'SKIPPED: no NSD found; install the Debian package nsd';
    if (process.env['CI'] !== undefined) throw new Error(missing);
    console.warn(missing);
    return null;
  }
  const server = new Nsd(binary, await mkdtemp(join(tmpdir(), 'headgate-nsd-')), await freePort());
  await server.serve([]);
  return server;
}

/** Debian keeps it out of the PATH of ordinary accounts. */
function findBinary(): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, 'nsd')).find((path) => existsSync(path)) ?? null;
}

class Nsd implements NameServer {
  readonly address = '127.0.0.1';
  readonly port: number;
  readonly #binary: string;
  readonly #folder: string;
  readonly #killOnExit = (): void => void this.#signal('SIGKILL');
  #process: ChildProcess | null = null;
  #serial = 1;

  constructor(binary: string, folder: string, port: number) {
    this.#binary = binary;
    this.#folder = folder;
    this.port = port;
  }

  async serve(records: readonly string[]): Promise<void> {
    this.#serial += 1;
    for (const [i, zone] of ZONES.entries()) {
      const own = records.filter((line) => line.startsWith('!') === i > 0);
      await this.#writeZone(
        zone,
        own.map((line) => line.replace(/^!/, '')),
      );
    }
    if (this.#process === null) await this.start();
    else {
      this.#signal('SIGHUP');
      await this.#untilCurrent();
    }
  }

  pause(): void {
    this.#signal('SIGSTOP');
  }

  resume(): void {
    this.#signal('SIGCONT');
  }

  async stop(): Promise<void> {
    if (this.#process === null) return;
    this.#signal('SIGKILL');
    // Each of the group holds the port.
    await eventually('the server gone', () => !this.#signal(0));
    this.#process = null;
    process.off('exit', this.#killOnExit);
  }

  async start(): Promise<void> {
    const config = join(this.#folder, 'nsd.conf');
    await writeFile(config, this.#config());
    // A group of its own: it forks, and signals are for all of it.
    this.#process = spawn(this.#binary, ['-d', '-c', config], { detached: true, stdio: 'ignore' });
    process.once('exit', this.#killOnExit);
    await this.#untilCurrent();
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** False when there is nobody to take it. */
  #signal(signal: NodeJS.Signals | 0): boolean {
    const pid = this.#process?.pid;
    if (pid === undefined) return false;
    try {
      return process.kill(-pid, signal);
    } catch {
      return false;
    }
  }

  async #writeZone(zone: string, records: readonly string[]): Promise<void> {
    const text = [
      `$ORIGIN ${zone}.`,
      '$TTL 60',
      `@ SOA ns.${zone}. host.${zone}. ${this.#serial} 3600 600 86400 60`,
      `@ NS ns.${zone}.`,
      ...records,
      '',
    ].join('\n');
    await writeFile(join(this.#folder, `${zone}.zone`), text);
  }

  #config(): string {
    const folder = this.#folder;
    return [
      'server:',
      `  ip-address: 127.0.0.1@${this.port}`,
      '  server-count: 1',
      '  username: ""',
      '  database: ""',
      '  pidfile: ""',
      `  zonesdir: "${folder}"`,
      `  xfrdfile: "${folder}/xfrd.state"`,
      `  xfrdir: "${folder}"`,
      `  zonelistfile: "${folder}/zone.list"`,
      `  logfile: "${folder}/nsd.log"`,
      'remote-control:',
      '  control-enable: no',
      ...ZONES.flatMap((zone) => ['zone:', `  name: ${zone}`, `  zonefile: ${zone}.zone`]),
      '',
    ].join('\n');
  }

  async #untilCurrent(): Promise<void> {
    await eventually('the zones served', async () => {
      const serials = await Promise.all(ZONES.map((zone) => this.#serialOf(zone)));
      return serials.every((serial) => serial === this.#serial);
    });
  }

  async #serialOf(zone: string): Promise<number | null> {
    const socket = createSocket('udp4');
    try {
      const question = encode({ type: 'query', id: 1, questions: [{ name: zone, type: 'SOA' }] });
      socket.send(question, this.port, this.address);
      const [bytes]: Buffer[] = await once(socket, 'message', {
        signal: AbortSignal.timeout(200),
      });
      const answer = bytes === undefined ? undefined : decode(bytes).answers?.[0];
      return answer?.type === 'SOA' ? (answer.data.serial ?? null) : null;
    } catch {
      return null;
    } finally {
      socket.close();
    }
  }
}

async function freePort(): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}
