/** ai-request-transformer: lets a language model rewrite the request. */
import { regexError } from '../../schema/attributes.ts';
import { defineFields } from '../../schema/infer.ts';
import { noConsumer, protocolsHttp } from '../../schema/typedefs.ts';
import { MODEL_CALL } from '../llm.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  prompt: {
    type: 'string',
    required: true,
    description: 'Tells the model what to make of the request.',
  },
  transformation_extract_pattern: {
    type: 'string',
    required: false,
    custom_validator: regexError,
    description: 'Regular expression: its first match in the answer of the model becomes the body.',
  },
  ...MODEL_CALL,
});

export const aiRequestTransformer = definePlugin({
  name: 'ai-request-transformer',
  version: '3.9.4',
  priority: 777,
  phases: ['access'],
  runtimes: [],
  protects: false,
  fields: {
    protocols: protocolsHttp,
    consumer: noConsumer,
    config: { type: 'record', required: true, fields: config },
  },
  entity_checks: [
    {
      conditional: {
        if_field: 'config.llm.route_type',
        if_match: { not_one_of: ['llm/v1/chat'] },
        then_field: 'config.llm.route_type',
        then_match: { eq: 'llm/v1/chat' },
        then_err: "'config.llm.route_type' must be 'llm/v1/chat' for AI transformer plugins",
      },
    },
    { mutually_required: ['config.http_proxy_host', 'config.http_proxy_port'] },
    { mutually_required: ['config.https_proxy_host', 'config.https_proxy_port'] },
  ],
});
