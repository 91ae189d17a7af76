/** proxy-cache: answers from memory what was answered before. */
import { defineFields } from '../../schema/infer.ts';
import { protocols } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  response_code: {
    type: 'array',
    required: true,
    default: [200, 301, 404],
    elements: { type: 'integer', between: [100, 900] },
    len_min: 1,
    description: 'Statuses that are kept.',
  },
  request_method: {
    type: 'array',
    required: true,
    default: ['GET', 'HEAD'],
    elements: { type: 'string', one_of: ['HEAD', 'GET', 'POST', 'PATCH', 'PUT'] },
    description: 'Methods whose responses are kept.',
  },
  content_type: {
    type: 'array',
    required: true,
    default: ['text/plain', 'application/json'],
    elements: { type: 'string' },
    description: 'Content types that are kept; whole, parameters and all.',
  },
  cache_ttl: {
    type: 'integer',
    default: 300,
    gt: 0,
    description: 'Seconds that a response is fresh.',
  },
  strategy: {
    type: 'string',
    required: true,
    one_of: ['memory'],
    description: 'Where responses are kept.',
  },
  cache_control: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether Cache-Control headers count.',
  },
  ignore_uri_case: {
    type: 'boolean',
    required: false,
    default: false,
    description: 'Whether paths that differ in case alone are one.',
  },
  storage_ttl: {
    type: 'integer',
    description: 'Seconds that a response is kept, beyond its freshness.',
  },
  memory: {
    type: 'record',
    required: true,
    fields: {
      dictionary_name: {
        type: 'string',
        required: true,
        default: 'kong_db_cache',
        description: 'Kong’s name of the memory; any name is taken.',
      },
    },
  },
  vary_query_params: {
    type: 'array',
    elements: { type: 'string' },
    description: 'Query arguments that make a difference; without them all do.',
  },
  vary_headers: {
    type: 'array',
    elements: { type: 'string' },
    description: 'Request headers that make a difference.',
  },
  response_headers: {
    type: 'record',
    required: true,
    fields: {
      age: { type: 'boolean', default: true },
      'X-Cache-Status': { type: 'boolean', default: true },
      'X-Cache-Key': { type: 'boolean', default: true },
    },
    description: 'Headers that tell clients about the cache.',
  },
});

export const proxyCache = definePlugin({
  name: 'proxy-cache',
  version: '3.9.4',
  priority: 100,
  phases: ['access', 'header_filter', 'body_filter'],
  runtimes: [],
  protects: false,
  fields: { protocols, config: { type: 'record', required: true, fields: config } },
  entity_checks: [{ custom_entity_check: { field_sources: ['config'] } }],
});
