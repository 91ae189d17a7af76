/** standard-webhooks: takes only what is signed as Standard Webhooks says. */
import { defineFields } from '../../schema/infer.ts';
import { noConsumer, protocolsHttp } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  secret_v1: {
    type: 'string',
    required: true,
    encrypted: true,
    referenceable: true,
    secret: 'sealed',
    description: 'Secret that webhooks are signed with.',
  },
  tolerance_second: {
    type: 'integer',
    required: true,
    default: 300,
    gt: -1,
    description: 'Seconds that the time of a webhook may be off.',
  },
});

export const standardWebhooks = definePlugin({
  name: 'standard-webhooks',
  version: '3.9.4',
  priority: 760,
  phases: ['access'],
  runtimes: [],
  protects: true,
  fields: {
    consumer: noConsumer,
    protocols: protocolsHttp,
    config: { type: 'record', required: true, fields: config },
  },
});
