/** What `/config` says of itself. */
import type { OperationDocs, Operations } from './operation-docs.ts';

const SWITCH = { type: 'boolean', default: false } as const;

export function configDocs(): Readonly<Record<string, Operations>> {
  return { '/config': { GET: GET_DOCS, POST: POST_DOCS } };
}

const tag = 'headgate';

const GET_DOCS: OperationDocs = {
  tag,
  summary: 'Show the workspace as a declarative configuration',
  description: 'With `Accept: application/yaml`, the YAML itself. It can be loaded again as it is.',
  answer: {
    status: 200,
    body: {
      type: 'schema',
      schema: {
        type: 'object',
        required: ['config'],
        properties: { config: { type: 'string', description: 'YAML.' } },
      },
    },
  },
};

const POST_DOCS: OperationDocs = {
  tag,
  summary: 'Make the workspace what a declarative configuration says',
  description: [
    'In one transaction: what is not in the configuration is removed, what is there already and',
    'the same is left alone. Members are kinds of entities, each a list; an entity may hold those',
    'that belong to it. Where it removes a great part of what is there it is a 409, unless forced.',
  ].join(' '),
  parameters: [
    'dry_run',
    { name: 'force', in: 'query', description: 'However much is removed.', schema: SWITCH },
    {
      name: 'flatten_errors',
      in: 'query',
      description: 'Errors also as a list of entities, `flattened_errors`.',
      schema: SWITCH,
    },
    {
      name: 'check_hash',
      in: 'query',
      description: 'With 1, a 304 when nothing would change.',
      schema: { type: 'string' },
    },
  ],
  body: {
    type: 'schema',
    mediaTypes: ['application/json', 'application/yaml'],
    schema: {
      type: 'object',
      properties: {
        _format_version: { type: 'string', enum: ['1.1', '2.1', '3.0'] },
        _transform: { type: 'boolean', default: true },
        config: { type: 'string', description: 'Instead of all else: the text of it.' },
      },
    },
    example: {
      _format_version: '3.0',
      services: [
        { name: 'orders', url: 'http://orders.internal', routes: [{ paths: ['/orders'] }] },
      ],
    },
  },
  answer: {
    status: 201,
    description: 'The entities by kind and id.',
    headers: ['Headgate-Version'],
    body: { type: 'schema', schema: { type: 'object' } },
  },
  otherAnswers: [
    {
      status: 200,
      description: 'For a dry run: what would be done.',
      body: { type: 'schema', schema: { type: 'object' } },
    },
    { status: 304, description: 'With `check_hash`: nothing would change.' },
  ],
  errors: [409, 413, 415],
};
