/** What the endpoints say of themselves that ask data planes to do something. */
import type { Fields, JsonObject } from '#shared/schema/field.ts';
import { DRAIN_REQUEST, LOG_LEVEL_REQUEST, PURGE_REQUEST } from '../endpoints/node-calls.ts';
import type { Operations } from './operation-docs.ts';

const COUNT: JsonObject = { type: 'integer', minimum: 0 };
const NODE: JsonObject = { type: 'string', format: 'uuid' };

const ANSWER: JsonObject = {
  type: 'object',
  properties: {
    method: { type: 'string' },
    asked: { ...COUNT, description: 'Data planes that are connected, here or to another.' },
    done: { ...COUNT, description: 'Those that did it.' },
    unreached: { ...COUNT, description: 'Those whose control plane did not answer in time.' },
    nodes: {
      type: 'array',
      description: 'What they answered, of a hundred at most.',
      items: { type: 'object', properties: { node: NODE, value: { type: 'object' } } },
    },
    failed: {
      type: 'array',
      description: 'Those that did not, and why; a hundred at most.',
      items: {
        type: 'object',
        properties: { node: NODE, code: { type: 'string' }, detail: { type: 'string' } },
      },
    },
  },
};

const NODES = '/clustering/data-planes/{clustering_data_planes}';
const GROUPS = '/clustering/groups/{groups}';

export function nodeCallDocs(): Readonly<Record<string, Operations>> {
  const of = (name: string, what: string, fields: Fields): [string, Operations][] => [
    [`${NODES}/${name}`, { POST: operation(`${what} of a data plane`, fields, [404, 409]) }],
    [
      `${GROUPS}/${name}`,
      { POST: operation(`${what} of all data planes of a group`, fields, [404]) },
    ],
  ];
  return Object.fromEntries([
    ...of('log-level', 'Change the log level', LOG_LEVEL_REQUEST),
    ...of('drain', 'Change the readiness', DRAIN_REQUEST),
    ...of('purge', 'Empty caches', PURGE_REQUEST),
  ]);
}

function operation(
  summary: string,
  fields: Fields,
  errors: readonly (404 | 409)[],
): NonNullable<Operations['POST']> {
  return {
    tag: 'clustering',
    summary,
    body: { type: 'record', fields, optional: true },
    answer: { status: 200, body: { type: 'schema', schema: ANSWER } },
    errors: [...errors, 413, 415],
  };
}
