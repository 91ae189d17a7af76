/** grpc-web: lets browsers speak gRPC-Web with a gRPC upstream. */
import { defineFields } from '../../schema/infer.ts';
import { protocols } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  proto: {
    type: 'string',
    required: false,
    description: 'File with the definition of the service; needed to translate JSON.',
  },
  pass_stripped_path: {
    type: 'boolean',
    required: false,
    description: 'Whether the upstream gets the path without the prefix of the route.',
  },
  allow_origin_header: {
    type: 'string',
    required: false,
    default: '*',
    description: 'Value of Access-Control-Allow-Origin.',
  },
});

export const grpcWeb = definePlugin({
  name: 'grpc-web',
  version: '3.9.4',
  priority: 3,
  phases: ['access', 'header_filter', 'body_filter'],
  runtimes: [],
  protects: false,
  fields: { protocols, config: { type: 'record', required: true, fields: config } },
});
