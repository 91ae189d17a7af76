/** grpc-gateway: lets clients speak JSON over HTTP with a gRPC upstream. */
import { defineFields } from '../../schema/infer.ts';
import { protocols } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  proto: {
    type: 'string',
    required: false,
    description: 'File with the definition of the service and its HTTP rules.',
  },
});

export const grpcGateway = definePlugin({
  name: 'grpc-gateway',
  version: '3.9.4',
  priority: 998,
  phases: ['access', 'header_filter', 'body_filter'],
  runtimes: [],
  protects: false,
  fields: { protocols, config: { type: 'record', required: true, fields: config } },
});
