/** udp-log: sends a datagram of JSON for each request to a UDP server. */
import { defineFields } from '../../schema/infer.ts';
import { host, luaCode, port, protocols } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  host: { ...host, required: true },
  port: { ...port, required: true },
  timeout: { type: 'number', default: 10_000, description: 'Milliseconds to wait for the server.' },
  custom_fields_by_lua: {
    ...luaCode,
    description: 'Log fields computed by Lua code; kept, and never run.',
  },
});

export const udpLog = definePlugin({
  name: 'udp-log',
  version: '3.9.4',
  priority: 8,
  phases: ['log'],
  runtimes: [],
  protects: false,
  fields: { protocols, config: { type: 'record', required: true, fields: config } },
});
