/**
 * Who may use the Admin API, and for what. With a token: whoever carries it, within its scopes. Without
 * one: this machine only, and then no web page may drive it, whatever its visitor's browser is talked
 * into (Host against DNS rebinding, Origin and Sec-Fetch-Site against cross-site requests).
 */
import type { AdminTokens } from '../access/admin-tokens.ts';
import {
  type AccessLevel,
  ALL_SCOPES,
  ANY_WORKSPACE,
  isGranted,
  type Need,
  NO_SCOPES,
  type Scopes,
} from '../access/scopes.ts';
import { digestOf, isSameDigest, isTokenLike } from '../access/token-text.ts';
import { FORWARDING_FIELDS } from '#shared/http/forwarded.ts';
import { isLoopback } from '#shared/settings/listen.ts';
import { AdminError } from './errors.ts';

export interface AccessPolicy {
  /** `HEADGATE_ADMIN_TOKEN`: all scopes, and then nobody comes in without a token. */
  readonly token: string | null;
  /** Whether this machine needs no token as long as that one is not set. */
  readonly isLoopbackOpen: boolean;
  /** Further host names that mean this API. */
  readonly hosts: readonly string[];
  /** Origins of web pages that may use it. */
  readonly origins: readonly string[];
}

/** Whoever asks. */
export interface Principal {
  /** For the change log and the audit. */
  readonly name: string;
  /** `anonymous` has shown nothing, and only its refusal is ever recorded. */
  readonly kind: 'token' | 'bootstrap' | 'local' | 'preflight' | 'anonymous';
  /** Of a named token. */
  readonly tokenId: string | null;
  readonly scopes: Scopes;
}

/** Names that stand for somebody else than the holder of a named token. */
export const RESERVED_ACTORS: readonly string[] = ['anonymous', 'bootstrap', 'expiry', 'local'];

export const ANONYMOUS = fixed('anonymous', NO_SCOPES);
const BOOTSTRAP = fixed('bootstrap', ALL_SCOPES);
const LOCAL = fixed('local', ALL_SCOPES);
const PREFLIGHT = fixed('preflight', NO_SCOPES);

/** The kind of entities of which a group of data planes is one. */
export const GROUPS = 'clustering_groups';

/** Part of the API that an endpoint belongs to. Without one it is `entities`. */
export type Area =
  /** Of the request's workspace; GET reads, everything else writes. */
  | 'entities'
  /** The workspaces themselves: one is read by who may read in it, the rest takes all of them. */
  | 'workspaces'
  /** Secrets that belong to no workspace: read and written by who may do so in all of them. */
  | 'shared'
  | 'cluster'
  /** Entities, and part of the cluster. */
  | 'groups'
  | 'admin'
  /** For everybody who was let in, whatever the method: nothing is changed there. */
  | 'info';

/** A request that its sender may not make: not a mistake in it. */
export class AccessError extends AdminError {}

export class AccessGuard {
  readonly #policy: AccessPolicy;
  readonly #tokens: Pick<AdminTokens, 'verify'>;
  readonly #bootstrapDigest: Uint8Array | null;

  constructor(policy: AccessPolicy, tokens: Pick<AdminTokens, 'verify'>) {
    this.#policy = policy;
    this.#tokens = tokens;
    this.#bootstrapDigest = policy.token === null ? null : digestOf(policy.token);
  }

  /**
   * @param peer  address of the connected socket
   * @throws AccessError 401 or 403; StoreError when the tokens cannot be read
   */
  async authenticate(request: Request, peer: string): Promise<Principal> {
    const { headers } = request;
    const origin = headers.get('origin');
    if (origin !== null && !this.isAllowedOrigin(origin, request)) {
      throw new AccessError(403, {
        message: `Origin ${origin.slice(0, 200)} may not use this API; see HEADGATE_ADMIN_ORIGINS`,
      });
    }
    const token = tokenOf(headers);
    const holder = token === null ? null : await this.#holderOf(token);
    if (holder !== null) return holder;
    const isOpen =
      this.#bootstrapDigest === null && this.#policy.isLoopbackOpen && isLocal(headers, peer);
    // A named token that is not valid means somebody else than nobody.
    if (isOpen && (token === null || !isTokenLike(token))) {
      this.#refuseCrossSite(request, origin);
      return LOCAL;
    }
    // Browsers ask before they send what they were given, the token included.
    if (isPreflight(request)) return PREFLIGHT;
    throw new AccessError(401, { message: 'Unauthorized' });
  }

  /** The API's own page, the Manager's spellings, or what a setting names (decision 29). */
  isAllowedOrigin(origin: string, request: Request): boolean {
    if (this.#policy.origins.includes(origin)) return true;
    const host = request.headers.get('host');
    const parsed = URL.parse(origin);
    return parsed !== null && host !== null && parsed.host === host && this.#isOwnHost(host);
  }

  async #holderOf(token: string): Promise<Principal | null> {
    const expected = this.#bootstrapDigest;
    if (expected !== null && isSameDigest(digestOf(token), expected)) return BOOTSTRAP;
    const found = await this.#tokens.verify(token);
    if (found === null) return null;
    const { id, name, scopes } = found;
    return { name, kind: 'token', tokenId: id, scopes };
  }

  #refuseCrossSite(request: Request, origin: string | null): void {
    const host = request.headers.get('host');
    if (host === null || !this.#isOwnHost(host)) {
      throw new AccessError(403, {
        message: `Host ${(host ?? '').slice(0, 200)} is not this API; see HEADGATE_ADMIN_HOSTS`,
      });
    }
    const site = request.headers.get('sec-fetch-site');
    // An allowed origin was checked above; a page without one has no business here.
    if (origin === null && site !== null && site !== 'same-origin' && site !== 'none') {
      throw new AccessError(403, { message: 'Cross-site requests may not use this API' });
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

/** What is asked of the API, as far as access goes. */
export interface Asked {
  readonly area: Area;
  /** Name of the request's workspace. */
  readonly workspace: string;
  readonly method: string;
  /** Of the path, decoded. */
  readonly params: readonly string[];
}

/** @throws AccessError 403 that names the scope which is missing */
export function authorize({ scopes, name }: Principal, asked: Asked): void {
  const need = needOf(asked);
  if (need === null || isGranted(scopes, need)) return;
  const what =
    need.area === 'entities'
      ? `${need.access} on workspace '${need.workspace}'`
      : `${need.access} on ${need.area}`;
  throw new AccessError(403, { message: `'${name}' lacks the scope: ${what}` });
}

/** What `authorize` would not refuse. */
export function isAuthorized({ scopes }: Principal, asked: Asked): boolean {
  const need = needOf(asked);
  return need === null || isGranted(scopes, need);
}

/**
 * Whether somebody who may not enter a workspace is told so before it is looked for, so that those
 * which exist are not told from those which do not.
 *
 * @throws AccessError 403
 */
export function authorizeWorkspace(principal: Principal, workspace: string): void {
  authorize(principal, { area: 'entities', workspace, method: 'GET', params: [] });
}

function needOf({ area, workspace, method, params }: Asked): Need | null {
  const access: AccessLevel = isWrite(method) ? 'write' : 'read';
  switch (area) {
    case 'info':
      return null;
    case 'entities':
      return { area, workspace, access };
    case 'groups':
      return { area: 'cluster', access };
    case 'shared':
      return { area: 'entities', workspace: ANY_WORKSPACE, access };
    case 'workspaces': {
      // Scopes go by name: who could rename a workspace could enter any.
      const [named = ANY_WORKSPACE] = params;
      return { area: 'entities', workspace: access === 'read' ? named : ANY_WORKSPACE, access };
    }
    default:
      return { area, access };
  }
}

export function isWrite(method: string): boolean {
  return method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS';
}

function tokenOf(headers: Headers): string | null {
  return (
    headers.get('kong-admin-token') ??
    /^Bearer (\S+)$/i.exec(headers.get('authorization') ?? '')?.[1] ??
    null
  );
}

/** Whoever is forwarded by a proxy on this machine is not on this machine. */
function isLocal(headers: Headers, peer: string): boolean {
  return isLoopback(peer) && !FORWARDING_FIELDS.some((name) => headers.has(name));
}

/** A browser's question whether a page, whose origin was checked, may send a request. */
function isPreflight(request: Request): boolean {
  return (
    request.method === 'OPTIONS' &&
    request.headers.has('origin') &&
    request.headers.has('access-control-request-method')
  );
}

function fixed(kind: Principal['kind'], scopes: Scopes): Principal {
  return { name: kind, kind, tokenId: null, scopes };
}
