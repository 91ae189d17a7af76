/** The data plane's own endpoints, under a reserved path prefix beside the traffic. */
import { json, Router, type IRequest } from 'itty-router';
import { utf8 } from '#shared/base/bytes.ts';
import { HEADGATE_VERSION } from '#shared/base/product.ts';
import type { Crypto } from '#shared/platform/platform.ts';
import type { JsonObject } from '#shared/schema/field.ts';

export interface StatusOptions {
  readonly prefix: string;
  /** Null: `/status` is not there. */
  readonly token: string | null;
  readonly crypto: Crypto;
  isReady(): boolean;
  details(): Promise<JsonObject>;
}

/** Answers every request under the prefix; null for one that is none of ours. */
export function createStatus(
  options: StatusOptions,
): (request: Request) => Promise<Response> | null {
  const router = Router({ base: options.prefix });
  router.get('/status/ready', () => ready(options.isReady()));
  router.get('/status', (request) => status(request, options));
  router.all('*', notFound);
  const inside = `${options.prefix}/`;
  return (request) => {
    const path = new URL(request.url).pathname;
    return path.startsWith(inside) ? router.fetch(request) : null;
  };
}

function ready(isReady: boolean): Response {
  return isReady
    ? json({ message: 'ready' })
    : json({ message: 'no configuration available' }, { status: 503 });
}

async function status(request: IRequest, options: StatusOptions): Promise<Response> {
  if (options.token === null) return notFound();
  const given = /^Bearer (\S+)$/i.exec(request.headers.get('authorization') ?? '')?.[1] ?? '';
  if (!sameText(given, options.token, options.crypto)) {
    return json(
      { message: 'Unauthorized' },
      { status: 401, headers: { 'www-authenticate': 'Bearer' } },
    );
  }
  return json({ version: HEADGATE_VERSION, ...(await options.details()) });
}

/** Compared by digest: the comparison's time then says nothing about the token's length either. */
function sameText(a: string, b: string, crypto: Crypto): boolean {
  return crypto.timingSafeEqual(crypto.sha256(utf8(a)), crypto.sha256(utf8(b)));
}

function notFound(): Response {
  return json({ message: 'Not found' }, { status: 404 });
}
