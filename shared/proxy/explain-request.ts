/** A request that is only asked about: what it would be, as JSON or as the query of a URL. */
import { parseIp } from '../base/ip.ts';
import { HeaderList } from '../http/headers.ts';
import type { GatewayRequest } from '../http/message.ts';
import type { Abort } from '../platform/platform.ts';
import type { JsonObject, JsonValue } from '../schema/field.ts';
import { defineFields, type RecordOf } from '../schema/infer.ts';
import { parseRecord } from '../schema/parse.ts';
import type { Violations } from '../schema/violations.ts';

/** Longer requests are none that anybody asks about. */
export const EXPLAIN_BYTES_MAX = 64 * 1024;
const HEADERS_MAX = 200;
const PORT = [0, 65_535] as const;

export const EXPLAIN_REQUEST = defineFields({
  method: {
    type: 'string',
    required: true,
    default: 'GET',
    len_max: 64,
    description: 'As it is sent, upper case.',
  },
  url: {
    type: 'string',
    required: true,
    len_max: 16_384,
    description: 'Absolute (http or https), or a path with its query, taken as it stands.',
  },
  headers: {
    type: 'map',
    required: true,
    default: {},
    keys: { type: 'string', len_max: 256 },
    values: { type: 'string', len_min: 0, len_max: 16_384 },
    len_max: HEADERS_MAX,
    description: 'By name. Without Host it is that of the url.',
  },
  scheme: {
    type: 'string',
    one_of: ['http', 'https'],
    description: 'Of the connection. Without it that of the url, else http.',
  },
  http_version: { type: 'string', required: true, default: '1.1', one_of: ['1.0', '1.1', '2'] },
  sni: {
    type: 'string',
    len_max: 255,
    description: 'Server name of the TLS connection. Without it, https has the name in Host.',
  },
  client_address: {
    type: 'string',
    required: true,
    default: '127.0.0.1',
    description: 'Address of the peer; headers of a trusted one are believed.',
  },
  client_port: { type: 'integer', required: true, default: 49_152, between: PORT },
  address: {
    type: 'string',
    required: true,
    default: '127.0.0.1',
    description: 'Address of ours that the client connected to.',
  },
  port: {
    type: 'integer',
    between: PORT,
    description: 'Port of ours. Without it that of the url, else 80 or 443.',
  },
  consumer: {
    type: 'string',
    len_max: 256,
    description: 'Id or username: which configurations its requests would get.',
  },
  limit: {
    type: 'integer',
    required: true,
    default: 5,
    between: [1, 50],
    description: 'Most routes that are named, of those that match and of those that do not.',
  },
});

export type ExplainRequest = RecordOf<typeof EXPLAIN_REQUEST>;

export type ExplainParsed =
  | { readonly ok: true; readonly value: ExplainRequest }
  | { readonly ok: false; readonly violations: Violations };

export function parseExplainRequest(input: JsonValue): ExplainParsed {
  const parsed = parseRecord(EXPLAIN_REQUEST, input);
  if (!parsed.ok) return parsed;
  const violations: Record<string, string> = {};
  const { method, url, headers, client_address: client, address } = parsed.value;
  if (!TOKEN.test(method)) violations['method'] = 'expected a method';
  if (splitUrl(url) === null) violations['url'] = 'expected an absolute URL or a path';
  for (const [name, value] of Object.entries(headers)) {
    if (!TOKEN.test(name)) violations['headers'] = `${JSON.stringify(name)} is no field name`;
    else if (hasControls(value)) violations['headers'] = `${name} holds a control character`;
  }
  if (parseIp(client) === null) violations['client_address'] = 'expected an IP address';
  if (parseIp(address) === null) violations['address'] = 'expected an IP address';
  return Object.keys(violations).length === 0 ? parsed : { ok: false, violations };
}

/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

const NUMBERS: ReadonlySet<string> = new Set(['client_port', 'port', 'limit']);

/**
 * `?url=…&method=…&header=Name: value&header=…`: the same, for who has but a browser or curl.
 *
 * @param numbers fields of the endpoint's own that are numbers
 */
export function explainQuery(
  query: Iterable<readonly [string, string]>,
  numbers: readonly string[] = [],
): JsonObject {
  const input: Record<string, JsonValue> = {};
  const headers: Record<string, string> = {};
  for (const [name, value] of query) {
    if (name === 'header') {
      const [, field = '', text = ''] = /^([^:]*):[ \t]*(.*?)[ \t]*$/s.exec(value) ?? [];
      headers[field] = text;
    } else {
      const isNumber = NUMBERS.has(name) || numbers.includes(name);
      input[name] = isNumber && /^\d{1,15}$/.test(value) ? Number(value) : value;
    }
  }
  return Object.keys(headers).length === 0 ? input : { ...input, headers };
}

/** The message that a listener would have made of it. */
export function toGatewayRequest(asked: ExplainRequest): GatewayRequest {
  const url = splitUrl(asked.url) ?? { scheme: null, host: null, target: asked.url };
  const scheme = asked.scheme ?? url.scheme ?? 'http';
  const headers = new HeaderList();
  for (const [name, value] of Object.entries(asked.headers)) headers.append(name, value);
  if (url.host !== null && !headers.has('host')) headers.append('Host', url.host);
  const named = /^([^:[\]]+|\[[^\]]*\])(?::(\d{1,5}))?$/.exec(headers.get('host') ?? '');
  const portOfUrl = /:(\d{1,5})$/.exec(url.host ?? '')?.[1];
  const portDefault = scheme === 'https' ? 443 : 80;
  const serverName = asked.sni ?? named?.[1] ?? null;
  return {
    method: asked.method,
    target: url.target,
    httpVersion: asked.http_version,
    scheme,
    headers,
    body: null,
    peerAddress: asked.client_address,
    peerPort: asked.client_port,
    localAddress: asked.address,
    localPort: asked.port ?? (portOfUrl === undefined ? portDefault : Number(portOfUrl)),
    tls: scheme === 'https' ? { serverName, version: 'TLSv1.3', clientCertificate: null } : null,
    abort: NEVER_ABORTED,
    sendInterim: null,
    upgrade: null,
  };
}

interface UrlParts {
  readonly scheme: 'http' | 'https' | null;
  readonly host: string | null;
  /** As it stands: nothing is normalised here. */
  readonly target: string;
}

function splitUrl(url: string): UrlParts | null {
  if (url.startsWith('/')) return { scheme: null, host: null, target: url };
  const match = /^(https?):\/\/([^/?#@\s]+)([/?].*)?$/is.exec(url);
  if (match === null) return null;
  const [, scheme = '', host = '', rest = ''] = match;
  const target = rest.startsWith('/') ? rest : `/${rest}`;
  return { scheme: scheme.toLowerCase() === 'https' ? 'https' : 'http', host, target };
}

/** RFC 9110 section 5.5; a tab is none. */
function hasControls(text: string): boolean {
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) return true;
  }
  return false;
}

/** Nobody goes away who was never there. */
const NEVER_ABORTED: Abort = { aborted: false, onAbort: () => () => {} };
