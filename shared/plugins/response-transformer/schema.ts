/** response-transformer: removes, renames, replaces, adds and appends headers and JSON members. */
import { defineField, defineFields, type RecordOf } from '../../schema/infer.ts';
import { protocolsHttp } from '../../schema/typedefs.ts';
import { headerNameError } from '../../schema/validators.ts';
import { definePlugin } from '../plugin.ts';

const names = defineField({
  type: 'array',
  default: [],
  required: true,
  elements: { type: 'string' },
});

/** `name:value`. */
const pairs = defineField({
  type: 'array',
  default: [],
  required: true,
  elements: { type: 'string', match: '^[^:]+:.*$' },
});

/** `old:new`, both names of headers. */
const renames = defineField({
  type: 'array',
  default: [],
  required: true,
  elements: { type: 'string', match: '^[^:]+:.*$', custom_validator: renameError },
});

/** JSON types of the values beside them, by position. */
const jsonTypes = defineField({
  type: 'array',
  default: [],
  required: true,
  elements: { type: 'string', one_of: ['boolean', 'number', 'string'] },
});

const values = defineField({
  type: 'record',
  required: true,
  fields: { json: pairs, json_types: jsonTypes, headers: pairs },
});

const config = defineFields({
  remove: { type: 'record', required: true, fields: { json: names, headers: names } },
  rename: { type: 'record', required: true, fields: { json: pairs, headers: renames } },
  replace: values,
  add: values,
  append: values,
});

export type ResponseTransformerConfig = RecordOf<typeof config>;

export const responseTransformer = definePlugin({
  name: 'response-transformer',
  version: '3.9.4',
  priority: 800,
  phases: ['header_filter', 'body_filter'],
  runtimes: ['node', 'edge'],
  protects: false,
  fields: {
    protocols: protocolsHttp,
    config: { type: 'record', required: true, fields: config },
  },
});

function renameError(pair: string): string | null {
  const [, from = '', to = ''] = /^([^:]+):*(.*)$/s.exec(pair) ?? [];
  const bad = [from, to].find((name) => headerNameError(name) !== null);
  return bad === undefined ? null : `'${bad}' is not a valid header`;
}
