/** response-ratelimiting: so much of what upstreams count, per second, minute, hour, day, month, year. */
import { defineFields } from '../../schema/infer.ts';
import { protocolsHttp } from '../../schema/typedefs.ts';
import { limit, needs, orderError, PERIODS, type Limits } from '../limits.ts';
import { definePlugin } from '../plugin.ts';
import { redis, REDIS_SHORTHANDS } from '../redis.ts';

const config = defineFields({
  header_name: {
    type: 'string',
    default: 'x-kong-limit',
    description: 'Response header in which the upstream counts: `name=2`.',
  },
  limit_by: {
    type: 'string',
    default: 'consumer',
    one_of: ['consumer', 'credential', 'ip'],
    description: 'What has a counter of its own.',
  },
  policy: {
    type: 'string',
    default: 'local',
    one_of: ['local', 'cluster', 'redis'],
    description: 'Where the counters are.',
  },
  fault_tolerant: {
    type: 'boolean',
    required: true,
    default: true,
    description: 'Whether requests pass while the counters cannot be reached.',
  },
  redis,
  block_on_first_violation: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether requests are refused when any of the limits is reached.',
  },
  hide_client_headers: { type: 'boolean', required: true, default: false },
  limits: {
    type: 'map',
    required: true,
    keys: { type: 'string' },
    values: {
      type: 'record',
      required: true,
      fields: { second: limit, minute: limit, hour: limit, day: limit, month: limit, year: limit },
      entity_checks: [{ at_least_one_of: PERIODS }],
      custom_validator: limitsError,
    },
    len_min: 1,
    description: 'Limits by the name that the upstream counts under.',
  },
});

export const responseRatelimiting = definePlugin({
  name: 'response-ratelimiting',
  version: '3.9.4',
  priority: 900,
  phases: ['access', 'header_filter', 'log'],
  runtimes: [],
  protects: true,
  fields: {
    protocols: protocolsHttp,
    config: { type: 'record', required: true, fields: config, shorthand_fields: REDIS_SHORTHANDS },
  },
  entity_checks: ['host', 'port', 'timeout'].map((name) =>
    needs('policy', 'redis', `redis.${name}`),
  ),
});

function limitsError(limits: Limits): string | null {
  return orderError(limits, 'the');
}
