/**
 * The control plane's doors. Each listener has a role: the Admin API, the cluster endpoint, or both
 * by path (platforms give one port). Plain text beyond loopback is taken from named terminators only.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { BlockList, isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from '#shared/platform/platform.ts';
import type { ControlPlaneSettings } from '#shared/settings/control-plane.ts';
import { isLoopback, type Listen, parseListens } from '#shared/settings/listen.ts';
import { SettingsError } from '#shared/platform/node/env.ts';
import { listenFailure } from '#shared/platform/node/start-error.ts';
import { ClientCertificates } from './tls/client-certificates.ts';
import { ListenerCertificates } from './tls/listener-certificates.ts';
import { TLS_OPTIONS } from '#shared/platform/node/tls/live-certificate.ts';

/** What answers on a listener. Paths come without the prefix of a shared port. */
export interface Role {
  request: RequestListener;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

export interface Roles {
  readonly admin: Role;
  readonly cluster: Role;
}

export interface OpenListeners {
  /** `http://127.0.0.1:8001`, in the order of the settings. */
  readonly admin: readonly string[];
  readonly cluster: readonly string[];
  /** Stops taking connections and closes idle ones; resolves when all are gone. */
  close(): Promise<void>;
}

type RoleName = keyof Roles | 'both';

/** Limits of a control plane's HTTP servers; bodies are bounded where they are read. */
const SERVER_OPTIONS = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  keepAliveTimeout: 60_000,
} as const;
const CONNECTIONS_MAX = 12_000;
/** What is in flight may take so long to end once the listeners stop. */
export const STOP_MS_MAX = 3_000;

export interface ListenersOptions {
  readonly settings: ControlPlaneSettings;
  readonly roles: Roles;
  /** Whether a named token is valid: then the Admin API may be reached from afar. */
  readonly hasToken: boolean;
  readonly logger: Logger;
}

export async function openListeners(options: ListenersOptions): Promise<OpenListeners> {
  const { settings, roles, hasToken, logger } = options;
  const plan = planListeners(settings, hasToken);
  const clients = new ClientCertificates(settings, logger);
  const guarded = { ...roles, cluster: showingCertificate(roles.cluster, clients, logger) };
  const certificates = new ListenerCertificates(settings, logger);
  const trusted = blockList(settings.HEADGATE_TRUSTED_TERMINATOR);
  const servers: Server[] = [];
  const addresses = { admin: [] as string[], cluster: [] as string[] };
  try {
    for (const { listen, role } of plan) {
      const server = await makeServer(listen, role, certificates, clients);
      const accepts = isLoopback(listen.host) || listen.tls ? null : trusted;
      attach(server, role === 'both' ? byPath(guarded) : guarded[role], accepts);
      const port = await start(server, listen, settingOf(role));
      servers.push(server);
      const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host;
      const base = `${listen.tls ? 'https' : 'http'}://${host}:${port}`;
      if (role !== 'cluster') addresses.admin.push(role === 'both' ? `${base}/admin` : base);
      if (role !== 'admin') addresses.cluster.push(role === 'both' ? `${base}/cluster` : base);
    }
  } catch (error) {
    clients.close();
    await Promise.all([certificates.close(), ...servers.map(stop)]);
    throw error;
  }
  return {
    ...addresses,
    close: async () => {
      clients.close();
      await Promise.all([certificates.close(), ...servers.map(stop)]);
    },
  };
}

function planListeners(
  settings: ControlPlaneSettings,
  hasToken: boolean,
): { listen: Listen; role: RoleName }[] {
  const shared = settings.HEADGATE_LISTEN;
  const plan: { listen: Listen; role: RoleName }[] = [];
  if (shared !== null) {
    plan.push(...parseListens(shared).map((listen) => ({ listen, role: 'both' as const })));
  } else {
    for (const listen of parseListens(settings.HEADGATE_ADMIN_LISTEN)) {
      plan.push({ listen, role: 'admin' });
    }
    for (const listen of parseListens(settings.HEADGATE_CLUSTER_LISTEN)) {
      plan.push({ listen, role: 'cluster' });
    }
  }
  const isGuarded = hasToken || settings.HEADGATE_ADMIN_TOKEN !== null;
  if (!isGuarded && plan.some(({ role }) => role !== 'cluster')) refuseLockedDoor(settings);
  for (const { listen, role } of plan) {
    refuseOpenDoor(listen, role, settings, isGuarded);
    if (role !== 'admin') refuseBlindDoor(listen, role, settings);
  }
  return plan;
}

function settingOf(role: RoleName): string {
  if (role === 'both') return 'HEADGATE_LISTEN';
  return role === 'admin' ? 'HEADGATE_ADMIN_LISTEN' : 'HEADGATE_CLUSTER_LISTEN';
}

/** An Admin API that nobody could enter would be of no use. */
function refuseLockedDoor({ HEADGATE_ADMIN_LOOPBACK: value }: ControlPlaneSettings): void {
  if (value === 'on') return;
  const allowed = 'off needs HEADGATE_ADMIN_TOKEN, or a named token that is still valid';
  throw new SettingsError([{ name: 'HEADGATE_ADMIN_LOOPBACK', value, allowed }]);
}

/** Nothing listens beyond loopback without credentials, or in plain text. */
function refuseOpenDoor(
  listen: Listen,
  role: RoleName,
  settings: ControlPlaneSettings,
  isGuarded: boolean,
): void {
  if (isLoopback(listen.host)) return;
  const name = settingOf(role);
  const value = `${listen.host}:${listen.port}${listen.tls ? ' ssl' : ''}`;
  const problem = (allowed: string) => new SettingsError([{ name, value, allowed }]);
  if (role !== 'cluster' && !isGuarded) {
    throw problem(
      'an Admin API beyond loopback needs HEADGATE_ADMIN_TOKEN, or a named token (POST /headgate/tokens) that is still valid',
    );
  }
  if (!listen.tls && settings.HEADGATE_TRUSTED_TERMINATOR.length === 0) {
    throw problem(
      'beyond loopback it needs ssl, or HEADGATE_TRUSTED_TERMINATOR with the address of the TLS terminator in front',
    );
  }
}

/** Without TLS there is no certificate to be seen. */
function refuseBlindDoor(listen: Listen, role: RoleName, settings: ControlPlaneSettings): void {
  if (listen.tls || settings.HEADGATE_CLUSTER_MTLS === 'off') return;
  const value = `${listen.host}:${listen.port}`;
  const allowed = `HEADGATE_CLUSTER_MTLS=${settings.HEADGATE_CLUSTER_MTLS} needs ssl`;
  throw new SettingsError([{ name: settingOf(role), value, allowed }]);
}

async function makeServer(
  listen: Listen,
  role: RoleName,
  certificates: ListenerCertificates,
  clients: ClientCertificates,
): Promise<Server> {
  if (!listen.tls) return createServer(SERVER_OPTIONS);
  const certificate = await certificates.of(listen, role === 'admin');
  const asking = (): ClientCertificates['tlsOptions'] =>
    role === 'admin' ? {} : clients.tlsOptions;
  const server = createTlsServer({
    ...SERVER_OPTIONS,
    ...TLS_OPTIONS,
    ...certificate.pair,
    ...asking(),
  });
  certificate.serve({
    setSecureContext: (options) => server.setSecureContext({ ...options, ...asking() }),
  });
  clients.onChange(() => {
    server.setSecureContext({ ...TLS_OPTIONS, ...certificate.pair, ...asking() });
  });
  return server;
}

/** The cluster endpoint behind the certificates that data planes must show. */
function showingCertificate(role: Role, clients: ClientCertificates, logger: Logger): Role {
  if (!clients.isAsked) return role;
  const refused = (request: IncomingMessage): boolean => {
    const reason = clients.fault(request);
    if (reason === null) return false;
    logger.log('warn', 'data plane refused', { reason, ip: request.socket.remoteAddress ?? '' });
    return true;
  };
  return {
    request: (request, response) => {
      if (!refused(request)) return role.request(request, response);
      response.writeHead(403, { 'content-type': 'application/json', connection: 'close' });
      response.end(JSON.stringify({ message: 'A client certificate is needed' }));
    },
    upgrade: (request, socket, head) => {
      if (!refused(request)) return role.upgrade(request, socket, head);
      socket.on('error', () => {});
      socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    },
  };
}

/** @param accepts  the only peers beyond loopback that are heard; null for any */
function attach(server: Server, role: Role, accepts: BlockList | null): void {
  server.maxConnections = CONNECTIONS_MAX;
  const isWelcome = (peer: string | undefined): boolean => {
    if (accepts === null) return true;
    const address = unmapped(peer ?? '');
    if (isLoopback(address)) return true;
    const family = isIP(address);
    return family !== 0 && accepts.check(address, family === 6 ? 'ipv6' : 'ipv4');
  };
  server.on('request', (request, response) => {
    if (isWelcome(request.socket.remoteAddress)) role.request(request, response);
    else {
      const body = JSON.stringify({
        message: 'Plain text is taken from HEADGATE_TRUSTED_TERMINATOR only',
      });
      response.writeHead(403, { 'content-type': 'application/json', connection: 'close' });
      response.end(body);
    }
  });
  server.on('upgrade', (request, socket, head) => {
    if (isWelcome(request.socket.remoteAddress)) role.upgrade(request, socket, head);
    else socket.destroy();
  });
}

export function unmapped(address: string): string {
  return address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
}

/** @throws SettingsError */
export function blockList(items: readonly string[]): BlockList {
  const list = new BlockList();
  for (const item of items) {
    const [address = '', prefix] = item.split('/');
    const family = isIP(address);
    const bits = prefix === undefined ? (family === 6 ? 128 : 32) : Number(prefix);
    if (family === 0 || bits > (family === 6 ? 128 : 32)) {
      const allowed = 'expected IP addresses or CIDR blocks such as 10.0.0.0/8';
      throw new SettingsError([{ name: 'HEADGATE_TRUSTED_TERMINATOR', value: item, allowed }]);
    }
    list.addSubnet(address, bits, family === 6 ? 'ipv6' : 'ipv4');
  }
  return list;
}

/** `/admin/…` and `/cluster/…` on one port (decision 27); the prefix is taken off. */
function byPath(roles: Roles): Role {
  const choose = (request: IncomingMessage): Role | null => {
    for (const name of ['admin', 'cluster'] as const) {
      const prefix = `/${name}`;
      const target = request.url ?? '/';
      if (target === prefix || target.startsWith(`${prefix}/`) || target.startsWith(`${prefix}?`)) {
        const rest = target.slice(prefix.length);
        request.url = rest.startsWith('/') ? rest : `/${rest}`;
        return roles[name];
      }
    }
    return null;
  };
  return {
    request: (request, response) => {
      const role = choose(request);
      if (role !== null) return role.request(request, response);
      response.writeHead(404, { 'content-type': 'application/json; charset=utf-8' });
      response.end(JSON.stringify({ message: 'Not found; try /admin or /cluster' }));
    },
    upgrade: (request, socket, head) => {
      const role = choose(request);
      if (role === null) socket.destroy();
      else role.upgrade(request, socket, head);
    },
  };
}

/** @returns the port, which the system chose when 0 was asked for */
function start(server: Server, listen: Listen, name: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(listenFailure(name, listen, error));
    server.once('error', failed);
    server.listen(listen.port, listen.host, () => {
      server.off('error', failed);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : listen.port);
    });
  });
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), STOP_MS_MAX);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    // A client that keeps its connection busy would never let go of it.
    server.prependListener('request', (_request, response) => {
      response.setHeader('connection', 'close');
    });
    server.closeIdleConnections();
  });
}
