/** bot-detection: refuses clients by their User-Agent. */
import { defineFields } from '../../schema/infer.ts';
import { ALL_REGEXES, noConsumer, protocolsHttp } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  allow: {
    type: 'array',
    default: [],
    elements: { type: 'string', is_regex: true },
    costly: ALL_REGEXES,
    description: 'Regular expressions; a match is let through without more checks.',
  },
  deny: {
    type: 'array',
    default: [],
    elements: { type: 'string', is_regex: true },
    costly: ALL_REGEXES,
    description: 'Regular expressions; a match is refused.',
  },
});

export const botDetection = definePlugin({
  name: 'bot-detection',
  version: '3.9.4',
  priority: 2500,
  phases: ['access'],
  runtimes: [],
  protects: true,
  fields: {
    consumer: noConsumer,
    protocols: protocolsHttp,
    config: { type: 'record', required: true, fields: config },
  },
});
