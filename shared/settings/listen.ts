/** Listen addresses as Kong writes them: `host:port`, optionally followed by ` ssl`, or `off`. */

export interface Listen {
  /** Without brackets. */
  readonly host: string;
  /** 0 lets the system choose, for tests. */
  readonly port: number;
  readonly tls: boolean;
}

const ADDRESS = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})((?:\s+ssl)?)$/;

/** One address; null when it is not one. */
export function parseListen(text: string): Listen | null {
  const match = ADDRESS.exec(text.trim());
  if (match === null) return null;
  const port = Number(match[3]);
  if (port > 65535) return null;
  return { host: match[1] ?? match[2] ?? '', port, tls: (match[4] ?? '') !== '' };
}

/** A list of addresses from a setting that was checked before; empty for `off`. */
export function parseListens(items: readonly string[]): Listen[] {
  if (items.length === 1 && items[0] === 'off') return [];
  return items.map(parseListen).filter((listen) => listen !== null);
}

export function listenError(text: string): string | null {
  if (text === 'off' || parseListen(text) !== null) return null;
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
