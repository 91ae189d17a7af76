/** datadog: sends metrics to a Datadog agent. */
import { defineFields } from '../../schema/infer.ts';
import { host, port, protocols } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';
import { FORMER_QUEUE, queue } from '../queue.ts';

const CONSUMER_IDENTIFIERS = ['consumer_id', 'custom_id', 'username'] as const;

/** What every metric that is sent by default has. */
const COMMON = { tags: ['app:kong'], consumer_identifier: 'custom_id' } as const;

const config = defineFields({
  host: { ...host, default: 'localhost', referenceable: true },
  port: { ...port, default: 8125 },
  prefix: { type: 'string', default: 'kong', description: 'First part of the names of metrics.' },
  service_name_tag: { type: 'string', default: 'name' },
  status_tag: { type: 'string', default: 'status' },
  consumer_tag: { type: 'string', default: 'consumer' },
  ...FORMER_QUEUE,
  queue,
  metrics: {
    type: 'array',
    required: true,
    default: [
      { name: 'request_count', stat_type: 'counter', sample_rate: 1, ...COMMON },
      { name: 'latency', stat_type: 'timer', ...COMMON },
      { name: 'request_size', stat_type: 'timer', ...COMMON },
      { name: 'response_size', stat_type: 'timer', ...COMMON },
      { name: 'upstream_latency', stat_type: 'timer', ...COMMON },
      { name: 'kong_latency', stat_type: 'timer', ...COMMON },
    ],
    elements: {
      type: 'record',
      fields: {
        name: {
          type: 'string',
          required: true,
          one_of: [
            'kong_latency',
            'latency',
            'request_count',
            'request_size',
            'response_size',
            'upstream_latency',
          ],
        },
        stat_type: {
          type: 'string',
          required: true,
          one_of: ['counter', 'gauge', 'histogram', 'meter', 'set', 'timer', 'distribution'],
        },
        tags: { type: 'array', elements: { type: 'string', match: '^.*[^:]$' } },
        sample_rate: {
          type: 'number',
          between: [0, 1],
          description: 'Share of requests that are counted.',
        },
        consumer_identifier: {
          type: 'string',
          one_of: CONSUMER_IDENTIFIERS,
          description: 'What names the consumer in the tag.',
        },
      },
      entity_checks: [
        {
          conditional: {
            if_field: 'stat_type',
            if_match: { one_of: ['counter', 'gauge'] },
            then_field: 'sample_rate',
            then_match: { required: true },
          },
        },
      ],
    },
  },
});

export const datadog = definePlugin({
  name: 'datadog',
  version: '3.9.4',
  priority: 10,
  phases: ['log'],
  runtimes: [],
  protects: false,
  fields: { protocols, config: { type: 'record', required: true, fields: config } },
});
