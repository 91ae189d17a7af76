/** A service: an upstream application, and how to reach it. */
import type { JsonValue } from '../schema/field.ts';
import { defineEntity, defineField, type EntityOf } from '../schema/infer.ts';
import {
  host,
  path,
  port,
  protocol,
  tags,
  timestampSeconds,
  utf8Name,
  uuid,
} from '../schema/typedefs.ts';
import { parseUrl } from '../schema/url.ts';

const timeout = defineField({
  type: 'integer',
  between: [1, 2_147_483_646],
  default: 60_000,
});

const NO_TLS = { not_one_of: ['https', 'tls'] } as const;

export const service = defineEntity({
  name: 'services',
  endpoint_key: 'name',
  workspaceable: true,
  fields: {
    id: uuid,
    created_at: timestampSeconds,
    updated_at: timestampSeconds,
    name: utf8Name,
    retries: {
      type: 'integer',
      default: 5,
      between: [0, 32_767],
      description: 'How many more targets to try when one fails.',
    },
    protocol: { ...protocol, required: true, default: 'http' },
    host: { ...host, required: true, description: 'A host name, or the name of an upstream.' },
    port: { ...port, required: true, default: 80 },
    path: { ...path, description: 'Put before the path of every request.' },
    connect_timeout: { ...timeout, description: 'Milliseconds to establish a connection.' },
    write_timeout: { ...timeout, description: 'Longest silence while sending, in milliseconds.' },
    read_timeout: { ...timeout, description: 'Longest silence while receiving, in milliseconds.' },
    tags,
    client_certificate: {
      type: 'foreign',
      reference: 'certificates',
      description: 'Certificate to present to the upstream.',
    },
    tls_verify: { type: 'boolean', description: 'Whether to verify the upstream certificate.' },
    tls_verify_depth: { type: 'integer', default: null, between: [0, 64] },
    ca_certificates: {
      type: 'array',
      elements: { type: 'string', uuid: true },
      description: 'CA certificates to verify the upstream certificate with.',
    },
    enabled: { type: 'boolean', required: true, default: true },
  },
  entity_checks: [
    {
      conditional: {
        if_field: 'protocol',
        if_match: { one_of: ['tcp', 'tls', 'udp', 'grpc', 'grpcs'] },
        then_field: 'path',
        then_match: { eq: null },
      },
    },
    ...(['client_certificate', 'tls_verify', 'tls_verify_depth', 'ca_certificates'] as const).map(
      (name) => ({
        conditional: {
          if_field: 'protocol',
          if_match: NO_TLS,
          then_field: name,
          then_match: { eq: null },
        },
      }),
    ),
  ],
  shorthand_fields: {
    url: { type: 'string', translate: translateUrl },
  },
});

export type Service = EntityOf<typeof service>;

/**
 * The parts of a URL as fields, unchecked: their own definitions say what is wrong with them.
 *
 * Source: LuaSocket `url.parse`; Kong `kong/db/schema/entities/services.lua`
 */
function translateUrl(url: string | null): Readonly<Record<string, JsonValue>> {
  if (url === null) return {};
  const { scheme, host: name, port: digits, path: rest } = parseUrl(url);
  const portGiven = digits !== null && /^\d+$/.test(digits) ? Number(digits) : digits;
  const chosen = scheme ?? (portGiven === 443 ? 'https' : 'http');
  return {
    protocol: chosen,
    host: name,
    port: portGiven ?? (chosen === 'https' ? 443 : 80),
    path: rest === '' ? null : rest,
  };
}
