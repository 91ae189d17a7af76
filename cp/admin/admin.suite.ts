/** The Admin API over an embedded database, without a socket: for tests. */
import { randomUUID } from 'node:crypto';
import { BlockList } from 'node:net';
import { must } from '#shared/base/assert.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import type { Clock, Logger } from '#shared/platform/platform.ts';
import { stillPlatform } from '#shared/proxy/still-platform.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { openTestStore } from '../../test/support/pglite.ts';
import type { Keyring } from '../keys/keyring.ts';
import { GroupTables } from '../explain/group-tables.ts';
import { KeyRotation } from '../keys/rotation.ts';
import { SigningKeys } from '../keys/signing-keys.ts';
import type { Store } from '../store/store.ts';
import { AdminTokens } from '../access/admin-tokens.ts';
import { Audit } from '../access/audit.ts';
import { secretSegments } from '../access/audited-path.ts';
import { type AccessPolicy, AccessGuard } from './access.ts';
import { Epochs } from '../cluster/epochs.ts';
import { createAdminApp } from './app.ts';
import type { AdminContext, NodeAdministration } from './context.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON, `{}` for none or another type. */
  readonly body: JsonObject;
}

export interface TestAdmin {
  readonly store: Store;
  /** Id of the workspace `default`. */
  readonly ws: string;
  definition(kind: string): EntityDefinition;
  readonly tokens: AdminTokens;
  readonly audit: Audit;
  /** What was logged as an error. */
  readonly errors: readonly string[];
  /** Bodies that are no text are sent as JSON. */
  call(
    method: string,
    path: string,
    body?: unknown,
    headers?: object,
    peer?: string,
  ): Promise<Answer>;
  /** A GET whose answer is no JSON. */
  text(
    path: string,
    headers?: object,
  ): Promise<{ readonly type: string | null; readonly text: string }>;
  close(): Promise<void>;
}

/** No data plane is connected. */
const NOBODY = { status: 'applied', applied: 0, connected: 0, edge: 0, groups: [] } as const;

const NOBODY_ASKED = { asked: 0, done: 0, unreached: 0, nodes: [], failed: [] };

interface TestAdminOptions {
  /** Default: too many are under way. */
  readonly calls?: AdminContext['calls'];
  /** Default: nobody can tell who serves anything. */
  readonly receipts?: AdminContext['receipts'];
  readonly nodes?: Partial<NodeAdministration>;
  readonly bodyMax?: number;
  readonly allowUnsupported?: boolean;
  readonly secretsWriteOnly?: boolean;
  /** Another database than an embedded one; closed by whoever opened it. */
  readonly store?: Store;
  readonly keyring?: Keyring;
  readonly policy?: Partial<AccessPolicy>;
  readonly clock?: Clock;
  /** Other definitions than the usual ones. */
  readonly registry?: Registry;
}

/** Addresses whose `X-Forwarded-For` is believed. */
export const TERMINATOR = '10.1.2.3';

export async function openTestAdmin(options: TestAdminOptions = {}): Promise<TestAdmin> {
  const registry = options.registry ?? REGISTRY;
  const test =
    options.store === undefined ? await openTestStore(registry.entities, registry.plugins) : null;
  const store = options.store ?? must(test, 'one of the two').store;
  const errors: string[] = [];
  const logger: Logger = {
    log(level, message, fields) {
      if (level === 'error') errors.push(`${message} ${JSON.stringify(fields)}`);
    },
  };
  const clock = options.clock ?? nodeClock;
  const keyring = must(options.keyring ?? test?.keyring, 'a database comes with its keys');
  const { entities } = REGISTRY;
  const keys = new KeyRotation({ db: store.db, keyring, entities, logger });
  const signingKeys = new SigningKeys({ db: store.db, keyring, logger });
  const tokens = new AdminTokens({ db: store.db, clock, logger });
  await tokens.start();
  const audit = new Audit({
    db: store.db,
    keys: keyring.rows,
    clock,
    logger,
    days: 400,
    secretSegments: secretSegments(registry.entities),
    trusted: terminators(),
  });
  const policy = { token: null, isLoopbackOpen: true, hosts: [], origins: [], ...options.policy };
  const guard = new AccessGuard(policy, tokens);
  const app = createAdminApp(
    { ...contextOf(store, options), tokens, audit, keys, signingKeys, rowKeys: keyring.rows },
    guard,
    logger,
  );
  return {
    store,
    ws: store.defaultWorkspace(),
    definition: (kind) => must(registry.entities.get(kind), kind),
    tokens,
    audit,
    errors,
    close: async () => {
      await tokens.close();
      await keys.close();
      await test?.close();
    },
    async text(path, more = {}) {
      const headers = { host: '127.0.0.1:8001', ...more };
      const request = new Request(`http://127.0.0.1:8001${path}`, { headers });
      const response = await app.fetch(request, { peer: '127.0.0.1' });
      return { type: response.headers.get('content-type'), text: await response.text() };
    },
    async call(method, path, body, headers = {}, peer = '127.0.0.1') {
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
      const response = await app.fetch(request, { peer });
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        text,
        body: (isJson(response) && text !== '' ? JSON.parse(text) : {}) as JsonObject,
      };
    },
  };
}

function isJson(response: Response): boolean {
  return response.headers.get('content-type')?.startsWith('application/json') === true;
}

function terminators(): BlockList {
  const list = new BlockList();
  list.addAddress(TERMINATOR);
  return list;
}

function contextOf(
  store: Store,
  options: TestAdminOptions,
): Omit<AdminContext, 'reserved' | 'tokens' | 'audit' | 'keys' | 'signingKeys' | 'rowKeys'> {
  return {
    store,
    registry: options.registry ?? REGISTRY,
    nodes: {
      list: async () => [],
      health: async () => [],
      setHealth: async () => 0,
      ...options.nodes,
    },
    calls: options.calls ?? { call: async () => NOBODY_ASKED },
    receipts: options.receipts ?? { wait: async () => NOBODY },
    bootKeys: { of: async () => null },
    identities: {
      revoke: async () => null,
      unlock: async () => false,
      rotateSecret: async () => null,
      renewKey: async () => false,
    },
    joinTokens: {
      mint: async () => null,
      list: async () => [],
      get: async () => null,
      revoke: async () => false,
    },
    epochs: new Epochs({
      db: store.db,
      clusterId: randomUUID(),
      dataDir: null,
      policy: 'stop',
      logger: { log: () => {} },
    }),
    planes: { list: async () => [] },
    groupTables: new GroupTables({
      db: store.db,
      registry: options.registry ?? REGISTRY,
      crypto: nodeCrypto,
      routerFlavor: 'traditional_compatible',
    }),
    explainPlatform: stillPlatform({
      clock: nodeClock,
      random: nodeRandom,
      crypto: nodeCrypto,
      logger: { log: () => {} },
    }),
    bodyMax: options.bodyMax ?? 1024 * 1024,
    dropMaxPercent: 50,
    allowUnsupported: options.allowUnsupported ?? false,
    secretsWriteOnly: options.secretsWriteOnly ?? false,
    logLevel: { current: 'info', set: () => {}, setEverywhere: async () => {} },
    tagKey: new Uint8Array(32),
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
