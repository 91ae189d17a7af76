/** What the endpoints of a workspace's past say of themselves. */
import type { JsonObject } from '#shared/schema/field.ts';
import { ROLLBACK_REQUEST } from '../endpoints/history.ts';
import type { ContentDocs, Operations, ParameterDocs } from './operation-docs.ts';

const tag = 'headgate';
const INTEGER: JsonObject = { type: 'integer', minimum: 0 };
const TEXT_OR_NULL: JsonObject = { type: ['string', 'null'] };

const VERSION: JsonObject = {
  version: INTEGER,
  at: { type: 'number', description: 'Seconds since the epoch.' },
  actor: { type: 'string' },
  source: { ...TEXT_OR_NULL, description: 'Address it came from.' },
  changes: { ...INTEGER, description: 'How many changes it holds.' },
};

const CHANGE: JsonObject = {
  kind: { type: 'string' },
  id: { type: 'string' },
  key: { ...TEXT_OR_NULL, description: 'What the entity is called, unless that is a secret.' },
  operation: { type: 'string', enum: ['create', 'update', 'delete'] },
  fields: {
    type: 'array',
    items: { type: 'string' },
    description: 'Fields that an update changed, secrets included.',
  },
};

const DIFFERENCE: JsonObject = {
  ...CHANGE,
  before: { type: ['object', 'null'] },
  after: { type: ['object', 'null'] },
  secrets: {
    type: 'object',
    additionalProperties: { type: 'string', enum: ['changed', 'unchanged'] },
  },
};

const RECEIPT: JsonObject = {
  type: 'object',
  properties: {
    workspace: { type: 'string' },
    version: INTEGER,
    status: { type: 'string', enum: ['applied', 'incomplete'] },
    applied: { ...INTEGER, description: 'Data planes that serve it.' },
    connected: { ...INTEGER, description: 'Data planes that should.' },
    edge_within_seconds: {
      type: ['integer', 'null'],
      description:
        'After so long every isolate of a deployment at the edge that applied it serves it.',
    },
    groups: { type: 'array', items: { type: 'object' } },
  },
};

function pageOf(item: JsonObject, more: JsonObject = {}): ContentDocs {
  const data = { type: 'array', items: { type: 'object', properties: item } };
  const properties = { ...more, data, next: TEXT_OR_NULL, offset: { type: 'string' } };
  return { type: 'schema', schema: { type: 'object', required: ['data', 'next'], properties } };
}

function versionArgument(name: string, description: string): ParameterDocs {
  return { name, in: 'query', description, schema: INTEGER };
}

export function historyDocs(): Readonly<Record<string, Operations>> {
  return {
    '/headgate/versions': {
      GET: {
        tag,
        summary: 'List the versions of the workspace, newest first',
        parameters: ['size', 'offset'],
        answer: { status: 200, body: pageOf(VERSION) },
      },
    },
    '/headgate/versions/{version}': {
      GET: {
        tag,
        summary: 'Show what a version changed',
        parameters: ['size', 'offset'],
        answer: { status: 200, body: pageOf(CHANGE, VERSION) },
        errors: [404],
      },
    },
    '/headgate/receipts/{version}': {
      GET: {
        tag,
        summary: 'Show which data planes serve a version, which do not, and why',
        description: 'Of those that are connected now. With `wait`, once all of them do.',
        parameters: ['wait', 'timeout'],
        answer: { status: 200, body: { type: 'schema', schema: RECEIPT } },
        errors: [404],
      },
    },
    '/headgate/diff': {
      GET: {
        tag,
        summary: 'Show what differs between two versions',
        parameters: [
          versionArgument('from', 'Without it, the one before `to`.'),
          versionArgument('to', 'Without it, the newest.'),
          'size',
          'offset',
        ],
        answer: { status: 200, body: pageOf(DIFFERENCE, { from: INTEGER, to: INTEGER }) },
        errors: [404],
      },
    },
    '/headgate/rollback': { POST: rollbackDocs() },
  };
}

function rollbackDocs(): NonNullable<Operations['POST']> {
  return {
    tag,
    summary: 'Make the workspace what it was at an earlier version',
    description:
      'As a new version, in one transaction. What is not allowed any more is named, and nothing done.',
    parameters: ['dry_run'],
    body: { type: 'record', fields: ROLLBACK_REQUEST, example: { version: 1 } },
    answer: {
      status: 200,
      headers: ['Headgate-Version'],
      body: { type: 'schema', schema: { type: 'object' } },
    },
    errors: [404, 409, 413, 415],
  };
}
