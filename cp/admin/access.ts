/**
 * Who may use the Admin API. With a token: whoever carries it. Without one: this machine only, and
 * then no web page may drive it, whatever its visitor's browser is talked into (Host against DNS
 * rebinding, Origin and Sec-Fetch-Site against cross-site requests).
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isLoopback } from '#shared/settings/listen.ts';
import { AdminError } from './errors.ts';

export interface AccessPolicy {
  /** Null: none is set, and the API answers on loopback only. */
  readonly token: string | null;
  /** Further host names that mean this API. */
  readonly hosts: readonly string[];
  /** Origins of web pages that may use it. */
  readonly origins: readonly string[];
}

export class AccessGuard {
  readonly #policy: AccessPolicy;
  readonly #tokenDigest: Buffer | null;

  constructor(policy: AccessPolicy) {
    this.#policy = policy;
    this.#tokenDigest = policy.token === null ? null : digest(policy.token);
  }

  /**
   * @param peer  address of the connected socket
   * @returns     the actor's name, for the change log
   * @throws AdminError 401 or 403
   */
  check(request: Request, peer: string): string {
    const origin = request.headers.get('origin');
    if (origin !== null && !this.isAllowedOrigin(origin, request)) {
      throw new AdminError(403, {
        message: `Origin ${origin.slice(0, 200)} may not use this API; see HEADGATE_ADMIN_ORIGINS`,
      });
    }
    if (this.#tokenDigest !== null) {
      // Browsers ask before they send what they were given, the token included.
      if (isPreflight(request)) return 'preflight';
      this.#checkToken(request, this.#tokenDigest);
      return 'admin';
    }
    if (!isLoopback(peer)) {
      throw new AdminError(403, {
        message: 'Without HEADGATE_ADMIN_TOKEN this API answers on loopback only',
      });
    }
    this.#refuseCrossSite(request, origin);
    return 'local';
  }

  /** The API's own page, the Manager's spellings, or what a setting names (decision 29). */
  isAllowedOrigin(origin: string, request: Request): boolean {
    if (this.#policy.origins.includes(origin)) return true;
    const host = request.headers.get('host');
    const parsed = URL.parse(origin);
    return parsed !== null && host !== null && parsed.host === host && this.#isOwnHost(host);
  }

  #checkToken(request: Request, expected: Buffer): void {
    const given =
      request.headers.get('kong-admin-token') ??
      /^Bearer (\S+)$/i.exec(request.headers.get('authorization') ?? '')?.[1] ??
      null;
    if (given === null || !timingSafeEqual(digest(given), expected)) {
      throw new AdminError(401, { message: 'Unauthorized' });
    }
  }

  #refuseCrossSite(request: Request, origin: string | null): void {
    const host = request.headers.get('host');
    if (host === null || !this.#isOwnHost(host)) {
      throw new AdminError(403, {
        message: `Host ${(host ?? '').slice(0, 200)} is not this API; see HEADGATE_ADMIN_HOSTS`,
      });
    }
    const site = request.headers.get('sec-fetch-site');
    // An allowed origin was checked above; a page without one has no business here.
    if (origin === null && site !== null && site !== 'same-origin' && site !== 'none') {
      throw new AdminError(403, { message: 'Cross-site requests may not use this API' });
    }
  }

  #isOwnHost(host: string): boolean {
    const name = host
      .replace(/:\d+$/, '')
      .replace(/^\[|\]$/g, '')
      .toLowerCase();
    return isLoopback(name) || this.#policy.hosts.includes(name);
  }
}

/** A browser's question whether a page, whose origin was checked, may send a request. */
function isPreflight(request: Request): boolean {
  return (
    request.method === 'OPTIONS' &&
    request.headers.has('origin') &&
    request.headers.has('access-control-request-method')
  );
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
