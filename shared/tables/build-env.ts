/** What a build goes by besides the configuration: the process that serves it. */
import type { HealthRegistry } from '../health/registry.ts';
import type { PluginDefinition, PluginHandler, Runtime } from '../plugins/plugin.ts';
import type { RouterFlavor } from '../settings/common.ts';
import type { CertificateFault } from './certificates.ts';
import type { UpstreamTlsDefaults } from './service-tls.ts';

export interface BuildEnv {
  readonly handlers: ReadonlyMap<string, PluginHandler<unknown>>;
  readonly definitions: ReadonlyMap<string, PluginDefinition>;
  readonly runtime: Runtime;
  readonly routerFlavor: RouterFlavor;
  /** Whether look-up secrets can be hashed. */
  readonly hasPepper: boolean;
  /** Whether a certificate can be served here; null: nobody is served any. */
  readonly certificateFault: CertificateFault | null;
  readonly upstreamTls: UpstreamTlsDefaults;
  /** What is known of the Upstreams' targets, whatever the version. */
  readonly health: HealthRegistry;
}

/**
 * False when so much differs that nothing of before is of use. It does not happen within a process;
 * handlers and pepper, which do come and go, are looked at by the part that depends on them.
 */
export function isSameProcess(a: BuildEnv, b: BuildEnv): boolean {
  return (
    a.runtime === b.runtime &&
    a.definitions === b.definitions &&
    a.routerFlavor === b.routerFlavor &&
    a.health === b.health &&
    a.certificateFault === b.certificateFault &&
    a.upstreamTls === b.upstreamTls
  );
}
