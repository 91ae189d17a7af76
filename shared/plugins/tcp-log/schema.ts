/** tcp-log: sends a line of JSON for each request to a TCP server. */
import { defineFields } from '../../schema/infer.ts';
import { host, luaCode, port, protocols } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  host: { ...host, required: true },
  port: { ...port, required: true },
  timeout: { type: 'number', default: 10_000, description: 'Milliseconds to wait for the server.' },
  keepalive: {
    type: 'number',
    default: 60_000,
    description: 'Milliseconds that an idle connection is kept.',
  },
  tls: { type: 'boolean', required: true, default: false },
  tls_sni: { type: 'string', description: 'Server name to ask for.' },
  custom_fields_by_lua: {
    ...luaCode,
    description: 'Log fields computed by Lua code; kept, and never run.',
  },
});

export const tcpLog = definePlugin({
  name: 'tcp-log',
  version: '3.9.4',
  priority: 7,
  phases: ['log'],
  runtimes: [],
  protects: false,
  fields: { protocols, config: { type: 'record', required: true, fields: config } },
});
