/** Drives an Admin API as a script would. */
import { type Received, send } from './http-client.ts';

export type Json = Record<string, unknown>;

export class AdminClient {
  readonly url: string;
  constructor(url: string) {
    this.url = url;
  }

  async call(method: string, path: string, body?: Json): Promise<Received> {
    if (body === undefined) return send(this.url, path, { method });
    const text = JSON.stringify(body);
    const headers = {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(text)),
    };
    return send(this.url, path, { method, headers, body: text });
  }

  /** @throws when it is refused, with the answer */
  async ok(method: string, path: string, body?: Json): Promise<Json> {
    const answer = await this.call(method, path, body);
    if (answer.status >= 300) {
      throw new Error(`${method} ${path} answered ${answer.status}: ${answer.text}`);
    }
    return answer.text === '' ? {} : (answer.json() as Json);
  }

  post(path: string, body: Json): Promise<Json> {
    return this.ok('POST', path, body);
  }

  async joinToken(): Promise<string> {
    return String((await this.post('/clustering/join-tokens', {}))['token']);
  }
}
