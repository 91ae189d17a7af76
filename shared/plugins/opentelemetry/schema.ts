/** opentelemetry: sends traces and logs to an OpenTelemetry collector. */
import { defineField, defineFields } from '../../schema/infer.ts';
import { headerName, protocolsHttp, timeout, url } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';
import { propagation } from '../propagation.ts';
import { queue } from '../queue.ts';

/** Of the OTLP protocol over HTTP. */
const endpoint = defineField({ ...url, referenceable: true });

const config = defineFields({
  traces_endpoint: { ...endpoint, description: 'Where to send traces.' },
  logs_endpoint: { ...endpoint, description: 'Where to send logs.' },
  headers: {
    type: 'map',
    keys: headerName,
    values: { type: 'string', referenceable: true },
    description: 'Headers to send along.',
  },
  resource_attributes: {
    type: 'map',
    keys: { type: 'string', required: true },
    values: { type: 'string', required: true },
    description: 'Attributes of the resource that traces speak of.',
  },
  queue: { ...queue, default: { max_batch_size: 200 } },
  batch_span_count: {
    type: 'integer',
    deprecation: {
      message: 'config.batch_span_count is deprecated, use config.queue.max_batch_size',
      removal_in_version: '4.0',
      old_default: 200,
    },
  },
  batch_flush_delay: {
    type: 'integer',
    deprecation: {
      message: 'config.batch_flush_delay is deprecated, use config.queue.max_coalescing_delay',
      removal_in_version: '4.0',
      old_default: 3,
    },
  },
  connect_timeout: { ...timeout, default: 1000 },
  send_timeout: { ...timeout, default: 5000 },
  read_timeout: { ...timeout, default: 5000 },
  http_response_header_for_traceid: {
    type: 'string',
    description: 'Response header that carries the id of the trace.',
  },
  header_type: {
    type: 'string',
    required: false,
    default: 'preserve',
    one_of: [
      'preserve',
      'ignore',
      'b3',
      'b3-single',
      'w3c',
      'jaeger',
      'ot',
      'aws',
      'gcp',
      'datadog',
    ],
    deprecation: {
      message: 'config.header_type is deprecated, use config.propagation',
      removal_in_version: '4.0',
      old_default: 'preserve',
    },
  },
  sampling_rate: {
    type: 'number',
    required: false,
    between: [0, 1],
    description: 'Share of requests that are traced.',
  },
  propagation: { ...propagation, default: { default_format: 'w3c' } },
});

export const opentelemetry = definePlugin({
  name: 'opentelemetry',
  version: '3.9.4',
  priority: 14,
  phases: ['access', 'header_filter', 'log'],
  runtimes: [],
  protects: false,
  fields: {
    protocols: protocolsHttp,
    config: {
      type: 'record',
      required: true,
      fields: config,
      shorthand_fields: {
        endpoint: {
          ...endpoint,
          deprecation: {
            message: 'config.endpoint is deprecated, use config.traces_endpoint',
            removal_in_version: '4.0',
          },
          translate: (value: string | null) => ({ traces_endpoint: value }),
        },
      },
      entity_checks: [{ at_least_one_of: ['traces_endpoint', 'logs_endpoint'] }],
    },
  },
});
