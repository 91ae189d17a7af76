/** What every handler of the Admin API is given. */
import type { Platform } from '#shared/platform/platform.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { ProcessDeps, Registry } from '#shared/schema/process.ts';
import type { LogLevelControl } from '../log-level.ts';
import type { AdminTokens } from '../access/admin-tokens.ts';
import type { Audit } from '../access/audit.ts';
import type { GroupTables } from '../explain/group-tables.ts';
import type { NodeReport } from '../nodes/node-health.ts';
import type { NodeCalls } from '../nodes/node-calls.ts';
import type { NodeQuery } from '../nodes/node-list.ts';
import type { SaidHealth } from '../nodes/registry.ts';
import type { ControlPlanes } from '../cluster/control-planes.ts';
import type { Epochs } from '../cluster/epochs.ts';
import type { Receipts } from '../receipts/receipts.ts';
import type { KeyRotation } from '../keys/rotation.ts';
import type { BootKeys } from '../fallback/boot-keys.ts';
import type { SigningKeys } from '../keys/signing-keys.ts';
import type { NodeIdentities } from '../nodes/identities.ts';
import type { JoinTokens } from '../nodes/join-tokens.ts';
import type { Actor, Store } from '../store/store.ts';
import type { Operations } from './openapi/operation-docs.ts';
import type { RowKeySource } from '../keys/row-keys.ts';
import type { Area, Principal } from './access.ts';
import type { Repeatable } from './idempotency.ts';

/** What the Admin API wants of the node registry. */
export interface NodeAdministration {
  /** Rows of `/clustering/data-planes`. */
  list(query: NodeQuery): Promise<JsonObject[]>;
  /** What connected data planes say of an Upstream. */
  health(ws: string, upstream: string): Promise<NodeReport[]>;
  /** Tells data planes how a target is; answers how many are connected that can be told. */
  setHealth(said: Omit<SaidHealth, 'type'>): Promise<number>;
}

export interface AdminContext {
  readonly store: Store;
  readonly registry: Registry;
  readonly nodes: NodeAdministration;
  readonly bootKeys: Pick<BootKeys, 'of'>;
  readonly identities: Pick<NodeIdentities, 'revoke' | 'unlock' | 'rotateSecret' | 'renewKey'>;
  readonly joinTokens: Pick<JoinTokens, 'mint' | 'list' | 'get' | 'revoke'>;
  readonly tokens: AdminTokens;
  readonly audit: Audit;
  readonly epochs: Pick<Epochs, 'list' | 'begin'>;
  readonly planes: Pick<ControlPlanes, 'list'>;
  readonly keys: Pick<KeyRotation, 'rotateKeys' | 'keyStatus'>;
  readonly signingKeys: Pick<SigningKeys, 'show' | 'propose' | 'take'>;
  /** What was published, to be explained. */
  readonly groupTables: Pick<GroupTables, 'find' | 'tables'>;
  readonly explainPlatform: Platform;
  readonly logLevel: Pick<LogLevelControl, 'current' | 'set' | 'setEverywhere'>;
  /** Asks data planes to do something. */
  readonly calls: Pick<NodeCalls, 'call'>;
  /** Who serves what was written. */
  readonly receipts: Pick<Receipts, 'wait'>;
  /** Longest request body, in bytes. */
  readonly bodyMax: number;
  /** `HEADGATE_CONFIG_DROP_MAX_PERCENT` */
  readonly dropMaxPercent: number;
  /** `HEADGATE_ALLOW_UNSUPPORTED_PLUGINS` */
  readonly allowUnsupported: boolean;
  /** `HEADGATE_SECRETS_WRITE_ONLY` */
  readonly secretsWriteOnly: boolean;
  /** First segments of the API's own paths: no workspace can be called so. */
  readonly reserved: ReadonlySet<string>;
  /** Encrypt what is kept of answers. */
  readonly rowKeys: RowKeySource;
  /** Keys the entity tags; the same on every control plane of the cluster. */
  readonly tagKey: Uint8Array;
  /** Parts of `GET /` and `GET /status` that only the process knows. */
  readonly information: Information;
  /** Fresh time, ids and random text for one write. */
  processDeps(): ProcessDeps;
}

export interface Information {
  readonly hostname: string;
  readonly nodeId: string;
  readonly clusterId: string;
  /** Settings as served in `configuration`, secrets left out. */
  readonly configuration: JsonObject;
  /** Counters of this process's Admin and cluster listeners. */
  serverStatus(): JsonObject;
}

/** One request, after routing: parsed lazily by the handler that needs it. */
export interface AdminRequest {
  readonly raw: Request;
  readonly query: URLSearchParams;
  /** Path segments that were parameters, decoded, in order. */
  readonly params: readonly string[];
  /** Workspace id. */
  readonly workspace: string;
  readonly workspaceName: string;
  /** `/{workspace}` when the path began with one, else empty: what `next` must begin with. */
  readonly pathPrefix: string;
  readonly actor: Actor;
  /** Null without an `Idempotency-Key`. */
  readonly repeatable: Repeatable | null;
  /** Whoever asks was let in for this endpoint; what else it may, `authorize` tells. */
  readonly principal: Principal;
}

/** What a handler answers; `body` null means none, a text is sent as it is (name its type). */
export interface AdminResponse {
  readonly status: number;
  readonly body: JsonObject | string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

export type AdminHandler = (
  context: AdminContext,
  request: AdminRequest,
) => Promise<AdminResponse> | AdminResponse;

/** `/services/{services}/routes`: an endpoint's path as it is written for people. */
export function displayPath({ path, parameters = [] }: Endpoint): string {
  return path.replaceAll(/:(\d)/g, (_, index: string) => `{${parameters[Number(index)] ?? index}}`);
}

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** One path of the Admin API, and what answers there. */
export interface Endpoint {
  /** Parameters by position: `/services/:0/routes`. */
  readonly path: string;
  /** Names of the parameters, in order, as Kong calls them: `['services']`. */
  readonly parameters?: readonly string[];
  /** What a caller needs access to; `entities` when not said. */
  readonly area?: Area;
  readonly methods: Readonly<Partial<Record<Method, AdminHandler>>>;
  /** Of each method, for the OpenAPI document; hand-written endpoints have theirs in a table. */
  readonly docs?: Operations;
}
