/**
 * How this node reaches its control planes: whom it trusts, what it shows of itself (mTLS), and the
 * HTTP forward proxy on the way. Files are read again for every connection, so that certificates are
 * replaced without a restart; what cannot be read leaves the last good ones in force.
 */
import { readFileSync, statSync } from 'node:fs';
import { isIP, type Socket } from 'node:net';
import { connect as tlsConnect, createSecureContext, rootCertificates } from 'node:tls';
import type { Duplex } from 'node:stream';
import { Agent, Client, type Dispatcher, ProxyAgent } from 'undici';
import { lifetimeLeft } from '#shared/platform/node/tls/pair-source.ts';
import { fileFailure, StartError } from '#shared/platform/node/start-error.ts';
import { SettingsError } from '#shared/platform/node/env.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { DataPlaneSettings } from '#shared/settings/data-plane.ts';
import { FRAME_LENGTH_MAX } from '#shared/wire/protocol.ts';

const FILE_BYTES_MAX = 1024 * 1024;
/** From dialling the proxy to its answer. */
const PROXY_MS_MAX = 10_000;
/** A pull brings a few frames; a UTF-16 unit takes at most three bytes. */
const PULL_BYTES_MAX = FRAME_LENGTH_MAX * 3 * 4;
const PORTS: Readonly<Record<string, string>> = { 'wss:': '443', 'ws:': '80' };

export type ClusterLinkSettings = Pick<
  DataPlaneSettings,
  | 'HEADGATE_CLUSTER_CA_CERT'
  | 'HEADGATE_CLUSTER_CERT'
  | 'HEADGATE_CLUSTER_CERT_KEY'
  | 'HEADGATE_CLUSTER_SERVER_NAME'
  | 'HEADGATE_PROXY_SERVER'
  | 'HEADGATE_PROXY_SERVER_SSL_VERIFY'
>;

/** For `tls.connect`, which takes no read-only lists. */
export interface LinkTls {
  readonly ca?: string[];
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
}

interface ProxyServer {
  readonly origin: string;
  /** `Basic …`; null without a user. */
  readonly authorization: string | null;
  readonly tls: { readonly rejectUnauthorized: boolean; readonly ca?: string[] };
}

export class ClusterLink {
  readonly #settings: ClusterLinkSettings;
  readonly #logger: Logger;
  #tls: LinkTls;
  #refused = '';
  #agent: { readonly tls: LinkTls; readonly dispatcher: Dispatcher } | null = null;

  /** @throws StartError, SettingsError when a file cannot be used */
  constructor(settings: ClusterLinkSettings, logger: Logger) {
    this.#settings = settings;
    this.#logger = logger;
    const { HEADGATE_CLUSTER_CERT: cert, HEADGATE_CLUSTER_CERT_KEY: key } = settings;
    if ((cert === null) !== (key === null)) {
      const name = cert === null ? 'HEADGATE_CLUSTER_CERT' : 'HEADGATE_CLUSTER_CERT_KEY';
      const allowed = 'HEADGATE_CLUSTER_CERT and HEADGATE_CLUSTER_CERT_KEY are set together';
      throw new SettingsError([{ name, value: null, allowed }]);
    }
    this.#tls = this.#read();
  }

  /** As the files are now. */
  tls(): LinkTls {
    try {
      const tls = this.#read();
      this.#refused = '';
      if (isSame(tls, this.#tls)) return this.#tls;
      this.#tls = tls;
      this.#logger.log('info', 'certificates for the control plane replaced', {});
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== this.#refused) {
        this.#logger.log('error', 'new certificates refused, the old ones stay', { reason });
      }
      this.#refused = reason;
    }
    return this.#tls;
  }

  /** When what it shows of itself expires, epoch seconds; null when it shows nothing. */
  get certificateExpiry(): number | null {
    const { cert } = this.#tls;
    if (cert === undefined) return null;
    const nowMs = Date.now();
    return Math.floor((nowMs + lifetimeLeft(cert, nowMs)) / 1000);
  }

  /**
   * A socket to the control plane through the forward proxy, TLS included; undefined where there is
   * no proxy, and whoever dials does so himself.
   */
  get tunnel(): ((url: string, done: Tunneled) => void) | undefined {
    const proxy = this.#proxy();
    if (proxy === null) return undefined;
    return (url, done) => {
      dial(proxy, new URL(url), this.tls()).then(
        (socket) => done(null, socket),
        (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
      );
    };
  }

  /** For exchanges by HTTPS. */
  dispatcher(): Dispatcher {
    const tls = this.tls();
    if (this.#agent?.tls === tls) return this.#agent.dispatcher;
    void this.#agent?.dispatcher.close().catch(() => {});
    const proxy = this.#proxy();
    const common = { allowH2: false, maxResponseSize: PULL_BYTES_MAX } as const;
    const dispatcher =
      proxy === null
        ? new Agent({ ...common, connect: { ...tls } })
        : new ProxyAgent({
            ...common,
            uri: proxy.origin,
            requestTls: { ...tls },
            proxyTls: proxy.tls,
            proxyTunnel: true,
            ...(proxy.authorization === null ? {} : { token: proxy.authorization }),
          });
    this.#agent = { tls, dispatcher };
    return dispatcher;
  }

  async close(): Promise<void> {
    await this.#agent?.dispatcher.destroy();
  }

  #read(): LinkTls {
    const file = (name: keyof ClusterLinkSettings & `HEADGATE_CLUSTER_${string}`) => {
      const path = this.#settings[name];
      return path === null ? null : readPem(name, path);
    };
    const ca = file('HEADGATE_CLUSTER_CA_CERT');
    const cert = file('HEADGATE_CLUSTER_CERT');
    const key = file('HEADGATE_CLUSTER_CERT_KEY');
    const servername = this.#settings.HEADGATE_CLUSTER_SERVER_NAME;
    const tls: LinkTls = {
      ...(ca === null ? {} : { ca: [...rootCertificates, ca] }),
      ...(cert === null || key === null ? {} : { cert, key }),
      ...(servername === null ? {} : { servername }),
    };
    try {
      createSecureContext(tls);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new StartError(
        `HEADGATE_CLUSTER_CERT, HEADGATE_CLUSTER_CERT_KEY or HEADGATE_CLUSTER_CA_CERT cannot be used: ${reason}`,
      );
    }
    return tls;
  }

  #proxy(): ProxyServer | null {
    const { HEADGATE_PROXY_SERVER: text, HEADGATE_PROXY_SERVER_SSL_VERIFY: verify } =
      this.#settings;
    if (text === null) return null;
    const url = new URL(text);
    const user = decodeURIComponent(url.username);
    const basic = Buffer.from(`${user}:${decodeURIComponent(url.password)}`).toString('base64');
    const { ca } = this.#tls;
    return {
      origin: url.origin,
      authorization: user === '' ? null : `Basic ${basic}`,
      tls: { rejectUnauthorized: verify, ...(ca === undefined ? {} : { ca }) },
    };
  }
}

export type Tunneled = (error: Error | null, socket?: Duplex) => void;

/** RFC 9110, 9.3.6: CONNECT, then TLS to the control plane inside. */
async function dial(proxy: ProxyServer, url: URL, tls: LinkTls): Promise<Socket> {
  const port = url.port === '' ? (PORTS[url.protocol] ?? '443') : url.port;
  const authority = `${url.hostname}:${port}`;
  const client = new Client(proxy.origin, { connect: proxy.tls, allowH2: false });
  const { statusCode, socket } = await client.connect({
    path: authority,
    headers: {
      host: authority,
      ...(proxy.authorization === null ? {} : { 'proxy-authorization': proxy.authorization }),
    },
    signal: AbortSignal.timeout(PROXY_MS_MAX),
  });
  // What the proxy says may quote our credentials; its status is enough.
  if (statusCode !== 200) {
    socket.on('error', () => {}).destroy();
    throw new Error(`the forward proxy answered ${statusCode}`);
  }
  // undici hands over the very socket that it dialled.
  const raw = socket as Socket;
  if (url.protocol === 'ws:') return raw;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return tlsConnect({
    ...tls,
    socket: raw,
    host,
    servername: tls.servername ?? (isIP(host) === 0 ? host : ''),
  });
}

function readPem(setting: string, path: string): string {
  try {
    const { size } = statSync(path);
    if (size > FILE_BYTES_MAX) throw new Error(`${size} bytes are no PEM file`);
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw fileFailure(setting, path, error);
  }
}

function isSame(a: LinkTls, b: LinkTls): boolean {
  return a.cert === b.cert && a.key === b.key && a.ca?.at(-1) === b.ca?.at(-1);
}
