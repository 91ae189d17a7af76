/** ai-prompt-decorator: puts prompts of the operator around those of a chat. */
import { defineField, defineFields } from '../../schema/infer.ts';
import { protocolsHttp } from '../../schema/typedefs.ts';
import { llmFormat, maxRequestBodySize } from '../llm.ts';
import { definePlugin } from '../plugin.ts';

const prompts = defineField({
  type: 'array',
  required: false,
  len_max: 15,
  elements: {
    type: 'record',
    required: false,
    fields: {
      role: {
        type: 'string',
        required: true,
        default: 'system',
        one_of: ['system', 'assistant', 'user'],
      },
      content: { type: 'string', required: true, len_min: 1, len_max: 500 },
    },
  },
});

const config = defineFields({
  prompts: {
    type: 'record',
    required: false,
    fields: {
      prepend: { ...prompts, description: 'Messages put before the chat, in this order.' },
      append: { ...prompts, description: 'Messages put after the chat, in this order.' },
    },
  },
  max_request_body_size: maxRequestBodySize,
  llm_format: llmFormat,
});

export const aiPromptDecorator = definePlugin({
  name: 'ai-prompt-decorator',
  version: '3.9.4',
  priority: 772,
  phases: ['access'],
  runtimes: [],
  protects: false,
  fields: { protocols: protocolsHttp, config: { type: 'record', required: true, fields: config } },
  entity_checks: [{ at_least_one_of: ['config.prompts.prepend', 'config.prompts.append'] }],
});
