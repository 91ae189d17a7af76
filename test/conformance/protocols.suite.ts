/**
 * Versions of HTTP and what comes with them, as far as both runtimes speak them: events of a server one by
 * one, bodies without a length, HTTP/1.0, trailers, and what gRPC routes refuse. The same suite runs against
 * both data planes; what a runtime does by itself is a capability here.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLOSED_MESSAGE } from '#shared/proxy/phases.ts';
import { sendRaw } from '../../node-dp/raw-client.suite.ts';
import type { AdminClient } from '../support/admin-client.ts';
import { eventually } from '../support/eventually.ts';
import { open, send } from '../support/http-client.ts';

export interface ProtocolCapabilities {
  readonly name: string;
  /** Passes trailers on to who asks for them. */
  readonly passesTrailers: boolean;
  /** Has gRPC routes; otherwise they are closed, and named as not supported. */
  readonly takesGrpc: boolean;
  /** Reads a body before the upstream is bothered, where the route says so. */
  readonly buffersRequests: boolean;
}

export interface ProtocolUpstream {
  readonly address: string;
  /** Responses that wait for the test to go on. */
  readonly waiting: ServerResponse[];
  /** `METHOD path` of requests whose head has arrived. */
  readonly begun: string[];
  close(): void;
}

export interface ProtocolHarness {
  readonly url: string;
  readonly upstream: ProtocolUpstream;
  close(): Promise<void>;
}

export async function startProtocolUpstream(): Promise<ProtocolUpstream> {
  const waiting: ServerResponse[] = [];
  const begun: string[] = [];
  const server: Server = createServer((request, response) => {
    begun.push(`${request.method} ${request.url}`);
    if (request.url === '/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: 0\n\n');
      waiting.push(response);
    } else if (request.url === '/trailers') {
      response.writeHead(200, { trailer: 'x-sum' });
      response.write('abc');
      response.addTrailers({ 'x-sum': '3' });
      response.end();
    } else {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { 'content-length': length = null, 'transfer-encoding': coding = null } =
          request.headers;
        const body = Buffer.concat(chunks).toString();
        response.end(JSON.stringify({ length, coding, body, te: request.headers.te ?? null }));
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    waiting,
    begun,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** The canary route is last, so a data plane that has it has all. */
export async function createProtocolFixture(admin: AdminClient, address: string): Promise<void> {
  await admin.post('/services', { name: 'protocols', url: `http://${address}` });
  const route = (name: string, more: object) =>
    admin.post('/services/protocols/routes', { name, ...more });
  await route('plain', { paths: ['/plain'] });
  await route('unbuffered', {
    paths: ['/unbuffered'],
    request_buffering: false,
    response_buffering: false,
  });
  await route('grpc', { paths: ['/grpc.Only'], protocols: ['grpc'], strip_path: false });
  await route('canary', { paths: ['/canary'] });
}

export function protocolSuite(
  capabilities: ProtocolCapabilities,
  start: () => Promise<ProtocolHarness>,
): void {
  let harness: ProtocolHarness;
  beforeAll(async () => {
    harness = await start();
  });
  afterAll(() => harness?.close());

  describe(`versions of HTTP on ${capabilities.name}`, () => {
    eventTests(() => harness);
    bodyTests(() => harness, capabilities);
    refusalTests(() => harness, capabilities);
  });
}

function eventTests(harness: () => ProtocolHarness): void {
  it.each(['/plain', '/unbuffered'])('pass events of a server on one by one: %s', async (path) => {
    const { url, upstream } = harness();
    const before = upstream.waiting.length;
    const incoming = await open(url, `${path}/events`);
    let heard = '';
    incoming.on('data', (bytes: Buffer) => (heard += bytes.toString()));
    const response = await eventually('the upstream', () => upstream.waiting[before]);

    expect(incoming.headers['content-type']).toBe('text/event-stream');
    for (let i = 0; i < 3; i += 1) {
      await eventually(`event ${i}`, () => heard.endsWith(`data: ${i}\n\n`));
      response.write(`data: ${i + 1}\n\n`);
    }
    response.end();
    await eventually('the end', () => incoming.complete);
  });
}

function bodyTests(harness: () => ProtocolHarness, capabilities: ProtocolCapabilities): void {
  const chunked = (path: string): string =>
    `POST ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n`;
  const portOf = (): number => Number(new URL(harness().url).port);

  it('take a body without a length', async () => {
    const answer = await sendRaw(
      portOf(),
      chunked('/plain/a'),
      '3\r\nabc\r\n',
      '2\r\nde\r\n0\r\n\r\n',
    );

    expect(answer.status).toBe(200);
    expect(answer.text).toContain('"body":"abcde"');
    if (capabilities.buffersRequests) expect(answer.text).toContain('"length":"5"');
  });

  it('send a body on as it comes where the route wants it so', async () => {
    const { upstream } = harness();
    const client = connect({ host: '127.0.0.1', port: portOf() });
    client.write(`${chunked('/unbuffered/piecemeal')}3\r\nabc\r\n`);

    await eventually('the upstream', () => upstream.begun.includes('POST /piecemeal'));
    client.destroy();
  });

  it('answer clients of HTTP/1.0', async () => {
    const answer = await sendRaw(portOf(), 'GET /plain/old HTTP/1.0\r\nHost: a\r\n\r\n');

    expect([answer.status, answer.closed]).toEqual([200, true]);
    expect(answer.text).not.toMatch(/transfer-encoding/i);
    expect(answer.text).toContain('"body":""');
  });

  it('end a body that has trailers, for who asks for them and who does not', async () => {
    const asked = await send(harness().url, '/plain/trailers', { headers: { te: 'trailers' } });
    const unasked = await send(harness().url, '/plain/trailers');

    expect([asked.text, unasked.text]).toEqual(['abc', 'abc']);
    expect(asked.headers['trailer']).toBe(capabilities.passesTrailers ? 'x-sum' : undefined);
    expect(unasked.headers['trailer']).toBeUndefined();
  });
}

function refusalTests(harness: () => ProtocolHarness, { takesGrpc }: ProtocolCapabilities): void {
  const grpc = { method: 'POST', headers: { 'content-type': 'application/grpc' }, body: '' };

  it('refuse other content on a gRPC route', async () => {
    const answer = await send(harness().url, '/grpc.Only/Call', { method: 'POST', body: '{}' });

    expect(answer.status).toBe(takesGrpc ? 415 : 503);
    const message = takesGrpc ? 'Non-gRPC request matched gRPC route' : CLOSED_MESSAGE;
    expect(answer.text).toContain(message);
  });

  it('refuse gRPC over HTTP/1.1, in gRPC’s own words', async () => {
    const answer = await send(harness().url, '/grpc.Only/Call', grpc);

    expect([answer.status, answer.text]).toEqual([takesGrpc ? 426 : 503, '']);
    expect(answer.headers['content-type']).toBe('application/grpc');
    expect(answer.headers['grpc-status']).toBe(takesGrpc ? '9' : '14');
    const message = takesGrpc ? 'Please use HTTP2 protocol' : CLOSED_MESSAGE;
    expect(answer.headers['grpc-message']).toBe(message);
  });

  it('tell gRPC clients of a missing route by status', async () => {
    const answer = await send(harness().url, '/grpc.None/Call', grpc);

    expect([answer.status, answer.text]).toEqual([404, '']);
    expect(answer.headers['grpc-status']).toBe('5');
  });
}
