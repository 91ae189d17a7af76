/** A gateway over a fake platform, and responses as a client would read them. */
import { must } from '#shared/base/assert.ts';
import type { BodySink } from '#shared/http/body.ts';
import { PROXY_SETTINGS_DEFAULT } from '#shared/proxy/settings.ts';
import type { HeaderList } from '#shared/http/headers.ts';
import type { GatewayRequest, GatewayResponse } from '#shared/http/message.ts';
import { runFilters } from '#shared/proxy/body-filter.ts';
import { Gateway, type ProxySettings } from '#shared/proxy/gateway.ts';
import type { AccessLogEntry } from '#shared/proxy/log-entry.ts';
import type { Tables } from '#shared/tables/tables.ts';
import { FakePlatform, request, type RequestOptions } from './fake-platform.ts';

/** What a client got. */
export interface Answer {
  readonly status: number;
  readonly headers: HeaderList;
  readonly text: string;
  json(): unknown;
}

export class TestGateway {
  readonly platform = new FakePlatform();
  readonly log: AccessLogEntry[] = [];
  readonly gateway: Gateway;

  constructor(tables: Tables | null, settings: Partial<ProxySettings> = {}) {
    this.gateway = new Gateway({
      platform: this.platform,
      settings: { ...PROXY_SETTINGS_DEFAULT, ...settings },
      accessLog: (entry) => this.log.push(entry),
    });
    if (tables !== null) this.gateway.swap(tables);
  }

  get(target: string, headers: RequestOptions['headers'] = {}): Promise<Answer> {
    return this.send(request(target, { headers }));
  }

  /** The whole exchange, as a listener would carry it out. */
  async send(message: GatewayRequest): Promise<Answer> {
    const answer = await readAnswer(await this.gateway.handle(message));
    await Promise.all(this.platform.pending);
    return answer;
  }

  /** The last request that went upstream. */
  get upstream() {
    return must(this.platform.sent.at(-1), 'nothing was sent upstream');
  }
}

export async function readAnswer(response: GatewayResponse): Promise<Answer> {
  const text = await readText(response);
  response.onFinish({ complete: true, bytesSent: new TextEncoder().encode(text).length });
  const { status, headers } = response;
  return { status, headers, text, json: () => JSON.parse(text) };
}

async function readText({ body, filters }: GatewayResponse): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  const take = (chunk: Uint8Array, last: boolean): void => {
    const out = runFilters(filters, chunk, last);
    if (out !== null) text += decoder.decode(out, { stream: true });
  };
  if (body === null) return '';
  if (body instanceof Uint8Array) {
    take(body, true);
    return text;
  }
  return new Promise((resolve, reject) => {
    const sink: BodySink = {
      write: (chunk) => {
        try {
          take(chunk, false);
        } catch (error) {
          reject(error);
        }
        return true;
      },
      end: () => {
        try {
          take(new Uint8Array(0), true);
          resolve(text);
        } catch (error) {
          reject(error);
        }
      },
      abort: reject,
    };
    body.pipe(sink);
  });
}
