/** acme: obtains certificates from Let’s Encrypt and other ACME authorities. */
import type { ShorthandField } from '../../schema/field.ts';
import { defineField, defineFields } from '../../schema/infer.ts';
import {
  host,
  hosts,
  noConsumer,
  noRoute,
  noService,
  port,
  protocolsHttp,
  url,
} from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';
import { redis } from '../redis.ts';
import { ACME_ENTITIES } from './entities.ts';

/** Its own keys begin so: a namespace in front of them must not look the same. */
const RESERVED_PREFIXES = [
  'kong_acme:renew_config:',
  'kong_acme:renew_last_run',
  'kong_acme:cert_key:',
];

/** Redis as elsewhere, and what keys look like. */
const acmeRedis = defineField({
  ...redis,
  fields: {
    ...redis.fields,
    extra_options: {
      type: 'record',
      required: true,
      fields: {
        namespace: {
          type: 'string',
          required: true,
          default: '',
          len_min: 0,
          custom_validator: namespaceError,
          description: 'Put before every key.',
        },
        scan_count: { type: 'number', required: false, default: 10 },
      },
    },
  },
  shorthand_fields: {
    auth: formerly('auth', ['password'], { type: 'string', len_min: 0 }),
    ssl_server_name: formerly('ssl_server_name', ['server_name'], { type: 'string' }),
    namespace: formerly('namespace', ['extra_options', 'namespace'], {
      type: 'string',
      len_min: 0,
    }),
    scan_count: formerly('scan_count', ['extra_options', 'scan_count'], { type: 'integer' }),
  },
});

const config = defineFields({
  account_email: {
    type: 'string',
    required: true,
    match: '%w*%p*@+%w*%.?%w*',
    encrypted: true,
    referenceable: true,
    secret: 'sealed',
    description: 'Address that the authority may write to.',
  },
  account_key: {
    type: 'record',
    required: false,
    fields: { key_id: { type: 'string', required: true }, key_set: { type: 'string' } },
    description: 'An existing key (of a key set) for the account; without one a key is made.',
  },
  api_uri: {
    ...url,
    default: 'https://acme-v02.api.letsencrypt.org/directory',
    description: 'Directory of the authority.',
  },
  tos_accepted: {
    type: 'boolean',
    default: false,
    description: 'Whether you accept the terms of service of the authority.',
  },
  eab_kid: {
    type: 'string',
    encrypted: true,
    referenceable: true,
    secret: 'sealed',
    description: 'Key id that binds the account to one outside (EAB).',
  },
  eab_hmac_key: {
    type: 'string',
    encrypted: true,
    referenceable: true,
    secret: 'sealed',
    description: 'Its key, in base64url.',
  },
  cert_type: { type: 'string', default: 'rsa', one_of: ['rsa', 'ecc'] },
  rsa_key_size: { type: 'number', default: 4096, one_of: [2048, 3072, 4096] },
  renew_threshold_days: {
    type: 'number',
    default: 14,
    description: 'Days before its end that a certificate is renewed.',
  },
  domains: {
    ...hosts,
    description: 'Host names to obtain certificates for; `*` stands for one end.',
  },
  allow_any_domain: {
    type: 'boolean',
    default: false,
    description: 'Whether any host name in a handshake is taken.',
  },
  fail_backoff_minutes: {
    type: 'number',
    default: 5,
    description: 'Minutes before a host name is tried again.',
  },
  storage: {
    type: 'string',
    default: 'shm',
    one_of: ['kong', 'shm', 'redis', 'consul', 'vault'],
    description: 'Where keys and certificates are.',
  },
  storage_config: {
    type: 'record',
    required: true,
    fields: {
      shm: {
        type: 'record',
        required: true,
        fields: { shm_name: { type: 'string', default: 'kong' } },
      },
      kong: { type: 'record', required: true, fields: {} },
      redis: acmeRedis,
      consul: {
        type: 'record',
        required: true,
        fields: {
          https: { type: 'boolean', default: false },
          host,
          port,
          kv_path: { type: 'string' },
          timeout: { type: 'number' },
          token: { type: 'string', referenceable: true, secret: 'sealed' },
        },
      },
      vault: {
        type: 'record',
        required: true,
        fields: {
          https: { type: 'boolean', default: false },
          host,
          port,
          kv_path: { type: 'string' },
          timeout: { type: 'number' },
          token: { type: 'string', referenceable: true, secret: 'sealed' },
          tls_verify: { type: 'boolean', default: true },
          tls_server_name: { type: 'string' },
          auth_method: { type: 'string', default: 'token', one_of: ['token', 'kubernetes'] },
          auth_path: { type: 'string' },
          auth_role: { type: 'string' },
          jwt_path: { type: 'string' },
        },
      },
    },
  },
  preferred_chain: {
    type: 'string',
    description: 'Issuer to prefer where the authority offers several chains.',
  },
  enable_ipv4_common_name: { type: 'boolean', default: true },
});

export const acme = definePlugin({
  name: 'acme',
  version: '3.9.4',
  priority: 1705,
  phases: ['access'],
  runtimes: [],
  protects: false,
  fields: {
    consumer: noConsumer,
    service: noService,
    route: noRoute,
    protocols: protocolsHttp,
    config: { type: 'record', required: true, fields: config },
  },
  entity_checks: [
    {
      conditional: {
        if_field: 'config.api_uri',
        if_match: {
          one_of: [
            'https://acme-v02.api.letsencrypt.org',
            'https://acme-staging-v02.api.letsencrypt.org',
          ],
        },
        then_field: 'config.tos_accepted',
        then_match: { eq: true },
        then_err: 'terms of service must be accepted, see https://letsencrypt.org/repository/',
      },
    },
    {
      conditional: {
        if_field: 'config.storage',
        if_match: { eq: 'redis' },
        then_field: 'config.storage_config.redis.host',
        then_match: { required: true },
      },
    },
    {
      conditional: {
        if_field: 'config.storage',
        if_match: { eq: 'redis' },
        then_field: 'config.storage_config.redis.port',
        then_match: { required: true },
      },
    },
    { custom_entity_check: { field_sources: ['config.storage'] } },
  ],
  entities: ACME_ENTITIES,
});

function namespaceError(namespace: string): string | null {
  const reserved = RESERVED_PREFIXES.find((prefix) => namespace.startsWith(prefix));
  return reserved === undefined
    ? null
    : `namespace can't be prefixed with reserved word: ${reserved}`;
}

/** A field of `storage_config.redis` by its former name. */
function formerly(
  name: string,
  path: readonly [string, ...string[]],
  field: { readonly type: 'string' | 'integer'; readonly len_min?: number },
): ShorthandField {
  const [first, second] = path;
  const former = `config.storage_config.redis.${name}`;
  return {
    ...field,
    deprecation: {
      replaced_with: [{ path }],
      message: `${former} is deprecated, use config.storage_config.redis.${path.join('.')}`,
      removal_in_version: '4.0',
    },
    translate: (value: string | number | null) =>
      second === undefined ? { [first]: value } : { [first]: { [second]: value } },
  };
}
