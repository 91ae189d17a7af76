/** A target: one address behind an upstream. */
import { formatHost, parseHost } from '../schema/host.ts';
import { defineEntity, type EntityOf } from '../schema/infer.ts';
import { tags, timestampFraction, uuid } from '../schema/typedefs.ts';

/** Where a target listens that does not say. */
const DEFAULT_PORT = 8000;

export const target = defineEntity({
  name: 'targets',
  endpoint_key: 'target',
  cache_key: ['upstream', 'target'],
  generate_admin_api: false,
  workspaceable: true,
  fields: {
    id: uuid,
    created_at: timestampFraction,
    updated_at: timestampFraction,
    upstream: { type: 'foreign', reference: 'upstreams', required: true, on_delete: 'cascade' },
    target: {
      type: 'string',
      required: true,
      custom_validator: targetError,
      description: 'Host name or address, with a port (8000 when there is none).',
    },
    weight: {
      type: 'integer',
      default: 100,
      between: [0, 65_535],
      description: 'Share of the requests relative to the other targets; 0 for none.',
    },
    tags,
  },
  normalize: (entity: { readonly target: string }) => ({ target: normalizeTarget(entity.target) }),
});

export type Target = EntityOf<typeof target>;

/** One spelling for each address: port given, IPv4 without leading zeros, IPv6 expanded. */
export function normalizeTarget(text: string): string {
  const parsed = parseHost(text);
  return parsed.ok ? formatHost(parsed.host, DEFAULT_PORT) : text;
}

function targetError(text: string): string | null {
  if (parseHost(text).ok) return null;
  return `Invalid target ('${text}'); not a valid hostname or ip address`;
}
