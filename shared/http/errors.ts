/**
 * What can go wrong with an exchange and be told to a client: code, status, Kong's own words.
 *
 * `byServer` are those which nginx raises in Kong: without an Accept field, they are answered in the
 * format of the request's Content-Type, or in `error_default_type`; all others in JSON.
 */

/** Whose fault it is: the client's, an upstream's, or ours. */
export type ErrorSource = 'downstream' | 'upstream' | 'internal';

interface ErrorEntry {
  readonly status: number;
  readonly message: string;
  readonly source: ErrorSource;
  readonly isByServer: boolean;
}

/** Source: Kong `runloop/handler.lua`, `runloop/balancer/init.lua`, `error_handlers.lua`. */
const CATALOGUE = {
  no_route: entry(404, 'no Route matched with those values', 'downstream'),
  no_service: entry(503, 'no Service found with those values', 'internal'),
  /** A data plane without a verified configuration (decision 26). */
  no_configuration: entry(503, 'no configuration available', 'internal'),
  /** Older than its group allows, and no control plane says that it is still the newest. */
  stale_configuration: entry(503, 'the configuration is stale', 'internal'),
  https_required: entry(426, 'Please use HTTPS protocol', 'downstream'),
  http2_required: entry(426, 'Please use HTTP2 protocol', 'downstream'),
  not_grpc: entry(415, 'Non-gRPC request matched gRPC route', 'downstream'),
  name_resolution_failed: entry(503, 'name resolution failed', 'upstream'),
  no_peer: entry(503, 'failure to get a peer from the ring-balancer', 'upstream'),
  bad_request: byServer(400, 'Bad request', 'downstream'),
  method_not_allowed: byServer(405, 'Method not allowed', 'downstream'),
  request_timeout: byServer(408, 'Request timeout', 'downstream'),
  length_required: byServer(411, 'Length required', 'downstream'),
  payload_too_large: byServer(413, 'Payload too large', 'downstream'),
  uri_too_long: byServer(414, 'URI too long', 'downstream'),
  expectation_failed: byServer(417, 'Expectation failed', 'downstream'),
  /** nginx's 494, which Kong sends as 400. */
  header_too_large: byServer(400, 'Request header or cookie too large', 'downstream'),
  /** Nobody reads the answer; the status is for the log. */
  client_closed_request: entry(499, 'Client closed request', 'downstream'),
  internal: entry(500, 'An unexpected error occurred', 'internal'),
  not_implemented: entry(501, 'Not implemented', 'downstream'),
  bad_gateway: byServer(
    502,
    'An invalid response was received from the upstream server',
    'upstream',
  ),
  /** More is under way than may be; the text is that of nginx' 503. */
  overloaded: byServer(503, 'The upstream server is currently unavailable', 'internal'),
  upstream_unavailable: byServer(503, 'The upstream server is currently unavailable', 'upstream'),
  upstream_timeout: byServer(504, 'The upstream server is timing out', 'upstream'),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof CATALOGUE;

/** All codes, for docs and tests. */
export const ERROR_CODES = Object.keys(CATALOGUE) as readonly ErrorCode[];

const NO_HEADERS: readonly (readonly [string, string])[] = [];

export interface GatewayErrorOptions {
  readonly cause?: unknown;
  /** Instead of the catalogue's text. */
  readonly message?: string;
  /** Added to the response. */
  readonly headers?: readonly (readonly [string, string])[];
}

/** An exchange that ends with an error of ours. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: ErrorCode;
  readonly status: number;
  readonly source: ErrorSource;
  readonly isByServer: boolean;
  readonly headers: readonly (readonly [string, string])[];

  constructor(code: ErrorCode, options: GatewayErrorOptions = {}) {
    const { status, message, source, isByServer } = CATALOGUE[code];
    super(options.message ?? message, { cause: options.cause });
    this.code = code;
    this.status = status;
    this.source = source;
    this.isByServer = isByServer;
    this.headers = options.headers ?? NO_HEADERS;
  }
}

function entry(status: number, message: string, source: ErrorSource): ErrorEntry {
  return { status, message, source, isByServer: false };
}

function byServer(status: number, message: string, source: ErrorSource): ErrorEntry {
  return { status, message, source, isByServer: true };
}
