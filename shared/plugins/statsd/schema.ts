/** statsd: sends metrics to a StatsD server. */
import { defineFields } from '../../schema/infer.ts';
import { host, port, protocols } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';
import { FORMER_QUEUE, queue } from '../queue.ts';

const CONSUMER_IDENTIFIERS = ['consumer_id', 'custom_id', 'username'] as const;
const SERVICE_IDENTIFIERS = [
  'service_id',
  'service_name',
  'service_host',
  'service_name_or_host',
] as const;
const WORKSPACE_IDENTIFIERS = ['workspace_id', 'workspace_name'] as const;

const config = defineFields({
  host: { ...host, default: 'localhost' },
  port: { ...port, default: 8125 },
  prefix: { type: 'string', default: 'kong', description: 'First part of the names of metrics.' },
  metrics: {
    type: 'array',
    default: [
      { name: 'request_count', sample_rate: 1, stat_type: 'counter' },
      { name: 'latency', stat_type: 'timer' },
      { name: 'request_size', sample_rate: 1, stat_type: 'counter' },
      { name: 'status_count', sample_rate: 1, stat_type: 'counter' },
      { name: 'response_size', sample_rate: 1, stat_type: 'counter' },
      { name: 'unique_users', stat_type: 'set' },
      { name: 'request_per_user', sample_rate: 1, stat_type: 'counter' },
      { name: 'upstream_latency', stat_type: 'timer' },
      { name: 'kong_latency', stat_type: 'timer' },
      { name: 'status_count_per_user', sample_rate: 1, stat_type: 'counter' },
      { name: 'status_count_per_workspace', sample_rate: 1, stat_type: 'counter' },
      { name: 'status_count_per_user_per_route', sample_rate: 1, stat_type: 'counter' },
      { name: 'shdict_usage', sample_rate: 1, stat_type: 'gauge' },
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
            'request_per_user',
            'request_size',
            'response_size',
            'status_count',
            'status_count_per_user',
            'unique_users',
            'upstream_latency',
            'status_count_per_workspace',
            'status_count_per_user_per_route',
            'shdict_usage',
          ],
        },
        stat_type: {
          type: 'string',
          required: true,
          one_of: ['counter', 'gauge', 'histogram', 'meter', 'set', 'timer'],
        },
        sample_rate: { type: 'number', gt: 0, description: 'Share of requests that are counted.' },
        consumer_identifier: { type: 'string', one_of: CONSUMER_IDENTIFIERS },
        service_identifier: { type: 'string', one_of: SERVICE_IDENTIFIERS },
        workspace_identifier: { type: 'string', one_of: WORKSPACE_IDENTIFIERS },
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
  allow_status_codes: {
    type: 'array',
    elements: { type: 'string', match: '^[0-9]+-[0-9]+$' },
    description: 'Ranges (200-299) of statuses that are counted; without them all are.',
  },
  udp_packet_size: {
    type: 'number',
    default: 0,
    between: [0, 65_507],
    description: 'Bytes of metrics sent together; 0 sends each by itself.',
  },
  use_tcp: { type: 'boolean', default: false },
  hostname_in_prefix: { type: 'boolean', default: false },
  consumer_identifier_default: {
    type: 'string',
    required: true,
    default: 'custom_id',
    one_of: CONSUMER_IDENTIFIERS,
  },
  service_identifier_default: {
    type: 'string',
    required: true,
    default: 'service_name_or_host',
    one_of: SERVICE_IDENTIFIERS,
  },
  workspace_identifier_default: {
    type: 'string',
    required: true,
    default: 'workspace_id',
    one_of: WORKSPACE_IDENTIFIERS,
  },
  ...FORMER_QUEUE,
  tag_style: {
    type: 'string',
    required: false,
    one_of: ['dogstatsd', 'influxdb', 'librato', 'signalfx'],
    description: 'Dialect in which tags are written; without one there are none.',
  },
  queue,
});

export const statsd = definePlugin({
  name: 'statsd',
  version: '3.9.4',
  priority: 11,
  phases: ['log'],
  runtimes: [],
  protects: false,
  fields: { protocols, config: { type: 'record', required: true, fields: config } },
});
