/** loggly: sends a line for each request to Loggly. */
import { defineField, defineFields } from '../../schema/infer.ts';
import { host, luaCode, port, protocols } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';
import { SEVERITIES } from '../severities.ts';

const severity = defineField({ type: 'string', default: 'info', one_of: SEVERITIES });

const config = defineFields({
  host: { ...host, default: 'logs-01.loggly.com' },
  port: { ...port, default: 514 },
  key: {
    type: 'string',
    required: true,
    encrypted: true,
    referenceable: true,
    secret: 'sealed',
    description: 'Customer token.',
  },
  tags: { type: 'set', default: ['kong'], elements: { type: 'string' } },
  log_level: { ...severity, description: 'Requests of less are not logged.' },
  successful_severity: severity,
  client_errors_severity: severity,
  server_errors_severity: severity,
  timeout: { type: 'number', default: 10_000, description: 'Milliseconds to wait for the server.' },
  custom_fields_by_lua: {
    ...luaCode,
    description: 'Log fields computed by Lua code; kept, and never run.',
  },
});

export const loggly = definePlugin({
  name: 'loggly',
  version: '3.9.4',
  priority: 6,
  phases: ['log'],
  runtimes: [],
  protects: false,
  fields: { protocols, config: { type: 'record', required: true, fields: config } },
});
