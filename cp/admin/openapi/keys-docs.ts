/** What the endpoints of the keys say of themselves. */
import type { JsonObject } from '#shared/schema/field.ts';
import { KEY_ROTATION_REQUEST } from '../endpoints/keys.ts';
import { KEY_LIST_REQUEST, KEY_PROPOSAL_REQUEST } from '../endpoints/signing-keys.ts';
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
    '/headgate/keys/signing': {
      GET: {
        tag: 'headgate',
        summary: 'Show the list of keys that sign configurations',
        answer: schemaAnswer({ text: TEXT, signature: TEXT, root_public_key: TEXT }),
      },
      POST: {
        tag: 'headgate',
        summary: 'Propose another list of signing keys',
        description: 'It is in force once the root key has signed it (`headgate keys sign`).',
        body: { type: 'record', fields: KEY_PROPOSAL_REQUEST, optional: true },
        answer: schemaAnswer({ text: TEXT }),
        errors: [409, 413, 415],
      },
      PUT: {
        tag: 'headgate',
        summary: 'Put a list of signing keys in force',
        body: { type: 'record', fields: KEY_LIST_REQUEST },
        answer: schemaAnswer({
          sequence: { type: 'integer' },
          keys: { type: 'array', items: TEXT },
        }),
        errors: [409, 413, 415],
      },
    },
  };
}

const TEXT = { type: 'string' } as const;

function schemaAnswer(properties: JsonObject): AnswerDocs {
  return { status: 200, body: { type: 'schema', schema: { type: 'object', properties } } };
}

function status(code: 200 | 202): AnswerDocs {
  return { status: code, body: { type: 'schema', schema: STATUS } };
}
