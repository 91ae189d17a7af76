/** What `/etc/hosts` says. Source: hosts(5) */
import { isIPv4, parseIp } from '#shared/base/ip.ts';

export interface HostAddresses {
  /** The first of its kind; null for none. */
  readonly v4: string | null;
  readonly v6: string | null;
}

/** By name in lower case. */
export type Hosts = ReadonlyMap<string, HostAddresses>;

/** Enough for lists that block whole countries; the rest is left out. */
export const HOSTS_MAX = 200_000;

/** `localhost` is always there. Source: RFC 6761 section 6.3 */
export function parseHosts(text: string): Hosts {
  const hosts = new Map<string, HostAddresses>();
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*$/, '').trim().split(/\s+/);
    const number = parseIp(address);
    if (number === null || address.startsWith('[')) continue;
    for (const name of names)
      addHost(hosts, name.toLowerCase(), address, !address.includes(':') && isIPv4(number));
  }
  if (!hosts.has('localhost')) hosts.set('localhost', { v4: '127.0.0.1', v6: '::1' });
  return hosts;
}

function addHost(
  hosts: Map<string, HostAddresses>,
  name: string,
  address: string,
  isV4: boolean,
): void {
  const known = hosts.get(name);
  if (known === undefined && hosts.size >= HOSTS_MAX) return;
  const v4 = known?.v4 ?? (isV4 ? address : null);
  const v6 = known?.v6 ?? (isV4 ? null : address);
  hosts.set(name, { v4, v6 });
}
