/** Starting: what it takes, what stops it, and what a second start finds. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AdminClient } from '../support/admin-client.ts';
import { answers } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';
import { type Echo, startEcho } from '../support/echo.ts';
import { Program, startProgram } from '../support/program.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

let folder: string;
let echo: Echo;
let taken: Server;
let takenPort: number;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-start-'));
  echo = await startEcho('one');
  taken = createServer();
  await new Promise<void>((resolve) => {
    taken.listen(0, '127.0.0.1', resolve);
  });
  takenPort = (taken.address() as AddressInfo).port;
});
afterAll(async () => {
  taken?.close();
  await echo?.close();
  await rm(folder, { recursive: true, force: true });
});

/** Free ports, so that these starts disturb nobody. */
const PORTS = {
  HEADGATE_ADMIN_LISTEN: '127.0.0.1:0',
  HEADGATE_CLUSTER_LISTEN: '127.0.0.1:0',
  HEADGATE_PROXY_LISTEN: '127.0.0.1:0',
  HEADGATE_STATUS_LISTEN: '127.0.0.1:0',
  HEADGATE_EDGE_LISTEN: '127.0.0.1:0',
};

describe('a start that cannot be', () => {
  /** Starts a program that is expected to give up, and answers what it said. */
  async function refusal(command: 'cp' | 'dp' | 'dev', env: Record<string, string>) {
    const data = { HEADGATE_DATA_DIR: join(folder, 'refused') };
    const program = new Program(['headgate.mjs', command], { ...PORTS, ...data, ...env });
    const { code } = await program.ended;
    return { code, lines: program.errors.trim().split('\n') };
  }

  const cases: ['cp' | 'dp' | 'dev', Record<string, string>, RegExp][] = [
    [
      'cp',
      { HEADGATE_LOG_LEVEL: 'loud' },
      /HEADGATE_LOG_LEVEL is "loud": .*debug, info, warn, error/,
    ],
    [
      'cp',
      { HEADGATE_ADMIN_LISTEN: '8001' },
      /HEADGATE_ADMIN_LISTEN is "8001": .*127\.0\.0\.1:8001/,
    ],
    [
      'cp',
      { HEADGATE_ADMIN_LISTN: 'x' },
      /HEADGATE_ADMIN_LISTN: .*did you mean HEADGATE_ADMIN_LISTEN/,
    ],
    ['cp', { HEADGATE_DATABASE_URL: 'mysql://x/y' }, /HEADGATE_DATABASE_URL.*postgres:\/\//],
    ['cp', { HEADGATE_ADMIN_LISTEN: '0.0.0.0:0' }, /HEADGATE_ADMIN_LISTEN.*HEADGATE_ADMIN_TOKEN/],
    [
      'cp',
      { HEADGATE_CLUSTER_LISTEN: '0.0.0.0:0' },
      /HEADGATE_CLUSTER_LISTEN.*HEADGATE_TRUSTED_TERMINATOR/,
    ],
    ['dp', { HEADGATE_DRAIN_SECONDS: '-1' }, /HEADGATE_DRAIN_SECONDS is "-1": .*0 to 3600/],
    ['dp', { HEADGATE_CONTROL_PLANES: 'ws://10.0.0.1:8005' }, /HEADGATE_CONTROL_PLANES.*wss:\/\//],
    ['dp', { HEADGATE_JOIN_TOKEN: 'nonsense' }, /HEADGATE_JOIN_TOKEN/],
    ['dev', { HEADGATE_LOG_LEVEL: 'loud' }, /HEADGATE_LOG_LEVEL is "loud"/],
  ];

  it.each(cases)('%s with %j says what is allowed', async (command, env, text) => {
    const { code, lines } = await refusal(command, env);
    expect(lines).toEqual([expect.stringMatching(text)]);
    expect(code).toBe(1);
  });

  it.each(['HEADGATE_ADMIN_LISTEN', 'HEADGATE_PROXY_LISTEN', 'HEADGATE_STATUS_LISTEN'])(
    'names the port that %s wants and somebody else has',
    async (setting) => {
      const command = setting === 'HEADGATE_ADMIN_LISTEN' ? 'cp' : 'dp';
      const { code, lines } = await refusal(command, { [setting]: `127.0.0.1:${takenPort}` });
      expect(lines).toEqual([expect.stringMatching(new RegExp(`${setting}.*${takenPort}.*taken`))]);
      expect(code).toBe(1);
    },
  );

  it.each(['HEADGATE_CLUSTER_LISTEN', 'HEADGATE_PROXY_LISTEN', 'HEADGATE_EDGE_LISTEN'])(
    'npm start names the port that %s wants, and leaves nothing running',
    async (setting) => {
      const { code, lines } = await refusal('dev', { [setting]: `127.0.0.1:${takenPort}` });
      expect(lines).toEqual([expect.stringMatching(new RegExp(`${setting}.*${takenPort}.*taken`))]);
      expect(code).toBe(1);
    },
  );

  it('names a data folder that cannot be written', async () => {
    const file = join(folder, 'a-file');
    await writeFile(file, '');
    for (const command of ['cp', 'dp', 'dev'] as const) {
      for (const path of [join(file, 'data'), '/proc/headgate/data']) {
        const { code, lines } = await refusal(command, { HEADGATE_DATA_DIR: path });
        expect(lines, command).toEqual([expect.stringContaining(`HEADGATE_DATA_DIR is "${path}`)]);
        expect(code).toBe(1);
      }
    }
  });

  it('says which Node it needs, and how to get it', async () => {
    const old =
      'Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.20.2"}})';
    const command = ['--import', `data:text/javascript,${old}`, join(ROOT, 'headgate.mjs'), 'dev'];
    const { status, stderr } = spawnSync(process.execPath, command, { encoding: 'utf8' });
    expect(stderr).toMatch(/needs Node 24\.14 or newer, and this is Node 20\.20\.2/);
    expect(stderr).toMatch(/npm ci/);
    expect(status).toBe(1);
  });

  it('refuses a second control plane on one embedded database', async () => {
    const data = { ...PORTS, HEADGATE_DATA_DIR: join(folder, 'locked') };
    const first = await startProgram('cp', data);
    const { code, lines } = await refusal('cp', data);
    expect(lines).toEqual([expect.stringMatching(new RegExp(`${first.pid}`))]);
    expect(code).toBe(1);
    await first.kill('SIGTERM');
  });
});

describe('npm start', () => {
  const data = (): Record<string, string> => ({
    ...PORTS,
    HEADGATE_DATA_DIR: join(folder, 'dev'),
    HEADGATE_ALLOW_DEBUG_HEADER: 'on',
  });

  async function start(): Promise<{ program: Program; urls: Record<string, string> }> {
    const program = new Program(['headgate.mjs', 'dev'], data());
    const banner = await new Promise<string>((resolve, reject) => {
      const timer = setInterval(() => {
        if (program.output.includes('Ctrl-C stops')) {
          clearInterval(timer);
          resolve(program.output);
        }
      }, 20);
      void program.ended.then(() => {
        clearInterval(timer);
        reject(new Error(`${program.errors}${program.output}`));
      });
    });
    const url = (name: string): string =>
      new RegExp(`${name}\\s+(http://\\S+)`).exec(banner)?.[1] ?? '';
    const urls = {
      admin: url('Admin API'),
      node: url('Node data plane'),
      edge: url('Edge data plane'),
    };
    return { program, urls };
  }

  /** Pid of the child that runs a command. */
  async function childOf(pid: number, command: string): Promise<number> {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
    for (const child of children.trim().split(' ')) {
      const words = (await readFile(`/proc/${child}/cmdline`, 'utf8')).split('\0');
      if (words.includes(command)) return Number(child);
    }
    throw new Error(`no child runs ${command}`);
  }

  /** Resident memory of a process and all below it, in bytes. */
  async function memoryOf(pid: number): Promise<number> {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    const own = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
    const below = await Promise.all(
      children
        .trim()
        .split(' ')
        .filter(Boolean)
        .map((child) => memoryOf(Number(child))),
    );
    return below.reduce((sum, bytes) => sum + bytes, own);
  }

  it('brings up one of everything within 30 s, joined, and a second start finds its state', async () => {
    const startedAt = performance.now();
    const { program, urls } = await start();
    const elapsedMs = performance.now() - startedAt;
    console.log(`npm start took ${Math.round(elapsedMs)} ms`);
    expect(elapsedMs).toBeLessThan(30_000);

    const admin = new AdminClient(urls['admin'] ?? '');
    await admin.post('/services', { name: 'example', url: `http://${echo.address}` });
    await admin.post('/services/example/routes', { name: 'example', paths: ['/example'] });
    await answers(urls['node'] ?? '', '/example', 200);
    await answers(urls['edge'] ?? '', '/example', 200);
    for (const plane of ['node', 'edge']) {
      const answer = await fetch(`${urls[plane]}/example`, { headers: { 'Kong-Debug': '1' } });
      expect(answer.headers.get('Kong-Route-Name'), `${plane}, as it is set`).toBe('example');
      await answer.body?.cancel();
    }
    const bytes = await memoryOf(program.pid);
    console.log(`all of it: ${Math.round(bytes / 1048576)} MiB`);
    expect(bytes).toBeLessThan(1.5 * 1024 ** 3);

    for (const name of ['dp', 'edge']) {
      const { mode } = await stat(join(folder, 'dev', `${name}.join-token`));
      expect(mode & 0o077, name).toBe(0);
    }
    const stoppedAt = performance.now();
    const { code } = await program.kill('SIGINT');
    expect(performance.now() - stoppedAt).toBeLessThan(5_000);
    expect(code).toBe(0);

    const again = await start();
    await answers(again.urls['node'] ?? '', '/example', 200);
    await answers(again.urls['edge'] ?? '', '/example', 200);
    const planes = await new AdminClient(again.urls['admin'] ?? '').ok(
      'GET',
      '/clustering/data-planes',
    );
    expect(planes['data']).toHaveLength(2);

    process.kill(await childOf(again.program.pid, 'cp'), 'SIGKILL');
    await eventually('a word about it', () => again.program.errors.includes('control plane died'));
    await answers(again.urls['node'] ?? '', '/example', 200);
    await answers(again.urls['edge'] ?? '', '/example', 200);
    expect((await again.program.kill('SIGINT')).code).toBe(0);
  }, 120_000);

  it('says in one line that the data plane belongs to a control plane that was deleted', async () => {
    await rm(join(folder, 'dev', 'cp'), { recursive: true });
    for (const kept of ['dp', 'edge']) {
      const program = new Program(['headgate.mjs', 'dev'], data());
      const { code } = await program.ended;
      expect(program.errors.trim()).toMatch(
        new RegExp(`^headgate: .*${kept} belongs to another cluster.*delete that folder`),
      );
      expect(code).toBe(1);
      await rm(join(folder, 'dev', kept), { recursive: true });
    }
  }, 60_000);

  it('keeps its folder to its owner', async () => {
    for (const part of ['', 'cp', 'cp/keys']) {
      const { mode } = await stat(join(folder, 'dev', part));
      expect(mode & 0o077, part).toBe(0);
    }
  });
});
