/** basic-auth: who sends a known name and password is its consumer. */
import { defineFields } from '../../schema/infer.ts';
import { noConsumer, protocolsHttp } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';
import { BASIC_AUTH_ENTITIES } from './entities.ts';

const config = defineFields({
  anonymous: {
    type: 'string',
    description: 'Consumer (id or username) to use when there is no valid credential.',
  },
  hide_credentials: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether the credential is taken out of the request before it goes upstream.',
  },
  realm: {
    type: 'string',
    required: true,
    default: 'service',
    description: 'Realm in the WWW-Authenticate header of refusals.',
  },
});

export const basicAuth = definePlugin({
  name: 'basic-auth',
  version: '3.9.4',
  priority: 1100,
  phases: ['access'],
  runtimes: [],
  protects: true,
  fields: {
    consumer: noConsumer,
    protocols: protocolsHttp,
    config: { type: 'record', required: true, fields: config },
  },
  entities: BASIC_AUTH_ENTITIES,
});
