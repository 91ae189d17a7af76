/** Configurations for tests: entities through the real schemas, a replica of them, tables of that. */
import { must } from '#shared/base/assert.ts';
import {
  type ConfigRecord,
  makeRecord,
  type RecordKey,
  type Replica,
} from '#shared/config/record.ts';
import { lookupHash } from '#shared/config/secrets.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { HANDLERS } from '#shared/plugins/handlers.ts';
import type { PluginDefinition, PluginHandler } from '#shared/plugins/plugin.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { processInsert } from '#shared/schema/process.ts';
import { violationMessage } from '#shared/schema/violations.ts';
import { type BuildDeps, type BuildResult, buildTables } from '#shared/tables/build.ts';
import type { Tables } from '#shared/tables/tables.ts';
import { FAKE_EPOCH_MS } from './fake-platform.ts';

export const TEST_PEPPER = nodeCrypto.sha256('pepper of the tests');
export const DEFAULT_WS = '00000000-0000-4000-8000-0000000000aa';

let counter = 0;

/** A new UUID; later ones are greater. */
export function testId(): string {
  counter += 1;
  return `10000000-0000-4000-8000-${counter.toString(16).padStart(12, '0')}`;
}

export interface TestPlugin {
  readonly definition: PluginDefinition;
  readonly handler: PluginHandler<unknown> | null;
}

/** A plugin for one test, without configuration. */
export function testPlugin(
  name: string,
  handler: PluginHandler<unknown> | null,
  priority = 500,
): TestPlugin {
  return {
    definition: {
      name,
      version: '1.0.0',
      priority,
      phases: ['access'],
      runtimes: ['node'],
      protects: true,
      fields: { config: { type: 'record', required: true, fields: {} } },
    },
    handler,
  };
}

/** A configuration under construction. Methods add an entity and answer with it, complete. */
export class TestConfig {
  readonly ws: string;
  #tree = ConfigTree.empty(nodeCrypto);
  /** Since the last replica. */
  readonly #changed = new Map<string, ConfigRecord>();
  readonly #gone = new Map<string, RecordKey>();
  #definitions: ReadonlyMap<string, PluginDefinition> = REGISTRY.plugins;
  #handlers: ReadonlyMap<string, PluginHandler<unknown>> = HANDLERS;
  #revision = 0;

  constructor(ws: string = DEFAULT_WS) {
    this.ws = ws;
    this.add('workspaces', { id: ws, name: 'default' });
  }

  /** Any kind, as the Admin API would take it. `ws` for another workspace. */
  add(kind: string, input: JsonObject, ws: string = this.ws): AnyEntity {
    const def = must(REGISTRY.entities.get(kind) ?? this.#pluginEntity(kind), `no kind ${kind}`);
    const registry = { entities: REGISTRY.entities, plugins: this.#definitions };
    const processed = processInsert(def, input, registry, {
      nowSeconds: FAKE_EPOCH_MS / 1000,
      uuid: testId,
      randomText: (length) => testId().replaceAll('-', '').slice(0, length),
    });
    if (!processed.ok) throw new Error(`${kind}: ${violationMessage(processed.violations)}`);
    this.put(kind, processed.entity, ws);
    return processed.entity;
  }

  /** An entity as it stands, valid or not. Replaces the one of the same id. */
  put(kind: string, entity: AnyEntity, ws: string = this.ws): void {
    const key = entity['key'];
    const body =
      kind === 'keyauth_credentials' && typeof key === 'string'
        ? { ...entity, key: lookupHash(TEST_PEPPER, { kind, ws, value: key }, nodeCrypto) }
        : entity;
    const record = makeRecord({ kind, ws, id: entity.id, placement: entity.id }, body, nodeCrypto);
    const name = `${kind} ${ws} ${entity.id}`;
    this.#changed.set(name, record);
    this.#gone.delete(name);
  }

  /** As if the secrets of an entity could not be opened. */
  shut(kind: string, id: string, fault: string, ws: string = this.ws): void {
    const key = { kind, ws, id, placement: id };
    const name = `${kind} ${ws} ${id}`;
    const record = must(this.#changed.get(name) ?? this.#tree.get(key), name);
    this.#changed.set(name, { ...record, hash: `${fault} ${record.hash}`, fault });
  }

  remove(kind: string, id: string, ws: string = this.ws): void {
    const name = `${kind} ${ws} ${id}`;
    this.#changed.delete(name);
    this.#gone.set(name, { kind, ws, id, placement: id });
  }

  service(input: JsonObject = {}): AnyEntity {
    return this.add('services', { host: 'upstream.test', ...input });
  }

  /** A route, to a service of its own unless `service` says otherwise. */
  route(input: JsonObject): AnyEntity {
    const service = input['service'] === undefined ? { id: this.service().id } : input['service'];
    return this.add('routes', { ...input, service });
  }

  plugin(name: string, config: JsonObject = {}, scope: JsonObject = {}): AnyEntity {
    return this.add('plugins', { name, config, ...scope });
  }

  consumer(username: string, key: string | null = null): AnyEntity {
    const consumer = this.add('consumers', { username });
    if (key !== null) this.add('keyauth_credentials', { key, consumer: { id: consumer.id } });
    return consumer;
  }

  /** Makes a plugin known; without a handler it is one that this data plane lacks. */
  provide({ definition, handler }: TestPlugin): void {
    this.#definitions = new Map(this.#definitions).set(definition.name, definition);
    if (handler !== null) this.#handlers = new Map(this.#handlers).set(definition.name, handler);
  }

  replica(): Replica {
    this.#tree = this.#tree.apply([...this.#changed.values()], [...this.#gone.values()]);
    this.#changed.clear();
    this.#gone.clear();
    this.#revision += 1;
    return {
      cluster: '00000000-0000-4000-8000-00000000000c',
      group: 'default',
      epoch: 1,
      revision: this.#revision,
      hash: '0'.repeat(64),
      secretGeneration: null,
      tree: this.#tree,
    };
  }

  /** @param change  what is built instead of the configuration's own tree */
  build(
    previous: Tables | null = null,
    deps: Partial<BuildDeps> = {},
    change: (tree: ConfigTree) => ConfigTree = (tree) => tree,
  ): BuildResult {
    const replica = this.replica();
    return buildTables(
      { ...replica, tree: change(replica.tree) },
      {
        handlers: this.#handlers,
        definitions: this.#definitions,
        runtime: 'node',
        crypto: nodeCrypto,
        pepper: TEST_PEPPER,
        ...deps,
      },
      previous,
    );
  }

  /** The tables; throws when they are refused. */
  tables(previous: Tables | null = null, deps: Partial<BuildDeps> = {}): Tables {
    const result = this.build(previous, deps);
    if (!result.ok) throw new Error(`refused: ${result.detail}`);
    return result.tables;
  }

  #pluginEntity(kind: string) {
    for (const plugin of this.#definitions.values()) {
      for (const entity of plugin.entities ?? []) if (entity.name === kind) return entity;
    }
    return null;
  }
}
