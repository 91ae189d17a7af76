/** How to reach a language model: what all plugins that call one have in common. */
import type { EntityCheck } from '../schema/field.ts';
import { defineField, defineFields, type RecordOf } from '../schema/infer.ts';
import { host, port, url } from '../schema/typedefs.ts';

export const maxRequestBodySize = defineField({
  type: 'integer',
  default: 8192,
  gt: 0,
  description: 'Most bytes of a request body that are looked at.',
});

/** Whose form requests have. */
export const llmFormat = defineField({
  type: 'string',
  required: false,
  default: 'openai',
  one_of: ['openai', 'bedrock', 'gemini'],
  description: 'Whose form requests and responses have.',
});

const text = defineField({ type: 'string', required: false });
const publicText = defineField({ type: 'string', required: false, referenceable: true });
const secretText = defineField({
  type: 'string',
  required: false,
  encrypted: true,
  referenceable: true,
  secret: 'sealed',
});
const cost = defineField({
  type: 'number',
  required: false,
  gt: 0,
  description: 'Of a million tokens; for the log.',
});
const flag = defineField({ type: 'boolean', required: false });

const auth = defineField({
  type: 'record',
  required: false,
  fields: {
    header_name: { ...publicText, description: 'Header that carries the credential.' },
    header_value: { ...secretText, description: 'All of its value, such as `Bearer …`.' },
    param_name: { ...publicText, description: 'Argument that carries the credential.' },
    param_value: secretText,
    param_location: { ...text, one_of: ['query', 'body'] },
    gcp_use_service_account: { ...flag, default: false },
    gcp_service_account_json: {
      ...publicText,
      secret: 'sealed',
      description: 'Service account of Google Cloud, private key and all.',
    },
    aws_access_key_id: secretText,
    aws_secret_access_key: secretText,
    allow_override: {
      ...flag,
      default: false,
      description: 'Whether a credential that the client sends takes its place.',
    },
  },
});

const options = defineField({
  type: 'record',
  required: false,
  fields: {
    max_tokens: { type: 'integer', required: false },
    input_cost: cost,
    output_cost: cost,
    temperature: { type: 'number', required: false, between: [0, 5] },
    top_p: { type: 'number', required: false, between: [0, 1] },
    top_k: { type: 'integer', required: false, between: [0, 500] },
    anthropic_version: text,
    azure_instance: text,
    azure_api_version: { ...text, default: '2023-05-15' },
    azure_deployment_id: text,
    llama2_format: { ...text, one_of: ['raw', 'openai', 'ollama'] },
    mistral_format: { ...text, one_of: ['openai', 'ollama'] },
    upstream_url: { ...url, required: false, description: 'Of a model that you run yourself.' },
    upstream_path: text,
    gemini: {
      type: 'record',
      required: false,
      fields: { api_endpoint: text, project_id: text, location_id: text },
      entity_checks: [{ mutually_required: ['api_endpoint', 'project_id', 'location_id'] }],
    },
    bedrock: { type: 'record', required: false, fields: { aws_region: text } },
    huggingface: {
      type: 'record',
      required: false,
      fields: { use_cache: flag, wait_for_model: flag },
    },
  },
});

export const LLM_FIELDS = defineFields({
  route_type: {
    type: 'string',
    required: true,
    one_of: ['llm/v1/chat', 'llm/v1/completions', 'preserve'],
    description: 'What clients ask for; `preserve` leaves requests as they are.',
  },
  auth,
  model: {
    type: 'record',
    required: true,
    fields: {
      provider: {
        type: 'string',
        required: true,
        one_of: [
          'openai',
          'azure',
          'anthropic',
          'cohere',
          'mistral',
          'llama2',
          'gemini',
          'bedrock',
          'huggingface',
        ],
      },
      name: { ...text, description: 'Of the model; without it the client chooses.' },
      options,
    },
  },
  logging: {
    type: 'record',
    required: true,
    fields: {
      log_statistics: {
        type: 'boolean',
        required: true,
        default: false,
        description: 'Whether tokens and costs are logged.',
      },
      log_payloads: {
        type: 'boolean',
        required: true,
        default: false,
        description: 'Whether requests and responses are logged, prompts and all.',
      },
    },
  },
});

export const LLM_CHECKS: readonly EntityCheck[] = [
  {
    conditional: {
      if_field: 'model.provider',
      if_match: { one_of: ['bedrock', 'gemini'] },
      then_field: 'auth.allow_override',
      then_match: { eq: false },
      then_err: 'bedrock and gemini only support auth.allow_override = false',
    },
  },
  { mutually_required: ['auth.header_name', 'auth.header_value'] },
  { mutually_required: ['auth.param_name', 'auth.param_value', 'auth.param_location'] },
  needsOption('llama2', 'llama2_format'),
  needsOption('mistral', 'mistral_format'),
  needsOption('anthropic', 'anthropic_version'),
  needsOption('azure', 'azure_instance'),
  needsOption('azure', 'azure_api_version'),
  needsOption('azure', 'azure_deployment_id'),
  needsOption('llama2', 'upstream_url', 'self-hosted providers/models'),
  {
    custom_entity_check: {
      field_sources: ['route_type', 'model', 'logging'],
      fn: statisticsError,
    },
  },
];

export const llm = defineField({
  type: 'record',
  required: true,
  fields: LLM_FIELDS,
  entity_checks: LLM_CHECKS,
});

function needsOption(
  provider: string,
  option: string,
  purpose = `${provider} provider`,
): EntityCheck {
  return {
    conditional_at_least_one_of: {
      if_field: 'model.provider',
      if_match: { one_of: [provider] },
      then_at_least_one_of: [`model.options.${option}`],
      then_err: `must set %s for ${purpose}`,
    },
  };
}

/** Anthropic counts no tokens of completions. */
function statisticsError(config: RecordOf<typeof LLM_FIELDS>): string | null {
  const { route_type: route, model, logging } = config;
  const isCounted = logging.log_statistics && model.provider === 'anthropic';
  if (!isCounted || route !== 'llm/v1/completions') return null;
  return `${model.provider} does not support statistics when route_type is ${route}`;
}

/** Of plugins that ask a model themselves, rather than pass a request on to it. */
export const MODEL_CALL = defineFields({
  http_timeout: {
    type: 'integer',
    required: true,
    default: 60_000,
    description: 'Milliseconds to wait for the model.',
  },
  https_verify: {
    type: 'boolean',
    required: true,
    default: true,
    description: 'Whether the certificate of the provider is verified.',
  },
  max_request_body_size: maxRequestBodySize,
  http_proxy_host: host,
  http_proxy_port: port,
  https_proxy_host: host,
  https_proxy_port: port,
  llm,
});
