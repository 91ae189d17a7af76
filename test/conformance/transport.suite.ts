/** What every implementation of the Transport port must do, against an echo upstream. */
import { beforeAll, describe, expect, it } from 'vitest';
import { fromUtf8, utf8, concat } from '#shared/base/bytes.ts';
import type { Body, BodyStream } from '#shared/http/body.ts';
import { HeaderList } from '#shared/http/headers.ts';
import {
  UpstreamError,
  type Abort,
  type Transport,
  type UpstreamFailure,
  type UpstreamRequest,
} from '#shared/platform/platform.ts';
import type { Echo } from '../support/echo-upstream.ts';

export interface TransportHarness {
  readonly transport: Transport;
  /** Where an echo upstream listens. */
  readonly host: string;
  readonly port: number;
  /** A port on the same host where nobody listens. */
  readonly closedPort: number;
  /** Things the runtime does not let it tell apart or do. */
  readonly limits: {
    /** It can say that a connection was refused, so that nothing was processed. */
    readonly knowsConnectFailures: boolean;
    /** It hands over every repeated response field by itself. */
    readonly keepsFieldOrder: boolean;
    /** It sends the Host it is given, rather than the name it connects to. */
    readonly choosesHost: boolean;
    /** It sees the transfer codings of a response. */
    readonly seesCodings: boolean;
  };
}

export function transportSuite(name: string, make: () => Promise<TransportHarness>): void {
  describe(`transport port: ${name}`, () => {
    let harness: TransportHarness;
    beforeAll(async () => {
      harness = await make();
    });
    const send = (target: string, changes: Partial<UpstreamRequest> = {}) =>
      harness.transport.send(requestTo(harness, target, changes));
    const failure = async (target: string, changes: Partial<UpstreamRequest> = {}) => {
      const error: unknown = await send(target, changes).then(
        async (response) => readAll(response.body),
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(UpstreamError);
      return error as UpstreamError;
    };

    it('sends method, target and headers as they stand', async () => {
      const headers = new HeaderList(['Host', 'example.com', 'X-One', 'a', 'X-One', 'b']);

      const echo = await readEcho(
        await send('/p/a;b=1/%7Bx%7D?q=1&q=2', { method: 'PUT', headers }),
      );

      expect(echo.method).toBe('PUT');
      expect(echo.target).toBe('/p/a;b=1/%7Bx%7D?q=1&q=2');
      if (harness.limits.choosesHost) expect(valuesOf(echo, 'host')).toEqual(['example.com']);
      expect(valuesOf(echo, 'x-one').join(', ')).toBe('a, b');
    });

    it('sends a body of bytes with its length', async () => {
      const echo = await readEcho(await send('/', { method: 'POST', body: utf8('hello') }));

      expect(echo.body).toBe('hello');
      expect(valuesOf(echo, 'content-length')).toEqual(['5']);
    });

    it('sends a stream of known length with Content-Length', async () => {
      const body = new TestBody([utf8('hel'), utf8('lo')], 5);

      const echo = await readEcho(await send('/', { method: 'POST', body }));

      expect(echo.body).toBe('hello');
      expect(valuesOf(echo, 'content-length')).toEqual(['5']);
      expect(valuesOf(echo, 'transfer-encoding')).toEqual([]);
    });

    it('sends a stream of unknown length in chunks', async () => {
      const body = new TestBody([utf8('hel'), utf8('lo')], null);

      const echo = await readEcho(await send('/', { method: 'POST', body }));

      expect(echo.body).toBe('hello');
      expect(valuesOf(echo, 'transfer-encoding')).toEqual(['chunked']);
    });

    it('answers status, headers and body', async () => {
      const response = await send('/status/418');

      expect(response.status).toBe(418);
      expect(fromUtf8(await readAll(response.body))).toBe('status 418');
    });

    it('does not follow redirects', async () => {
      expect((await send('/status/302')).status).toBe(302);
    });

    it('keeps repeated response fields', async () => {
      const { headers, body } = await send('/headers');
      await readAll(body);

      expect(headers.getAll('set-cookie')).toEqual(['a=1', 'b=2']);
      if (harness.limits.keepsFieldOrder) expect(headers.raw).toContain('X-Mixed-Case');
    });

    it.each(['/status/204', '/status/304'])('answers no body for %s', async (target) => {
      const response = await send(target);

      expect(await readAll(response.body)).toHaveLength(0);
    });

    it('answers no body for HEAD', async () => {
      const response = await send('/bytes/1000', { method: 'HEAD' });

      expect(response.status).toBe(200);
      expect(await readAll(response.body)).toHaveLength(0);
    });

    it.each(['/bytes/1000000', '/chunked/1000000'])('streams %s', async (target) => {
      const response = await send(target);

      expect(await readAll(response.body)).toHaveLength(1_000_000);
    });

    it('stops reading when the sink is full, and goes on when it has room', async () => {
      const { body } = await send('/bytes/1000000');

      expect(await readAll(body, { pauseAfterEach: true })).toHaveLength(1_000_000);
    });

    it('fails with read_timeout when no answer comes', async () => {
      const error = await failure('/hang', { readTimeoutMs: 300 });

      expect(error.failure).toBe('read_timeout');
      expect(error.maybeProcessed).toBe(true);
    });

    it.each<[string, UpstreamFailure[]]>([
      ['/reset', ['reset']],
      ['/garbage', ['invalid_response', 'reset']],
      ['/two-lengths', ['invalid_response', 'reset']],
      ['/gzip-chunked', ['invalid_response', 'reset']],
    ])('fails, maybe processed, on %s', async (target, failures) => {
      if (target === '/gzip-chunked' && !harness.limits.seesCodings) return;
      const error = await failure(target);

      expect(failures).toContain(error.failure);
      expect(error.maybeProcessed).toBe(true);
    });

    it.each(['/reset-mid', '/truncated'])('breaks the body off on %s', async (target) => {
      const { body } = await send(target);

      await expect(readAll(body)).rejects.toThrow();
    });

    it('knows that nothing was processed when nobody listens', async () => {
      const error = await failure('/', { port: harness.closedPort });

      if (!harness.limits.knowsConnectFailures) return;
      expect(error.failure).toBe('connect');
      expect(error.maybeProcessed).toBe(false);
    });

    it('does not touch a stream when it cannot connect', async () => {
      if (!harness.limits.knowsConnectFailures) return;
      const body = new TestBody([utf8('x')], 1);

      await failure('/', { port: harness.closedPort, method: 'POST', body });

      expect(body.consumed).toBe(false);
    });

    it('gives up when the client goes away', async () => {
      const abort = new TestAbort();
      const pending = failure('/hang', { abort });
      abort.fire();

      expect((await pending).failure).toBe('aborted');
    });

    it.each([100, null])(
      'blames a body that breaks off on the client (length %s)',
      async (length) => {
        const body = new TestBody([utf8('some')], length, new Error('the client has gone'));

        expect((await failure('/', { method: 'POST', body })).failure).toBe('aborted');
      },
    );

    it('sends nothing for a client that has gone already', async () => {
      const abort = new TestAbort();
      abort.fire();

      const error = await failure('/', { abort });

      expect([error.failure, error.maybeProcessed]).toEqual(['aborted', false]);
    });
  });
}

const NO_ABORT: Abort = { aborted: false, onAbort: () => () => {} };

function requestTo(
  harness: TransportHarness,
  target: string,
  changes: Partial<UpstreamRequest>,
): UpstreamRequest {
  return {
    scheme: 'http',
    host: harness.host,
    address: null,
    port: harness.port,
    httpVersion: '1.1',
    upgrade: null,
    method: 'GET',
    target,
    headers: new HeaderList(['Host', `${harness.host}:${harness.port}`]),
    body: null,
    connectTimeoutMs: 2000,
    writeTimeoutMs: 5000,
    readTimeoutMs: 5000,
    tls: null,
    abort: NO_ABORT,
    ...changes,
  };
}

async function readEcho(response: { body: Body }): Promise<Echo> {
  // The echo upstream is our own: its body is what its type says.
  return JSON.parse(fromUtf8(await readAll(response.body))) as Echo;
}

function valuesOf(echo: Echo, name: string): string[] {
  return echo.headers.filter((_, i) => i % 2 === 1 && echo.headers[i - 1]?.toLowerCase() === name);
}

/** Everything a body brings. With `pauseAfterEach` the sink claims to be full after every chunk. */
export function readAll(body: Body, options = { pauseAfterEach: false }): Promise<Uint8Array> {
  if (body === null) return Promise.resolve(new Uint8Array(0));
  if (body instanceof Uint8Array) return Promise.resolve(body);
  const chunks: Uint8Array[] = [];
  return new Promise((resolve, reject) => {
    let isAsked = true;
    body.pipe({
      write(chunk) {
        if (!isAsked) reject(new Error('written to while full'));
        chunks.push(Uint8Array.from(chunk));
        if (!options.pauseAfterEach) return true;
        isAsked = false;
        queueMicrotask(() => {
          isAsked = true;
          body.resume();
        });
        return false;
      },
      end: () => resolve(concat(...chunks)),
      abort: reject,
    });
  });
}

/** A body that hands out one chunk per turn, and waits when told to. */
class TestBody implements BodyStream {
  readonly length: number | null;
  readonly #chunks: Uint8Array[];
  readonly #error: Error | null;
  #next: (() => void) | null = null;
  consumed = false;

  /** @param error  what it breaks off with; null: it ends */
  constructor(chunks: readonly Uint8Array[], length: number | null, error: Error | null = null) {
    this.#chunks = [...chunks];
    this.length = length;
    this.#error = error;
  }

  pipe(sink: Parameters<BodyStream['pipe']>[0]): void {
    this.consumed = true;
    const step = (): void => {
      const chunk = this.#chunks.shift();
      if (chunk === undefined && this.#error !== null) sink.abort(this.#error);
      else if (chunk === undefined) sink.end(null);
      else if (sink.write(chunk)) queueMicrotask(step);
      else this.#next = step;
    };
    queueMicrotask(step);
  }

  resume(): void {
    const next = this.#next;
    this.#next = null;
    if (next !== null) queueMicrotask(next);
  }

  cancel(): void {
    this.#chunks.length = 0;
  }
}

class TestAbort implements Abort {
  aborted = false;
  readonly #listeners = new Set<() => void>();

  onAbort(fn: () => void): () => void {
    this.#listeners.add(fn);
    return () => this.#listeners.delete(fn);
  }

  fire(): void {
    this.aborted = true;
    for (const fn of this.#listeners) fn();
  }
}
