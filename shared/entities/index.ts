/** All kinds of entities, parents before children (registry 1 of 3). */
import { ACL_ENTITIES } from '../plugins/acl/entities.ts';
import { ACME_ENTITIES } from '../plugins/acme/entities.ts';
import { BASIC_AUTH_ENTITIES } from '../plugins/basic-auth/entities.ts';
import { HMAC_AUTH_ENTITIES } from '../plugins/hmac-auth/entities.ts';
import { JWT_ENTITIES } from '../plugins/jwt/entities.ts';
import { KEY_AUTH_ENTITIES } from '../plugins/key-auth/entities.ts';
import { OAUTH2_ENTITIES } from '../plugins/oauth2/entities.ts';
import { RATE_LIMITING_ENTITIES } from '../plugins/rate-limiting/entities.ts';
import { SESSION_ENTITIES } from '../plugins/session/entities.ts';
import type { EntityDefinition } from '../schema/field.ts';
import { caCertificate } from './ca-certificate.ts';
import { certificate } from './certificate.ts';
import { consumer } from './consumer.ts';
import { group } from './group.ts';
import { key } from './key.ts';
import { keySet } from './key-set.ts';
import { plugin } from './plugin.ts';
import { route } from './route.ts';
import { service } from './service.ts';
import { sni } from './sni.ts';
import { tag } from './tag.ts';
import { target } from './target.ts';
import { clusteringDataPlane, filterChain, parameter } from './unstored.ts';
import { upstream } from './upstream.ts';
import { vault } from './vault.ts';
import { workspace } from './workspace.ts';

const DEFINITIONS: readonly EntityDefinition[] = [
  workspace,
  group,
  consumer,
  certificate,
  service,
  route,
  sni,
  upstream,
  target,
  plugin,
  tag,
  caCertificate,
  clusteringDataPlane,
  parameter,
  vault,
  keySet,
  key,
  filterChain,
  ...ACL_ENTITIES,
  ...ACME_ENTITIES,
  ...BASIC_AUTH_ENTITIES,
  ...HMAC_AUTH_ENTITIES,
  ...JWT_ENTITIES,
  ...KEY_AUTH_ENTITIES,
  ...OAUTH2_ENTITIES,
  ...RATE_LIMITING_ENTITIES,
  ...SESSION_ENTITIES,
];

export const ENTITIES: ReadonlyMap<string, EntityDefinition> = new Map(
  DEFINITIONS.map((definition) => [definition.name, definition]),
);
