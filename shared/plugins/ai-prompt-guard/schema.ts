/** ai-prompt-guard: lets prompts through, or not, by regular expressions. */
import { regexError } from '../../schema/attributes.ts';
import { defineFields } from '../../schema/infer.ts';
import { protocolsHttp } from '../../schema/typedefs.ts';
import { llmFormat, maxRequestBodySize } from '../llm.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  allow_patterns: {
    type: 'array',
    required: false,
    elements: { type: 'string', len_min: 1, len_max: 500, custom_validator: regexError },
    len_max: 10,
    description: 'A prompt must match one of these.',
  },
  deny_patterns: {
    type: 'array',
    required: false,
    elements: { type: 'string', len_min: 1, len_max: 500, custom_validator: regexError },
    len_max: 10,
    description: 'A prompt must match none of these.',
  },
  allow_all_conversation_history: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether only the last message is looked at.',
  },
  max_request_body_size: maxRequestBodySize,
  match_all_roles: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether messages of all roles are looked at, not those of users alone.',
  },
  llm_format: llmFormat,
});

export const aiPromptGuard = definePlugin({
  name: 'ai-prompt-guard',
  version: '3.9.4',
  priority: 771,
  phases: ['access'],
  runtimes: [],
  protects: true,
  fields: { protocols: protocolsHttp, config: { type: 'record', required: true, fields: config } },
  entity_checks: [
    { at_least_one_of: ['config.allow_patterns', 'config.deny_patterns'] },
    {
      conditional: {
        if_field: 'config.match_all_roles',
        if_match: { eq: true },
        then_field: 'config.allow_all_conversation_history',
        then_match: { eq: false },
      },
    },
  ],
});
