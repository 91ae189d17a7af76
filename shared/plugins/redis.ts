/** Connection to Redis, and its deprecated flat spelling. */
import type { Field, ShorthandField } from '../schema/field.ts';
import { defineField } from '../schema/infer.ts';
import { host, port, sni, timeout } from '../schema/typedefs.ts';

export const redis = defineField({
  type: 'record',
  required: true,
  fields: {
    host,
    port: { ...port, default: 6379 },
    timeout: { ...timeout, default: 2000 },
    username: { type: 'string', referenceable: true },
    password: {
      type: 'string',
      encrypted: true,
      referenceable: true,
      len_min: 0,
      secret: 'sealed',
    },
    database: { type: 'integer', default: 0 },
    ssl: { type: 'boolean', required: false, default: false },
    ssl_verify: { type: 'boolean', required: false, default: false },
    server_name: { ...sni, required: false },
  },
});

/** `redis_host` for `redis.host`, and so on. */
export const REDIS_SHORTHANDS: Readonly<Record<string, ShorthandField>> = {
  redis_host: replacedBy('host', { type: 'string' }),
  redis_port: replacedBy('port', { type: 'integer' }),
  redis_password: replacedBy('password', { type: 'string', len_min: 0 }),
  redis_username: replacedBy('username', { type: 'string' }),
  redis_ssl: replacedBy('ssl', { type: 'boolean' }),
  redis_ssl_verify: replacedBy('ssl_verify', { type: 'boolean' }),
  redis_server_name: replacedBy('server_name', { type: 'string' }),
  redis_timeout: replacedBy('timeout', { type: 'integer' }),
  redis_database: replacedBy('database', { type: 'integer' }),
};

function replacedBy(
  name: string,
  field: { readonly type: Field['type']; readonly len_min?: number },
): ShorthandField {
  return {
    ...field,
    deprecation: {
      replaced_with: [{ path: ['redis', name] }],
      message: `config.redis_${name} is deprecated, use config.redis.${name}`,
      removal_in_version: '4.0',
    },
    translate: (value: string | number | boolean | null) => ({ redis: { [name]: value } }),
  };
}
