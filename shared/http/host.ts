/** The authority of a request: a name and perhaps a port. */

export interface HostParts {
  /** As received; brackets of an IPv6 address kept. */
  readonly name: string;
  /** Null when there is none or it is not a number. */
  readonly port: number | null;
}

/** Characters of an authority; longer names exist in no DNS. Source: RFC 1035 section 2.3.4 */
export const HOST_LENGTH_MAX = 255;

/**
 * Splits `name:port`. A colon that is not followed by digits up to the end belongs to the name.
 *
 * Source: Kong `router/transform.lua`, split_host_port
 */
export function splitHost(host: string): HostParts {
  const colon = portColon(host);
  if (colon < 0) return { name: host, port: null };
  return { name: host.slice(0, colon), port: Number(host.slice(colon + 1)) };
}

/** Index of the colon before the port; -1 when there is no port. */
export function portColon(host: string): number {
  const colon = host.startsWith('[') ? host.indexOf(':', host.indexOf(']')) : host.indexOf(':');
  const digits = host.length - colon - 1;
  if (colon < 0 || digits < 1 || digits > 5) return -1;
  for (let i = colon + 1; i < host.length; i += 1) {
    const code = host.charCodeAt(i);
    if (code < 0x30 || code > 0x39) return -1;
  }
  return colon;
}

/** `name:port`, without the port where the scheme implies it; IPv6 addresses in brackets. */
export function joinHost(name: string, port: number, scheme: 'http' | 'https'): string {
  const host = name.includes(':') && !name.startsWith('[') ? `[${name}]` : name;
  return port === (scheme === 'https' ? 443 : 80) ? host : `${host}:${port}`;
}
