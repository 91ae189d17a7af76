/** The node's session with its control plane: the shared client over this process' ports. */
import type { ReplicaState } from '#shared/config/replica.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { DataPlaneSettings } from '#shared/settings/data-plane.ts';
import type { IdentityStore } from '#shared/sync/identity.ts';
import type { FileConfigStore } from './config-store.ts';
import type { NodePlatform } from './platform.ts';
import type { Serving } from './serving.ts';

export interface Sync {
  readonly isConnected: boolean;
  close(): Promise<void>;
}

export interface SyncOptions {
  readonly settings: DataPlaneSettings;
  readonly logger: Logger;
  readonly platform: NodePlatform;
  readonly serving: Serving;
  readonly identities: IdentityStore;
  readonly store: FileConfigStore;
  /** What is served from the cache; null for nothing. */
  readonly cached: ReplicaState | null;
  /** PEM of a private CA; null for none. */
  readonly ca: string | null;
  readonly hostname: string;
}

export function startSync(_options: SyncOptions): Sync {
  // TODO(sync): runs the shared client as soon as it is there.
  return { isConnected: false, close: async () => {} };
}
