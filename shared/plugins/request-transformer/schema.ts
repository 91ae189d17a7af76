/** request-transformer: removes, renames, replaces, adds and appends headers, query arguments and body fields. */
import { defineField, defineFields } from '../../schema/infer.ts';
import { httpMethod, protocols } from '../../schema/typedefs.ts';
import { headerNameError } from '../../schema/validators.ts';
import { definePlugin } from '../plugin.ts';

const names = defineField({
  type: 'array',
  default: [],
  required: true,
  elements: { type: 'string' },
});

/** `name:value`. */
const pairs = defineField({ ...names, elements: { type: 'string', custom_validator: valueError } });

const headerNames = defineField({
  ...names,
  elements: { type: 'string', custom_validator: nameError },
});

/** `name:value`, the value possibly empty. */
const headerPairs = defineField({
  ...names,
  elements: { type: 'string', match: '^[^:]+:.*$', custom_validator: nameError },
});

/** `old:new`, both names of headers. */
const headerRenames = defineField({
  ...names,
  elements: { type: 'string', match: '^[^:]+:.*$', custom_validator: renameError },
});

const values = defineField({
  type: 'record',
  required: true,
  fields: { body: pairs, headers: headerPairs, querystring: pairs },
});

const config = defineFields({
  http_method: { ...httpMethod, description: 'Method to send upstream.' },
  remove: {
    type: 'record',
    required: true,
    fields: { body: names, headers: headerNames, querystring: names },
  },
  rename: {
    type: 'record',
    required: true,
    fields: { body: pairs, headers: headerRenames, querystring: pairs },
  },
  replace: {
    type: 'record',
    required: true,
    fields: { ...values.fields, uri: { type: 'string', description: 'Path to send upstream.' } },
  },
  add: values,
  append: values,
});

export const requestTransformer = definePlugin({
  name: 'request-transformer',
  version: '3.9.4',
  priority: 801,
  phases: ['access'],
  runtimes: [],
  protects: false,
  fields: { protocols, config: { type: 'record', required: true, fields: config } },
});

function parts(pair: string): readonly [string, string] {
  const [, name = '', value = ''] = /^([^:]+):*(.*)$/s.exec(pair) ?? [];
  return [name, value];
}

function valueError(pair: string): string | null {
  const [name, value] = parts(pair);
  return value === '' ? `key '${name}' has no value` : null;
}

function nameError(pair: string): string | null {
  return notHeader([parts(pair)[0]]);
}

function renameError(pair: string): string | null {
  return notHeader(parts(pair));
}

function notHeader(candidates: readonly string[]): string | null {
  const bad = candidates.find((name) => headerNameError(name) !== null);
  return bad === undefined ? null : `'${bad}' is not a valid header`;
}
