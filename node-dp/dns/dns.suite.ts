/** A resolver over a real name server, with a clock that the test moves. */
import { FakeClock } from '../../test/support/fake-clock.ts';
import type { NameServer } from '../../test/support/name-server.ts';
import { DATA_PLANE_SETTINGS } from '#shared/settings/data-plane.ts';
import { parseSettings } from '#shared/settings/settings.ts';
import type { Resolution } from '#shared/platform/platform.ts';
import { DnsResolver } from './resolver.ts';
import { resolverOptions } from './setup.ts';

export interface ResolverRig {
  readonly resolver: DnsResolver;
  readonly clock: FakeClock;
  /** `address`, or `address:port*weight` of SRV records. */
  resolve(name: string, useSrv?: boolean): Promise<string[]>;
}

/**
 * @param env  settings of the data plane
 * @param lines  of `resolv.conf`
 */
export function rigFor(
  servers: readonly Pick<NameServer, 'address' | 'port'>[],
  env: Readonly<Record<string, string>> = {},
  lines: readonly string[] = [],
  hosts = '',
): ResolverRig {
  const parsed = parseSettings(DATA_PLANE_SETTINGS, {
    env: {
      HEADGATE_DNS_RESOLVER: servers.map(({ address, port }) => `${address}:${port}`).join(','),
      ...env,
    },
    readFile: () => '',
  });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  const clock = new FakeClock();
  const files = { resolvConf: ['options timeout:1 attempts:2', ...lines].join('\n'), hosts };
  const resolver = new DnsResolver(resolverOptions(parsed.value, files), clock);
  const resolve = async (name: string, useSrv = true): Promise<string[]> =>
    shown(await resolver.resolve(name, useSrv));
  return { resolver, clock, resolve };
}

export function shown({ addresses }: Resolution): string[] {
  return addresses.map(({ address, port, weight }) =>
    port === null ? address : `${address}:${port}*${weight}`,
  );
}
