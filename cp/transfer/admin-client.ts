/** An Admin API as a client sees it: Kong's or Headgate's, over HTTP or HTTPS. */
import { type IncomingHttpHeaders, type IncomingMessage, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { JsonValue } from '#shared/schema/field.ts';
import { SourceError } from './settings.ts';

/** One answer, in bytes. */
export const ANSWER_BYTES_MAX = 128 * 1024 * 1024;
/** Without a byte. Loading a large configuration is silent while it is checked. */
const SILENCE_MS_MAX = 300_000;
const ERROR_TEXT_MAX = 2_000;

export interface Answer {
  readonly status: number;
  /** Undefined: it is no JSON. */
  readonly json: JsonValue | undefined;
  readonly text: string;
  readonly headers: IncomingHttpHeaders;
}

export interface AdminOptions {
  /** With the workspace as its path, if any. */
  readonly url: URL;
  /** `Kong-Admin-Token`, and whatever a proxy in front asks for. */
  readonly headers: Readonly<Record<string, string>>;
  /** PEM of the CA to trust. */
  readonly ca: string | null;
}

export class AdminApi {
  readonly #options: AdminOptions;

  constructor(options: AdminOptions) {
    this.#options = options;
  }

  /** Without user and password. */
  get address(): string {
    const { protocol, host, pathname } = this.#options.url;
    return `${protocol}//${host}${pathname.replace(/\/$/, '')}`;
  }

  /** The same API, seen in a workspace. */
  in(workspace: string): AdminApi {
    const url = new URL(this.#options.url);
    url.pathname = `${url.pathname.replace(/\/$/, '')}/${encodeURIComponent(workspace)}`;
    return new AdminApi({ ...this.#options, url });
  }

  /** @throws SourceError  it cannot be reached, or answers too much */
  async call(method: string, path: string, body?: JsonValue): Promise<Answer> {
    const { url, headers, ca } = this.#options;
    const target = new URL(url);
    const [pathname = '', search = ''] = path.split('?');
    target.pathname = `${url.pathname.replace(/\/$/, '')}${pathname}`;
    target.search = search;
    const bytes = body === undefined ? null : Buffer.from(JSON.stringify(body));
    const sent = {
      accept: 'application/json',
      ...headers,
      ...(bytes === null
        ? {}
        : { 'content-type': 'application/json', 'content-length': String(bytes.length) }),
    };
    const send = target.protocol === 'https:' ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        reject(new SourceError(`${this.address}: ${reasonOf(error)}`, { cause: error }));
      };
      const options = { method, headers: sent, ...(ca === null ? {} : { ca }) };
      const request = send(target, options, (response) => {
        collect(response).then(resolve, fail);
      });
      request.setTimeout(SILENCE_MS_MAX, () => request.destroy(new Error('no answer in time')));
      request.once('error', fail);
      request.end(bytes ?? undefined);
    });
  }

  /** @throws SourceError  as `call`, and for any status but 2xx */
  async get(path: string): Promise<JsonValue> {
    const answer = await this.call('GET', path);
    if (answer.status >= 300 || answer.json === undefined) {
      throw new SourceError(`${this.address}: GET ${path} answered ${described(answer)}`);
    }
    return answer.json;
  }
}

/** Status and message of a refusal, for a person. */
export function described({ status, json, text }: Answer): string {
  const message =
    typeof json === 'object' && json !== null && 'message' in json ? json['message'] : text;
  return `${status} ${String(message).slice(0, ERROR_TEXT_MAX)}`.trim();
}

async function collect(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    // Without an encoding set, chunks are buffers.
    const bytes = chunk as Buffer;
    size += bytes.length;
    if (size > ANSWER_BYTES_MAX)
      throw new Error(`an answer of more than ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(bytes);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  const { statusCode: status = 0, headers } = response;
  return { status, json: parsed(text), text, headers };
}

function parsed(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return undefined;
  }
}

function reasonOf(error: Error): string {
  // Several addresses of one name: the message is empty, and each failure stands in `errors`.
  const first = error instanceof AggregateError ? (error.errors[0] as unknown) : error;
  return first instanceof Error ? first.message : error.message;
}
