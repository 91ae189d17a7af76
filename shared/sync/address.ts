/** Addresses of control planes: `wss://` keeps a connection, `https://` pulls. */
import { PULL_PATH, SYNC_PATH } from '../wire/protocol.ts';

/** Control planes known at a time, configured and learned ones together. */
export const ADDRESSES_COUNT_MAX = 16;

const PATTERN = /^(wss?|https?):\/\/([^\s/?#@]+)(\/[^\s?#]*)?$/;
const LOOPBACK = /^(localhost|127\.[\d.]+|\[::1\])(:\d+)?$/;
const DEFAULT_PORT: Readonly<Record<string, string>> = {
  ws: ':80',
  http: ':80',
  wss: ':443',
  https: ':443',
};

/** An address taken apart; null when it is none. */
export interface Address {
  readonly isPull: boolean;
  /** Where to connect: with the path of the endpoint. */
  readonly url: string;
  /** What a client sends as Host: without the scheme's own port. */
  readonly host: string;
  readonly isEncrypted: boolean;
  readonly isLoopback: boolean;
}

export function parseAddress(text: string): Address | null {
  const [, scheme = '', authority = '', prefix = ''] = PATTERN.exec(text) ?? [];
  if (scheme === '') return null;
  const isPull = scheme.startsWith('http');
  const endpoint = isPull ? PULL_PATH : SYNC_PATH;
  const path = prefix.replace(/\/+$/, '');
  const port = DEFAULT_PORT[scheme] ?? '';
  const host = authority.toLowerCase();
  return {
    isPull,
    url: `${scheme}://${authority}${path.endsWith(endpoint) ? path : path + endpoint}`,
    host: host.endsWith(port) ? host.slice(0, -port.length) : host,
    isEncrypted: scheme === 'wss' || scheme === 'https',
    isLoopback: LOOPBACK.test(host),
  };
}

/**
 * The configured addresses and, behind them, those that control planes told of. What was told must be
 * encrypted, nobody may talk a node out of TLS; or, for a node that is set to use none, stay on its own
 * machine.
 */
export function mergeAddresses(
  configured: readonly string[],
  told: readonly string[],
): readonly string[] {
  const isPlain = configured.every((text) => parseAddress(text)?.isEncrypted === false);
  const safe = told.filter((text) => {
    const address = parseAddress(text);
    return address !== null && (address.isEncrypted || (isPlain && address.isLoopback));
  });
  return [...new Set([...configured, ...safe])].slice(0, ADDRESSES_COUNT_MAX);
}
