/**
 * Kinds that Kong has and this gateway keeps elsewhere or not at all. They are here for
 * `/schemas/{name}`, which clients ask for.
 */
import { defineEntity } from '../schema/infer.ts';
import { tags, timestampSeconds, utf8Name, uuid } from '../schema/typedefs.ts';

/** Rows of `/clustering/data-planes`, which the node registry answers. */
export const clusteringDataPlane = defineEntity({
  name: 'clustering_data_planes',
  admin_api_name: 'clustering/data-planes',
  generate_admin_api: false,
  ttl: true,
  workspaceable: false,
  stored: false,
  wire: false,
  fields: {
    id: { ...uuid, required: true },
    last_seen: timestampSeconds,
    updated_at: timestampSeconds,
    ip: { type: 'string', required: true },
    config_hash: { type: 'string', len_eq: 32 },
    hostname: { type: 'string', required: true },
    version: {
      type: 'string',
      match_any: { patterns: ['^%d+[%.%d]*$', '^%d+[%.%d]*%-?.*$'] },
      match_none: [{ pattern: '%.%.' }],
    },
    sync_status: {
      type: 'string',
      required: true,
      default: 'unknown',
      one_of: [
        'unknown',
        'normal',
        'kong_version_incompatible',
        'plugin_set_incompatible',
        'plugin_version_incompatible',
        'filter_set_incompatible',
      ],
    },
    labels: { type: 'map', keys: { type: 'string' }, values: { type: 'string' } },
    cert_details: {
      type: 'record',
      required: true,
      fields: { expiry_timestamp: { type: 'number', timestamp: true, required: false } },
    },
    rpc_capabilities: { type: 'set', elements: { type: 'string' } },
  },
});

/** Settings that Kong's nodes share. Nothing here has any. */
export const parameter = defineEntity({
  name: 'parameters',
  generate_admin_api: false,
  workspaceable: false,
  stored: false,
  wire: false,
  fields: {
    created_at: timestampSeconds,
    key: { type: 'string', required: true, unique: true },
    value: { type: 'string', required: true },
  },
});

/** WebAssembly filters, which no data plane runs: its endpoints say so. */
export const filterChain = defineEntity({
  name: 'filter_chains',
  admin_api_name: 'filter-chains',
  generate_admin_api: false,
  endpoint_key: 'name',
  cache_key: ['route', 'service'],
  workspaceable: true,
  stored: false,
  wire: false,
  fields: {
    id: uuid,
    name: utf8Name,
    enabled: { type: 'boolean', required: true, default: true },
    route: {
      type: 'foreign',
      reference: 'routes',
      unique: true,
      on_delete: 'cascade',
      default: null,
    },
    service: {
      type: 'foreign',
      reference: 'services',
      unique: true,
      on_delete: 'cascade',
      default: null,
    },
    filters: {
      type: 'array',
      required: true,
      len_min: 1,
      elements: {
        type: 'record',
        fields: {
          name: { type: 'string', required: true, one_of: [], err: 'no such filter' },
          enabled: { type: 'boolean', required: true, default: true },
          config: {
            type: 'json',
            required: false,
            json_schema: {
              namespace: 'proxy-wasm-filters',
              parent_subschema_key: 'name',
              optional: true,
              default: {
                $schema: 'http://json-schema.org/draft-04/schema#',
                type: ['string', 'null'],
              },
            },
          },
        },
      },
    },
    created_at: timestampSeconds,
    updated_at: timestampSeconds,
    tags,
  },
  entity_checks: [
    { mutually_exclusive: ['service', 'route'] },
    { at_least_one_of: ['service', 'route'] },
    // Kong looks here for filters that it has not got; there are none to have.
    {
      custom_entity_check: {
        field_sources: ['filters'],
        run_with_invalid_fields: true,
      },
    },
  ],
});
