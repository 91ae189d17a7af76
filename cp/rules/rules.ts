/**
 * What is true of an entity and the schema cannot say: facts that need cryptography or other rows,
 * values derived from others, fields that are stored elsewhere. One object per kind; most kinds have
 * none. Every way of writing (endpoints, bulk, `/config`, import) runs the same rules.
 */
import type { JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import type { Violations } from '#shared/schema/violations.ts';
import type { Reader, WriteTx } from '../store/store.ts';
import { caCertificateRules } from './ca-certificates.ts';
import { certificateRules } from './certificates.ts';
import { basicAuthRules, jwtRules, oauth2Rules } from './credentials.ts';
import { groupRules } from './groups.ts';
import { keyRules } from './keys.ts';
import { pluginRules } from './plugins.ts';
import { workspaceRules } from './workspaces.ts';

export interface RuleContext {
  /** Workspace id. */
  readonly ws: string;
  readonly registry: Registry;
  /** `HEADGATE_ALLOW_UNSUPPORTED_PLUGINS`: store what no data plane can run yet. */
  readonly allowUnsupported: boolean;
  /** First segments of the API's own paths: no workspace can be called so. */
  readonly reserved: ReadonlySet<string>;
}

/** How an entity came to be what it is about to be. */
export interface Change {
  /** What the client sent, before defaults, foreign keys resolved. */
  readonly given: JsonObject;
  /** As stored before; null when it is new. */
  readonly current: AnyEntity | null;
  /** True when what was sent was merged into `current`; otherwise it was written anew. */
  readonly isMerge: boolean;
}

export interface EntityRules {
  /** First, on what was sent: names that become ids. What is malformed is left for the schema to refuse. */
  readonly resolve?: (input: JsonObject, tx: Reader, context: RuleContext) => Promise<JsonObject>;
  /** Looks at the entity alone. Also what `/schemas/{kind}/validate` runs. */
  readonly check?: (entity: AnyEntity, context: RuleContext) => Violations | null;
  /** Looks at other rows, and at what was before, in the writing transaction. */
  readonly checkRelations?: (
    entity: AnyEntity,
    change: Change,
    tx: Reader,
    context: RuleContext,
  ) => Promise<Violations | null>;
  /**
   * Last step before storing: digests, password hashes.
   *
   * @param current  as stored before; null when it is new
   */
  readonly derive?: (
    entity: AnyEntity,
    current: AnyEntity | null,
  ) => AnyEntity | Promise<AnyEntity>;
  /** After its row is written: rows of other kinds that are part of it (SNIs of a certificate). */
  readonly afterWrite?: (
    entity: AnyEntity,
    change: Change,
    tx: WriteTx,
    context: RuleContext,
  ) => Promise<void>;
  /** Before it is removed: what goes with it, or stands against it (`AdminError`). */
  readonly beforeRemove?: (entity: AnyEntity, tx: WriteTx, context: RuleContext) => Promise<void>;
  /** Adds fields that are not stored with the entity (`transient`), a page at a time. */
  readonly complete?: (
    entities: readonly AnyEntity[],
    reader: Reader,
    context: RuleContext,
  ) => Promise<AnyEntity[]>;
}

const RULES: ReadonlyMap<string, EntityRules> = new Map([
  ['basicauth_credentials', basicAuthRules],
  ['ca_certificates', caCertificateRules],
  ['certificates', certificateRules],
  ['clustering_groups', groupRules],
  ['jwt_secrets', jwtRules],
  ['keys', keyRules],
  ['oauth2_credentials', oauth2Rules],
  ['plugins', pluginRules],
  ['workspaces', workspaceRules],
]);

const NONE: EntityRules = {};

/** @param kind  name of a definition */
export function rulesOf(kind: string): EntityRules {
  return RULES.get(kind) ?? NONE;
}
