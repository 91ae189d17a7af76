/** Settings that several programs of the product share. */
import { defineFields } from '../schema/infer.ts';
import { cidrError } from './validators.ts';

/** Of every Node program. */
export const COMMON_SETTINGS = defineFields({
  HEADGATE_DATA_DIR: {
    type: 'string',
    required: true,
    default: '.headgate',
    description: 'Folder for everything a process keeps: embedded database, keys, identity, cache.',
  },
  HEADGATE_LOG_LEVEL: {
    type: 'string',
    required: true,
    default: 'info',
    one_of: ['debug', 'info', 'warn', 'error'],
    description: 'Least level that is written to standard output, as JSON lines.',
  },
  HEADGATE_TLS_CERT: {
    type: 'string',
    description: 'PEM file with the certificate chain of the listeners marked ssl.',
  },
  HEADGATE_TLS_KEY: {
    type: 'string',
    description: 'PEM file with the private key of HEADGATE_TLS_CERT.',
  },
});

/** Settings of the request path, the same on every data plane. */
export const CORE_SETTINGS = defineFields({
  HEADGATE_TRUSTED_IPS: {
    type: 'array',
    required: true,
    default: [],
    elements: { type: 'string', custom_validator: cidrError },
    description: 'Peers whose X-Forwarded-* headers are believed. Default: nobody.',
  },
  HEADGATE_ALLOW_DEBUG_HEADER: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Answer a Kong-Debug request header with the route and service in the response.',
  },
  HEADGATE_ALLOW_ODD_TARGETS: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Take request targets that runtimes read differently (backslash, odd escapes).',
  },
  HEADGATE_PROXY_ACCESS_LOG: {
    type: 'string',
    required: true,
    default: 'stdout',
    one_of: ['stdout', 'off'],
    description:
      'Whether each request leaves a line in the log (standard output, or the Worker log).',
  },
});
