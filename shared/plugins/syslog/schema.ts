/** syslog: writes a line for each request to the system’s log. */
import { defineField, defineFields } from '../../schema/infer.ts';
import { luaCode, protocols } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';
import { SEVERITIES } from '../severities.ts';

const severity = defineField({
  type: 'string',
  required: true,
  default: 'info',
  one_of: SEVERITIES,
});

const config = defineFields({
  log_level: { ...severity, description: 'Requests of less are not logged.' },
  successful_severity: severity,
  client_errors_severity: severity,
  server_errors_severity: severity,
  custom_fields_by_lua: {
    ...luaCode,
    description: 'Log fields computed by Lua code; kept, and never run.',
  },
  facility: {
    type: 'string',
    required: true,
    default: 'user',
    one_of: [
      'auth',
      'authpriv',
      'cron',
      'daemon',
      'ftp',
      'kern',
      'lpr',
      'mail',
      'news',
      'syslog',
      'user',
      'uucp',
      'local0',
      'local1',
      'local2',
      'local3',
      'local4',
      'local5',
      'local6',
      'local7',
    ],
  },
});

export const syslog = definePlugin({
  name: 'syslog',
  version: '3.9.4',
  priority: 4,
  phases: ['log'],
  runtimes: [],
  protects: false,
  fields: { protocols, config: { type: 'record', required: true, fields: config } },
});
