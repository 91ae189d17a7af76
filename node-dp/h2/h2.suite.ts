/** A listener that speaks HTTP/2 in clear, for tests. */
import { afterEach } from 'vitest';
import { utf8 } from '#shared/base/bytes.ts';
import { HeaderList } from '#shared/http/headers.ts';
import type { GatewayRequest, GatewayResponse, Outcome } from '#shared/http/message.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { Listener, type ListenerOptions } from '../listener.ts';

export interface Started {
  readonly port: number;
  readonly url: string;
  readonly seen: GatewayRequest[];
  readonly outcomes: Outcome[];
  readonly statuses: number[];
  readonly listener: Listener;
}

export type Answer = (
  request: GatewayRequest,
  outcomes: Outcome[],
) => GatewayResponse | Promise<GatewayResponse>;

const open: Listener[] = [];

export function closeAfterEach(): void {
  afterEach(async () => {
    await Promise.all(open.splice(0).map((listener) => listener.drain(0)));
  });
}

export async function start(
  answer: Answer = (_request, outcomes) => ok(outcomes),
  options: Partial<ListenerOptions> = {},
): Promise<Started> {
  const seen: GatewayRequest[] = [];
  const outcomes: Outcome[] = [];
  const statuses: number[] = [];
  const listener = new Listener({
    listen: { host: '127.0.0.1', port: 0, tls: false, http2: true },
    tls: null,
    connectionsMax: 1000,
    random: nodeRandom,
    handle: (request) => {
      seen.push(request);
      return answer(request, outcomes);
    },
    onResponse: (status) => statuses.push(status),
    ...options,
  });
  open.push(listener);
  const { port, tls } = await listener.start();
  const url = `${tls ? 'https' : 'http'}://127.0.0.1:${port}`;
  return { port, url, seen, outcomes, statuses, listener };
}

export function ok(outcomes: Outcome[], changes: Partial<GatewayResponse> = {}): GatewayResponse {
  return {
    status: 200,
    headers: new HeaderList(['X-From', 'gateway']),
    body: utf8('hello'),
    tunnel: null,
    filters: [],
    onFinish: (outcome) => outcomes.push(outcome),
    ...changes,
  };
}

/** A request's body, to its end, clean or not. */
export function drained(
  request: GatewayRequest,
): Promise<{ text: string; trailers: HeaderList | null }> {
  const { body } = request;
  if (body === null) return Promise.resolve({ text: '', trailers: null });
  if (body instanceof Uint8Array) {
    return Promise.resolve({ text: Buffer.from(body).toString('latin1'), trailers: null });
  }
  let text = '';
  return new Promise((resolve) =>
    body.pipe({
      write: (chunk) => {
        text += Buffer.from(chunk).toString('latin1');
        return true;
      },
      end: (trailers) => resolve({ text, trailers }),
      abort: (error) => resolve({ text: `broken off: ${error.name}`, trailers: null }),
    }),
  );
}
