/** ai-proxy: sends chats and completions to a provider of language models. */
import { defineFields } from '../../schema/infer.ts';
import { protocolsHttp } from '../../schema/typedefs.ts';
import { LLM_CHECKS, LLM_FIELDS, llmFormat, maxRequestBodySize } from '../llm.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  ...LLM_FIELDS,
  response_streaming: {
    type: 'string',
    required: false,
    default: 'allow',
    one_of: ['allow', 'deny', 'always'],
    description: 'Whether clients may, may not, or always do get their answer in pieces.',
  },
  max_request_body_size: maxRequestBodySize,
  model_name_header: {
    type: 'boolean',
    default: true,
    description: 'Whether the response names the model (X-Kong-LLM-Model).',
  },
  llm_format: llmFormat,
});

export const aiProxy = definePlugin({
  name: 'ai-proxy',
  version: '3.9.4',
  priority: 770,
  phases: ['access', 'header_filter', 'body_filter'],
  runtimes: [],
  // It answers in place of the upstream, which must not see the request instead.
  protects: true,
  fields: {
    protocols: protocolsHttp,
    config: { type: 'record', required: true, fields: config, entity_checks: LLM_CHECKS },
  },
  entity_checks: [
    {
      conditional: {
        if_field: 'config.llm_format',
        if_match: { one_of: ['bedrock', 'gemini'] },
        then_field: 'config.route_type',
        then_match: { eq: 'llm/v1/chat' },
        then_err:
          "native provider options in llm_format can only be used with the 'llm/v1/chat' route_type",
      },
    },
    {
      conditional: {
        if_field: 'config.llm_format',
        if_match: { eq: 'bedrock' },
        then_field: 'config.model.provider',
        then_match: { eq: 'bedrock' },
        then_err: "native llm_format 'bedrock' can only be used with the 'bedrock' model.provider",
      },
    },
    {
      conditional: {
        if_field: 'config.llm_format',
        if_match: { eq: 'gemini' },
        then_field: 'config.model.provider',
        then_match: { eq: 'gemini' },
        then_err: "native llm_format 'gemini' can only be used with the 'gemini' model.provider",
      },
    },
  ],
});
