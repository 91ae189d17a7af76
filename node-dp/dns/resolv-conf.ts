/** What `/etc/resolv.conf` says. Source: resolv.conf(5) */
import { parseServer, type ServerAddress } from '#shared/settings/dns.ts';

export interface ResolvConf {
  readonly servers: readonly ServerAddress[];
  /** Domains to try a name under. */
  readonly search: readonly string[];
  /** A name with fewer dots is tried under the search domains first. */
  readonly ndots: number;
  /** Of one try. */
  readonly timeoutMs: number;
  /** Tries of one question, all servers together. */
  readonly attempts: number;
  /** Begin with another server each time. */
  readonly rotates: boolean;
}

/** What glibc caps them at; the number of servers is 3 there. */
const NDOTS_MAX = 15;
const TIMEOUT_SECONDS_MAX = 30;
const ATTEMPTS_MAX = 5;
const SERVERS_MAX = 8;
const SEARCH_MAX = 32;

/** Kong's (and OpenResty's) where the file says nothing. */
const TIMEOUT_SECONDS_DEFAULT = 2;
const ATTEMPTS_DEFAULT = 5;
const NDOTS_DEFAULT = 1;

/** Lines that mean nothing to us are skipped, as every resolver does. */
export function parseResolvConf(text: string): ResolvConf {
  const servers: ServerAddress[] = [];
  let search: readonly string[] = [];
  const options = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [word, ...rest] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/);
    const [first] = rest;
    if (word === undefined || first === undefined) continue;
    if (word === 'nameserver') {
      const server = parseServer(first);
      if (server !== null && servers.length < SERVERS_MAX) servers.push(server);
    } else if (word === 'search') search = rest;
    // The last one of the two wins.
    else if (word === 'domain') search = [first];
    else if (word === 'options') for (const option of rest) addOption(options, option);
  }
  const timeoutSeconds = numberOf(options, 'timeout', TIMEOUT_SECONDS_MAX);
  return {
    servers,
    search: search
      .map(withoutDot)
      .filter((domain) => domain !== '')
      .slice(0, SEARCH_MAX),
    ndots: numberOf(options, 'ndots', NDOTS_MAX) ?? NDOTS_DEFAULT,
    // Source: Kong `resty/dns/client.lua`: 0 is the default, not for ever.
    timeoutMs: (timeoutSeconds || TIMEOUT_SECONDS_DEFAULT) * 1000,
    attempts: numberOf(options, 'attempts', ATTEMPTS_MAX) || ATTEMPTS_DEFAULT,
    rotates: options.has('rotate'),
  };
}

function addOption(options: Map<string, string>, text: string): void {
  const [name = '', value = ''] = text.split(':', 2);
  options.set(name, value);
}

/** Capped; null when it is not there or no number. */
function numberOf(options: ReadonlyMap<string, string>, name: string, max: number): number | null {
  const text = options.get(name);
  return text !== undefined && /^\d{1,9}$/.test(text) ? Math.min(Number(text), max) : null;
}

function withoutDot(domain: string): string {
  return domain.toLowerCase().replace(/\.$/, '');
}
