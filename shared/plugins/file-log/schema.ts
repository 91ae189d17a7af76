/** file-log: appends a line of JSON for each request to a file. */
import { defineFields } from '../../schema/infer.ts';
import { luaCode, protocols } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  path: {
    type: 'string',
    required: true,
    match: '^[^*&%%\\`]+$',
    err: 'not a valid filename',
    description: 'The file; made when it is missing.',
  },
  reopen: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether the file is opened anew for each line, so that it can be rotated.',
  },
  custom_fields_by_lua: {
    ...luaCode,
    description: 'Log fields computed by Lua code; kept, and never run.',
  },
});

export const fileLog = definePlugin({
  name: 'file-log',
  version: '3.9.4',
  priority: 9,
  phases: ['log'],
  runtimes: [],
  protects: false,
  fields: { protocols, config: { type: 'record', required: true, fields: config } },
});
