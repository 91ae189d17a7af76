/** post-function: Lua code after all other plugins. Kept for tools of Kong; no data plane runs Lua. */
import { defineFields } from '../../schema/infer.ts';
import { noConsumer, protocols } from '../../schema/typedefs.ts';
import { LUA_FUNCTIONS, LUA_PHASES } from '../lua-functions.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({ ...LUA_FUNCTIONS });

export const postFunction = definePlugin({
  name: 'post-function',
  version: '3.9.4',
  priority: -1000,
  phases: ['rewrite', 'access', 'header_filter', 'body_filter', 'log'],
  runtimes: [],
  // What its code would have refused is not known.
  protects: true,
  fields: {
    consumer: noConsumer,
    protocols,
    config: { type: 'record', required: true, fields: config },
  },
  entity_checks: [{ at_least_one_of: LUA_PHASES.map((phase) => `config.${phase}`) }],
});
