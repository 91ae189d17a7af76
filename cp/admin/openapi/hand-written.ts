/**
 * What the hand-written endpoints say of themselves, by path as it is written for people. A test holds
 * that none is missing and none left over.
 */
import { must } from '#shared/base/assert.ts';
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import { TIMEOUT_S_DEFAULT, TIMEOUT_S_MAX } from '../../log-level.ts';
import { nodeCallDocs } from './node-call-docs.ts';
import { JOIN_TOKEN_REQUEST } from '../endpoints/join-tokens.ts';
import { createDocs, getDocs, listDocs, removeDocs, updateDocs } from './entity-docs.ts';
import { entityEndpointDocs } from './entity-endpoints.ts';
import { headgateDocs } from './headgate-docs.ts';
import type { AnswerDocs, OperationDocs, Operations } from './operation-docs.ts';

type Entities = ReadonlyMap<string, EntityDefinition>;

export function handWrittenDocs(entities: Entities): Readonly<Record<string, Operations>> {
  return {
    ...nodeDocs(),
    ...debugDocs(),
    ...schemaDocs(entities),
    ...clusteringDocs(),
    ...nodeCallDocs(),
    ...consumerDocs(entities),
    ...targetDocs(entities),
    ...entityEndpointDocs(entities),
    ...documentDocs(),
    ...headgateDocs(),
  };
}

const TEXT = { type: 'string' };

/** 200 with an object that has these members, and perhaps others. */
function answers(properties: JsonObject, description?: string): AnswerDocs {
  return {
    status: 200,
    ...(description === undefined ? {} : { description }),
    body: { type: 'schema', schema: { type: 'object', properties } },
  };
}

const NOTHING: AnswerDocs = { status: 204 };

function nodeDocs(): Readonly<Record<string, Operations>> {
  const tag = 'node';
  return {
    '/': {
      GET: {
        tag,
        summary: 'Show what this control plane is',
        answer: answers({
          version: { ...TEXT, description: 'Of Kong, whose API this is.' },
          headgate_version: TEXT,
          hostname: TEXT,
          node_id: { type: 'string', format: 'uuid' },
          plugins: { type: 'object' },
          configuration: { type: 'object', description: 'Settings, secrets left out.' },
        }),
      },
    },
    '/status': {
      GET: {
        tag,
        summary: 'Show how this control plane fares',
        answer: answers({
          database: { type: 'object', properties: { reachable: { type: 'boolean' } } },
          server: { type: 'object' },
          memory: { type: 'object' },
        }),
      },
    },
    '/status/dns': {
      GET: { tag, summary: 'Not here: statistics of a DNS client', answer: null, errors: [501] },
    },
    '/endpoints': {
      GET: {
        tag,
        summary: 'List all paths',
        answer: answers({ data: { type: 'array', items: TEXT } }),
      },
    },
    '/timers': {
      GET: { tag, summary: 'Timers, of which there are none', answer: answers({ stats: {} }) },
    },
    '/plugins/enabled': {
      GET: {
        tag,
        summary: 'List the names of all plugins',
        answer: answers({ enabled_plugins: { type: 'array', items: TEXT } }),
      },
    },
    '/cache': {
      DELETE: { tag, summary: 'Purge caches, of which there are none', answer: NOTHING },
    },
    '/cache/{key}': {
      GET: { tag, summary: 'Never found: nothing is cached', answer: null, errors: [404] },
      DELETE: { tag, summary: 'Purge one key; there is none', answer: NOTHING },
    },
    '/robots.txt': {
      GET: {
        tag,
        summary: 'Keep crawlers out',
        answer: { status: 200, body: { type: 'schema', schema: TEXT, mediaTypes: ['text/plain'] } },
      },
    },
  };
}

function debugDocs(): Readonly<Record<string, Operations>> {
  const change: Omit<OperationDocs, 'summary'> = {
    tag: 'node',
    parameters: [
      {
        name: 'timeout',
        in: 'query',
        description: 'Seconds until the level is what it was; 0 for as long as the process runs.',
        schema: { type: 'number', minimum: 0, maximum: TIMEOUT_S_MAX, default: TIMEOUT_S_DEFAULT },
      },
    ],
    answer: answers({ message: TEXT }),
  };
  return {
    '/debug/node/log-level': {
      GET: { tag: 'node', summary: 'Show the log level', answer: answers({ message: TEXT }) },
    },
    '/debug/node/log-level/{log_level}': {
      PUT: { ...change, summary: 'Change the log level of this control plane' },
    },
    '/debug/cluster/control-planes-nodes/log-level/{log_level}': {
      PUT: { ...change, summary: 'Change the log level of all control planes' },
    },
  };
}

function schemaDocs(entities: Entities): Readonly<Record<string, Operations>> {
  const tag = 'schemas';
  const schema: Omit<OperationDocs, 'summary'> = {
    tag,
    answer: answers({
      fields: { type: 'array', items: { type: 'object' } },
      entity_checks: { type: 'array', items: { type: 'object' } },
    }),
    errors: [404],
  };
  const validate = (kind: string | null): Operations => ({
    POST: {
      tag,
      summary: `Ask whether ${kind === null ? 'an entity' : `one of ${kind}`} would be valid`,
      description: 'It is looked at by itself: neither uniqueness nor what it points to counts.',
      body:
        kind !== null && entities.has(kind)
          ? { type: 'entity', kind, use: 'given' }
          : { type: 'schema', schema: { type: 'object' } },
      answer: answers({ message: TEXT }),
      errors: [404, 413, 415],
    },
  });
  return {
    '/schemas/plugins/validate': validate('plugins'),
    '/schemas/vaults/validate': validate('vaults'),
    '/schemas/{db_entity_name}/validate': validate(null),
    '/schemas/{name}': { GET: { ...schema, summary: 'Show the definition of a kind of entity' } },
    '/schemas/vaults/{name}': { GET: { ...schema, summary: 'Show the definition of a vault' } },
    '/schemas/filters/{name}': {
      GET: { tag, summary: 'Never found: no data plane runs filters', answer: null, errors: [404] },
    },
    '/schemas/plugins/{name}': { GET: { ...schema, summary: 'Show the definition of a plugin' } },
    '/plugins/schema/{name}': {
      GET: { ...schema, summary: "Show the definition of a plugin's configuration" },
    },
  };
}

const EPOCH: JsonObject = {
  type: 'object',
  properties: {
    epoch: { type: 'integer' },
    reason: {
      type: 'string',
      enum: ['promoted', 'restored', 'moved', 'lost', 'node', 'unwatched', 'operator'],
    },
    detail: TEXT,
    at: { type: 'integer', description: 'Seconds since the epoch of Unix.' },
  },
};

function clusteringDocs(): Readonly<Record<string, Operations>> {
  const tag = 'clustering';
  const node = { type: 'object', properties: { id: { type: 'string', format: 'uuid' } } };
  return {
    '/clustering/data-planes': {
      GET: {
        tag,
        summary: 'List data planes',
        parameters: ['size', 'offset'],
        answer: answers({
          data: { type: 'array', items: node },
          next: { type: ['string', 'null'] },
          offset: TEXT,
        }),
      },
    },
    '/clustering/data-planes/{clustering_data_planes}': {
      GET: {
        tag,
        summary: 'Show a data plane',
        answer: { status: 200, body: { type: 'schema', schema: node } },
        errors: [404],
      },
      DELETE: {
        tag,
        summary: 'Revoke a data plane',
        description:
          'Its session ends, it can never come back with its key, and its group gets another secret.',
        answer: answers({
          id: TEXT,
          group: TEXT,
          secret_generation: { type: 'integer' },
          secrets: {
            type: 'object',
            description: 'What it held, to be replaced.',
            properties: { count: { type: 'integer' }, named: { type: 'array', items: {} } },
          },
        }),
        errors: [404],
      },
    },
    '/clustering/status': {
      GET: { tag, summary: 'Show data planes by id, as Kong once did', answer: answers({}) },
    },
    '/clustering/data-planes/{clustering_data_planes}/rotate-key': {
      POST: {
        tag,
        summary: 'Have a data plane make another key',
        description: 'At once if it is connected, else when it comes back.',
        answer: NOTHING,
        errors: [404],
      },
    },
    '/clustering/data-planes/{clustering_data_planes}/unlock': {
      POST: {
        tag,
        summary: 'Take back what is held against a data plane',
        description: 'Whoever comes next with its key is let in, whatever its join counter says.',
        answer: NOTHING,
        errors: [404],
      },
    },
    ...groupSecretDocs(tag),
    ...databaseDocs(tag),
    ...joinTokenDocs(tag),
  };
}

function databaseDocs(tag: string): Readonly<Record<string, Operations>> {
  return {
    '/clustering/epochs': {
      GET: {
        tag,
        summary: 'List when numbers began anew, and why',
        answer: answers({
          data: { type: 'array', items: EPOCH },
          next: { type: ['string', 'null'] },
        }),
      },
      POST: {
        tag,
        summary: 'Begin a new epoch',
        description:
          'After the database was put back to an earlier state in a way that nothing shows. Data planes take the newest configuration, whatever numbers they have seen.',
        answer: { status: 201, body: { type: 'schema', schema: EPOCH } },
      },
    },
    '/clustering/control-planes': {
      GET: {
        tag,
        summary: 'List control planes that are alive',
        answer: answers({
          data: { type: 'array', items: { type: 'object' } },
          next: { type: ['string', 'null'] },
        }),
      },
    },
  };
}

function groupSecretDocs(tag: string): Readonly<Record<string, Operations>> {
  return {
    '/clustering/groups/{groups}/rotate-secret': {
      POST: {
        tag,
        summary: 'Replace the secret of a group',
        description: 'What its data planes look up and open by is made anew.',
        answer: answers({ id: TEXT, name: TEXT, secret_generation: { type: 'integer' } }),
        errors: [404],
      },
    },
    '/clustering/groups/{groups}/boot-key': {
      POST: {
        tag,
        summary: 'Show the boot key of a group',
        description:
          'HEADGATE_BOOT_KEY of its data planes: opens its secrets in the fallback storage, until the group’s secret is replaced.',
        answer: answers({
          id: TEXT,
          name: TEXT,
          secret_generation: { type: 'integer' },
          boot_key: TEXT,
        }),
        errors: [404],
      },
    },
  };
}

function joinTokenDocs(tag: string): Readonly<Record<string, Operations>> {
  const kept = {
    id: TEXT,
    group: { type: ['string', 'null'], description: 'Null: the labels of the node choose it.' },
    uses: { type: 'integer' },
    name: { type: ['string', 'null'] },
    expires_at: { type: 'integer', description: 'Seconds since the epoch.' },
  };
  const shown = {
    type: 'object',
    properties: {
      ...kept,
      status: { type: 'string', enum: ['valid', 'spent', 'expired', 'revoked'] },
      used: { type: 'integer' },
      created_by: TEXT,
      created_at: { type: 'integer', description: 'Seconds since the epoch.' },
    },
  };
  return {
    '/clustering/join-tokens': {
      GET: {
        tag,
        summary: 'List join tokens',
        answer: answers({
          data: { type: 'array', items: shown },
          next: { type: ['string', 'null'] },
        }),
      },
      POST: {
        tag,
        summary: 'Make a token with which data planes join',
        body: { type: 'record', fields: JOIN_TOKEN_REQUEST, optional: true },
        answer: {
          status: 201,
          description: 'The token is shown here and never again.',
          body: {
            type: 'schema',
            schema: { type: 'object', properties: { ...kept, token: TEXT } },
          },
        },
        errors: [413, 415],
      },
    },
    '/clustering/join-tokens/{join_token}': {
      GET: {
        tag,
        summary: 'Show a join token',
        answer: { status: 200, body: { type: 'schema', schema: shown } },
        errors: [404],
      },
      DELETE: {
        tag,
        summary: 'Revoke a join token',
        description: 'Nobody joins with it any more; data planes that did stay.',
        answer: NOTHING,
        errors: [404],
      },
    },
  };
}

function consumerDocs(entities: Entities): Readonly<Record<string, Operations>> {
  const consumers = must(entities.get('consumers'), 'consumers are defined');
  const list = listDocs(consumers, null);
  return {
    '/consumers': {
      GET: {
        ...list,
        parameters: [
          ...(list.parameters ?? []),
          {
            name: 'custom_id',
            in: 'query',
            description: 'Only the consumer with this `custom_id`.',
            schema: { type: 'string', minLength: 1 },
          },
        ],
      },
      POST: createDocs(consumers, null),
    },
  };
}

function targetDocs(entities: Entities): Readonly<Record<string, Operations>> {
  const targets = must(entities.get('targets'), 'targets are defined');
  const upstreams = must(entities.get('upstreams'), 'upstreams are defined');
  const list = listDocs(targets, upstreams);
  const update = updateDocs(targets, upstreams);
  const path = '/upstreams/{upstreams}/targets';
  return {
    [path]: {
      GET: { ...list, description: 'Newest first.' },
      POST: createDocs(targets, upstreams),
    },
    [`${path}/all`]: { GET: { ...list, summary: 'List all targets of an upstream' } },
    [`${path}/{targets}`]: {
      GET: getDocs(targets, upstreams),
      PUT: { ...update, description: 'As PATCH: no target is created here.' },
      PATCH: update,
      DELETE: removeDocs(targets, upstreams),
    },
    '/upstreams/{upstreams}/health': {
      GET: {
        tag: 'upstreams',
        summary: 'Show the health of the targets of an upstream',
        parameters: [
          'size',
          'offset',
          {
            name: 'balancer_health',
            in: 'query',
            description: '`1` or `true`: of the upstream as a whole.',
            schema: { type: 'string' },
          },
        ],
        description:
          'As connected data planes say, the worst of it; `nodes` has the word of each. Without any, targets come without health.',
        answer: answers({ data: {}, node_id: { type: 'string', format: 'uuid' } }),
        errors: [404],
      },
    },
    ...Object.fromEntries(
      ['{targets}', '{targets}/{address}'].flatMap((of) =>
        ['healthy', 'unhealthy'].map((word) => [`${path}/${of}/${word}`, setHealthDocs(word)]),
      ),
    ),
  };
}

function setHealthDocs(word: string): Operations {
  return {
    PUT: {
      tag: 'upstreams',
      summary: `Say that a target is ${word}`,
      description:
        'Told to the data planes that are connected; checks may change it again. 400 without health checks, or without a data plane.',
      answer: NOTHING,
      errors: [400, 404],
    },
  };
}

function documentDocs(): Readonly<Record<string, Operations>> {
  const tag = 'documentation';
  const file = (summary: string, mediaType: string, schema: JsonObject = TEXT): Operations => ({
    GET: {
      tag,
      summary,
      answer: { status: 200, body: { type: 'schema', schema, mediaTypes: [mediaType] } },
    },
  });
  return {
    '/openapi.json': {
      GET: { tag, summary: 'Show this document', answer: answers({ openapi: TEXT, info: {} }) },
    },
    '/openapi.yaml': file('Show this document as YAML', 'application/yaml', { type: 'object' }),
    '/docs': file('Read this document as a page', 'text/html'),
    '/docs/page.css': file('The style of that page', 'text/css'),
    '/docs/page.js': file('The program of that page', 'text/javascript'),
  };
}
