/** azure-functions: answers with what an Azure function makes of the request. */
import { defineFields } from '../../schema/infer.ts';
import { protocols } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  timeout: {
    type: 'number',
    default: 600_000,
    description: 'Milliseconds to wait for the function.',
  },
  keepalive: {
    type: 'number',
    default: 60_000,
    description: 'Milliseconds that an idle connection is kept.',
  },
  https: { type: 'boolean', default: true },
  https_verify: {
    type: 'boolean',
    default: false,
    description: 'Whether the certificate of the server is verified.',
  },
  apikey: {
    type: 'string',
    encrypted: true,
    referenceable: true,
    secret: 'sealed',
    description: 'Sent as x-functions-key.',
  },
  clientid: {
    type: 'string',
    encrypted: true,
    referenceable: true,
    secret: 'sealed',
    description: 'Sent as x-functions-clientid.',
  },
  appname: { type: 'string', required: true },
  hostdomain: { type: 'string', required: true, default: 'azurewebsites.net' },
  routeprefix: {
    type: 'string',
    default: 'api',
    description: 'First segment of the path of the function.',
  },
  functionname: { type: 'string', required: true },
});

export const azureFunctions = definePlugin({
  name: 'azure-functions',
  version: '3.9.4',
  priority: 749,
  phases: ['access'],
  runtimes: [],
  // It answers in place of the upstream, which must not see the request instead.
  protects: true,
  fields: { protocols, config: { type: 'record', required: true, fields: config } },
});
