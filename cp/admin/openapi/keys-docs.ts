/** What the endpoints of the keys say of themselves. */
import type { JsonObject } from '#shared/schema/field.ts';
import { KEY_ROTATION_REQUEST } from '../endpoints/keys.ts';
import type { AnswerDocs, Operations } from './operation-docs.ts';

const COUNT: JsonObject = { type: 'integer', minimum: 0 };

const KIND: JsonObject = {
  type: 'object',
  required: ['generation', 'since', 'older', 'remaining'],
  properties: {
    generation: { type: 'integer', description: 'The one in force.' },
    since: { type: 'integer', description: 'Seconds since the epoch.' },
    older: {
      type: 'array',
      items: { type: 'integer' },
      description:
        'Generations that something is still kept by; their keys go with the last of it.',
    },
    remaining: { ...COUNT, description: 'Rows that are still of an older generation.' },
  },
};

const STATUS: JsonObject = {
  type: 'object',
  required: ['data', 'pepper', 'kek'],
  properties: {
    data: KIND,
    pepper: KIND,
    kek: {
      type: 'object',
      required: ['id'],
      properties: { id: { type: 'string', description: 'Another key, another id.' } },
    },
  },
};

export function keysDocs(): Readonly<Record<string, Operations>> {
  return {
    '/headgate/keys': {
      GET: {
        tag: 'headgate',
        summary: 'Show the generations of the keys that protect what is stored',
        answer: status(200),
      },
    },
    '/headgate/keys/rotate': {
      POST: {
        tag: 'headgate',
        summary: 'Put new keys in force',
        description: 'What is stored by older ones is renewed after that, while everything runs.',
        body: {
          type: 'record',
          fields: KEY_ROTATION_REQUEST,
          example: { data: true, pepper: true },
        },
        answer: status(202),
        errors: [409, 413, 415],
      },
    },
  };
}

function status(code: 200 | 202): AnswerDocs {
  return { status: code, body: { type: 'schema', schema: STATUS } };
}
