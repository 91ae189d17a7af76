/** Arguments and headers that many operations take: one component each. */
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import { LEVEL_NAMES } from '../../log-level.ts';
import { KEY_LENGTH_MAX } from '../idempotency.ts';
import { SIZE_DEFAULT, SIZE_MAX, TAGS_MAX } from '../pagination.ts';
import { WAIT_S_DEFAULT, WAIT_S_MAX } from '../../receipts/receipts.ts';
import { oneOf } from './words.ts';

export type ParameterName = keyof typeof PARAMETERS;

export const PARAMETERS = {
  size: {
    name: 'size',
    in: 'query',
    description: 'Entities on a page.',
    schema: { type: 'integer', minimum: 1, maximum: SIZE_MAX, default: SIZE_DEFAULT },
  },
  offset: {
    name: 'offset',
    in: 'query',
    description: 'Where the page begins: `offset` of the page before it.',
    schema: { type: 'string' },
  },
  tags: {
    name: 'tags',
    in: 'query',
    description: `Only what has these tags, at most ${TAGS_MAX}: \`a,b\` all of them, \`a/b\` any of them.`,
    schema: { type: 'string', minLength: 1 },
    example: 'team-a,production',
  },
  dry_run: {
    name: 'dry_run',
    in: 'query',
    description: 'Do and check everything, answer as usual, and change nothing.',
    schema: { type: 'boolean', default: false },
  },
  wait: {
    name: 'wait',
    in: 'query',
    description:
      'Answer once all data planes serve it that were connected when it was written: headers say how many ' +
      'do. `Prefer: wait=10` asks for the same.',
    schema: { type: 'string', enum: ['applied'] },
  },
  timeout: {
    name: 'timeout',
    in: 'query',
    description: 'Longest wait in seconds; after it the answer comes all the same.',
    schema: { type: 'number', minimum: 0, maximum: WAIT_S_MAX, default: WAIT_S_DEFAULT },
  },
  'If-Match': {
    name: 'If-Match',
    in: 'header',
    description: 'Write only if the entity is still what it was when it had this `ETag`.',
    schema: { type: 'string' },
  },
  'If-None-Match': {
    name: 'If-None-Match',
    in: 'header',
    description: '`*` on PUT: only create. On GET: 304 if the entity still has this `ETag`.',
    schema: { type: 'string' },
  },
  'Idempotency-Key': {
    name: 'Idempotency-Key',
    in: 'header',
    description:
      'Any text of your own. The same request, sent again with it within a day, is answered as ' +
      'before and not done twice.',
    schema: { type: 'string', minLength: 1, maxLength: KEY_LENGTH_MAX },
  },
} as const;

/** Parameters of hand-written paths that name no entity. */
const PATH_PARAMETERS: Readonly<Record<string, JsonObject>> = {
  version: {
    description: 'Number of a version of the workspace.',
    schema: { type: 'integer', minimum: 1 },
  },
  name: { description: 'Name of a kind of entity or of a plugin.', schema: { type: 'string' } },
  db_entity_name: { description: 'Name of a kind of entity.', schema: { type: 'string' } },
  token: { description: 'Name of a token.', schema: { type: 'string' } },
  key: { description: 'Of something cached.', schema: { type: 'string' } },
  log_level: { description: 'The new level.', schema: { type: 'string', enum: LEVEL_NAMES } },
  address: {
    description: 'One address of a target, `ip` or `ip:port`.',
    schema: { type: 'string', minLength: 1 },
  },
  clustering_data_planes: {
    description: 'Id of a data plane.',
    schema: { type: 'string', format: 'uuid' },
  },
  join_token: { description: 'Id of a join token.', schema: { type: 'string', format: 'uuid' } },
  groups: { description: 'Name or id of a group.', schema: { type: 'string' } },
};

/** @returns null when nothing is known of a parameter of this name */
export function pathParameter(
  name: string,
  entities: ReadonlyMap<string, EntityDefinition>,
): JsonObject | null {
  const definition = entities.get(name);
  const facts = definition === undefined ? PATH_PARAMETERS[name] : entityParameter(definition);
  return facts === undefined ? null : { name, in: 'path', required: true, ...facts };
}

function entityParameter(definition: EntityDefinition): JsonObject {
  const key = definition.endpoint_key;
  const what = oneOf(definition);
  return key === undefined
    ? { description: `Id of ${what}.`, schema: { type: 'string', format: 'uuid' } }
    : { description: `Id or \`${key}\` of ${what}.`, schema: { type: 'string', minLength: 1 } };
}
