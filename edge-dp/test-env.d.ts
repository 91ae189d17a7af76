/** The bindings of wrangler.toml, as tests inside workerd see them. */
declare namespace Cloudflare {
  interface Env {
    readonly HEADGATE_CONFIG: KVNamespace;
    readonly HEADGATE_HUB: DurableObjectNamespace<import('./config-hub.ts').ConfigHub>;
  }
}
