/** The Admin API over an embedded database, without a socket: for tests. */
import { randomUUID } from 'node:crypto';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { openTestStore, silent } from '../../test/support/pglite.ts';
import type { Store } from '../store/store.ts';
import { AccessGuard } from './access.ts';
import { createAdminApp } from './app.ts';
import type { AdminContext } from './context.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON, `{}` for none. */
  readonly body: JsonObject;
}

export interface TestAdmin {
  readonly store: Store;
  /** Bodies that are no text are sent as JSON. */
  call(method: string, path: string, body?: unknown, headers?: object): Promise<Answer>;
  close(): Promise<void>;
}

export async function openTestAdmin({ bodyMax = 1024 * 1024 } = {}): Promise<TestAdmin> {
  const test = await openTestStore(REGISTRY.entities);
  const guard = new AccessGuard({ token: null, hosts: [], origins: [] });
  const app = createAdminApp(contextOf(test.store, bodyMax), guard, silent);
  return {
    store: test.store,
    close: () => test.close(),
    async call(method, path, body, headers = {}) {
      const isRaw = typeof body === 'string' || body instanceof Uint8Array;
      const request = new Request(`http://127.0.0.1:8001${path}`, {
        method,
        headers: {
          host: '127.0.0.1:8001',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: isRaw ? (body as string) : JSON.stringify(body) }),
      });
      const response = await app.fetch(request, { peer: '127.0.0.1' });
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        text,
        body: (text === '' ? {} : JSON.parse(text)) as JsonObject,
      };
    },
  };
}

function contextOf(store: Store, bodyMax: number): AdminContext {
  return {
    store,
    registry: REGISTRY,
    nodes: {
      list: async () => [],
      revoke: async () => false,
      mintJoinToken: async () => null,
    },
    bodyMax,
    information: {
      hostname: 'test',
      nodeId: randomUUID(),
      clusterId: randomUUID(),
      configuration: { database: 'postgres' },
      serverStatus: () => ({ total_requests: 0 }),
    },
    processDeps: () => ({
      nowSeconds: Date.now() / 1000,
      uuid: randomUUID,
      randomText: (length) => randomUUID().replaceAll('-', '').slice(0, length),
    }),
  };
}
