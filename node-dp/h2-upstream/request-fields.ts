/** The head of an upstream request as HTTP/2 has it. */
import type { UpstreamRequest } from '#shared/platform/platform.ts';
import { fieldValue } from '../field-value.ts';

/** Written as a pseudo-header field, by the framing, or not at all (RFC 9113 section 8.2.2). */
const LEFT_OUT: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

export function requestFields(request: UpstreamRequest): string[] {
  const { headers, body, method, scheme, target } = request;
  const authority = headers.get('host') ?? '';
  const flat = [':method', method, ':scheme', scheme, ':authority', authority, ':path', target];
  for (let i = 0; i < headers.size; i += 1) {
    const name = headers.lowerNameAt(i);
    // The core lets no other TE through.
    if (!LEFT_OUT.has(name)) flat.push(name, fieldValue(headers.valueAt(i)));
  }
  if (body !== null && body.length !== null) flat.push('content-length', String(body.length));
  return flat;
}
