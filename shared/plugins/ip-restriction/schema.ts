/** ip-restriction: lets clients through by their address. */
import { defineField, defineFields } from '../../schema/infer.ts';
import { protocols } from '../../schema/typedefs.ts';
import { ipOrCidrError } from '../../schema/validators.ts';
import { definePlugin } from '../plugin.ts';

const addresses = defineField({
  type: 'array',
  elements: { type: 'string', custom_validator: ipOrCidrError },
});

const config = defineFields({
  allow: {
    ...addresses,
    description: 'Addresses and ranges that are let through; nobody else is.',
  },
  deny: { ...addresses, description: 'Addresses and ranges that are refused.' },
  status: { type: 'number', required: false, description: 'Status of a refusal, in place of 403.' },
  message: { type: 'string', required: false, description: 'Message of a refusal.' },
});

export const ipRestriction = definePlugin({
  name: 'ip-restriction',
  version: '3.9.4',
  priority: 990,
  phases: ['access'],
  runtimes: [],
  protects: true,
  fields: {
    protocols: { ...protocols, default: ['http', 'https', 'tcp', 'tls', 'grpc', 'grpcs'] },
    config: { type: 'record', required: true, fields: config },
  },
  entity_checks: [{ at_least_one_of: ['config.allow', 'config.deny'] }],
});
