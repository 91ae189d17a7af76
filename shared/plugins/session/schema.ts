/** session: lets a browser stay logged in by a cookie. */
import type { ShorthandField } from '../../schema/field.ts';
import { defineField, defineFields } from '../../schema/infer.ts';
import { noConsumer, protocols } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';
import { SESSION_ENTITIES } from './entities.ts';

const headers = defineField({
  type: 'set',
  elements: {
    type: 'string',
    one_of: [
      'id',
      'audience',
      'subject',
      'timeout',
      'idling-timeout',
      'rolling-timeout',
      'absolute-timeout',
    ],
  },
});

/** Names of fields before Kong 3.2. */
const SHORTHANDS: Readonly<Record<string, ShorthandField>> = {
  cookie_lifetime: {
    type: 'number',
    translate: (value: number | null) => ({ rolling_timeout: value }),
  },
  cookie_idletime: {
    type: 'number',
    translate: (value: number | null) => ({ idling_timeout: value ?? 0 }),
  },
  cookie_renew: { type: 'number', translate: () => ({}) },
  cookie_discard: { type: 'number', translate: (value: number | null) => ({ stale_ttl: value }) },
  cookie_samesite: {
    type: 'string',
    translate: (value: string | null) => ({ cookie_same_site: value === 'off' ? 'Lax' : value }),
  },
  cookie_httponly: {
    type: 'boolean',
    translate: (value: boolean | null) => ({ cookie_http_only: value }),
  },
  cookie_persistent: {
    type: 'boolean',
    translate: (value: boolean | null) => ({ remember: value }),
  },
};

const config = defineFields({
  secret: {
    type: 'string',
    required: false,
    encrypted: true,
    referenceable: true,
    random_default: 44,
    secret: 'sealed',
    description:
      'What cookies are encrypted with. When absent it is made up, and stays until another is sent.',
  },
  storage: {
    type: 'string',
    default: 'cookie',
    one_of: ['cookie', 'kong'],
    description: 'Where sessions are: in the cookie, or in the database.',
  },
  audience: {
    type: 'string',
    default: 'default',
    description: 'What sessions are for; others are not taken.',
  },
  idling_timeout: {
    type: 'number',
    default: 900,
    description: 'Seconds without a request after which a session ends; 0 for never.',
  },
  rolling_timeout: {
    type: 'number',
    default: 3600,
    description: 'Seconds after which a cookie is renewed.',
  },
  absolute_timeout: {
    type: 'number',
    default: 86_400,
    description: 'Seconds after which a session ends.',
  },
  stale_ttl: {
    type: 'number',
    default: 10,
    description: 'Seconds that a renewed cookie is still taken.',
  },
  cookie_name: { type: 'string', default: 'session' },
  cookie_path: { type: 'string', default: '/' },
  cookie_domain: { type: 'string' },
  cookie_same_site: {
    type: 'string',
    default: 'Strict',
    one_of: ['Strict', 'Lax', 'None', 'Default'],
  },
  cookie_http_only: { type: 'boolean', default: true },
  cookie_secure: { type: 'boolean', default: true },
  remember: {
    type: 'boolean',
    default: false,
    description: 'Whether sessions outlive the browser.',
  },
  remember_cookie_name: { type: 'string', default: 'remember' },
  remember_rolling_timeout: { type: 'number', default: 604_800 },
  remember_absolute_timeout: { type: 'number', default: 2_592_000 },
  response_headers: headers,
  request_headers: headers,
  read_body_for_logout: { type: 'boolean', default: false },
  logout_methods: {
    type: 'set',
    default: ['POST', 'DELETE'],
    elements: { type: 'string', one_of: ['GET', 'POST', 'DELETE'] },
  },
  logout_query_arg: {
    type: 'string',
    default: 'session_logout',
    description: 'Query argument that ends the session.',
  },
  logout_post_arg: {
    type: 'string',
    default: 'session_logout',
    description: 'Body argument that ends the session.',
  },
});

export const session = definePlugin({
  name: 'session',
  version: '3.9.4',
  priority: 1900,
  phases: ['access', 'header_filter'],
  runtimes: [],
  // Without it there are no sessions: requests are as anonymous as others, never less.
  protects: false,
  fields: {
    consumer: noConsumer,
    protocols,
    config: { type: 'record', required: true, fields: config, shorthand_fields: SHORTHANDS },
  },
  entities: SESSION_ENTITIES,
});
