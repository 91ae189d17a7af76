/** nginx as the upstream and as the peer to compare with: one worker each, pinned to a core. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { eventually } from '../support/eventually.ts';

/** Core of the proxies; load and upstream are on the other one. */
export const PROXY_CORE = '0';
export const LOAD_CORE = '1';

export interface Peer {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

/** 96 bytes, as small as an API's answer gets. */
const BODY = JSON.stringify({ hello: 'world', pad: '0123456789'.repeat(7) });

/** What is missing to measure, as a line that says what to install; null when all is there. */
export function missingTools(): string | null {
  const missing = ['nginx', 'wrk', 'taskset'].filter(
    (tool) => spawnSync(tool, ['-v'], { stdio: 'ignore' }).error !== undefined,
  );
  if (missing.length === 0) return null;
  return `needs ${missing.join(', ')}: apt-get install -y nginx wrk util-linux`;
}

/** An upstream that answers from memory. */
export function startUpstream(folder: string, port: number): Promise<Peer> {
  const server = `server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { default_type application/json; return 200 '${BODY}'; }
  }`;
  return startNginx('upstream', { folder, port, core: LOAD_CORE, http: server });
}

/** nginx as a plain reverse proxy with kept-alive connections to the upstream. */
export function startNginxProxy(folder: string, port: number, upstream: number): Promise<Peer> {
  const server = `upstream backend {
    server 127.0.0.1:${upstream};
    keepalive 128;
    keepalive_requests 100000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_pass http://backend;
    }
  }`;
  return startNginx('nginx', { folder, port, core: PROXY_CORE, http: server });
}

interface NginxOptions {
  readonly folder: string;
  readonly port: number;
  readonly core: string;
  readonly http: string;
}

async function startNginx(name: string, options: NginxOptions): Promise<Peer> {
  const { folder, port, core, http } = options;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${join(folder, `${name}-${kind}`)};`)
    .join('\n  ');
  const path = join(folder, `${name}.conf`);
  writeFileSync(
    path,
    `daemon off; master_process off; worker_processes 1;
pid ${join(folder, `${name}.pid`)};
error_log ${join(folder, `${name}.log`)};
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 100000000;
  ${temporary}
  ${http}
}
`,
  );
  return startPinned(name, port, core, ['nginx', '-p', folder, '-c', path], {});
}

/** Starts a program on one core and waits until its port answers. */
export async function startPinned(
  name: string,
  port: number,
  core: string,
  command: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Peer> {
  const child = spawn('taskset', ['-c', core, ...command], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  let isOver = false;
  child.once('exit', () => (isOver = true));
  await eventually(`${name} on port ${port}`, () => isOver || answers(port));
  if (isOver || child.pid === undefined) throw new Error(`${name} did not start`);
  return {
    name,
    port,
    // taskset replaces itself with the program, so the pid is the program's.
    pid: child.pid,
    stop: async () => {
      if (isOver) return;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    },
  };
}

function answers(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port });
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  }).finally(() => socket.destroy()) as Promise<boolean>;
}
