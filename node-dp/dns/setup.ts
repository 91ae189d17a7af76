/** The resolver of a data plane: its settings, and the files of the machine. */
import { readFileSync } from 'node:fs';
import { nodeClock } from '#shared/platform/node/clock.ts';
import type { Logger } from '#shared/platform/platform.ts';
import { type DnsSettings, parseServer } from '#shared/settings/dns.ts';
import { parseHosts } from './hosts-file.ts';
import { parseResolvConf } from './resolv-conf.ts';
import { DnsResolver, type OrderItem, type ResolverOptions } from './resolver.ts';

const RESOLV_CONF = '/etc/resolv.conf';
/** What every resolver takes where none is named. Source: resolv.conf(5) */
const SERVER_DEFAULT = { address: '127.0.0.1', port: 53 };

/** Reads the files at once, as they stand when the process starts. */
export function createResolver(settings: DnsSettings, logger: Logger): DnsResolver {
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      logger.log('warn', 'file for DNS not readable: going on without', {
        path,
        error: String(error),
      });
      return '';
    }
  };
  const options = resolverOptions(settings, {
    resolvConf: read(RESOLV_CONF),
    hosts: read(settings.HEADGATE_DNS_HOSTSFILE),
  });
  return new DnsResolver(options, nodeClock);
}

/** @param files  texts of `resolv.conf` and of the hosts file */
export function resolverOptions(
  settings: DnsSettings,
  files: { readonly resolvConf: string; readonly hosts: string },
): ResolverOptions {
  const conf = parseResolvConf(files.resolvConf);
  const named = settings.HEADGATE_DNS_RESOLVER.map(parseServer).filter((server) => server !== null);
  const servers = named.length > 0 ? named : conf.servers;
  return {
    client: {
      servers: servers.length > 0 ? servers : [SERVER_DEFAULT],
      timeoutMs: conf.timeoutMs,
      attempts: conf.attempts,
      rotates: conf.rotates,
    },
    order: settings.HEADGATE_DNS_ORDER.map((item) => item.toUpperCase()).filter(isOrderItem),
    search: conf.search,
    ndots: conf.ndots,
    hosts: parseHosts(files.hosts),
    lives: {
      valid: settings.HEADGATE_DNS_VALID_TTL,
      stale: settings.HEADGATE_DNS_STALE_TTL,
      notFound: settings.HEADGATE_DNS_NOT_FOUND_TTL,
      error: settings.HEADGATE_DNS_ERROR_TTL,
    },
    cacheSize: settings.HEADGATE_DNS_CACHE_SIZE,
  };
}

function isOrderItem(text: string): text is OrderItem {
  return text === 'LAST' || text === 'SRV' || text === 'A' || text === 'AAAA';
}
