/** `configuration` of `GET /`: what Kong's tools look for, and our settings without their secrets. */
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import {
  CONTROL_PLANE_SETTINGS,
  type ControlPlaneSettings,
} from '#shared/settings/control-plane.ts';
import { type Listen, parseListens } from '#shared/settings/listen.ts';

const HIDDEN = '******';

export function publicConfiguration(settings: ControlPlaneSettings): JsonObject {
  const admin = parseListens(settings.HEADGATE_LISTEN ?? settings.HEADGATE_ADMIN_LISTEN);
  const own: [string, JsonValue][] = Object.entries(CONTROL_PLANE_SETTINGS).map(([name, field]) => {
    const value = Object.entries(settings).find(([key]) => key === name)?.[1] ?? null;
    const key = name.slice('HEADGATE_'.length).toLowerCase();
    return [key, 'encrypted' in field && value !== null ? HIDDEN : value];
  });
  return {
    ...Object.fromEntries(own),
    role: 'control_plane',
    // To Kong's tools: entities can be written one by one.
    database: 'postgres',
    router_flavor: settings.HEADGATE_ROUTER_FLAVOR,
    wasm: false,
    log_level: settings.HEADGATE_LOG_LEVEL,
    admin_listeners: admin.map(listener),
    // Of the data planes: what they take by default.
    proxy_listeners: [listener({ host: '127.0.0.1', port: 8000, tls: false })],
    stream_listeners: {},
  };
}

function listener(listen: Listen): JsonObject {
  const { host, port, tls } = listen;
  return {
    listener: `${host}:${port}${tls ? ' ssl' : ''}`,
    ip: host,
    port,
    ssl: tls,
    http2: false,
    proxy_protocol: false,
    deferred: false,
    bind: false,
    reuseport: false,
  };
}
