/** What `/headgate/explain` says of itself. */
import type { JsonObject } from '#shared/schema/field.ts';
import { EXPLAIN_BODY } from '../endpoints/explain.ts';
import type { AnswerDocs, Operations, ParameterDocs } from './operation-docs.ts';

const TEXT_OR_NULL: JsonObject = { type: ['string', 'null'] };
const OBJECT_OR_NULL: JsonObject = { type: ['object', 'null'] };

const ANSWER: AnswerDocs = {
  status: 200,
  body: {
    type: 'schema',
    schema: {
      type: 'object',
      required: ['outcome', 'answer', 'route', 'plugins', 'upstream'],
      properties: {
        group: { type: 'string' },
        runtime: { type: 'string', enum: ['node', 'edge'] },
        configuration: { ...OBJECT_OR_NULL, description: 'Epoch, revision and hash.' },
        request: { type: 'object', description: 'As it is read: its path normalised.' },
        outcome: { type: 'string', enum: ['proxied', 'answered'] },
        answer: {
          ...OBJECT_OR_NULL,
          description: 'What the gateway itself answers, unless a plugin does; null: it proxies.',
        },
        route: { ...OBJECT_OR_NULL, description: 'The one that is taken, and why it is closed.' },
        matched_path: TEXT_OR_NULL,
        captures: { ...OBJECT_OR_NULL, description: 'Of a regular expression.' },
        routing: {
          ...OBJECT_OR_NULL,
          description:
            'Routes that match, best first, with every condition and the rank; those that lie near ' +
            'and what they failed by; and what lenient upstreams may take the path for.',
        },
        plugins: {
          type: 'object',
          description: 'By order: phases, and the configuration that applies.',
        },
        upstream: {
          ...OBJECT_OR_NULL,
          description: 'Service, path and query, and the targets with the Host each would be sent.',
        },
      },
    },
  },
};

function queryOf(name: string, description: string, schema: JsonObject): ParameterDocs {
  return { name, in: 'query', description, schema };
}

const TEXT: JsonObject = { type: 'string' };
const INTEGER: JsonObject = { type: 'integer', minimum: 0 };

/** Of the query, what is asked most; the rest is as in the body. */
const QUERY: readonly ParameterDocs[] = [
  { ...queryOf('url', 'Absolute, or a path with its query.', TEXT), required: true },
  queryOf('method', 'Without it, GET.', TEXT),
  queryOf('header', '`Name: value`; may be repeated.', TEXT),
  queryOf('group', 'Without it, `default`.', TEXT),
  queryOf('revision', 'Without it, the newest.', INTEGER),
  queryOf('runtime', 'Without it, `node`.', { type: 'string', enum: ['node', 'edge'] }),
  queryOf('consumer', 'Id or username.', TEXT),
  queryOf('limit', 'Most routes that are named.', INTEGER),
];

export function explainDocs(): Readonly<Record<string, Operations>> {
  const common = {
    tag: 'headgate',
    description:
      'By the functions that data planes decide with, from what was published. Needs read on every ' +
      "workspace of the group. Data planes are taken to have default settings and this control plane's router flavor.",
    answer: ANSWER,
  } as const;
  return {
    '/headgate/explain': {
      GET: {
        ...common,
        summary: 'Explain what a group does with a request',
        parameters: QUERY,
        errors: [404, 409],
      },
      POST: {
        ...common,
        summary: 'Explain what a group does with a request, asked by a body',
        body: {
          type: 'record',
          fields: EXPLAIN_BODY,
          example: { url: 'http://example.com/orders?id=1', headers: { Accept: '*/*' } },
        },
        errors: [404, 409, 413, 415],
      },
    },
  };
}
