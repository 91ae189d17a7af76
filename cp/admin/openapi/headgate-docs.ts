/** What the endpoints that Kong does not have say of themselves. */
import type { Field } from '#shared/schema/field.ts';
import { OPERATION } from '../bulk-operation.ts';
import { OPERATIONS_MAX } from '../endpoints/bulk.ts';
import { accessDocs } from './access-docs.ts';
import { configDocs } from './config-docs.ts';
import { explainDocs } from './explain-docs.ts';
import { historyDocs } from './history-docs.ts';
import { keysDocs } from './keys-docs.ts';
import type { Operations } from './operation-docs.ts';

export function headgateDocs(): Readonly<Record<string, Operations>> {
  return {
    '/headgate/bulk': bulkDocs(),
    ...configDocs(),
    ...historyDocs(),
    ...accessDocs(),
    ...keysDocs(),
    ...explainDocs(),
  };
}

const OPERATIONS: Field = {
  type: 'array',
  required: true,
  len_max: OPERATIONS_MAX,
  elements: {
    type: 'record',
    fields: { ...OPERATION, body: { type: 'json', description: 'As of a single write.' } },
  },
};

function bulkDocs(): Operations {
  return {
    POST: {
      tag: 'headgate',
      summary: 'Write many entities in one transaction, all or none of them',
      description: 'An error names the operation that it is about, by `index`, `kind` and `key`.',
      parameters: ['dry_run'],
      body: {
        type: 'record',
        fields: { operations: OPERATIONS },
        mediaTypes: ['application/json'],
        example: {
          operations: [
            { op: 'upsert', path: '/services/orders', body: { url: 'http://orders.internal' } },
            { op: 'create', path: '/services/orders/routes', body: { paths: ['/orders'] } },
          ],
        },
      },
      answer: {
        status: 200,
        description: 'What was written, in the order of the operations.',
        headers: ['Headgate-Version'],
        body: {
          type: 'schema',
          schema: {
            type: 'object',
            required: ['operations'],
            properties: {
              operations: {
                type: 'array',
                items: {
                  type: 'object',
                  required: ['status', 'kind', 'entity'],
                  properties: {
                    status: { type: 'integer' },
                    kind: { type: 'string' },
                    etag: { type: 'string' },
                    entity: { type: ['object', 'null'] },
                  },
                },
              },
            },
          },
        },
      },
      errors: [404, 409, 412, 413, 415],
    },
  };
}
