/** http-log: sends a JSON document for each request to a server. */
import { defineFields, type RecordOf } from '../../schema/infer.ts';
import { headerName, luaCode, protocols, url } from '../../schema/typedefs.ts';
import { parseUrl } from '../../schema/url.ts';
import { definePlugin } from '../plugin.ts';
import { FORMER_QUEUE, queue } from '../queue.ts';

const config = defineFields({
  http_endpoint: {
    ...url,
    required: true,
    encrypted: true,
    referenceable: true,
    secret: 'sealed',
    description: 'Where to send; may hold a user and password.',
  },
  method: { type: 'string', default: 'POST', one_of: ['POST', 'PUT', 'PATCH'] },
  content_type: {
    type: 'string',
    default: 'application/json',
    one_of: ['application/json', 'application/json; charset=utf-8'],
  },
  timeout: { type: 'number', default: 10_000, description: 'Milliseconds to wait for the server.' },
  keepalive: {
    type: 'number',
    default: 60_000,
    description: 'Milliseconds that an idle connection is kept.',
  },
  ...FORMER_QUEUE,
  headers: {
    type: 'map',
    keys: {
      ...headerName,
      match_none: [
        { pattern: '^[Hh][Oo][Ss][Tt]$', err: "cannot contain 'Host' header" },
        {
          pattern: '^[Cc][Oo][Nn][Tt][Ee][Nn][Tt]%-[Ll][Ee][nn][Gg][Tt][Hh]$',
          err: "cannot contain 'Content-Length' header",
        },
        {
          pattern: '^[Cc][Oo][Nn][Tt][Ee][Nn][Tt]%-[Tt][Yy][Pp][Ee]$',
          err: "cannot contain 'Content-Type' header",
        },
      ],
    },
    values: { type: 'string', referenceable: true },
    description: 'Headers to send along.',
  },
  queue,
  custom_fields_by_lua: {
    ...luaCode,
    description: 'Log fields computed by Lua code; kept, and never run.',
  },
});

export type HttpLogConfig = RecordOf<typeof config>;

export const httpLog = definePlugin({
  name: 'http-log',
  version: '3.9.4',
  priority: 12,
  phases: ['log'],
  runtimes: [],
  protects: false,
  fields: {
    protocols,
    config: { type: 'record', required: true, fields: config, custom_validator: userinfoError },
  },
});

function userinfoError(log: HttpLogConfig): string | null {
  if (log.headers === null || parseUrl(log.http_endpoint).userinfo === null) return null;
  if (!Object.keys(log.headers).some((name) => name.toLowerCase() === 'authorization')) return null;
  return "specifying both an 'Authorization' header and user info in 'http_endpoint' is not allowed";
}
