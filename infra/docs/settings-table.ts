/** The settings as Markdown tables, one per program. */
import type { Field, Fields } from '#shared/schema/field.ts';
import { COMMON_SETTINGS, CORE_SETTINGS } from '#shared/settings/common.ts';
import { CONTROL_PLANE_SETTINGS } from '#shared/settings/control-plane.ts';
import { DATA_PLANE_SETTINGS } from '#shared/settings/data-plane.ts';
import { DEV_SETTINGS } from '#shared/settings/dev.ts';
import { EDGE_SETTINGS } from '#shared/settings/edge.ts';
import { allowedText } from '#shared/settings/settings.ts';

export function settingsTables(): string {
  const own = (fields: Fields) =>
    Object.entries(fields).filter(
      ([name]) => !Object.hasOwn(COMMON_SETTINGS, name) && !Object.hasOwn(CORE_SETTINGS, name),
    );
  return [
    table('All Node programs', Object.entries(COMMON_SETTINGS)),
    table('Control plane', own(CONTROL_PLANE_SETTINGS)),
    table('Both data planes', Object.entries(CORE_SETTINGS)),
    table('Node data plane', own(DATA_PLANE_SETTINGS)),
    table(
      'Edge data plane (variables and secrets of the Worker; HEADGATE_LOG_LEVEL too)',
      own(EDGE_SETTINGS),
    ),
    table('`npm start`', own(DEV_SETTINGS)),
  ].join('\n');
}

function table(title: string, fields: readonly (readonly [string, Field])[]): string {
  const rows = fields.map(([name, field]) => {
    const type = allowedText(field).replaceAll('|', '\\|');
    return `| \`${name}\`${field.encrypted ? ' 🔑' : ''} | ${type} | ${defaultText(field)} | ${field.description ?? ''} |`;
  });
  return [
    `**${title}**`,
    '',
    '| setting | value | default | meaning |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

function defaultText(field: Field): string {
  const value = 'default' in field ? field.default : undefined;
  if (value === undefined || value === null) return 'unset';
  if (Array.isArray(value)) return value.length === 0 ? 'none' : `\`${value.join(', ')}\``;
  if (typeof value === 'boolean') return value ? '`on`' : '`off`';
  return `\`${String(value)}\``;
}
