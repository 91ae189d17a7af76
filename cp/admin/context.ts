/** What every handler of the Admin API is given. */
import type { JsonObject } from '#shared/schema/field.ts';
import type { ProcessDeps, Registry } from '#shared/schema/process.ts';
import type { NodeRegistry } from '../nodes/registry.ts';
import type { Actor, Store } from '../store/store.ts';

export interface AdminContext {
  readonly store: Store;
  readonly registry: Registry;
  readonly nodes: NodeRegistry;
  /** Longest request body, in bytes. */
  readonly bodyMax: number;
  /** Parts of `GET /` and `GET /status` that only the process knows. */
  readonly information: Information;
  /** Fresh time, ids and random text for one write. */
  processDeps(): ProcessDeps;
}

export interface Information {
  readonly hostname: string;
  readonly nodeId: string;
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
  readonly actor: Actor;
}

/** What a handler answers; `body` null means none. */
export interface AdminResponse {
  readonly status: number;
  readonly body: JsonObject | null;
  readonly headers?: Readonly<Record<string, string>>;
}

export type AdminHandler = (
  context: AdminContext,
  request: AdminRequest,
) => Promise<AdminResponse> | AdminResponse;

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** One path of the Admin API: `/services/:0/routes`, and what answers there. */
export interface Endpoint {
  readonly path: string;
  readonly methods: Readonly<Partial<Record<Method, AdminHandler>>>;
}
