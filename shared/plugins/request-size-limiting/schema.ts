/** request-size-limiting: refuses bodies that are too long. */
import { defineFields } from '../../schema/infer.ts';
import { protocolsHttp } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  allowed_payload_size: {
    type: 'integer',
    default: 128,
    description: 'Longest body, in the unit.',
  },
  size_unit: {
    type: 'string',
    required: true,
    default: 'megabytes',
    one_of: ['megabytes', 'kilobytes', 'bytes'],
  },
  require_content_length: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether bodies of unknown length are refused.',
  },
});

export const requestSizeLimiting = definePlugin({
  name: 'request-size-limiting',
  version: '3.9.4',
  priority: 951,
  phases: ['access'],
  runtimes: [],
  protects: true,
  fields: { protocols: protocolsHttp, config: { type: 'record', required: true, fields: config } },
});
