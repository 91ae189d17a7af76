/** Lua code by the phase that it runs in: the configuration of pre-function and post-function. */
import { defineField, defineFields } from '../schema/infer.ts';

export const LUA_PHASES = [
  'certificate',
  'rewrite',
  'access',
  'header_filter',
  'body_filter',
  'log',
] as const;

const functions = defineField({
  type: 'array',
  required: true,
  default: [],
  elements: { type: 'string', required: false },
  description: 'Lua code; kept, and never run.',
});

export const LUA_FUNCTIONS = defineFields({
  certificate: functions,
  rewrite: functions,
  access: functions,
  header_filter: functions,
  body_filter: functions,
  log: functions,
});
