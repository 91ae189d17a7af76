/** Listen addresses of connections and datagrams, as Kong's `stream_listen`. */

export interface StreamListen {
  /** Without brackets. */
  readonly host: string;
  /** 0 lets the system choose, for tests. */
  readonly port: number;
  /** Clients speak TLS: it is ended here, or passed through where a route says so. */
  readonly tls: boolean;
  readonly udp: boolean;
}

const ADDRESS = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})((?:\s+(?:ssl|udp))*)$/;

/** One address; null when it is not one. */
export function parseStreamListen(text: string): StreamListen | null {
  const match = ADDRESS.exec(text.trim());
  if (match === null) return null;
  const port = Number(match[3]);
  const flags = (match[4] ?? '').split(/\s+/).filter((flag) => flag !== '');
  const has = (flag: string): boolean => flags.includes(flag);
  if (port > 65_535 || new Set(flags).size < flags.length) return null;
  // Datagrams have no connection that TLS or a first line could belong to.
  if (has('udp') && flags.length > 1) return null;
  const host = match[1] ?? match[2] ?? '';
  return { host, port, tls: has('ssl'), udp: has('udp') };
}

/** A list of addresses from a setting that was checked before; empty for `off`. */
export function parseStreamListens(items: readonly string[]): StreamListen[] {
  if (items.length === 1 && items[0] === 'off') return [];
  return items.map(parseStreamListen).filter((listen) => listen !== null);
}

export function streamListenError(text: string): string | null {
  if (text === 'off' || parseStreamListen(text) !== null) return null;
  return 'expected addresses such as 127.0.0.1:9000, "0.0.0.0:9443 ssl" or "0.0.0.0:5353 udp", or off';
}
