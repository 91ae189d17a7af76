/** redirect: sends clients somewhere else. */
import { defineFields } from '../../schema/infer.ts';
import { protocolsHttp, url } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  status_code: { type: 'integer', required: true, default: 301, between: [100, 599] },
  location: { ...url, required: true, description: 'Where to.' },
  keep_incoming_path: {
    type: 'boolean',
    default: false,
    description: 'Whether path and query of the request are put into the location.',
  },
});

export const redirect = definePlugin({
  name: 'redirect',
  version: '3.9.4',
  priority: 779,
  phases: ['access'],
  runtimes: [],
  // What it sends elsewhere was never meant for the upstream.
  protects: true,
  fields: { protocols: protocolsHttp, config: { type: 'record', required: true, fields: config } },
});
