/** Entities that come with jwt. */
import { defineEntity, type EntityOf } from '../../schema/infer.ts';
import { tags, timestampSeconds, uuid } from '../../schema/typedefs.ts';

export const jwtSecret = defineEntity({
  name: 'jwt_secrets',
  admin_api_name: 'jwts',
  admin_api_nested_name: 'jwt',
  endpoint_key: 'key',
  cache_key: ['key'],
  workspaceable: true,
  placement: 'key',
  fields: {
    id: uuid,
    created_at: timestampSeconds,
    consumer: { type: 'foreign', reference: 'consumers', required: true, on_delete: 'cascade' },
    key: {
      type: 'string',
      required: false,
      unique: true,
      auto: true,
      description: 'What the claim of the token that names its key must say; no secret.',
    },
    secret: { type: 'string', auto: true, secret: 'sealed' },
    rsa_public_key: { type: 'string', description: 'Public key in PEM form.' },
    algorithm: {
      type: 'string',
      default: 'HS256',
      one_of: [
        'HS256',
        'HS384',
        'HS512',
        'RS256',
        'RS384',
        'RS512',
        'ES256',
        'ES384',
        'ES512',
        'PS256',
        'PS384',
        'PS512',
        'EdDSA',
      ],
    },
    tags,
  },
  entity_checks: [
    {
      conditional: {
        if_field: 'algorithm',
        if_match: {
          match_any: {
            patterns: ['^RS256$', '^RS384$', '^RS512$', '^PS256$', '^PS384$', '^PS512$', '^EdDSA$'],
          },
        },
        then_field: 'rsa_public_key',
        then_match: { required: true },
      },
    },
  ],
});

export type JwtSecret = EntityOf<typeof jwtSecret>;

export const JWT_ENTITIES = [jwtSecret] as const;
