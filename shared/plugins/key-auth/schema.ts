/** key-auth: who sends a known key is its consumer. */
import { defineFields, type RecordOf } from '../../schema/infer.ts';
import { headerName, noConsumer, protocolsHttp } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';
import { KEY_AUTH_ENTITIES } from './entities.ts';

const config = defineFields({
  key_names: {
    type: 'array',
    required: true,
    elements: headerName,
    default: ['apikey'],
    description: 'Names of the header, query argument or body field that holds the key.',
  },
  hide_credentials: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether the key is taken out of the request before it goes upstream.',
  },
  anonymous: {
    type: 'string',
    description: 'Consumer (id or username) to use when there is no valid key.',
  },
  key_in_header: { type: 'boolean', required: true, default: true },
  key_in_query: { type: 'boolean', required: true, default: true },
  key_in_body: { type: 'boolean', required: true, default: false },
  run_on_preflight: {
    type: 'boolean',
    required: true,
    default: true,
    description: 'Whether OPTIONS requests need a key as well.',
  },
  realm: {
    type: 'string',
    required: false,
    description: 'Realm in the WWW-Authenticate header of refusals.',
  },
});

export type KeyAuthConfig = RecordOf<typeof config>;

export const keyAuth = definePlugin({
  name: 'key-auth',
  version: '3.9.4',
  priority: 1250,
  phases: ['access'],
  runtimes: ['node', 'edge'],
  protects: true,
  fields: {
    consumer: noConsumer,
    protocols: protocolsHttp,
    config: { type: 'record', required: true, fields: config },
  },
  entities: KEY_AUTH_ENTITIES,
});
