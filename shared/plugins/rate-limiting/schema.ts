/** rate-limiting: so many requests per second, minute, hour, day, month, year. */
import { defineFields, type RecordOf } from '../../schema/infer.ts';
import { headerName, path, protocolsHttp } from '../../schema/typedefs.ts';
import type { Violations } from '../../schema/violations.ts';
import { limit, needs, orderError, PERIODS } from '../limits.ts';
import { definePlugin } from '../plugin.ts';
import { redis, REDIS_SHORTHANDS } from '../redis.ts';
import { RATE_LIMITING_ENTITIES } from './entities.ts';

/** `sync_rate` that means "count where the counters are, at once". */
const SYNC_RATE_REALTIME = -1;
/** Shortest interval, in seconds. */
const SYNC_RATE_MIN = 0.02;

const config = defineFields({
  second: limit,
  minute: limit,
  hour: limit,
  day: limit,
  month: limit,
  year: limit,
  limit_by: {
    type: 'string',
    default: 'consumer',
    one_of: ['consumer', 'credential', 'ip', 'service', 'header', 'path'],
    description: 'What has a counter of its own.',
  },
  header_name: { ...headerName, description: 'For limit_by = header.' },
  path: { ...path, description: 'For limit_by = path.' },
  policy: {
    type: 'string',
    default: 'local',
    len_min: 0,
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
  hide_client_headers: { type: 'boolean', required: true, default: false },
  error_code: {
    type: 'number',
    default: 429,
    gt: 0,
    description: 'Status of the answer beyond the limit.',
  },
  error_message: { type: 'string', default: 'API rate limit exceeded' },
  sync_rate: {
    type: 'number',
    required: true,
    default: SYNC_RATE_REALTIME,
    description: 'Seconds between writes to Redis; -1 writes at once.',
  },
});

export type RateLimitingConfig = RecordOf<typeof config>;

export const rateLimiting = definePlugin({
  name: 'rate-limiting',
  version: '3.9.4',
  priority: 910,
  phases: ['access', 'header_filter'],
  runtimes: ['node', 'edge'],
  protects: true,
  fields: {
    protocols: protocolsHttp,
    config: {
      type: 'record',
      required: true,
      fields: config,
      custom_validator: limitsError,
      shorthand_fields: REDIS_SHORTHANDS,
    },
  },
  unsupported,
  entities: RATE_LIMITING_ENTITIES,
  entity_checks: [
    { at_least_one_of: PERIODS.map((period) => `config.${period}`) },
    needs('policy', 'redis', 'redis.host'),
    needs('policy', 'redis', 'redis.port'),
    needs('policy', 'redis', 'redis.timeout'),
    needs('limit_by', 'header', 'header_name'),
    needs('limit_by', 'path', 'path'),
  ],
});

/** Counters shared by several nodes do not exist yet. */
function unsupported(limits: RateLimitingConfig): Violations | null {
  if (limits.policy !== 'cluster' && limits.policy !== 'redis') return null;
  return { policy: `'${limits.policy}' is not supported yet; allowed: local` };
}

function limitsError(limits: RateLimitingConfig): string | null {
  const error = orderError(limits, 'The');
  if (error !== null) return error;
  if (limits.sync_rate === SYNC_RATE_REALTIME) return null;
  if (limits.policy !== 'redis') return 'sync_rate can only be used with the redis policy';
  return limits.sync_rate < SYNC_RATE_MIN
    ? 'sync_rate must be greater than 0.02, or -1 to disable'
    : null;
}
