/** Settings that several programs of the product share. */
import { defineFields, type RecordOf } from '../schema/infer.ts';
import { RESPONSE_FIELDS_DEFAULT } from '../http/response-headers.ts';
import { cidrError, responseFieldError } from './validators.ts';

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
    description:
      'PEM file with the certificate chain of the listeners marked ssl; a data plane’s default certificate, self-signed where there is none. Changed files are taken over while running.',
  },
  HEADGATE_TLS_KEY: {
    type: 'string',
    description: 'PEM file with the private key of HEADGATE_TLS_CERT.',
  },
});

/** Kong's `router_flavor`: how routes are matched and ranked. */
export const ROUTER_FLAVORS = ['traditional_compatible', 'traditional', 'expressions'] as const;

export type RouterFlavor = (typeof ROUTER_FLAVORS)[number];

/** Settings of the request path, the same on every data plane. */
export const CORE_SETTINGS = defineFields({
  HEADGATE_TRUSTED_IPS: {
    type: 'array',
    required: true,
    default: [],
    elements: { type: 'string', custom_validator: cidrError },
    description: 'Peers whose X-Forwarded-* headers are believed. Default: nobody.',
  },
  HEADGATE_REAL_IP_HEADER: {
    type: 'string',
    required: true,
    default: 'X-Forwarded-For',
    one_of: ['X-Forwarded-For', 'X-Real-IP', 'proxy_protocol'],
    description:
      'Where a trusted peer says who the client is; proxy_protocol: in the PROXY header of a ' +
      'listener with that flag.',
  },
  HEADGATE_HEADERS: {
    type: 'array',
    required: true,
    default: [...RESPONSE_FIELDS_DEFAULT],
    elements: { type: 'string', custom_validator: responseFieldError },
    description:
      'Fields of ours in responses: server_tokens, latency_tokens, single names ' +
      '(X-Kong-Upstream-Status …), or off.',
  },
  HEADGATE_HEADERS_UPSTREAM: {
    type: 'string',
    required: true,
    default: 'X-Kong-Request-Id',
    one_of: ['X-Kong-Request-Id', 'off'],
    description: 'Whether upstreams are told the id of the request.',
  },
  HEADGATE_ERROR_DEFAULT_TYPE: {
    type: 'string',
    required: true,
    default: 'text/plain',
    one_of: ['application/json', 'application/xml', 'text/html', 'text/plain'],
    description:
      'Format of 400, 502, 504 and the like for clients that name none by Accept or Content-Type.',
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
  HEADGATE_ROUTER_FLAVOR: {
    type: 'string',
    required: true,
    default: 'traditional_compatible',
    one_of: ROUTER_FLAVORS,
    description:
      "How routes are matched and ranked, as Kong's router_flavor. Routes with an expression need expressions.",
  },
  HEADGATE_MAX_ACTIVE_REQUESTS: {
    type: 'integer',
    required: true,
    default: 32768,
    between: [1, 1000000],
    description: 'Requests under way at a time; further ones are answered 503 at once.',
  },
  HEADGATE_UPSTREAM_MAX_ACTIVE_REQUESTS: {
    type: 'integer',
    required: true,
    default: 16384,
    between: [1, 1000000],
    description: 'The same for each Upstream, or host that is none.',
  },
  HEADGATE_TARGET_MAX_ACTIVE_REQUESTS: {
    type: 'integer',
    required: true,
    default: 8192,
    between: [1, 8192],
    description: 'Requests under way to one address; further ones go to others, or get a 503.',
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

export type CoreSettings = RecordOf<typeof CORE_SETTINGS>;
