/** A plugin in use: where it applies and how it is configured. */
import { defineEntity, type EntityOf } from '../schema/infer.ts';
import {
  HTTP_PROTOCOLS,
  protocol,
  tags,
  timestampSeconds,
  utf8Name,
  uuid,
} from '../schema/typedefs.ts';

export const plugin = defineEntity({
  name: 'plugins',
  endpoint_key: 'instance_name',
  cache_key: ['name', 'route', 'service', 'consumer'],
  workspaceable: true,
  subschema_key: 'name',
  subschema_error: "plugin '%s' not enabled; add it to the 'plugins' configuration property",
  fields: {
    id: uuid,
    name: { type: 'string', required: true },
    instance_name: utf8Name,
    created_at: timestampSeconds,
    updated_at: timestampSeconds,
    route: { type: 'foreign', reference: 'routes', default: null, on_delete: 'cascade' },
    service: { type: 'foreign', reference: 'services', default: null, on_delete: 'cascade' },
    consumer: { type: 'foreign', reference: 'consumers', default: null, on_delete: 'cascade' },
    config: { type: 'record', abstract: true, fields: {} },
    protocols: { type: 'set', required: true, default: HTTP_PROTOCOLS, elements: protocol },
    enabled: { type: 'boolean', required: true, default: true },
    tags,
  },
});

export type Plugin = EntityOf<typeof plugin>;
