/** cors: tells browsers which other origins may read responses. */
import { compileSearchRegex } from '../../regex/regex.ts';
import { defineFields } from '../../schema/infer.ts';
import { ALL_REGEXES, noConsumer, protocolsHttp } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';

const METHODS = [
  'GET',
  'HEAD',
  'PUT',
  'PATCH',
  'POST',
  'DELETE',
  'OPTIONS',
  'TRACE',
  'CONNECT',
] as const;

const config = defineFields({
  origins: {
    type: 'array',
    elements: { type: 'string', custom_validator: originError },
    costly: ALL_REGEXES,
    description: '`*`, origins, or regular expressions for whole origins.',
  },
  headers: {
    type: 'array',
    elements: { type: 'string' },
    description: 'Request headers that a page may send; without them whatever it asks for.',
  },
  exposed_headers: {
    type: 'array',
    elements: { type: 'string' },
    description: 'Response headers that a page may read.',
  },
  methods: { type: 'array', default: METHODS, elements: { type: 'string', one_of: METHODS } },
  max_age: {
    type: 'number',
    description: 'Seconds that a browser keeps the answer to a preflight request.',
  },
  credentials: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether pages may send cookies and credentials.',
  },
  private_network: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether pages of the public network may reach a private one.',
  },
  preflight_continue: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether preflight requests go to the upstream.',
  },
});

export const cors = definePlugin({
  name: 'cors',
  version: '3.9.4',
  priority: 2000,
  phases: ['access', 'header_filter'],
  runtimes: [],
  protects: false,
  fields: {
    consumer: noConsumer,
    protocols: protocolsHttp,
    config: { type: 'record', required: true, fields: config },
  },
});

function originError(origin: string): string | null {
  if (origin === '*') return null;
  const compiled = compileSearchRegex(origin);
  return compiled.ok ? null : `'${origin}' is not a valid regex (${compiled.reason})`;
}
