/** Health checks of an upstream's targets: probes (active), and what traffic shows (passive). */
import { defineField } from '../schema/infer.ts';
import { headers, path, sni } from '../schema/typedefs.ts';

const ACTIVE_HEALTHY = { interval: 0, successes: 0, http_statuses: [200, 302] } as const;

const ACTIVE_UNHEALTHY = {
  interval: 0,
  tcp_failures: 0,
  timeouts: 0,
  http_failures: 0,
  http_statuses: [429, 404, 500, 501, 502, 503, 504, 505],
} as const;

const ACTIVE = {
  type: 'http',
  timeout: 1,
  concurrency: 10,
  http_path: '/',
  https_verify_certificate: true,
  healthy: ACTIVE_HEALTHY,
  unhealthy: ACTIVE_UNHEALTHY,
} as const;

const PASSIVE_HEALTHY = {
  successes: 0,
  http_statuses: [
    200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308,
  ],
} as const;

const PASSIVE_UNHEALTHY = {
  tcp_failures: 0,
  timeouts: 0,
  http_failures: 0,
  http_statuses: [429, 500, 503],
} as const;

const PASSIVE = {
  type: 'http',
  healthy: PASSIVE_HEALTHY,
  unhealthy: PASSIVE_UNHEALTHY,
} as const;

const checkType = defineField({
  type: 'string',
  one_of: ['tcp', 'http', 'https', 'grpc', 'grpcs'],
  default: 'http',
});

/** 0 turns the rule off. */
const count = defineField({ type: 'integer', between: [0, 255], default: 0 });
const seconds = defineField({ type: 'number', between: [0, 65_535], default: 0 });
const status = defineField({ type: 'integer', between: [100, 999] });

const active = defineField({
  type: 'record',
  required: true,
  default: ACTIVE,
  fields: {
    timeout: { ...seconds, default: 1 },
    unhealthy: {
      type: 'record',
      required: true,
      default: ACTIVE_UNHEALTHY,
      fields: {
        interval: seconds,
        tcp_failures: count,
        timeouts: count,
        http_failures: count,
        http_statuses: {
          type: 'array',
          elements: status,
          default: ACTIVE_UNHEALTHY.http_statuses,
        },
      },
    },
    type: checkType,
    headers: { ...headers, required: false },
    concurrency: { type: 'integer', between: [1, 2_147_483_648], default: 10 },
    http_path: { ...path, default: '/' },
    https_sni: { ...sni, required: false },
    https_verify_certificate: { type: 'boolean', default: true, required: true },
    healthy: {
      type: 'record',
      required: true,
      default: ACTIVE_HEALTHY,
      fields: {
        interval: seconds,
        successes: count,
        http_statuses: { type: 'array', elements: status, default: ACTIVE_HEALTHY.http_statuses },
      },
    },
  },
});

const passive = defineField({
  type: 'record',
  required: true,
  default: PASSIVE,
  fields: {
    unhealthy: {
      type: 'record',
      required: true,
      default: PASSIVE_UNHEALTHY,
      fields: {
        http_statuses: {
          type: 'array',
          elements: status,
          default: PASSIVE_UNHEALTHY.http_statuses,
        },
        http_failures: count,
        timeouts: count,
        tcp_failures: count,
      },
    },
    type: checkType,
    healthy: {
      type: 'record',
      required: true,
      default: PASSIVE_HEALTHY,
      fields: {
        http_statuses: { type: 'array', elements: status, default: PASSIVE_HEALTHY.http_statuses },
        successes: count,
      },
    },
  },
});

export const healthchecks = defineField({
  type: 'record',
  required: true,
  default: { active: ACTIVE, passive: PASSIVE },
  fields: {
    active,
    passive,
    threshold: { type: 'number', default: 0, between: [0, 100] },
  },
});
