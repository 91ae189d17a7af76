/** correlation-id: gives every request an id, upstream and (if wanted) downstream. */
import { defineFields, type RecordOf } from '../../schema/infer.ts';
import { protocolsHttp } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  header_name: {
    type: 'string',
    default: 'Kong-Request-ID',
    description: 'Name of the header that carries the id.',
  },
  generator: {
    type: 'string',
    default: 'uuid#counter',
    required: true,
    one_of: ['uuid', 'uuid#counter', 'tracker'],
  },
  echo_downstream: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether the header goes into the response as well.',
  },
});

export type CorrelationIdConfig = RecordOf<typeof config>;

export const correlationId = definePlugin({
  name: 'correlation-id',
  version: '3.9.4',
  priority: 100_001,
  phases: ['access', 'header_filter'],
  runtimes: ['node', 'edge'],
  protects: false,
  fields: {
    protocols: protocolsHttp,
    config: { type: 'record', required: true, fields: config },
  },
});
