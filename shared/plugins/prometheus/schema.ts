/** prometheus: counts what happens, for a Prometheus server to read. */
import { defineFields } from '../../schema/infer.ts';
import { protocols } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  per_consumer: {
    type: 'boolean',
    default: false,
    description: 'Whether consumers are counted one by one.',
  },
  status_code_metrics: { type: 'boolean', default: false, description: 'Requests by status.' },
  ai_metrics: { type: 'boolean', default: false, description: 'Requests to language models.' },
  latency_metrics: { type: 'boolean', default: false, description: 'Durations.' },
  bandwidth_metrics: { type: 'boolean', default: false, description: 'Bytes in and out.' },
  upstream_health_metrics: { type: 'boolean', default: false, description: 'Health of targets.' },
});

export const prometheus = definePlugin({
  name: 'prometheus',
  version: '3.9.4',
  priority: 13,
  phases: ['log'],
  runtimes: [],
  protects: false,
  fields: { protocols, config: { type: 'record', required: true, fields: config } },
});
