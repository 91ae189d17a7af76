/** Answers that say no: one component each. */
import type { JsonObject } from '#shared/schema/field.ts';

export type ErrorStatus = keyof typeof ERRORS;

const ERROR = { $ref: '#/components/schemas/error' };

/** By status. */
export const ERRORS = {
  400: 'The request is malformed, or the entity it describes is not valid; `fields` says where.',
  401: 'A token is needed, and none or an unknown one was sent.',
  403: 'The token does not allow this, or a web page of another origin asks.',
  404: 'There is nothing of this name, or nothing above it in the path.',
  405: 'The path does not know this method.',
  409: 'Another entity has a value that must be unique.',
  412: 'What `If-Match` or `If-None-Match` demands does not hold.',
  413: 'The body is longer than the control plane takes.',
  415: 'The body is of a type or in an encoding that is not taken.',
  422: 'The `Idempotency-Key` was used before, for another request.',
  501: 'Kong has it; here it does nothing.',
  503: 'The database cannot be reached; `outcome` says when it is unknown whether it was written.',
} as const;

/** What any operation may answer. */
export const COMMON_ERRORS: readonly ErrorStatus[] = [400, 401, 403, 503];

/** Of `message`; the codes are Kong's. */
export const ERROR_SCHEMA: JsonObject = {
  type: 'object',
  description:
    'Codes: 1 invalid primary key, 2 schema violation, 3 primary key violation, 4 foreign key ' +
    'violation, 5 unique constraint violation, 6 not found, 7 invalid offset, 9 invalid size, ' +
    '10 invalid unique field, 11 invalid options, 13 foreign keys unresolved.',
  required: ['message'],
  properties: {
    message: { type: 'string' },
    code: { type: 'integer', description: 'Kind of failure, for programs.' },
    name: { type: 'string', description: 'The same in words.' },
    fields: {
      type: 'object',
      description:
        'What is wrong, by field: a text, or the same again for what lies inside. `@entity` holds ' +
        'what is true of no single field.',
    },
    options: { type: 'object', description: 'What is wrong, by argument of the query.' },
  },
  example: {
    code: 2,
    name: 'schema violation',
    message: 'schema violation (host: required field missing)',
    fields: { host: 'required field missing' },
  },
};

export function errorResponses(): JsonObject {
  return Object.fromEntries(
    Object.entries(ERRORS).map(([status, description]) => [
      status,
      { description, content: { 'application/json': { schema: ERROR } } },
    ]),
  );
}

export function errorRefs(statuses: readonly ErrorStatus[]): JsonObject {
  const all = [...new Set([...statuses, ...COMMON_ERRORS])].toSorted((a, b) => a - b);
  return Object.fromEntries(
    all.map((status) => [status, { $ref: `#/components/responses/${status}` }]),
  );
}
