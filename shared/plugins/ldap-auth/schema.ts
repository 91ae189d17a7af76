/** ldap-auth: asks a directory whether the name and password are right. */
import { defineFields } from '../../schema/infer.ts';
import { host, noConsumer, port, protocolsHttp } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  ldap_host: { ...host, required: true },
  ldap_port: { ...port, required: true, default: 389 },
  ldaps: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether to speak LDAP over TLS.',
  },
  start_tls: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether to turn to TLS on the plain port.',
  },
  verify_ldap_host: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether the certificate of the directory is verified.',
  },
  base_dn: { type: 'string', required: true, description: 'Where in the directory users are.' },
  attribute: {
    type: 'string',
    required: true,
    description: 'Attribute that holds the user’s name.',
  },
  cache_ttl: {
    type: 'number',
    required: true,
    default: 60,
    description: 'Seconds that an answer of the directory is remembered.',
  },
  hide_credentials: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether the credential is taken out of the request before it goes upstream.',
  },
  timeout: { type: 'number', default: 10_000, description: 'Milliseconds to wait for the server.' },
  keepalive: {
    type: 'number',
    default: 60_000,
    description: 'Milliseconds that an idle connection is kept.',
  },
  anonymous: {
    type: 'string',
    description: 'Consumer (id or username) to use when there is no valid credential.',
  },
  header_type: {
    type: 'string',
    default: 'ldap',
    description: 'First word of the Authorization header.',
  },
  realm: {
    type: 'string',
    required: false,
    description: 'Realm in the WWW-Authenticate header of refusals.',
  },
});

export const ldapAuth = definePlugin({
  name: 'ldap-auth',
  version: '3.9.4',
  priority: 1200,
  phases: ['access'],
  runtimes: [],
  protects: true,
  fields: {
    consumer: noConsumer,
    protocols: protocolsHttp,
    config: {
      type: 'record',
      required: true,
      fields: config,
      entity_checks: [
        {
          conditional: {
            if_field: 'ldaps',
            if_match: { eq: true },
            then_field: 'start_tls',
            then_match: { eq: false },
            then_err: "'ldaps' and 'start_tls' cannot be enabled simultaneously",
          },
        },
      ],
    },
  },
});
