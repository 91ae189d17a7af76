/** ai-prompt-template: lets clients fill in prompts that the operator wrote. */
import { defineFields } from '../../schema/infer.ts';
import { protocolsHttp } from '../../schema/typedefs.ts';
import { maxRequestBodySize } from '../llm.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  templates: {
    type: 'array',
    required: true,
    elements: {
      type: 'record',
      required: true,
      fields: {
        name: { type: 'string', required: true },
        template: { type: 'string', required: true },
      },
    },
    description: 'Prompts by name, with places such as {{name}}.',
  },
  allow_untemplated_requests: {
    type: 'boolean',
    required: true,
    default: true,
    description: 'Whether prompts that use no template pass.',
  },
  log_original_request: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether the request as it came is logged, prompt and all.',
  },
  max_request_body_size: maxRequestBodySize,
});

export const aiPromptTemplate = definePlugin({
  name: 'ai-prompt-template',
  version: '3.9.4',
  priority: 773,
  phases: ['access'],
  runtimes: [],
  // It keeps out prompts that use no template.
  protects: true,
  fields: { protocols: protocolsHttp, config: { type: 'record', required: true, fields: config } },
});
