/** Entities that come with rate-limiting. */
import { defineEntity } from '../../schema/infer.ts';

/** Counters of Kong's policy `cluster`. There is no API for them, and nothing here keeps them so. */
export const ratelimitingMetric = defineEntity({
  name: 'ratelimiting_metrics',
  generate_admin_api: false,
  ttl: true,
  workspaceable: false,
  stored: false,
  wire: false,
  fields: {
    identifier: { type: 'string', required: true, len_min: 0 },
    period: { type: 'string', required: true },
    period_date: { type: 'integer', required: true, timestamp: true },
    service_id: { type: 'string', required: true, uuid: true },
    route_id: { type: 'string', required: true, uuid: true },
    value: { type: 'integer', required: true },
  },
});

export const RATE_LIMITING_ENTITIES = [ratelimitingMetric] as const;
