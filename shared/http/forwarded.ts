/**
 * Who really asks. What a client says about itself (`X-Forwarded-*`) is believed only when it comes
 * from a proxy that the operator named; by default from nobody.
 */
import { formatIp, isInCidr, parseCidr, parseIp } from '../base/ip.ts';
import type { Cidr, IpNumber } from '../base/ip.ts';
import { splitHost } from './host.ts';
import type { GatewayRequest } from './message.ts';

/** What proxies add to what they forward, one or another: who asks with it is not who is connected. */
export const FORWARDING_FIELDS: readonly string[] = [
  'x-forwarded-for',
  'forwarded',
  'via',
  'x-real-ip',
  'x-forwarded-host',
  'x-forwarded-proto',
];

/** Addresses of an X-Forwarded-For chain that are looked at, from the right. */
const CHAIN_MAX = 64;

export interface ClientFacts {
  /** The client's address: the peer's, or what trusted proxies say. */
  readonly address: string;
  /** Scheme the client used, as far as it is to be believed. */
  readonly scheme: 'http' | 'https';
  /** Host the client asked for, lower case, without port; empty when it named none. */
  readonly host: string;
  /** Port the client asked on. */
  readonly port: number;
  /** What a trusted peer said; null otherwise. */
  readonly path: string | null;
  readonly prefix: string | null;
  /** Whether the peer is a proxy that was named. */
  readonly isPeerTrusted: boolean;
}

/** The networks whose word is believed. */
export class TrustedProxies {
  static readonly NONE = new TrustedProxies([], 'X-Forwarded-For');

  readonly #networks: readonly Cidr[];
  /** Lower case. */
  readonly addressField: string;

  private constructor(networks: readonly Cidr[], addressField: string) {
    this.#networks = networks;
    this.addressField = addressField.toLowerCase();
  }

  /**
   * Reads addresses and networks.
   *
   * @param addressField  where those say who the client is: a chain, or one address
   * @returns the first malformed item instead, so that a setting can name it
   */
  static parse(
    items: readonly string[],
    addressField = 'X-Forwarded-For',
  ): { ok: true; value: TrustedProxies } | { ok: false; item: string } {
    const networks: Cidr[] = [];
    for (const item of items) {
      const network = parseCidr(item.trim());
      if (network === null) return { ok: false, item };
      networks.push(network);
    }
    return { ok: true, value: new TrustedProxies(networks, addressField) };
  }

  /** The connection itself says who the client is, in a PROXY header: no field of a request does. */
  get isByConnection(): boolean {
    return this.addressField === 'proxy_protocol';
  }

  /** Whether anybody's PROXY header is believed before requests. */
  get believesConnections(): boolean {
    return this.isByConnection && !this.isEmpty;
  }

  get isEmpty(): boolean {
    return this.#networks.length === 0;
  }

  has(address: IpNumber): boolean {
    return this.#networks.some((network) => isInCidr(address, network));
  }

  /** Whether a peer's PROXY header is believed where it stands before requests. */
  believesConnectionOf(peerAddress: string): boolean {
    return this.isByConnection && this.trustsPeer(peerAddress);
  }

  trustsPeer(peerAddress: string): boolean {
    const peer = parseIp(peerAddress);
    return peer !== null && this.has(peer);
  }
}

/**
 * Settles who asks, from the connection and from what trusted proxies add.
 *
 * The address is the rightmost one of the chain (`X-Forwarded-For`, or `X-Real-IP`) that is not itself a trusted proxy: what
 * stands further left was written by somebody unknown. A malformed header is as good as none.
 */
export function resolveClient(request: GatewayRequest, trusted: TrustedProxies): ClientFacts {
  const host = request.headers.get('host');
  const own = {
    address: request.peerAddress,
    scheme: request.scheme,
    host: host === null ? '' : splitHost(host).name.toLowerCase(),
    port: request.localPort,
    path: null,
    prefix: null,
    isPeerTrusted: false,
  };
  if (trusted.isEmpty) return own;
  const peer = parseIp(request.peerAddress);
  if (peer === null || !trusted.has(peer)) return own;
  const { headers } = request;
  return {
    address: trusted.isByConnection
      ? own.address
      : clientAddress(headers.getAll(trusted.addressField), peer, trusted),
    scheme: readScheme(headers.getAll('x-forwarded-proto')) ?? own.scheme,
    host: readHost(headers.getAll('x-forwarded-host')) ?? own.host,
    port: readPort(headers.getAll('x-forwarded-port')) ?? own.port,
    path: readPath(headers.getAll('x-forwarded-path')),
    prefix: readPath(headers.getAll('x-forwarded-prefix')),
    isPeerTrusted: true,
  };
}

function clientAddress(chain: readonly string[], peer: IpNumber, trusted: TrustedProxies): string {
  const hops = chain.join(',').split(',');
  let client = peer;
  const oldest = Math.max(0, hops.length - CHAIN_MAX);
  for (let i = hops.length - 1; i >= oldest; i -= 1) {
    const address = parseHop((hops[i] ?? '').trim());
    // Whoever wrote this cannot be followed any further.
    if (address === null) break;
    client = address;
    if (!trusted.has(address)) break;
  }
  return formatIp(client);
}

/** An address, with or without a port. */
function parseHop(text: string): IpNumber | null {
  const withPort = /^(\[[^\]]*\]|[\d.]+):\d{1,5}$/.exec(text);
  return parseIp(withPort?.[1] ?? text);
}

/** Several values, in one field or in several, are ambiguous and not believed. */
function single(values: readonly string[]): string | null {
  const [value] = values;
  return values.length !== 1 || value === undefined || value.includes(',') ? null : value.trim();
}

function readScheme(values: readonly string[]): 'http' | 'https' | null {
  const value = single(values)?.toLowerCase();
  return value === 'http' || value === 'https' ? value : null;
}

function readHost(values: readonly string[]): string | null {
  const value = single(values);
  if (value === null || !/^[A-Za-z0-9.\-_:[\]]{1,255}$/.test(value)) return null;
  return splitHost(value).name.toLowerCase();
}

function readPort(values: readonly string[]): number | null {
  const value = single(values);
  if (value === null || !/^[1-9]\d{0,4}$/.test(value)) return null;
  const port = Number(value);
  return port <= 65_535 ? port : null;
}

function readPath(values: readonly string[]): string | null {
  const value = values.length === 1 ? values[0] : undefined;
  return value !== undefined && /^\/[!-~]*$/.test(value) ? value : null;
}
