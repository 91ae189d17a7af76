/** What the endpoints of access say of themselves: tokens and the audit. */
import type { JsonObject } from '#shared/schema/field.ts';
import { ROTATION_REQUEST, TOKEN_REQUEST } from '../endpoints/tokens.ts';
import type { AnswerDocs, Operations, ParameterDocs } from './operation-docs.ts';

const TEXT: JsonObject = { type: 'string' };
const MAYBE_TEXT: JsonObject = { type: ['string', 'null'] };
const TIME: JsonObject = { type: 'integer', description: 'Seconds since the epoch.' };
const MAYBE_TIME: JsonObject = { ...TIME, type: ['integer', 'null'] };

const TOKEN_MEMBERS: JsonObject = {
  id: { type: 'string', description: 'Stands in the token; no secret.' },
  name: TEXT,
  scopes: { type: 'object' },
  expires_at: MAYBE_TIME,
  created_at: TIME,
  created_by: TEXT,
  rotated_at: MAYBE_TIME,
  previous_until: {
    ...MAYBE_TIME,
    description: 'Until when the secret before the last rotation works too.',
  },
  last_used_at: { ...MAYBE_TIME, description: 'To ten minutes, in seconds since the epoch.' },
};

export function accessDocs(): Readonly<Record<string, Operations>> {
  return {
    '/headgate/tokens': {
      GET: {
        tag: 'headgate',
        summary: 'List the named tokens of this API, without their secrets',
        answer: list(object(TOKEN_MEMBERS)),
      },
      POST: {
        tag: 'headgate',
        summary: 'Make a named token',
        body: {
          type: 'record',
          fields: TOKEN_REQUEST,
          example: {
            name: 'ci',
            scopes: { workspaces: [{ workspace: 'default', access: 'write' }] },
          },
        },
        answer: secret(201),
        errors: [409, 413, 415],
      },
    },
    '/headgate/tokens/{token}': {
      GET: {
        tag: 'headgate',
        summary: 'Show a token, without its secret',
        answer: answer(200, object(TOKEN_MEMBERS)),
        errors: [404],
      },
      DELETE: {
        tag: 'headgate',
        summary: 'Revoke a token',
        description: 'At once at this control plane, within two seconds at every other.',
        answer: { status: 204 },
        errors: [404],
      },
    },
    '/headgate/tokens/{token}/rotate': {
      POST: {
        tag: 'headgate',
        summary: 'Give a token a new secret',
        body: { type: 'record', fields: ROTATION_REQUEST, optional: true },
        answer: secret(200),
        errors: [404, 409, 413, 415],
      },
    },
    '/headgate/audit': {
      GET: {
        tag: 'headgate',
        summary: 'List who wrote what and from where, newest first',
        parameters: ['size', 'offset', ...FILTERS],
        answer: list(AUDIT_ROW),
      },
    },
  };
}

const FILTERS: readonly ParameterDocs[] = [
  filter('actor', 'Only by the token of this name.', { ...TEXT, minLength: 1 }),
  filter('since', 'From this time on, in seconds since the epoch.', { type: 'number' }),
  filter('until', 'Before this time, in seconds since the epoch.', { type: 'number' }),
  filter('workspace', 'Only in the workspace of this name.', { ...TEXT, minLength: 1 }),
  filter('path', 'Only paths that begin with this.', { ...TEXT, minLength: 1 }),
];

const AUDIT_ROW = object({
  id: TEXT,
  at: { type: 'number', description: 'Seconds since the epoch.' },
  request_id: { type: 'string', description: '`X-Kong-Admin-Request-ID` of the answer.' },
  actor: TEXT,
  token_id: MAYBE_TEXT,
  source: { ...MAYBE_TEXT, description: 'Address of the connected peer.' },
  forwarded_for: { ...MAYBE_TEXT, description: 'Of the client, by word of a trusted terminator.' },
  method: TEXT,
  path: { type: 'string', description: 'Without keys that name entities, and query values.' },
  status: { type: 'integer' },
  workspace: MAYBE_TEXT,
  version: { type: ['integer', 'null'], description: 'Of the workspace, that the write made.' },
  changes: {
    type: 'array',
    description: 'The first of what that version changed.',
    items: object({
      kind: TEXT,
      id: TEXT,
      operation: { type: 'string', enum: ['create', 'update', 'delete'] },
      fields: { type: 'array', items: TEXT },
    }),
  },
  changes_total: { type: 'integer' },
});

function filter(name: string, description: string, schema: JsonObject): ParameterDocs {
  return { name, in: 'query', description, schema };
}

function object(properties: JsonObject): JsonObject {
  return { type: 'object', required: Object.keys(properties), properties };
}

function answer(status: 200 | 201, schema: JsonObject): AnswerDocs {
  return { status, body: { type: 'schema', schema } };
}

function list(items: JsonObject): AnswerDocs {
  const properties = { data: { type: 'array', items }, next: MAYBE_TEXT, offset: TEXT };
  return answer(200, { type: 'object', required: ['data', 'next'], properties });
}

function secret(status: 200 | 201): AnswerDocs {
  const token = { type: 'string', description: 'What its holder sends. Shown here, never again.' };
  return answer(status, object({ ...TOKEN_MEMBERS, token }));
}
