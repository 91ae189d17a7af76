/** The bindings of wrangler.toml, as tests inside workerd see them. */
import type { ConfigHub } from './config-hub.ts';
import type * as worker from './worker.ts';

declare global {
  namespace Cloudflare {
    interface Env {
      readonly HEADGATE_CONFIG: KVNamespace;
      readonly HEADGATE_HUB: DurableObjectNamespace<ConfigHub>;
      readonly HEADGATE_STATUS_TOKEN: string;
      readonly [setting: string]: unknown;
    }
    interface GlobalProps {
      readonly mainModule: typeof worker;
    }
  }
}
