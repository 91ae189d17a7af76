/** A plain HTTP/1.1 client that sends just what it is told: any Host, any path, any header. */
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';

export interface Sent {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Uint8Array;
}

export interface Received {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly text: string;
  /** The body as JSON. */
  json(): unknown;
}

const agent = new Agent({ keepAlive: true, maxSockets: 32 });
const TIMEOUT_MS = 20_000;

/** Sends a request and answers when the response's head is there. */
export function open(base: string, path: string, sent: Sent = {}): Promise<IncomingMessage> {
  const { hostname, port } = new URL(base);
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        agent,
        hostname,
        port,
        path,
        method: sent.method ?? 'GET',
        headers: sent.headers ?? {},
        timeout: TIMEOUT_MS,
      },
      resolve,
    );
    outgoing.once('error', reject);
    outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer to ${path}`)));
    outgoing.end(sent.body);
  });
}

/** Sends a request and reads the whole response. */
export async function send(base: string, path: string, sent: Sent = {}): Promise<Received> {
  const incoming = await open(base, path, sent);
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString('utf8');
  return {
    status: incoming.statusCode ?? 0,
    headers: incoming.headers,
    rawHeaders: incoming.rawHeaders,
    text,
    json: () => JSON.parse(text) as unknown,
  };
}
