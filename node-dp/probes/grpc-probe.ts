/**
 * The gRPC part of a probe: asks the server as a whole how it is.
 *
 * Source: github.com/grpc/grpc, doc/health-checking.md and PROTOCOL-HTTP2.md
 */
import { connect, type ClientHttp2Stream, type IncomingHttpHeaders } from 'node:http2';
import type { Socket } from 'node:net';
import type { CheckOutcome } from '#shared/health/checks.ts';
import type { ProbePlan } from './plan.ts';
import { type Settle, TCP_FAILURE } from './probe.ts';

/** `HealthCheckRequest` without a service, not compressed. */
const QUESTION = Buffer.alloc(5);
/** `HealthCheckResponse`s are of a few bytes. */
export const ANSWER_BYTES_MAX = 4096;
const PREFIX_BYTES = 5;
/** `status: SERVING`: field 1, a varint, 1. */
const SERVING = Buffer.from([0x08, 0x01]);

/** Not well: what the counters of HTTP failures are for. */
const NOT_SERVING: CheckOutcome = { type: 'status', status: 0 };

export function checkByGrpc(plan: ProbePlan, host: string, socket: Socket, settle: Settle): void {
  const session = connect(`http://${host}`, { createConnection: () => socket });
  const fail = (): void => settle(TCP_FAILURE);
  session.on('error', fail);
  session.on('goaway', fail);
  const stream = session.request({
    ...fieldsOf(plan),
    ':method': 'POST',
    ':path': '/grpc.health.v1.Health/Check',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', fail);
  read(stream, settle);
  stream.end(QUESTION);
}

/** RFC 9113 section 8.2.2: what speaks of a connection must not be sent. */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  'connection',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

function fieldsOf({ headers }: ProbePlan): Record<string, string[]> {
  const fields: Record<string, string[]> = {};
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    if (!CONNECTION_FIELDS.has(lower)) (fields[lower] ??= []).push(value);
  }
  return fields;
}

function read(stream: ClientHttp2Stream, settle: Settle): void {
  const chunks: Buffer[] = [];
  let length = 0;
  let head: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  stream.on('response', (headers) => (head = headers));
  stream.on('trailers', (headers) => (trailers = headers));
  stream.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length > ANSWER_BYTES_MAX) settle(NOT_SERVING);
    else chunks.push(chunk);
  });
  stream.on('end', () => {
    const status = Number(head[':status']);
    // An answer of something that is no gRPC server.
    if (status !== 200) return settle({ type: 'status', status });
    const code = trailers['grpc-status'] ?? head['grpc-status'];
    const isServing = code === '0' && isServingMessage(Buffer.concat(chunks));
    settle(isServing ? { type: 'success' } : NOT_SERVING);
  });
}

function isServingMessage(bytes: Buffer): boolean {
  if (bytes.length < PREFIX_BYTES || bytes[0] !== 0) return false;
  const message = bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + bytes.readUInt32BE(1));
  return message.equals(SERVING);
}
