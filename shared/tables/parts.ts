/**
 * What tables are made of. Each part is immutable and shares what did not change with the one before
 * it; `apply…` makes the next from the changes, and a part that nothing concerns stays the same object.
 */
import type { BuildEnv } from './build-env.ts';
import type { PluginsPart } from './build-plugins.ts';
import type { Certificates } from './certificates.ts';
import type { Quarantine } from './quarantine.ts';
import type { RoutesPart } from './routes.ts';
import type { ServicesPart } from './services.ts';
import type { UpstreamsPart } from './upstreams.ts';
import type { WorkspacesPart } from './workspaces.ts';

export interface Parts {
  readonly env: BuildEnv;
  readonly plugins: PluginsPart;
  readonly certificates: Certificates;
  readonly upstreams: UpstreamsPart;
  readonly services: ServicesPart;
  readonly routes: RoutesPart;
  readonly workspaces: WorkspacesPart;
  readonly quarantine: Quarantine;
}
