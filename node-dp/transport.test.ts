import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HeaderList } from '#shared/http/headers.ts';
import { UpstreamError, type Abort, type UpstreamRequest } from '#shared/platform/platform.ts';
import { readAll } from '../test/conformance/transport.suite.ts';
import { startEchoUpstream, type Echo, type EchoUpstream } from '../test/support/echo-upstream.ts';
import { eventually } from '../test/support/eventually.ts';
import { NodeTransport, TRANSPORT_LIMITS } from './transport.ts';

let upstream: EchoUpstream;
let transport: NodeTransport;
beforeEach(async () => {
  upstream = await startEchoUpstream();
});
afterEach(async () => {
  transport.close();
  await upstream.close();
});

const NO_ABORT: Abort = { aborted: false, onAbort: () => () => {} };

function request(target: string, changes: Partial<UpstreamRequest> = {}): UpstreamRequest {
  return {
    scheme: 'http',
    host: upstream.host,
    address: null,
    port: upstream.port,
    httpVersion: '1.1',
    upgrade: null,
    method: 'GET',
    target,
    headers: new HeaderList(['Host', 'a']),
    body: null,
    connectTimeoutMs: 1000,
    writeTimeoutMs: 1000,
    readTimeoutMs: 1000,
    tls: null,
    abort: NO_ABORT,
    ...changes,
  };
}

async function text(target: string, changes: Partial<UpstreamRequest> = {}): Promise<string> {
  const { body } = await transport.send(request(target, changes));
  return Buffer.from(await readAll(body)).toString();
}

describe('the transport', () => {
  it('uses a connection again, and for one request at a time', async () => {
    transport = new NodeTransport();
    await text('/one');
    await text('/two');
    expect(upstream.connectionCount).toBe(1);

    await Promise.all([text('/slow/50'), text('/slow/50')]);

    expect(upstream.connectionCount).toBe(2);
  });

  it('uses a connection again whatever the Host header says', async () => {
    transport = new NodeTransport();
    await text('/', { headers: new HeaderList(['Host', 'one.example']) });
    await text('/', { headers: new HeaderList(['Host', 'two.example']) });

    expect(upstream.connectionCount).toBe(1);
  });

  it.each(['/two-lengths', '/garbage', '/truncated'])(
    'does not use a connection again after %s',
    async (target) => {
      transport = new NodeTransport();
      await text(target).catch(() => {});
      await text('/');

      expect(upstream.connectionCount).toBe(2);
    },
  );

  it('does not use a connection again that a client walked away from', async () => {
    transport = new NodeTransport();
    const response = await transport.send(request('/bytes/10000000'));
    const { body } = response;
    if (body !== null && !(body instanceof Uint8Array)) body.cancel();
    await text('/');

    expect(upstream.connectionCount).toBe(2);
  });

  it('frames by itself, whatever the core left in the headers', async () => {
    transport = new NodeTransport();
    const headers = new HeaderList(['Host', 'a', 'Content-Length', '99', 'X-A', '1']);
    headers.append('Transfer-Encoding', 'chunked');
    headers.append('Connection', 'x-a');
    headers.append('Expect', '100-continue');
    headers.append('Upgrade', 'h2c');

    const echo = JSON.parse(
      await text('/', { method: 'POST', headers, body: Buffer.from('abc') }),
    ) as Echo;

    const names = echo.headers.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
    expect(names.toSorted()).toEqual(['connection', 'content-length', 'host', 'x-a']);
    expect(echo.body).toBe('abc');
  });

  it('refuses more than it may have in flight to one target, as not processed', async () => {
    transport = new NodeTransport({ ...TRANSPORT_LIMITS, inFlightMax: 2 });
    const slow = [text('/slow/100'), text('/slow/100')];

    const error: unknown = await text('/').catch((reason: unknown) => reason);

    expect(error).toBeInstanceOf(UpstreamError);
    expect(error).toMatchObject({ failure: 'connect', maybeProcessed: false });
    await Promise.all(slow);
    await expect(text('/status/200')).resolves.toBe('status 200');
  });

  it('makes room for a new target by letting go of the one unused for longest', async () => {
    transport = new NodeTransport({ ...TRANSPORT_LIMITS, poolsMax: 2 });
    await text('/', { connectTimeoutMs: 1001 });
    await text('/', { connectTimeoutMs: 1002 });
    await text('/', { connectTimeoutMs: 1003 });
    expect(transport.poolCount).toBe(2);

    await text('/', { connectTimeoutMs: 1002 });

    expect(upstream.connectionCount).toBe(3);
  });

  it('refuses a new target when every other one is busy', async () => {
    transport = new NodeTransport({ ...TRANSPORT_LIMITS, poolsMax: 1 });
    const slow = text('/slow/100');

    await expect(text('/', { connectTimeoutMs: 1001 })).rejects.toThrow(UpstreamError);

    await slow;
  });

  it('closes what is idle', async () => {
    transport = new NodeTransport({ ...TRANSPORT_LIMITS, poolIdleMs: 0 });
    await text('/');

    await eventually('an empty transport', () => {
      transport.sweep();
      return transport.poolCount === 0;
    });
  });

  it('fails what is in flight when it closes', async () => {
    transport = new NodeTransport();
    const pending = text('/hang').catch((reason: unknown) => reason);
    await eventually('the request', () => upstream.requestCount === 1);

    transport.close();

    expect(await pending).toBeInstanceOf(UpstreamError);
  });
});
