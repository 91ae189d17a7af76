/**
 * Listen addresses as Kong writes them: `host:port` with flags behind it (`ssl`, `http2` …), or `off`.
 *
 * Source: Kong `conf_loader/listeners.lua`
 */

export interface Listen {
  /** Without brackets. */
  readonly host: string;
  /** 0 lets the system choose, for tests. */
  readonly port: number;
  readonly tls: boolean;
  /** HTTP/2: by ALPN over TLS, by prior knowledge in clear. Not given: over TLS only. */
  readonly http2?: boolean;
  /** Every connection begins with a PROXY header. */
  readonly proxyProtocol?: boolean;
  readonly udp?: boolean;
  /** Connections that may wait to be accepted. */
  readonly backlog?: number;
}

const ADDRESS = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})((?:\s+\S+)*)$/;

/** Flags that tell Kong's nginx how to open its socket, and mean nothing here. */
const WITHOUT_EFFECT = /^(?:reuseport|deferred|bind|ipv6only=(?:on|off)|so_keepalive=[\w:]+)$/;
const BACKLOG = /^backlog=(\d{1,9})$/;

/** One address; null when it is not one. */
export function parseListen(text: string): Listen | null {
  const match = ADDRESS.exec(text.trim());
  if (match === null) return null;
  const port = Number(match[3]);
  const flags = parseFlags((match[4] ?? '').trim());
  if (port > 65535 || flags === null) return null;
  return { host: match[1] ?? match[2] ?? '', port, ...flags };
}

type Flags = Omit<Listen, 'host' | 'port'>;

function parseFlags(text: string): Flags | null {
  const flags: { -readonly [K in keyof Flags]: Flags[K] } = { tls: false };
  for (const flag of text === '' ? [] : text.split(/\s+/)) {
    const backlog = BACKLOG.exec(flag);
    if (flag === 'ssl') flags.tls = true;
    else if (flag === 'http2' || flag === 'http2=off') flags.http2 = flag === 'http2';
    else if (flag === 'proxy_protocol') flags.proxyProtocol = true;
    else if (flag === 'udp') flags.udp = true;
    else if (backlog !== null) flags.backlog = Number(backlog[1]);
    else if (!WITHOUT_EFFECT.test(flag)) return null;
  }
  return flags;
}

/** A list of addresses from a setting that was checked before; empty for `off`. */
export function parseListens(items: readonly string[]): Listen[] {
  if (items.length === 1 && items[0] === 'off') return [];
  return items.map(parseListen).filter((listen) => listen !== null);
}

/** Of a listener that takes traffic over TCP. */
export function proxyListenError(text: string): string | null {
  if (text === 'off') return null;
  const listen = parseListen(text);
  if (listen !== null && listen.udp !== true) return null;
  return (
    'expected addresses such as 127.0.0.1:8000 or "0.0.0.0:8443 ssl", with the flags ssl, http2, ' +
    'http2=off, proxy_protocol, backlog=N and those that Kong gives its sockets, or off'
  );
}

/** Of a listener that takes connections or datagrams, as Kong's `stream_listen`. */
export function streamListenError(text: string): string | null {
  if (text === 'off') return null;
  const listen = parseListen(text);
  // Datagrams have no connection that TLS or a first line could belong to.
  const isUdp = listen?.udp === true;
  const isMixed = isUdp && (listen.tls || listen.proxyProtocol === true);
  if (listen !== null && listen.http2 === undefined && !isMixed) return null;
  return (
    'expected addresses such as 127.0.0.1:9000, "0.0.0.0:9443 ssl", ' +
    '"0.0.0.0:9001 proxy_protocol" or "0.0.0.0:5353 udp", or off'
  );
}

export function listenError(text: string): string | null {
  if (text === 'off') return null;
  const listen = parseListen(text);
  const isPlain = listen !== null && listen.udp !== true && listen.proxyProtocol !== true;
  if (isPlain) return null;
  return 'expected addresses such as 127.0.0.1:8001 or "0.0.0.0:8443 ssl", or off';
}

/** True for the addresses that only this machine can reach. */
export function isLoopback(host: string): boolean {
  const lower = host.toLowerCase();
  return (
    lower === 'localhost' ||
    lower === '::1' ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(lower) ||
    /^::ffff:127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(lower)
  );
}
