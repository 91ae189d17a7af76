/** acl: lets consumers through by their groups. */
import { defineFields } from '../../schema/infer.ts';
import { noConsumer, protocolsHttp } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';
import { ACL_ENTITIES } from './entities.ts';

const config = defineFields({
  allow: {
    type: 'array',
    elements: { type: 'string' },
    description: 'Groups that are let through; nobody else is.',
  },
  deny: {
    type: 'array',
    elements: { type: 'string' },
    description: 'Groups that are refused; everybody else is let through.',
  },
  hide_groups_header: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether the upstream is not told the groups (X-Consumer-Groups).',
  },
  always_use_authenticated_groups: {
    type: 'boolean',
    required: true,
    default: false,
    description:
      'Whether groups given by an authentication plugin count even if the consumer has some of its own.',
  },
});

export const acl = definePlugin({
  name: 'acl',
  version: '3.9.4',
  priority: 950,
  phases: ['access'],
  runtimes: [],
  protects: true,
  fields: {
    consumer: noConsumer,
    protocols: protocolsHttp,
    config: { type: 'record', required: true, fields: config },
  },
  entity_checks: [
    { only_one_of: ['config.allow', 'config.deny'] },
    { at_least_one_of: ['config.allow', 'config.deny'] },
  ],
  entities: ACL_ENTITIES,
});
